//! Where the three codecs must agree, and the differences that are known.

use std::net::SocketAddr;

use stun::attributes::{AttrType, Attributes, RawAttribute};
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter as _,
};
use stun_types::attribute::Attribute as _;
use taciturn_stun::{
    AttributeType as T, BadAttribute, ChannelNumber, Class, Family, HEADER_LEN, Malformed, Message,
};

use testkit::stun::key_sha256;
use testkit::stun::{PASSWORD, REALM, USERNAME, key};

/// MESSAGE-INTEGRITY-SHA256, which only `stun-types` knows.
const SHA256: u16 = 0x001C;

/// What may end a message.
const CLOSING: [u16; 3] = [T::MESSAGE_INTEGRITY.0, SHA256, T::FINGERPRINT.0];

/// Reads `bytes` with all three and compares.
pub(crate) fn agree(bytes: &[u8]) {
    let mut stun = stun::message::Message::new();
    let stun_accepts = stun.unmarshal_binary(bytes).is_ok();
    let types = stun_types::message::Message::from_bytes(bytes);
    match Message::parse(bytes) {
        Ok(ours) => {
            assert!(stun_accepts, "ours accepts what stun refuses");
            with_stun(bytes, &ours, &mut stun);
            with_stun_types(bytes, &ours, &types.expect("ours accepts what stun-types refuses"));
        }
        Err(reason) => {
            let stun = stun_accepts.then_some(&stun);
            assert_refusal_is_justified(bytes, reason, stun, types.ok().as_ref());
        }
    }
}

/// Ours refuses: so do the others, or ours is stricter by a rule.
fn assert_refusal_is_justified(
    bytes: &[u8],
    reason: Malformed,
    stun: Option<&stun::message::Message>,
    types: Option<&stun_types::message::Message<'_>>,
) {
    let length = || usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    match reason {
        Malformed::Short | Malformed::Cookie => assert!(stun.is_none() && types.is_none()),
        // `stun-types` looks no further than the second attribute that should have ended the
        // message, or the first one behind such a one.
        Malformed::Attribute => {
            assert!(stun.is_none());
            let ends = |kind: u16| CLOSING.contains(&kind);
            let ended = |types: &stun_types::message::Message<'_>| {
                types.iter_attributes().any(|(_, attribute)| ends(attribute.get_type().value()))
            };
            assert!(types.is_none_or(ended));
        }
        // RFC 8489 section 5: the two top bits are zero. `stun` does not look at them.
        Malformed::TopBits => {
            assert!(bytes[0] & 0xC0 != 0);
            assert!(types.is_none());
        }
        // Ours takes one whole datagram: RFC 8489 section 5 has the length count all of it, in
        // fours. `stun` leaves what lies behind alone, `stun-types` reads attributes from it.
        Malformed::Length => {
            let disagrees = bytes.len() != HEADER_LEN + length();
            assert!(disagrees || !length().is_multiple_of(4));
            assert!(bytes.len() >= HEADER_LEN + length() || (stun.is_none() && types.is_none()));
        }
        // RFC 8489 section 14.7: FINGERPRINT is the last attribute. The others do not mind.
        Malformed::AfterFingerprint => {
            if let Some(stun) = stun {
                let kinds: Vec<_> = stun.attributes.0.iter().map(|a| a.typ.0).collect();
                let first = kinds.iter().position(|&kind| kind == T::FINGERPRINT.0);
                assert!(first.is_some_and(|at| at + 1 < kinds.len()), "{kinds:x?}");
            }
        }
        // RFC 8489 section 6.3: a wrong FINGERPRINT makes it no STUN message. `stun` leaves the
        // check to its caller; `stun-types` makes it too, but for a FINGERPRINT behind others that
        // should have ended the message.
        Malformed::Fingerprint => {
            if let Some(stun) = stun {
                let kinds: Vec<_> = stun.attributes.0.iter().map(|a| a.typ.0).collect();
                let first = kinds.iter().position(|&kind| kind == T::FINGERPRINT.0);
                let last = first.expect("there is one") + 1 == kinds.len();
                assert!(!last || stun::fingerprint::FINGERPRINT.check(stun).is_err());
                let plain = !kinds.contains(&T::MESSAGE_INTEGRITY.0) && !kinds.contains(&SHA256);
                assert!(!plain || types.is_none());
            }
        }
    }
}

