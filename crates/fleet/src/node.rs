//! What a node tells of itself.

use serde::{Deserialize, Serialize};

/// Bytes of the longest record that is read.
const LONGEST: usize = 4096;

/// Letters of the longest name.
pub(super) const LONGEST_NAME: usize = 64;

/// What a node tells of itself, while it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub node: String,
    /// Which of its processes: two of one name do not have the same.
    pub boot: u64,
    /// The release.
    pub version: String,
    /// Where clients reach it: `udp 203.0.113.7:3478`.
    pub listeners: Vec<String>,
    /// The addresses that it relays on.
    pub relays: Vec<String>,
    /// Whether it makes allocations; `false` while it drains.
    pub ready: bool,
    /// Allocations.
    pub allocations: u64,
    /// Relay ports that are free, of the family with fewer.
    pub ports_free: u64,
    /// The realm.
    pub realm: String,
    /// A short hash of the credentials that are configured: enough to tell others, and none to guess them by.
    pub credentials: String,
    /// By how many seconds its clock is ahead of the board's.
    pub clock_offset: i64,
}

impl NodeRecord {
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what another node, or whoever can write to the board, has written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let record: Self =
            (bytes.len() <= LONGEST).then(|| serde_json::from_slice(bytes).ok())??;
        let Self { node, version, realm, credentials, listeners, relays, .. } = &record;
        let texts = [node, version, realm, credentials].into_iter().chain(listeners).chain(relays);
        let fits = texts.into_iter().all(|text| !text.contains(char::is_control));
        (fits && is_name(node)).then_some(record)
    }
}

/// Whether a node, or the prefix of all keys, may be named so.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record() -> NodeRecord {
        NodeRecord {
            node: "fra1".into(),
            boot: 7,
            listeners: vec!["udp 203.0.113.7:3478".into()],
            ready: true,
            ..NodeRecord::default()
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_more_than_it_has_is_ignored() {
        let text = record().encode();
        assert_eq!(NodeRecord::decode(text.as_bytes()), Some(record()));
        let more = text.replacen('{', "{\"of_later\":[1],", 1);
        assert_eq!(NodeRecord::decode(more.as_bytes()), Some(record()));
    }

    #[test]
    fn what_is_none_is_left_out() {
        let whole = record().encode();
        for cut in 0..whole.len() {
            assert_eq!(NodeRecord::decode(&whole.as_bytes()[..cut]), None);
        }
        let other = |change: fn(&mut NodeRecord)| {
            let mut record = record();
            change(&mut record);
            NodeRecord::decode(record.encode().as_bytes())
        };
        assert_eq!(other(|record| record.node = "a b".into()), None);
        assert_eq!(other(|record| record.version = "\u{1b}[2J".into()), None);
        assert_eq!(other(|record| record.realm = "x".repeat(5000)), None);
        assert_eq!(NodeRecord::decode(b"\xff\xfe[[[["), None);
        assert_eq!(NodeRecord::decode("[".repeat(4000).as_bytes()), None);
    }
}
