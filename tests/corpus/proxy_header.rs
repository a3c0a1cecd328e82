//! Any bytes as the front of a connection from a proxy.

use std::net::IpAddr;

use taciturn_net::proxy_protocol::{MAX_V1_LEN, MAX_V2_LEN, Parsed, parse};

/// Looks for a PROXY header in `bytes`, whole and as they arrive.
pub(crate) fn run(bytes: &[u8]) {
    let whole = parse(bytes);
    match &whole {
        Ok(Parsed::Done { len, source }) => {
            assert!(*len <= bytes.len() && *len <= MAX_V2_LEN);
            if bytes.starts_with(b"PROXY") {
                assert!(*len <= MAX_V1_LEN && bytes[..*len].ends_with(b"\r\n"));
            }
            // Rules and limits see one client once.
            let mapped = |ip| matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
            if let Some(source) = source {
                assert!(!mapped(source.client.ip()) && !mapped(source.dest.ip()));
            }
            // What follows belongs to the connection.
            assert_eq!(parse(&bytes[..*len]), whole);
        }
        Ok(Parsed::Incomplete) => assert!(bytes.len() < MAX_V2_LEN, "a header without an end"),
        Err(error) => drop(error.to_string()),
    }
    // No verdict is taken back: once it is a header, or none, more bytes change nothing.
    let mut verdict = None;
    for len in 0..=bytes.len().min(MAX_V2_LEN + 1) {
        let now = parse(&bytes[..len]);
        match verdict {
            Some(before) => assert_eq!(now, before, "after {len} bytes"),
            None if now != Ok(Parsed::Incomplete) => verdict = Some(now),
            None => {}
        }
    }
}
