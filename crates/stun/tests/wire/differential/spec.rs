//! What a message is to say, written by three codecs and told apart from what they read.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use stun::attributes::AttrType;
use stun::message::Setter as _;
use stun_types::message::{MessageWrite as _, MessageWriteExt as _};
use taciturn_stun::{
    AttributeType as T, ChannelNumber, Class, ErrorCode, Family, Message, Method, TransactionId,
    Writer,
};

use testkit::stun::key_sha256;
use testkit::stun::{PASSWORD, REALM, USERNAME, key};

/// An attribute.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Text(T, String),
    Bytes(T, Vec<u8>),
    Address(T, SocketAddr),
    Error(ErrorCode, String),
    Lifetime(u32),
    Transport(u8),
    Family(T, Family),
    Channel(ChannelNumber),
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    class: Class,
    method: u16,
    tid: [u8; 12],
    items: Vec<Item>,
    /// Signed with the key that the tests share.
    pub(crate) integrity: bool,
    /// Signed with its SHA-256 sister too (RFC 8489 section 14.6), which `stun` cannot write.
    pub(crate) sha256: bool,
    pub(crate) fingerprint: bool,
}

/// Any well-formed message.
pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let class =
        prop::sample::select(vec![Class::Request, Class::Indication, Class::Success, Class::Error]);
    let method = prop_oneof![0_u16..16, 0_u16..=0xFFF];
    (class, method, any::<[u8; 12]>(), vec(item(), 0..10), any::<bool>(), any::<bool>()).prop_map(
        |(class, method, tid, items, integrity, fingerprint)| Spec {
            class,
            method,
            tid,
            items,
            integrity,
            sha256: false,
            fingerprint,
        },
    )
}

/// Any well-formed message with MESSAGE-INTEGRITY-SHA256.
pub(crate) fn spec_sha256() -> impl Strategy<Value = Spec> {
    spec().prop_map(|spec| Spec { sha256: true, ..spec })
}

/// A type, more often than not a known one.
pub(crate) fn any_kind() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 0_u16..0x30, 1 => any::<u16>(), 1 => 0x8000_u16..0x8030]
}

fn item() -> impl Strategy<Value = Item> {
    let text = prop::sample::select(vec![T::USERNAME, T::REALM, T::NONCE, T::SOFTWARE]);
    let addresses = prop::sample::select(vec![
        T::XOR_PEER_ADDRESS,
        T::XOR_MAPPED_ADDRESS,
        T::XOR_RELAYED_ADDRESS,
    ]);
    let families =
        prop::sample::select(vec![T::REQUESTED_ADDRESS_FAMILY, T::ADDITIONAL_ADDRESS_FAMILY]);
    let codes = prop::sample::select(vec![
        ErrorCode::TRY_ALTERNATE,
        ErrorCode::UNAUTHENTICATED,
        ErrorCode::STALE_NONCE,
        ErrorCode::INSUFFICIENT_CAPACITY,
    ]);
    // 0x8020 is XOR-MAPPED-ADDRESS to `stun`, after a draft of 2006; the others close a message.
    let other =
        |kind: &u16| ![0x8020, 0x001C, T::MESSAGE_INTEGRITY.0, T::FINGERPRINT.0].contains(kind);
    prop_oneof![
        3 => (text, "\\PC{0,40}").prop_map(|(kind, text)| Item::Text(kind, text)),
        1 => vec(any::<u8>(), 0..1500).prop_map(|data| Item::Bytes(T::DATA, data)),
        1 => any::<[u8; 8]>().prop_map(|data| Item::Bytes(T::RESERVATION_TOKEN, data.to_vec())),
        1 => any::<bool>().prop_map(|next| Item::Bytes(T::EVEN_PORT, vec![u8::from(next) << 7])),
        1 => Just(Item::Bytes(T::DONT_FRAGMENT, Vec::new())),
        2 => (any_kind().prop_filter("not one of those", other), vec(any::<u8>(), 0..30))
            .prop_map(|(kind, value)| Item::Bytes(T(kind), value)),
        3 => (addresses, any::<IpAddr>(), any::<u16>())
            .prop_map(|(kind, ip, port)| Item::Address(kind, SocketAddr::new(ip, port))),
        1 => (codes, "\\PC{0,30}").prop_map(|(code, reason)| Item::Error(code, reason)),
        1 => any::<u32>().prop_map(Item::Lifetime),
        1 => any::<u8>().prop_map(Item::Transport),
        1 => (families, prop::sample::select(vec![Family::V4, Family::V6]))
            .prop_map(|(kind, family)| Item::Family(kind, family)),
        1 => (0x4000_u16..=0x4FFF).prop_map(|number| {
            Item::Channel(ChannelNumber::new(number).expect("in range"))
        }),
    ]
}

