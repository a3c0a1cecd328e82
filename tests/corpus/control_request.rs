//! Any bytes as a request on the control socket.

use taciturn::admin::control::Request;
use taciturn_config::LogFilter;

/// The longest request, in bytes.
const LONGEST: usize = 4096;

/// Reads `bytes` as the line of a request.
pub(crate) fn run(bytes: &[u8]) {
    let request = match Request::parse(bytes) {
        Ok(request) => request,
        Err(error) => {
            // What is said of it is no longer than it, apart from our own words.
            assert!(!error.is_empty() && error.len() < bytes.len().min(LONGEST) + 300, "{error}");
            return;
        }
    };
    assert!(bytes.len() <= LONGEST);
    // As turnctl writes it.
    let line = serde_json::to_string(&request).unwrap();
    assert!(!line.contains('\n'), "a request is one line");
    if line.len() <= LONGEST {
        let again = Request::parse(line.as_bytes()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{request:?}"));
    }
    if let Request::LogLevel { filter: Some(text), .. } = request {
        match text.parse::<LogFilter>() {
            Ok(filter) => assert_eq!(filter.as_str().parse().as_ref(), Ok(&filter)),
            Err(error) => {
                assert!(error.to_string().contains("off, error, warn, info, debug, trace"))
            }
        }
    }
}
