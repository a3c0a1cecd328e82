//! What a sentinel says: where the master is. It is a stranger's word: bounded, and no more believed than a board is.

use std::path::Path;
use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, Value, pipe};
use taciturn_outbound::connect;

use super::link::{BoardError, Limits, Link};
use super::settings::Sentinels;

/// How long a sentinel may take for a connection, and for an answer; and bytes that it may send.
const LIMITS: Limits = Limits { patience: Duration::from_secs(1), bytes: 64 * 1024 };

/// Letters of the longest name of a host (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 255;

/// Where the master is, by the word of this sentinel.
pub(super) async fn master_at(
    (host, port): (&str, u16),
    sentinels: &Sentinels,
    ca_file: Option<&Path>,
) -> Result<(String, u16), BoardError> {
    let connecting = connect(host, port, sentinels.tls, ca_file);
    let config = AsyncConnectionConfig::new();
    let login = sentinels.login()?;
    let mut link = Link::open(connecting, login, ProtocolVersion::RESP2, config, LIMITS).await?;
    let mut ask = pipe();
    ask.cmd("SENTINEL").arg("get-master-addr-by-name").arg(&sentinels.master);
    let answer = link.ask(&ask).await?;
    match answer.first() {
        Some(Value::Nil) => {
            Err(BoardError::Refused(format!("it knows no master {}", sentinels.master)))
        }
        answer => answer.and_then(address).ok_or_else(|| {
            BoardError::Refused("an address of the master that was not expected".to_owned())
        }),
    }
}

/// An address as a sentinel tells it: a host, and the digits of a port.
fn address(answer: &Value) -> Option<(String, u16)> {
    let Value::Array(parts) = answer else { return None };
    let [Value::BulkString(host), Value::BulkString(port)] = parts.as_slice() else { return None };
    let (host, port) = (str::from_utf8(host).ok()?, str::from_utf8(port).ok()?);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let is_host = (1..=LONGEST_HOST).contains(&host.len()) && host.chars().all(plain);
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    is_host.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_nothing_else_is_one() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let pair = |host: &str, port: &str| address(&Value::Array(vec![bulk(host), bulk(port)]));
        for host in ["10.9.0.2", "2001:db8::1", "valkey-2.internal"] {
            assert_eq!(pair(host, "6379"), Some((host.to_owned(), 6379)));
        }
        for (host, port) in [
            ("", "6379"),
            ("a b", "6379"),
            ("\u{1b}[2J", "6379"),
            ("/run/x", "6379"),
            (&"x".repeat(256), "6379"),
            ("a", "0"),
            ("a", "65536"),
            ("a", "-1"),
            ("a", ""),
        ] {
            assert_eq!(pair(host, port), None, "{host:?} {port:?}");
        }
        for other in [
            Value::Okay,
            Value::Array(vec![]),
            Value::Array(vec![bulk("a")]),
            Value::Array(vec![bulk("a"), Value::Int(6379)]),
            Value::Array(vec![bulk("a"), bulk("1"), bulk("2")]),
            Value::Array(vec![Value::BulkString(vec![0xFF]), bulk("1")]),
        ] {
            assert_eq!(address(&other), None);
        }
    }
}