impl Item {
    /// Type and value, for attributes that have no writer of their own in the other crates, or
    /// whose value does not depend on the message.
    fn plain(&self) -> Option<(T, Vec<u8>)> {
        Some(match self {
            Self::Text(kind, text) => (*kind, text.clone().into_bytes()),
            Self::Bytes(kind, value) => (*kind, value.clone()),
            Self::Lifetime(seconds) => (T::LIFETIME, seconds.to_be_bytes().to_vec()),
            Self::Transport(protocol) => (T::REQUESTED_TRANSPORT, vec![*protocol, 0, 0, 0]),
            Self::Family(kind, Family::V4) => (*kind, vec![1, 0, 0, 0]),
            Self::Family(kind, Family::V6) => (*kind, vec![2, 0, 0, 0]),
            Self::Channel(channel) => {
                (T::CHANNEL_NUMBER, [channel.number().to_be_bytes(), [0, 0]].concat())
            }
            Self::Address(..) | Self::Error(..) => return None,
        })
    }
}

impl Spec {
    pub(crate) fn written_by_ours(&self) -> Vec<u8> {
        let mut buffer = vec![0xEE; 20_000];
        let tid = TransactionId(self.tid);
        let mut writer = Writer::new(&mut buffer, self.class, Method(self.method), tid);
        for item in &self.items {
            match item {
                Item::Text(kind, text) => writer.attribute(*kind, text.as_bytes()),
                Item::Bytes(kind, value) => writer.attribute(*kind, value),
                Item::Address(kind, address) => writer.address(*kind, *address),
                Item::Error(code, reason) => writer.error(*code, reason),
                Item::Lifetime(seconds) => writer.lifetime(*seconds),
                Item::Transport(protocol) => writer.requested_transport(*protocol),
                Item::Family(kind, family) => writer.family(*kind, *family),
                Item::Channel(channel) => writer.channel_number(*channel),
            };
        }
        if self.integrity {
            writer.integrity(&key());
        }
        if self.sha256 {
            writer.integrity_sha256(&key_sha256());
        }
        if self.fingerprint {
            writer.fingerprint();
        }
        let len = writer.finish().expect("the buffer is large enough");
        buffer.truncate(len);
        buffer
    }

    pub(crate) fn written_by_stun(&self) -> Vec<u8> {
        use stun::error_code::{ErrorCode, ErrorCodeAttribute};
        use stun::message::{
            CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE,
            MessageType,
        };

        // `stun::message::Method` is made from bits on the wire only.
        let mut typ = MessageType::default();
        let method = self.method;
        typ.read_value((method & 0xF) | (method & 0x70) << 1 | (method & 0xF80) << 2);
        typ.class = match self.class {
            Class::Request => CLASS_REQUEST,
            Class::Indication => CLASS_INDICATION,
            Class::Success => CLASS_SUCCESS_RESPONSE,
            Class::Error => CLASS_ERROR_RESPONSE,
        };
        let mut message = stun::message::Message::new();
        message.set_type(typ);
        message.transaction_id.0 = self.tid;
        message.write_header();
        for item in &self.items {
            let added = match item {
                Item::Text(kind, text) => {
                    stun::textattrs::TextAttribute::new(AttrType(kind.0), text.clone())
                        .add_to(&mut message)
                }
                Item::Address(kind, address) => {
                    stun::xoraddr::XorMappedAddress { ip: address.ip(), port: address.port() }
                        .add_to_as(&mut message, AttrType(kind.0))
                }
                Item::Error(code, reason) => ErrorCodeAttribute {
                    code: ErrorCode(code.number()),
                    reason: cut(reason).as_bytes().to_vec(),
                }
                .add_to(&mut message),
                item => {
                    let (kind, value) = item.plain().expect("the others are plain");
                    message.add(AttrType(kind.0), &value);
                    Ok(())
                }
            };
            added.expect("the attribute is well-formed");
        }
        if self.integrity {
            stun::integrity::MessageIntegrity::new_long_term_integrity(
                USERNAME.to_owned(),
                REALM.to_owned(),
                PASSWORD.to_owned(),
            )
            .add_to(&mut message)
            .expect("FINGERPRINT comes later");
        }
        if self.fingerprint {
            stun::fingerprint::FINGERPRINT.add_to(&mut message).expect("there is room");
        }
        message.raw
    }

