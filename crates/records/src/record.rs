//! One record, and the line that it becomes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::time::rfc3339;

/// What of a client's address a record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// Address and port.
    #[default]
    Full,
    /// The network: /24 of IPv4, /48 of IPv6.
    Network,
    /// Nothing.
    None,
}

/// Bytes and packets each way. What TCP connections (RFC 6062) relay is in bytes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Bytes of application data from the client to peers.
    pub bytes_to_peers: u64,
    /// Bytes from peers to the client.
    pub bytes_to_client: u64,
    /// Packets from the client to peers.
    pub packets_to_peers: u64,
    /// Packets from peers to the client.
    pub packets_to_client: u64,
}

/// What a session has used, at its end or up to now.
#[derive(Clone, Debug)]
pub struct Record {
    /// The session, as no other is called, of this server or another.
    pub session: String,
    /// The how manieth record of the session it is, from 1 on.
    pub sequence: u32,
    /// Whose customer the user is, where there are several.
    pub tenant: Option<String>,
    /// The realm of the user.
    pub realm: String,
    /// The user: without the time, where the username has one.
    pub user: String,
    /// The USERNAME as the client has sent it.
    pub username: String,
    /// The client.
    pub client: SocketAddr,
    /// What carries its packets: `udp`, `tcp`, `tls`, `dtls`.
    pub transport: &'static str,
    /// The relayed transport addresses.
    pub relayed: Vec<SocketAddr>,
    /// When the session began, in seconds since 1970.
    pub start: u64,
    /// When it ended, or now, likewise.
    pub end: u64,
    /// How long it has lived.
    pub lived: Duration,
    /// Why it has ended; `None` if it goes on.
    pub reason: Option<&'static str>,
    /// What was relayed since the record before.
    pub used: Bytes,
    /// What was relayed in all.
    pub total: Bytes,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    node: &'a str,
    session: &'a str,
    seq: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    realm: &'a str,
    user: &'a str,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    transport: &'static str,
    relayed: Vec<String>,
    start: String,
    end: String,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten)]
    used: Bytes,
    total: Bytes,
}

impl Record {
    /// Whether its session has ended.
    pub(crate) const fn is_last(&self) -> bool {
        self.reason.is_some()
    }

    /// Writes it as a line of JSON.
    pub(crate) fn write(&self, node: &str, addresses: Addresses, out: &mut Vec<u8>) {
        let line = Line {
            v: 1,
            id: format!("{}-{}", self.session, self.sequence),
            kind: if self.is_last() { "ended" } else { "running" },
            node,
            session: &self.session,
            seq: self.sequence,
            tenant: self.tenant.as_deref(),
            realm: &self.realm,
            user: &self.user,
            username: &self.username,
            client: client(self.client, addresses),
            transport: self.transport,
            relayed: self.relayed.iter().map(ToString::to_string).collect(),
            start: rfc3339(self.start),
            end: rfc3339(self.end),
            #[allow(clippy::cast_precision_loss)] // exact for 285,000 years
            seconds: self.lived.as_millis() as f64 / 1000.0,
            reason: self.reason,
            used: self.used,
            total: self.total,
        };
        // Neither a Vec nor these types fail to be written.
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
    }
}

fn client(client: SocketAddr, addresses: Addresses) -> Option<String> {
    match (addresses, client.ip().to_canonical()) {
        (Addresses::Full, _) => Some(client.to_string()),
        (Addresses::None, _) => None,
        (Addresses::Network, IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        (Addresses::Network, IpAddr::V6(ip)) => {
            let [a, b, c, ..] = ip.segments();
            let network = std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0);
            Some(format!("{network}/48"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use serde_json::{Value, from_slice, json};

    use super::*;

    /// A record of the session of this number.
    pub(crate) fn record(session: &str) -> Record {
        Record {
            session: session.to_owned(),
            sequence: 2,
            tenant: None,
            realm: "example.org".to_owned(),
            user: "@alice:example.org".to_owned(),
            username: "1796121496:@alice:example.org".to_owned(),
            client: "192.0.2.7:50000".parse().unwrap(),
            transport: "udp",
            relayed: vec!["203.0.113.7:59123".parse().unwrap()],
            start: 1_796_117_896,
            end: 1_796_117_980,
            lived: Duration::from_millis(83_500),
            reason: Some("released"),
            used: Bytes { bytes_to_peers: 1, ..Bytes::default() },
            total: Bytes {
                bytes_to_peers: 10,
                bytes_to_client: 20,
                packets_to_peers: 3,
                packets_to_client: 4,
            },
        }
    }

    fn line(record: &Record, addresses: Addresses) -> Value {
        let mut out = Vec::new();
        record.write("fra1", addresses, &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(out.last(), Some(&b'\n'));
        from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_has_what_the_table_of_fields_says() {
        let expected = json!({
            "v": 1, "id": "s-2", "type": "ended", "node": "fra1", "session": "s", "seq": 2,
            "realm": "example.org", "user": "@alice:example.org",
            "username": "1796121496:@alice:example.org", "client": "192.0.2.7:50000",
            "transport": "udp", "relayed": ["203.0.113.7:59123"],
            "start": "2026-12-01T09:38:16Z", "end": "2026-12-01T09:39:40Z", "seconds": 83.5,
            "reason": "released",
            "bytes_to_peers": 1, "bytes_to_client": 0, "packets_to_peers": 0, "packets_to_client": 0,
            "total": {"bytes_to_peers": 10, "bytes_to_client": 20, "packets_to_peers": 3, "packets_to_client": 4},
        });
        assert_eq!(line(&record("s"), Addresses::Full), expected);
        let running = Record { reason: None, tenant: Some("acme".to_owned()), ..record("s") };
        let running = line(&running, Addresses::Full);
        assert_eq!((&running["type"], &running["tenant"]), (&json!("running"), &json!("acme")));
        assert_eq!(running.get("reason"), None);
    }

    #[test]
    fn addresses_are_shortened_and_left_out() {
        for (client, addresses, expected) in [
            ("192.0.2.77:5", Addresses::Network, Some("192.0.2.0/24")),
            ("[2001:db8:1:2::3]:5", Addresses::Network, Some("2001:db8:1::/48")),
            ("[::ffff:192.0.2.77]:5", Addresses::Network, Some("192.0.2.0/24")),
            ("192.0.2.77:5", Addresses::None, None),
        ] {
            let record = Record { client: client.parse().unwrap(), ..record("s") };
            assert_eq!(line(&record, addresses).get("client").and_then(Value::as_str), expected);
        }
    }

    #[test]
    fn hostile_names_stay_text_of_one_line() {
        let name = "a\"b\\\n\r\u{2028}\u{0}{\"type\":1}";
        let record = Record { user: name.to_owned(), username: name.to_owned(), ..record("s") };
        assert_eq!(line(&record, Addresses::Full)["user"], json!(name));
    }
}
