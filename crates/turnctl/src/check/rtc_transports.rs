//! Where Element X and Element Call find LiveKit: in the homeserver's list of transports (MSC4143), else in
//! `.well-known`. Their calls do not use TURN of the homeserver.

use serde_json::Value;

use super::http::Http;
use crate::report::Finding;

/// Where homeservers have the list, the newer path first.
const PATHS: [&str; 2] = [
    "/_matrix/client/v1/rtc/transports",
    "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
];

/// What the homeserver said to the question for its list.
#[derive(Debug, PartialEq, Eq)]
enum List {
    /// The first transport of it.
    Names(String),
    /// There is nothing in it.
    Empty,
    /// The homeserver knows no such question.
    Unknown,
    /// It did not answer it: the token, or a fault.
    Unanswered,
}

/// Asks for the list. `foci` is what `.well-known` names. Returns nothing if it cannot be told.
pub(super) fn finding(http: &Http, base: &str, token: &str, foci: Option<&str>) -> Option<Finding> {
    let mut list = List::Unknown;
    for path in PATHS {
        list = match http.get(&format!("{base}{path}"), Some(token)) {
            Ok(response) => read(response.status, &response.body),
            Err(_) => List::Unanswered,
        };
        if list != List::Unknown {
            break;
        }
    }
    judge(&list, foci)
}

fn read(status: u16, body: &str) -> List {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match (status, &body) {
        (200, Value::Object(body)) => match body.get("rtc_transports").and_then(named) {
            Some(first) => List::Names(first),
            None => List::Empty,
        },
        (404 | 405, _) => List::Unknown,
        (400, body) if body["errcode"] == "M_UNRECOGNIZED" => List::Unknown,
        _ => List::Unanswered,
    }
}

/// Returns the first transport of a list: the address of its service, or its type.
pub(super) fn named(list: &Value) -> Option<String> {
    let first = list.as_array()?.first()?;
    let text = |key: &str| Some(first.get(key)?.as_str()?.to_owned());
    text("livekit_service_url").or_else(|| text("type"))
}

fn judge(list: &List, foci: Option<&str>) -> Option<Finding> {
    match (list, foci) {
        (List::Unanswered, _) => None,
        (List::Names(first), _) => {
            let title = format!("Element X and Element Call find LiveKit: the homeserver names {first}");
            Some(Finding::pass("rtc-transports", title))
        }
        (List::Unknown, Some(first)) => {
            let title = format!("Element X and Element Call find LiveKit: .well-known names {first}");
            Some(Finding::pass("rtc-transports", title))
        }
        (List::Empty, Some(first)) => Some(
            Finding::warn("rtc-transports-empty", "the homeserver's list of MatrixRTC transports is empty")
                .why(
                    "Element X and Element Call do not look into .well-known then, where LiveKit is named: calls fail \
                     with MISSING_MATRIX_RTC_TRANSPORT. They keep the empty list for about a day.",
                )
                .fix(format!(
                    "In homeserver.yaml, then restart Synapse:\n  matrix_rtc:\n    transports:\n      - type: \
                     livekit\n        livekit_service_url: {first}\nClients that have the empty list need to log in \
                     again, or a day."
                )),
        ),
        (List::Unknown | List::Empty, None) => Some(
            Finding::info("no-livekit", "Element X and Element Call find no LiveKit here").why(
                "their calls do not use TURN of a homeserver; without LiveKit they fail with \
                 MISSING_MATRIX_RTC_TRANSPORT, whatever this check says. Calls of Element Web, Desktop and \
                 the classic apps are what TURN serves.",
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_clients_read_it() {
        let list = r#"{"rtc_transports":[{"type":"livekit","livekit_service_url":"https://rtc.example.org/jwt"}]}"#;
        for (status, body, expected) in [
            (200, list, List::Names("https://rtc.example.org/jwt".into())),
            (200, r#"{"rtc_transports":[{"type":"other"}]}"#, List::Names("other".into())),
            (200, "{}", List::Empty),
            (200, r#"{"rtc_transports":[]}"#, List::Empty),
            (200, r#"{"rtc_transports":7}"#, List::Empty),
            (404, r#"{"errcode":"M_UNRECOGNIZED"}"#, List::Unknown),
            (404, "<html>", List::Unknown),
            (405, r#"{"errcode":"M_UNRECOGNIZED"}"#, List::Unknown),
            (400, r#"{"errcode":"M_UNRECOGNIZED"}"#, List::Unknown),
            (401, r#"{"errcode":"M_UNKNOWN_TOKEN"}"#, List::Unanswered),
            (502, "", List::Unanswered),
            (200, "<html>", List::Unanswered),
        ] {
            assert_eq!(read(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_empty_list_is_worse_than_none_where_well_known_names_livekit() {
        let id = |list: List, foci| judge(&list, foci).map(|finding| finding.id);
        let there = Some("https://rtc.example.org/jwt");
        assert_eq!(id(List::Empty, there), Some("rtc-transports-empty"));
        assert_eq!(id(List::Unknown, there), Some("rtc-transports"));
        assert_eq!(id(List::Names("x".into()), None), Some("rtc-transports"));
        assert_eq!(id(List::Empty, None), Some("no-livekit"));
        assert_eq!(id(List::Unknown, None), Some("no-livekit"));
        assert_eq!(id(List::Unanswered, there), None);
        let text = format!("{:?}", judge(&List::Empty, there));
        assert!(text.contains("livekit_service_url: https://rtc.example.org/jwt"), "{text}");
    }
}