    pub(crate) fn written_by_stun_types(&self) -> Vec<u8> {
        use stun_types::attribute::{RawAttribute, XorSocketAddr};
        use stun_types::message::{
            IntegrityAlgorithm, LongTermKeyCredentials, MessageClass, MessageType, MessageWriteVec,
        };

        let class = match self.class {
            Class::Request => MessageClass::Request,
            Class::Indication => MessageClass::Indication,
            Class::Success => MessageClass::Success,
            Class::Error => MessageClass::Error,
        };
        let tid = self.tid.iter().fold(0_u128, |tid, byte| tid << 8 | u128::from(*byte)).into();
        let kind =
            MessageType::from_class_method(class, stun_types::message::Method::new(self.method));
        let mut message = stun_types::message::Message::builder(kind, tid, MessageWriteVec::new());
        for item in &self.items {
            let (kind, value) = match item {
                Item::Address(kind, address) => {
                    let address = XorSocketAddr::new(*address, tid);
                    let mut value = vec![0; usize::from(address.length())];
                    address.write_into_unchecked(&mut value);
                    (*kind, value)
                }
                Item::Error(code, reason) => {
                    let number = code.number();
                    let head = [0, 0, (number / 100) as u8, (number % 100) as u8];
                    (T::ERROR_CODE, [&head[..], cut(reason).as_bytes()].concat())
                }
                item => item.plain().expect("the others are plain"),
            };
            message
                .add_attribute(&RawAttribute::new(kind.0.into(), &value))
                .expect("the attribute is well-formed");
        }
        let credentials =
            LongTermKeyCredentials::new(USERNAME.to_owned(), PASSWORD.to_owned(), REALM.to_owned())
                .into();
        for (wanted, algorithm) in
            [(self.integrity, IntegrityAlgorithm::Sha1), (self.sha256, IntegrityAlgorithm::Sha256)]
        {
            if wanted {
                message.add_message_integrity(&credentials, algorithm).expect("there is none yet");
            }
        }
        if self.fingerprint {
            message.add_fingerprint().expect("there is none yet");
        }
        message.finish()
    }

    /// Holds what ours reads to what was to be written.
    pub(crate) fn assert_read(&self, message: &Message<'_>) {
        assert_eq!((message.class(), message.method().0), (self.class, self.method));
        assert_eq!(message.transaction_id().0, self.tid);
        let mut seen = Vec::new();
        for item in &self.items {
            let kind = match item {
                Item::Address(kind, _) => *kind,
                Item::Error(..) => T::ERROR_CODE,
                item => item.plain().expect("the others are plain").0,
            };
            // RFC 8489 section 14: the first of each type counts.
            if seen.contains(&kind) {
                continue;
            }
            seen.push(kind);
            if let Some((kind, value)) = item.plain() {
                assert_eq!(message.find(kind), Some(&value[..]));
            }
            match item {
                Item::Text(T::USERNAME, text) => {
                    assert_eq!(message.username(), Ok(Some(&**text)));
                }
                Item::Text(T::REALM, text) => assert_eq!(message.realm(), Ok(Some(&**text))),
                Item::Text(T::NONCE, text) => assert_eq!(message.nonce(), Some(text.as_bytes())),
                Item::Address(T::XOR_PEER_ADDRESS, peer) => {
                    assert_eq!(message.peer(), Ok(Some(*peer)));
                }
                Item::Address(T::XOR_MAPPED_ADDRESS, address) => {
                    assert_eq!(message.mapped_address(), Some(*address));
                }
                Item::Address(_, address) => {
                    assert_eq!(message.relayed_address(), Some(*address));
                }
                Item::Error(code, _) => assert_eq!(message.error_code(), Some(code.number())),
                Item::Lifetime(seconds) => assert_eq!(message.lifetime(), Ok(Some(*seconds))),
                Item::Transport(protocol) => {
                    assert_eq!(message.requested_transport(), Ok(Some(*protocol)));
                }
                Item::Channel(channel) => {
                    assert_eq!(message.channel_number(), Ok(Some(Some(*channel))));
                }
                // Compared by value above, and by accessor in `agree`.
                Item::Text(..) | Item::Bytes(..) | Item::Family(..) => {}
            }
        }
    }
}

/// RFC 8489 section 14.8: fewer than 128 characters; ours sends at most 127 bytes.
fn cut(reason: &str) -> &str {
    let fits = |end: &usize| *end <= 127;
    let ends = reason.char_indices().map(|(at, c)| at + c.len_utf8());
    &reason[..ends.take_while(fits).last().unwrap_or(0)]
}
