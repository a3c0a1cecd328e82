//! What a program asks for that has credentials made (`POST /ice`): `{"ttl": 3600, "user": "alice"}`.

use serde::Deserialize;

/// Bytes of the longest name of a user.
pub const LONGEST_USER: usize = 256;

/// What is asked for. Fields that are not known are ignored, as those that other services take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IceRequest {
    /// How long the credential is valid, in seconds.
    #[serde(default)]
    pub ttl: Option<u64>,
    /// Whom it is for.
    #[serde(default)]
    pub user: Option<String>,
}

impl IceRequest {
    /// Reads a body; an empty one asks for nothing in particular. `most` is the longest life.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn read(body: &[u8], most: u64) -> Result<Self, String> {
        let body = body.trim_ascii();
        if body.is_empty() {
            return Ok(Self::default());
        }
        if !body.starts_with(b"{") {
            return Err("write a JSON object, such as {\"ttl\": 3600, \"user\": \"alice\"}".into());
        }
        let request: Self = serde_json::from_slice(body).map_err(|error| {
            format!("{error}. Write {{\"ttl\": SECONDS, \"user\": \"NAME\"}}, or leave one out")
        })?;
        if request.ttl.is_some_and(|ttl| !(1..=most).contains(&ttl)) {
            return Err(format!("ttl: write 1 to {most} seconds (max_ttl in [ice])"));
        }
        let fault = request.user.as_deref().and_then(|user| match user {
            "" => Some("is empty: leave it out".to_owned()),
            _ if user.len() > LONGEST_USER => Some(format!("has more than {LONGEST_USER} bytes")),
            _ if user.contains(char::is_control) => Some("has a control character".to_owned()),
            _ => None,
        });
        fault.map_or(Ok(request), |fault| Err(format!("user {fault}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_asks_for_a_life_and_a_user_or_for_neither() {
        let read = |body: &str| IceRequest::read(body.as_bytes(), 86_400).unwrap();
        for body in ["", " \r\n", "{}", "{\"ttl\": null}", "{\"customIdentifier\": \"x\"}"] {
            assert_eq!(read(body), IceRequest::default(), "{body}");
        }
        let both = IceRequest { ttl: Some(86_400), user: Some("@alice:domain.org".into()) };
        assert_eq!(read(r#" {"ttl": 86400, "user": "@alice:domain.org"} "#), both);
        assert_eq!(read(r#"{"user": "é"}"#).user.as_deref(), Some("é"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let long = format!(r#"{{"user": "{}"}}"#, "x".repeat(257));
        for (body, told) in [
            ("x", "write a JSON object"),
            ("[86400]", "write a JSON object"),
            ("{", "EOF"),
            (r#"{"ttl": "1h"}"#, "expected u64"),
            (r#"{"ttl": -1}"#, "expected u64"),
            (r#"{"ttl": 1.5}"#, "expected u64"),
            (r#"{"ttl": 0}"#, "1 to 86400 seconds"),
            (r#"{"ttl": 86401}"#, "1 to 86400 seconds"),
            (r#"{"ttl": 18446744073709551615}"#, "1 to 86400 seconds"),
            (r#"{"ttl": 1, "ttl": 2}"#, "duplicate field"),
            (r#"{"user": 7}"#, "expected a string"),
            (r#"{"user": ""}"#, "is empty"),
            (r#"{"user": "a\nb"}"#, "control character"),
            (long.as_str(), "more than 256 bytes"),
        ] {
            let error = IceRequest::read(body.as_bytes(), 86_400).unwrap_err();
            assert!(error.contains(told), "{body}: {error}");
        }
        assert!(IceRequest::read(b"{\"user\": \"\xff\"}", 86_400).is_err());
        assert!(IceRequest::read("{\"a\":".repeat(200).as_bytes(), 86_400).is_err(), "too deep");
    }
}
