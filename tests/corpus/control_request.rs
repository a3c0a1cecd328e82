//! Any bytes as a request on the control socket.

use serde_json::{Value, json};
use taciturn_config::LogFilter;
use taciturn_control::{LONGEST_REQUEST, PROTOCOL, Request, decode_request};

/// The release of the server that reads them.
const VERSION: &str = "0.1.0";

/// Reads `bytes` as the line of a request.
pub(crate) fn run(bytes: &[u8]) {
    let request = match decode_request(bytes, VERSION) {
        Ok(request) => request,
        Err(error) => {
            // What is said of it is no longer than it, apart from our own words.
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < bytes.len() + 300, "{text}");
            return;
        }
    };
    // As turnctl writes it.
    let mut value = serde_json::to_value(&request).unwrap();
    value["protocol"] = json!(PROTOCOL);
    let line = value.to_string();
    assert!(!line.contains('\n'), "a request is one line");
    if line.len() < LONGEST_REQUEST {
        let again = decode_request(line.as_bytes(), VERSION).unwrap();
        assert_eq!(format!("{again:?}"), format!("{request:?}"));
    }
    assert!(value.get("command").is_some_and(Value::is_string));
    if let Request::LogLevel { filter: Some(text), .. } = request {
        match text.parse::<LogFilter>() {
            Ok(filter) => assert_eq!(filter.as_str().parse().as_ref(), Ok(&filter)),
            Err(error) => {
                assert!(error.to_string().contains("off, error, warn, info, debug, trace"))
            }
        }
    }
}