fn with_stun(bytes: &[u8], ours: &Message<'_>, stun: &mut stun::message::Message) {
    let class = match ours.class() {
        Class::Request => CLASS_REQUEST,
        Class::Indication => CLASS_INDICATION,
        Class::Success => CLASS_SUCCESS_RESPONSE,
        Class::Error => CLASS_ERROR_RESPONSE,
    };
    assert_eq!(stun.typ.class, class);
    assert_eq!(stun.typ.value(), u16::from_be_bytes([bytes[0], bytes[1]]));
    assert_eq!(stun.transaction_id.0, ours.transaction_id().0);

    // `stun` reads 0x8020 as XOR-MAPPED-ADDRESS, after a draft of 2006; ours ignores it, being
    // comprehension-optional. Undone here, so that the types can be compared.
    let kinds = ours.attribute_types();
    assert_eq!(stun.attributes.0.len(), kinds.len());
    for (theirs, &kind) in stun.attributes.0.iter_mut().zip(&kinds) {
        if kind == 0x8020 {
            assert_eq!(theirs.typ.0, T::XOR_MAPPED_ADDRESS.0);
            theirs.typ.0 = kind;
        }
        assert_eq!(theirs.typ.0, kind);
    }
    for &kind in &kinds {
        assert_eq!(ours.find(T(kind)).map(<[u8]>::to_vec), stun.get(AttrType(kind)).ok());
    }

    let has = |kind: T| kinds.contains(&kind.0);
    assert_eq!(ours.has_integrity_sha256(), kinds.contains(&SHA256));
    assert_eq!(ours.has_integrity(), has(T::MESSAGE_INTEGRITY) || kinds.contains(&SHA256));
    assert_eq!(ours.has_fingerprint(), has(T::FINGERPRINT));
    if ours.has_fingerprint() {
        stun::fingerprint::FINGERPRINT.check(stun).expect("FINGERPRINT is right");
    }
    let credential = stun::integrity::MessageIntegrity::new_long_term_integrity(
        USERNAME.to_owned(),
        REALM.to_owned(),
        PASSWORD.to_owned(),
    );
    // `stun` does not know MESSAGE-INTEGRITY-SHA256, which ours judges alone where it is there.
    if !ours.has_integrity_sha256() {
        assert_eq!(ours.verify_integrity(&key()), credential.check(stun).is_ok());
    }

    // RFC 8489 section 9: what follows an integrity is ignored. `stun` hands it out.
    let closing = |a: &RawAttribute| CLOSING.contains(&a.typ.0);
    let end = stun.attributes.0.iter().position(closing).unwrap_or(kinds.len());
    stun.attributes.0.truncate(end);
    values(ours, stun);
}

/// Every accessor against the attributes that count.
fn values(ours: &Message<'_>, stun: &stun::message::Message) {
    let first = |kind: T| stun.get(AttrType(kind.0)).ok();

    assert_eq!(ours.username().map(|text| text.map(str::to_owned)), text(stun, T::USERNAME, 763));
    assert_eq!(ours.realm().map(|text| text.map(str::to_owned)), text(stun, T::REALM, 763));
    assert_eq!(ours.nonce().map(<[u8]>::to_vec), first(T::NONCE));
    assert_eq!(ours.data().map(<[u8]>::to_vec), first(T::DATA));

    let four = |kind: T| {
        let fixed = |value: Vec<u8>| <[u8; 4]>::try_from(value).map_err(|_| BadAttribute::Length);
        first(kind).map(fixed).transpose()
    };
    let family = |kind: T| {
        let family = |[number, ..]: [u8; 4]| match number {
            1 => Some(Family::V4),
            2 => Some(Family::V6),
            _ => None,
        };
        four(kind).map(|value| value.map(family))
    };
    let channel = |[high, low, ..]: [u8; 4]| ChannelNumber::new(u16::from_be_bytes([high, low]));
    assert_eq!(ours.lifetime(), four(T::LIFETIME).map(|v| v.map(u32::from_be_bytes)));
    assert_eq!(ours.requested_transport(), four(T::REQUESTED_TRANSPORT).map(|v| v.map(|v| v[0])));
    assert_eq!(ours.requested_family(), family(T::REQUESTED_ADDRESS_FAMILY));
    assert_eq!(ours.additional_family(), family(T::ADDITIONAL_ADDRESS_FAMILY));
    assert_eq!(ours.channel_number(), four(T::CHANNEL_NUMBER).map(|v| v.map(channel)));

    let token = first(T::RESERVATION_TOKEN);
    let token = token.map(|value| value.try_into().map_err(|_| BadAttribute::Length)).transpose();
    assert_eq!(ours.reservation_token(), token);
    let even_port = first(T::EVEN_PORT);
    let even_port =
        even_port.map(|v| v.first().map(|byte| *byte >= 0x80).ok_or(BadAttribute::Length));
    assert_eq!(ours.even_port(), even_port.transpose());
    assert_eq!(ours.dont_fragment(), stun.contains(AttrType(T::DONT_FRAGMENT.0)));

    let peers = stun.attributes.0.iter().filter(|a| a.typ.0 == T::XOR_PEER_ADDRESS.0);
    let peers: Vec<_> = peers.map(|peer| address(stun, peer)).collect();
    assert_eq!(ours.peers().collect::<Vec<_>>(), peers);
    assert_eq!(ours.peer().transpose(), peers.first().copied());
    for (kind, found) in [
        (T::XOR_MAPPED_ADDRESS, ours.mapped_address()),
        (T::XOR_RELAYED_ADDRESS, ours.relayed_address()),
    ] {
        let (theirs, there) = stun.attributes.get(AttrType(kind.0));
        assert_eq!(found, there.then(|| address(stun, &theirs).ok()).flatten());
    }

    // RFC 8489 section 14.8: 21 reserved bits in front of the class. `stun` reads five of them.
    let mut masked = stun.clone();
    for attribute in masked.attributes.0.iter_mut().filter(|a| a.typ.0 == T::ERROR_CODE.0) {
        if let Some(class) = attribute.value.get_mut(2) {
            *class &= 7;
        }
    }
    let mut code = stun::error_code::ErrorCodeAttribute::default();
    let code = code.get_from(&masked).is_ok().then_some(code.code.0);
    assert_eq!(ours.error_code(), code);

    let mut unknown = Vec::new();
    for attribute in &stun.attributes.0 {
        let known = matches!(attribute.typ.0,
            0x01 | 0x06 | 0x08..=0x0A | 0x0C | 0x0D | 0x12..=0x1A | 0x1C..=0x1E | 0x20 | 0x22 | 0x2A);
        if attribute.typ.required() && !known && !unknown.contains(&attribute.typ.0) {
            unknown.push(attribute.typ.0);
        }
    }
    unknown.truncate(8);
    assert_eq!(ours.unknown().types(), unknown);
}

