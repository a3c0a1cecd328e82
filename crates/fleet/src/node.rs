//! What a node tells of itself.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ring::hmac;
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
    /// Where clients of other nodes can be sent: `udp 203.0.113.7:3478`, `tcp [2001:db8::7]:3478`.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Of what it can have, so many per cent are free: of relay ports, or of allocations in all if that is less.
    #[serde(default)]
    pub room: u8,
    /// When it told this, in seconds since 1970.
    #[serde(default)]
    pub told_at: u64,
    /// What only a node of the fleet can have made of all the rest.
    #[serde(default)]
    pub seal: String,
    /// Whether the seal is good, and it was told a moment ago.
    #[serde(skip)]
    pub is_sealed: bool,
}

/// By how many seconds a record may be older or younger than this node's clock says.
const APART: u64 = 60;

/// Of what a node can have, so many per cent are free at least if clients are sent there.
const ROOM: u8 = 10;

impl NodeRecord {
    /// Whether clients of other nodes can be sent there. As others know of a change after some seconds at most, it is not
    /// full at once.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ready && self.room >= ROOM
    }

    fn tag(&self, key: &hmac::Key) -> hmac::Tag {
        let bare = Self { seal: String::new(), ..self.clone() };
        hmac::sign(key, bare.encode().as_bytes())
    }

    /// The same record as told at this time, sealed.
    pub(super) fn sealed(self, key: &hmac::Key, now: u64) -> Self {
        let record = Self { told_at: now, ..self };
        Self { seal: STANDARD_NO_PAD.encode(record.tag(key)), is_sealed: true, ..record }
    }

    /// Notes whether the seal is good.
    pub(super) fn judge(&mut self, key: &hmac::Key, now: u64) {
        let bare = Self { seal: String::new(), ..self.clone() };
        let seal = STANDARD_NO_PAD.decode(&self.seal).unwrap_or_default();
        self.is_sealed = self.told_at.abs_diff(now) <= APART
            && hmac::verify(key, bare.encode().as_bytes(), &seal).is_ok();
    }

    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what another node, or whoever can write to the board, has written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let record: Self =
            (bytes.len() <= LONGEST).then(|| serde_json::from_slice(bytes).ok())??;
        let Self { node, version, realm, credentials, listeners, relays, clients, seal, .. } =
            &record;
        let texts = [node, version, realm, credentials, seal].into_iter();
        let texts = texts.chain(listeners).chain(relays).chain(clients);
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
    fn a_record_is_believed_if_a_node_of_the_fleet_has_told_it_a_moment_ago() {
        let key = |byte: u8| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let clients = vec!["udp 203.0.113.7:3478".to_owned()];
        let sealed = NodeRecord { clients, ..record() }.sealed(&key(7), 1000);
        let judged = |change: fn(&mut NodeRecord), byte: u8, now: u64| {
            let mut record = NodeRecord::decode(sealed.encode().as_bytes()).unwrap();
            assert!(!record.is_sealed);
            change(&mut record);
            record.judge(&key(byte), now);
            record.is_sealed
        };
        assert!(judged(|_| (), 7, 1000) && judged(|_| (), 7, 1060) && judged(|_| (), 7, 940));
        assert!(!judged(|_| (), 7, 1061) && !judged(|_| (), 7, 939) && !judged(|_| (), 8, 1000));
        let changes: [fn(&mut NodeRecord); 6] = [
            |record| record.clients[0] = "udp 198.51.100.6:3478".into(),
            |record| record.ready = false,
            |record| record.room = 100,
            |record| record.told_at += 1,
            |record| record.seal.clear(),
            |record| record.seal.insert(0, '!'),
        ];
        for change in changes {
            assert!(!judged(change, 7, 1000));
        }
    }

    #[test]
    fn a_node_has_room_if_a_tenth_is_free_and_it_is_ready() {
        let has_room = |ready, room| NodeRecord { ready, room, ..record() }.has_room();
        assert!(has_room(true, 10) && !has_room(true, 9) && !has_room(false, 100));
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
