//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT: RFC 8489 sections 14.5 to 14.7.

use taciturn_stun::{AttributeType as T, ChannelNumber, ErrorCode, Family, Malformed, Message};

use super::{ALLOCATE, address, parsed, written};
use testkit::stun::{REALM, USERNAME, key, raw_message, set_length};

/// RFC 8489 section 14.5: what follows MESSAGE-INTEGRITY is not protected, and ignored.
//= 8489-9-after-integrity
#[test]
fn attributes_after_message_integrity_are_ignored() {
    let peer = address("192.0.2.1:1000");
    let bytes = written(|writer| {
        writer.address(T::XOR_PEER_ADDRESS, peer).integrity(&key());
        for kind in [T::USERNAME, T::REALM, T::NONCE, T::DATA, T(0x7777)] {
            writer.attribute(kind, b"late");
        }
        writer
            .lifetime(3600)
            .address(T::XOR_PEER_ADDRESS, address("192.0.2.66:66"))
            .requested_transport(17)
            .family(T::REQUESTED_ADDRESS_FAMILY, Family::V4)
            .family(T::ADDITIONAL_ADDRESS_FAMILY, Family::V6)
            .attribute(T::EVEN_PORT, &[0x80])
            .attribute(T::RESERVATION_TOKEN, b"12345678")
            .attribute(T::DONT_FRAGMENT, b"")
            .channel_number(ChannelNumber::new(0x4000).unwrap())
            .fingerprint();
    });
    let message = parsed(&bytes);
    assert_eq!(message.username(), Ok(None));
    assert_eq!(message.realm(), Ok(None));
    assert_eq!(message.nonce(), None);
    assert_eq!(message.data(), None);
    assert!(message.unknown().is_empty());
    assert_eq!(message.lifetime(), Ok(None));
    assert_eq!(message.requested_transport(), Ok(None));
    assert_eq!(message.requested_family(), Ok(None));
    assert_eq!(message.additional_family(), Ok(None));
    assert_eq!(message.even_port(), Ok(None));
    assert_eq!(message.reservation_token(), Ok(None));
    assert!(!message.dont_fragment());
    assert_eq!(message.channel_number(), Ok(None));
    assert_eq!(message.peer(), Ok(Some(peer)));
    assert_eq!(message.peers().collect::<Vec<_>>(), [Ok(peer)]);
    // FINGERPRINT alone may follow, and what was signed is still what counts.
    assert!(message.has_fingerprint());
    assert!(message.verify_integrity(&key()));
}

/// The same where nothing stands in front of it, and where it has a wrong length.
//= 8489-9-after-integrity
#[test]
fn attributes_after_a_wrong_message_integrity_are_ignored_too() {
    for length in (0..=40).filter(|&length| length != 20) {
        let late = &[0, 0, 0, 9];
        let bytes = raw_message(
            ALLOCATE,
            &[(T::MESSAGE_INTEGRITY, &vec![0; length]), (T::LIFETIME, late), (T(0x7777), b"")],
        );
        let message = parsed(&bytes);
        assert!(message.has_integrity() && !message.verify_integrity(&key()));
        assert_eq!(message.lifetime(), Ok(None));
        assert!(message.unknown().is_empty());
    }
}

/// RFC 8489 section 14.5: a second MESSAGE-INTEGRITY is one of the ignored attributes.
#[test]
fn the_first_message_integrity_counts() {
    let other = taciturn_turn::auth::long_term_key("mallory", REALM, "password");
    let bytes = written(|writer| {
        writer.lifetime(1).integrity(&key()).lifetime(2).integrity(&other);
    });
    let message = parsed(&bytes);
    assert!(message.verify_integrity(&key()) && !message.verify_integrity(&other));
    assert_eq!(message.lifetime(), Ok(Some(1)));
}

/// RFC 8489 section 14.5, for answers: a client that trusts what follows MESSAGE-INTEGRITY can be
/// sent to another relay.
#[test]
fn answers_ignore_attributes_after_message_integrity_too() {
    let bytes = written(|writer| {
        writer
            .integrity(&key())
            .address(T::XOR_MAPPED_ADDRESS, address("192.0.2.66:66"))
            .address(T::XOR_RELAYED_ADDRESS, address("192.0.2.66:66"))
            .error(ErrorCode::FORBIDDEN, "");
    });
    let message = parsed(&bytes);
    assert_eq!(message.mapped_address(), None);
    assert_eq!(message.relayed_address(), None);
    assert_eq!(message.error_code(), None);
}

/// RFC 8489 section 9: of what follows MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 counts, and then
/// it alone is judged.
#[test]
fn a_sha256_integrity_may_follow_the_other() {
    let other = taciturn_turn::auth::long_term_key("mallory", REALM, "password");
    let bytes = written(|writer| {
        writer.lifetime(1).integrity(&other).lifetime(2).integrity_sha256(&key());
        writer.integrity_sha256(&other).lifetime(3).fingerprint();
    });
    let message = parsed(&bytes);
    assert!(message.has_integrity_sha256());
    assert!(message.verify_integrity(&key()) && !message.verify_integrity(&other));
    assert_eq!(message.lifetime(), Ok(Some(1)));
}