/// Text as `stun` reads it, with the limit that it does not look at when reading.
fn text(
    stun: &stun::message::Message,
    kind: T,
    longest: usize,
) -> Result<Option<String>, BadAttribute> {
    let Ok(value) = stun.get(AttrType(kind.0)) else { return Ok(None) };
    if value.len() > longest {
        return Err(BadAttribute::Length);
    }
    stun::textattrs::TextAttribute::get_from_as(stun, AttrType(kind.0))
        .map(|attribute| Some(attribute.text))
        .map_err(|_| BadAttribute::Text)
}

/// One address as `stun` reads it.
fn address(
    stun: &stun::message::Message,
    attribute: &RawAttribute,
) -> Result<SocketAddr, BadAttribute> {
    // `stun` fills addresses that are too short with zeros; ours refuses them, as `stun` does those
    // that are too long.
    if attribute.value.len() < 4 {
        return Err(BadAttribute::Length);
    }
    let length = match attribute.value[1] {
        1 => 8,
        2 => 20,
        _ => return Err(BadAttribute::Family),
    };
    if attribute.value.len() != length {
        return Err(BadAttribute::Length);
    }
    // RFC 8489 section 14.1: the first byte is ignored by receivers. `stun` takes it for part of
    // the family.
    let mut attribute = attribute.clone();
    attribute.value[0] = 0;
    let kind = attribute.typ;
    let mut alone = stun.clone();
    alone.attributes = Attributes(vec![attribute]);
    let mut read = stun::xoraddr::XorMappedAddress::default();
    read.get_from_as(&alone, kind).expect("length and family are right");
    Ok(SocketAddr::new(read.ip, read.port))
}

fn with_stun_types(bytes: &[u8], ours: &Message<'_>, types: &stun_types::message::Message<'_>) {
    use stun_types::message::{LongTermKeyCredentials, MessageClass};

    let class = match ours.class() {
        Class::Request => MessageClass::Request,
        Class::Indication => MessageClass::Indication,
        Class::Success => MessageClass::Success,
        Class::Error => MessageClass::Error,
    };
    assert_eq!((types.class(), types.method().value()), (class, ours.method().0));
    let tid = ours.transaction_id().0.iter().fold(0, |tid, byte| tid << 8 | u128::from(*byte));
    assert_eq!(u128::from(types.transaction_id()), tid);

    // It stops at either integrity, as ours does.
    let kinds = ours.attribute_types();
    let end = kinds.iter().position(|kind| CLOSING.contains(kind)).map_or(kinds.len(), |at| at + 1);
    let theirs: Vec<_> = types.iter_attributes().take(end).collect();
    let their_kinds: Vec<_> = theirs.iter().map(|(_, a)| a.get_type().value()).collect();
    assert_eq!(their_kinds, kinds[..end]);
    for (at, attribute) in &theirs {
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        assert_eq!(&attribute.value[..], &bytes[at + 4..at + 4 + length]);
    }

    // Where MESSAGE-INTEGRITY-SHA256 is there too, both check that alone. A short one it takes.
    let sha256 = ours.find(T::MESSAGE_INTEGRITY_SHA256);
    let once = kinds.iter().filter(|kind| **kind == SHA256).count() == 1;
    if ours.has_integrity() && sha256.is_none_or(|value| value.len() == 32 && once) {
        let credentials =
            LongTermKeyCredentials::new(USERNAME.to_owned(), PASSWORD.to_owned(), REALM.to_owned());
        let accepted = types.validate_integrity(&credentials.into()).is_ok();
        let key = if sha256.is_some() { key_sha256() } else { key() };
        assert_eq!(ours.verify_integrity(&key), accepted);
    }
}
