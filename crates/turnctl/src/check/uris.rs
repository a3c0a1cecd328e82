//! URIs, by the rules of libwebrtc, which all browsers and apps share but Firefox.

use crate::client::TurnUri;
use crate::client::uri::Scheme;
use crate::report::{Finding, Section};

/// Where a URI comes from, for what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line, or a configuration.
    User,
    /// A homeserver's answer.
    Homeserver,
}

/// Judges all of them; hands over those that a client would use.
pub(super) fn judge(texts: &[String], origin: Origin, section: &mut Section) -> Vec<TurnUri> {
    let before = section.findings.len();
    let mut good: Vec<TurnUri> = Vec::new();
    for text in texts {
        match text.parse::<TurnUri>() {
            Err(fault) => section.push(
                Finding::fail("uri-form", format!("{text}: {fault}"))
                    .why(
                        "one bad URI makes the browser refuse all of them (SyntaxError from \
                         RTCPeerConnection), so no call starts at all.",
                    )
                    .fix(fix_of(origin, "turn:HOST:3478?transport=udp")),
            ),
            Ok(uri) => {
                section.findings.extend(of_port(&uri, origin));
                let same = |other: &TurnUri| {
                    (&other.host, other.port, other.spoken(), other.scheme)
                        == (&uri.host, uri.port, uri.spoken(), uri.scheme)
                };
                let twin = good.iter().find(|other| same(other));
                section.findings.extend(of_dtls(&uri, twin.is_some(), origin));
                match twin {
                    Some(twin) if uri.asks_udp == twin.asks_udp => {
                        section.push(duplicate(&uri, twin, origin));
                    }
                    Some(_) => {}
                    None => good.push(uri),
                }
            }
        }
    }
    // libwebrtc takes 32; each one costs every call allocations, up to 20 for each in Element Web.
    if texts.len() > 4 {
        section.push(
            Finding::warn("uri-many", format!("there are {} URIs; three are enough", texts.len()))
                .why(
                    "for each of them Element Web makes up to 20 allocations while a call rings, \
                     and Firefox warns that many slow the start of a call.",
                )
                .fix("Keep one for UDP, one for TCP and one with turns:."),
        );
    }
    if section.findings.len() == before && !good.is_empty() {
        let number =
            if good.len() == 1 { "the URI is".into() } else { format!("{} URIs are", good.len()) };
        section.push(Finding::pass("uri-form", format!("{number} as browsers take them")));
    }
    good
}

fn fix_of(origin: Origin, example: &str) -> String {
    match origin {
        Origin::User => format!("Write it like this:\n  {example}"),
        Origin::Homeserver => format!(
            "Correct it in turn_uris of the homeserver's configuration, for example\n  \"{example}\"\n\
             then restart the homeserver, and reload Element."
        ),
    }
}

fn of_port(uri: &TurnUri, origin: Origin) -> Option<Finding> {
    let taken = matches!(uri.port, 53 | 80 | 443) || uri.port >= 1024;
    (!taken).then(|| {
        Finding::fail("uri-port", format!("{uri}: browsers never use port {}", uri.port))
            .why(
                "of the ports below 1024 they take 53, 80 and 443 only, and skip other servers \
                 without a word.",
            )
            .fix(fix_of(origin, &uri.text.replacen(&format!(":{}", uri.port), ":443", 1)))
    })
}

fn of_dtls(uri: &TurnUri, twin: bool, origin: Origin) -> Option<Finding> {
    (uri.scheme == Scheme::Turns && uri.asks_udp == Some(true)).then(|| {
        let instead = if twin {
            "Take it out: there is one with transport=tcp already.".to_owned()
        } else {
            fix_of(origin, &uri.text.replace("transport=udp", "transport=tcp"))
        };
        Finding::warn("uri-turns-udp", format!("{uri} is taken for TLS over TCP"))
            .why(
                "it means DTLS, which no browser speaks to a TURN server; they all connect by TLS \
                 over TCP instead, a second time where that is listed too.",
            )
            .fix(instead)
    })
}

fn duplicate(uri: &TurnUri, twin: &TurnUri, origin: Origin) -> Finding {
    let from = match origin {
        Origin::User => "the command line",
        Origin::Homeserver => "turn_uris",
    };
    Finding::warn("uri-duplicate", format!("{uri} is the same as {twin}"))
        .why("clients make all their allocations twice, which uses up relay ports and quotas.")
        .fix(format!("Take one of them out of {from}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(uris: &[&str]) -> (Vec<&'static str>, usize) {
        let mut section = Section::default();
        let texts: Vec<_> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        let good = judge(&texts, Origin::Homeserver, &mut section);
        (section.findings.iter().map(|finding| finding.id).collect(), good.len())
    }

    #[test]
    fn a_usual_list_passes() {
        let usual = [
            "turn:h.org:3478?transport=udp",
            "turn:h.org:3478?transport=tcp",
            "turns:h.org:443?transport=tcp",
        ];
        let mut section = Section::default();
        let texts: Vec<_> = usual.iter().map(|uri| (*uri).to_owned()).collect();
        assert_eq!(judge(&texts, Origin::User, &mut section).len(), 3);
        assert_eq!(section.findings[0].status, crate::report::Status::Pass);
    }

    #[test]
    fn each_fault_has_its_own_finding() {
        assert_eq!(ids(&["turn://h.org:3478"]), (vec!["uri-form"], 0));
        assert_eq!(ids(&["turn:h.org:1023", "turn:i.org"]), (vec!["uri-port"], 2));
        assert_eq!(ids(&["turns:h.org?transport=udp"]), (vec!["uri-turns-udp"], 1));
        assert_eq!(ids(&["turn:h.org", "turn:h.org:3478"]), (vec!["uri-duplicate"], 1));
        let five: Vec<_> = (1..=5).map(|n| format!("turn:h{n}.org")).collect();
        let five: Vec<_> = five.iter().map(String::as_str).collect();
        assert_eq!(ids(&five), (vec!["uri-many"], 5));
    }

    #[test]
    fn the_four_uris_of_the_usual_guide_have_one_too_many() {
        let four = [
            "turns:h.org:5349?transport=tcp",
            "turns:h.org:5349?transport=udp",
            "turn:h.org:3478?transport=tcp",
            "turn:h.org:3478?transport=udp",
        ];
        assert_eq!(ids(&four), (vec!["uri-turns-udp"], 3));
    }
}