/// RFC 8489 section 9: behind MESSAGE-INTEGRITY-SHA256 nothing counts, not even MESSAGE-INTEGRITY.
//= 8489-9-after-integrity-sha256
#[test]
fn attributes_after_a_sha256_integrity_are_ignored() {
    let other = taciturn_turn::auth::long_term_key("mallory", REALM, "password");
    let bytes = written(|writer| {
        writer.lifetime(1).integrity_sha256(&key()).integrity(&other).lifetime(2);
        writer.attribute(T(0x7777), b"late").address(T::XOR_PEER_ADDRESS, address("192.0.2.66:66"));
        writer.fingerprint();
    });
    let message = parsed(&bytes);
    assert!(message.verify_integrity(&key()) && !message.verify_integrity(&other));
    assert_eq!(message.peers().count(), 0);
    assert!(message.unknown().is_empty());
}

/// RFC 8489 section 14.6: a usage may allow a tag to be cut, down to 16 bytes. RFC 8656 does not.
//= 8489-14.6-integrity-sha256-length
#[test]
fn a_sha256_integrity_is_whole() {
    for length in 0..40 {
        let bytes = raw_message(ALLOCATE, &[(T::MESSAGE_INTEGRITY_SHA256, &vec![0; length])]);
        let message = parsed(&bytes);
        assert!(message.has_integrity() && !message.verify_integrity(&key()));
    }
}

/// RFC 8489 section 14.5: the text of the HMAC ends in front of MESSAGE-INTEGRITY, with the length
/// as if that were the last attribute.
//= 8489-14.5-integrity
#[test]
fn message_integrity_covers_what_is_in_front_of_it() {
    let bytes = written(|writer| {
        writer.attribute(T::USERNAME, USERNAME.as_bytes()).lifetime(600).integrity(&key());
        writer.attribute(T::SOFTWARE, b"late");
    });
    let integrity = bytes.windows(4).position(|four| four == [0, 8, 0, 20]).unwrap();
    let check = |bytes: &[u8]| Message::parse(bytes).is_ok_and(|m| m.verify_integrity(&key()));
    assert!(check(&bytes));
    for at in (0..bytes.len()).filter(|at| !(2..4).contains(at)) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        // The length of SOFTWARE must fit for the message to be one at all.
        let expected = at >= integrity + 24 && !(integrity + 26..integrity + 28).contains(&at);
        assert_eq!(check(&bytes), expected, "byte {at}");
    }
    // Without what follows, the same HMAC is right: the length field is adjusted.
    let mut cut = bytes[..integrity + 24].to_vec();
    set_length(&mut cut);
    assert!(check(&cut));
}

/// RFC 8489 section 14.7: FINGERPRINT is the last attribute.
//= 8489-14.7-fingerprint-last
#[test]
fn fingerprint_must_be_last() {
    for kind in [T::SOFTWARE, T::LIFETIME, T(0x7777), T(0xFFFF)] {
        let bytes = written(|writer| {
            writer.lifetime(1);
            // Right at its place: the length is the one of the whole message.
            writer.fingerprint().attribute(kind, b"late");
        });
        let bytes = with_right_fingerprint(bytes);
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::AfterFingerprint);
    }
    let bytes = with_right_fingerprint(written(|writer| {
        writer.fingerprint().fingerprint();
    }));
    assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::AfterFingerprint);
    let bytes = with_right_fingerprint(written(|writer| {
        writer.fingerprint().integrity(&key());
    }));
    assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::AfterFingerprint);
}

/// Computes the first FINGERPRINT again, over the final length field.
fn with_right_fingerprint(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.windows(4).position(|four| four == [0x80, 0x28, 0, 4]).unwrap();
    let value = crc32fast::hash(&bytes[..at]) ^ 0x5354_554e;
    bytes[at + 4..at + 8].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// RFC 8489 sections 6.3 and 14.7: a message whose FINGERPRINT is wrong is no STUN message.
//= 8489-14.7-fingerprint
#[test]
fn fingerprint_must_be_right() {
    let good = written(|writer| {
        writer.lifetime(1).integrity(&key()).fingerprint();
    });
    assert!(parsed(&good).has_fingerprint());
    let value = good.len() - 4;
    for bit in 0..32 {
        let mut bytes = good.clone();
        bytes[value + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Fingerprint);
    }
    for length in (0..=8).filter(|&length| length != 4) {
        let bytes = raw_message(ALLOCATE, &[(T::FINGERPRINT, &vec![0; length])]);
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Fingerprint);
    }
}

/// RFC 8489 section 14.7: FINGERPRINT is optional.
//= 8489-12-fingerprint-optional
#[test]
fn a_message_without_fingerprint_is_read() {
    assert!(!parsed(&raw_message(ALLOCATE, &[])).has_fingerprint());
}
