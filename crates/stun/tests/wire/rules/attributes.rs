//! Attributes, read one by one; ChannelData beside them.

use taciturn_stun::{
    AttributeType as T, BadAttribute, ChannelData, ChannelNumber, Class, ErrorCode, Family, Method,
    PasswordAlgorithm, TransactionId, Unknown, Writer, canonical_ip,
};

use super::{ALLOCATE, address, parsed, written};
use testkit::stun::{TID, raw_message};

/// RFC 8489 section 14: of an attribute that occurs twice the first counts.
//= 8489-14-first-counts
#[test]
fn the_first_of_two_equal_attributes_counts() {
    let values: [(T, [&[u8]; 2]); 13] = [
        (T::USERNAME, [b"first", b"second"]),
        (T::REALM, [b"first", b"second"]),
        (T::NONCE, [b"first", b"second"]),
        (T::DATA, [b"first", b"second"]),
        (T::LIFETIME, [&[0, 0, 0, 1], &[0, 0, 0, 2]]),
        (T::REQUESTED_TRANSPORT, [&[17, 0, 0, 0], &[6, 0, 0, 0]]),
        (T::REQUESTED_ADDRESS_FAMILY, [&[1, 0, 0, 0], &[2, 0, 0, 0]]),
        (T::ADDITIONAL_ADDRESS_FAMILY, [&[2, 0, 0, 0], &[1, 0, 0, 0]]),
        (T::EVEN_PORT, [&[0x80], &[0]]),
        (T::RESERVATION_TOKEN, [b"firstone", b"second12"]),
        (T::CHANNEL_NUMBER, [&[0x40, 1, 0, 0], &[0x40, 2, 0, 0]]),
        (T::CONNECTION_ID, [&[1, 2, 3, 4], &[5, 6, 7, 8]]),
        (T::XOR_PEER_ADDRESS, [&[0, 1, 0, 0, 0, 0, 0, 0], &[0, 1, 0, 0, 0, 0, 0, 1]]),
    ];
    let mut attributes = Vec::new();
    for round in 0..2 {
        attributes.extend(values.iter().map(|(kind, both)| (*kind, both[round])));
    }
    let bytes = raw_message(ALLOCATE, &attributes);
    let message = parsed(&bytes);
    assert_eq!(message.username(), Ok(Some("first")));
    assert_eq!(message.realm(), Ok(Some("first")));
    assert_eq!(message.nonce(), Some(&b"first"[..]));
    assert_eq!(message.data(), Some(&b"first"[..]));
    assert_eq!(message.lifetime(), Ok(Some(1)));
    assert_eq!(message.requested_transport(), Ok(Some(17)));
    assert_eq!(message.requested_family(), Ok(Some(Some(Family::V4))));
    assert_eq!(message.additional_family(), Ok(Some(Some(Family::V6))));
    assert_eq!(message.even_port(), Ok(Some(true)));
    assert_eq!(message.reservation_token(), Ok(Some(*b"firstone")));
    assert_eq!(message.channel_number(), Ok(Some(ChannelNumber::new(0x4001))));
    assert_eq!(message.connection_id(), Ok(Some(0x0102_0304)));
    assert_eq!(message.peer(), Ok(Some(address("33.18.164.66:8466"))));
    // RFC 8656 section 10.1: a CreatePermission request has several, and all of them count.
    assert_eq!(message.peers().count(), 2);
}

/// A first one that is wrong is not passed over for a second one.
//= 8489-14-first-counts
#[test]
fn a_wrong_first_attribute_is_an_error() {
    let bytes = raw_message(ALLOCATE, &[(T::LIFETIME, &[0; 3]), (T::LIFETIME, &[0; 4])]);
    assert_eq!(parsed(&bytes).lifetime(), Err(BadAttribute::Length));
    let right = [0, 1, 0, 0, 0, 0, 0, 0];
    let bytes =
        raw_message(ALLOCATE, &[(T::XOR_PEER_ADDRESS, &[0; 8]), (T::XOR_PEER_ADDRESS, &right)]);
    let message = parsed(&bytes);
    assert_eq!(message.peer(), Err(BadAttribute::Family));
    let peers: Vec<_> = message.peers().collect();
    assert!(matches!(peers[..], [Err(BadAttribute::Family), Ok(_)]), "{peers:?}");
}

/// RFC 8489 sections 6.3.1 and 14.13: each once; at most eight, for an answer must not grow with
/// what a stranger sends.
//= 8489-6.3.1.1-unknown-attributes-attribute, 8489-14.13-unknown-list
#[test]
fn unknown_comprehension_required_attributes_are_listed_once_and_at_most_eight() {
    let wanted: Vec<u16> = (0x7001..=0x7008).collect();
    let kinds = wanted.iter().flat_map(|&kind| [kind, 0x7001, kind]).chain(0x7009..0x7100);
    let attributes: Vec<(T, &[u8])> = kinds.map(|kind| (T(kind), &b"value"[..])).collect();
    let bytes = raw_message(ALLOCATE, &attributes);
    let message = parsed(&bytes);
    assert_eq!(message.unknown().types(), wanted);

    let answer = written(|writer| {
        writer.error(ErrorCode::UNKNOWN_ATTRIBUTE, "").unknown_attributes(message.unknown());
    });
    let listed: Vec<u8> = wanted.iter().flat_map(|kind| kind.to_be_bytes()).collect();
    assert_eq!(parsed(&answer).find(T::UNKNOWN_ATTRIBUTES), Some(&listed[..]));
    assert_eq!(Unknown::only(T::DONT_FRAGMENT).types(), [T::DONT_FRAGMENT.0]);
}

/// RFC 8489 section 14: types from 0x8000 on may be ignored, those below may not. Every type there
/// is, but for FINGERPRINT.
//= 8489-6.3-optional-ignored
#[test]
fn comprehension_optional_attributes_are_ignored() {
    let known = [
        0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x000C, 0x000D, 0x0012, 0x0013, 0x0014, 0x0015,
        0x0016, 0x0017, 0x0018, 0x0019, 0x001A, 0x001C, 0x001D, 0x001E, 0x0020, 0x0022, 0x002A,
    ];
    for kind in (0..=u16::MAX).filter(|&kind| kind != T::FINGERPRINT.0) {
        let bytes = raw_message(ALLOCATE, &[(T(kind), b"")]);
        let message = parsed(&bytes);
        let unknown: Vec<u16> =
            [kind].into_iter().filter(|kind| *kind < 0x8000 && !known.contains(kind)).collect();
        assert_eq!(T(kind).comprehension_required(), kind < 0x8000);
        assert_eq!(message.unknown().types(), unknown, "{kind:#x}");
    }
}

/// RFC 8489 section 14.3: fewer than 509 bytes of UTF-8 when written, as many as 763 when read.
//= 8489-14.3-username-763
#[test]
fn a_username_has_at_most_763_bytes() {
    for (text, fits) in [
        ("", true),
        (&*"u".repeat(508), true),
        (&*"u".repeat(763), true),
        (&*"u".repeat(764), false),
        (&*"é".repeat(381), true),
        (&*"é".repeat(382), false),
        (&*"u".repeat(65_000), false),
    ] {
        let bytes = raw_message(ALLOCATE, &[(T::USERNAME, text.as_bytes())]);
        let expected = if fits { Ok(Some(text)) } else { Err(BadAttribute::Length) };
        assert_eq!(parsed(&bytes).username(), expected);
    }
}

/// RFC 8489 section 14.4: 32 bytes.
//= 8489-14.4-userhash
#[test]
fn a_userhash_has_32_bytes() {
    for len in [0, 31, 32, 33] {
        let bytes = raw_message(ALLOCATE, &[(T::USERHASH, &vec![7; len])]);
        let expected = if len == 32 { Ok(Some([7; 32])) } else { Err(BadAttribute::Length) };
        assert_eq!(parsed(&bytes).userhash(), expected);
    }
}

/// RFC 8489 section 18.5.1: MD5 and SHA-256 have no parameters.
//= 8489-14.12-algorithm-padding
#[test]
fn a_password_algorithm_is_a_number_and_no_parameters() {
    let read = PasswordAlgorithm::from_value;
    assert_eq!(read(&[0, 1, 0, 0]), Some(PasswordAlgorithm::Md5));
    assert_eq!(read(&[0, 2, 0, 0]), Some(PasswordAlgorithm::Sha256));
    for other in [&[][..], &[0, 2], &[0, 0, 0, 0], &[0, 3, 0, 0], &[0, 2, 0, 1, 0, 0, 0, 0]] {
        assert_eq!(read(other), None, "{other:?}");
    }
}

/// RFC 8489 section 14.9: fewer than 128 characters, as many as 763 bytes when read.
//= 8489-14.9-realm
#[test]
fn a_realm_has_at_most_763_bytes() {
    for (len, fits) in [(0, true), (127, true), (763, true), (764, false), (65_000, false)] {
        let text = "r".repeat(len);
        let bytes = raw_message(ALLOCATE, &[(T::REALM, text.as_bytes())]);
        let expected = if fits { Ok(Some(&*text)) } else { Err(BadAttribute::Length) };
        assert_eq!(parsed(&bytes).realm(), expected);
    }
}

/// RFC 8489 sections 14.3 and 14.9.
#[test]
fn text_that_is_not_utf8_is_refused() {
    for text in [&b"\xFF"[..], b"a\x80", b"\xC0\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80"] {
        let bytes = raw_message(ALLOCATE, &[(T::USERNAME, text), (T::REALM, text)]);
        assert_eq!(parsed(&bytes).username(), Err(BadAttribute::Text));
        assert_eq!(parsed(&bytes).realm(), Err(BadAttribute::Text));
    }
}

/// RFC 8656 sections 18.1, 18.2, 18.6, 18.7, 18.9, 18.11.
#[test]
fn attributes_of_fixed_length_have_that_length() {
    for len in (0..=16).chain([255, 256, 1000]) {
        // Values that are good, were they of the right length.
        let value = |start: &[u8]| {
            let mut value = vec![0; len];
            value.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
            value
        };
        let (one, channel) = (value(&[1]), value(&[0x40]));
        let bytes = raw_message(
            ALLOCATE,
            &[
                (T::LIFETIME, &one),
                (T::REQUESTED_TRANSPORT, &one),
                (T::REQUESTED_ADDRESS_FAMILY, &one),
                (T::ADDITIONAL_ADDRESS_FAMILY, &one),
                (T::CHANNEL_NUMBER, &channel),
                (T::RESERVATION_TOKEN, &one),
                (T::CONNECTION_ID, &one),
            ],
        );
        let message = parsed(&bytes);
        let wrong = Some(BadAttribute::Length);
        let four = if len == 4 { None } else { wrong };
        let eight = if len == 8 { None } else { wrong };
        assert_eq!(message.lifetime().err(), four, "{len}");
        assert_eq!(message.requested_transport().err(), four, "{len}");
        assert_eq!(message.requested_family().err(), four, "{len}");
        assert_eq!(message.additional_family().err(), four, "{len}");
        assert_eq!(message.channel_number().err(), four, "{len}");
        assert_eq!(message.connection_id().err(), four, "{len}");
        assert_eq!(message.reservation_token().err(), eight, "{len}");
    }
}

/// RFC 8656 section 18.5: one byte, of which one bit counts. Longer ones are taken: clients have
/// sent the padding as value.
#[test]
fn even_port_has_at_least_one_byte() {
    let read = |value: &[u8]| parsed(&raw_message(ALLOCATE, &[(T::EVEN_PORT, value)])).even_port();
    assert_eq!(read(&[]), Err(BadAttribute::Length));
    assert_eq!(read(&[0x80]), Ok(Some(true)));
    assert_eq!(read(&[0x7F]), Ok(Some(false)));
    assert_eq!(read(&[0x80, 0, 0, 0]), Ok(Some(true)));
}

/// RFC 8656 section 18.8: there or not; it has no value to look at.
#[test]
fn dont_fragment_is_there_or_not() {
    assert!(!parsed(&raw_message(ALLOCATE, &[])).dont_fragment());
    assert!(parsed(&raw_message(ALLOCATE, &[(T::DONT_FRAGMENT, b"")])).dont_fragment());
    assert!(parsed(&raw_message(ALLOCATE, &[(T::DONT_FRAGMENT, b"1234")])).dont_fragment());
}

/// RFC 8656 section 18.6: other families are told apart from wrong lengths, for the answer is 440.
//= 8656-18.6-family-reserved
#[test]
fn unknown_families_are_not_malformed() {
    for number in 0..=u8::MAX {
        let value = [number, 0, 0, 0];
        let bytes = raw_message(
            ALLOCATE,
            &[(T::REQUESTED_ADDRESS_FAMILY, &value), (T::ADDITIONAL_ADDRESS_FAMILY, &value)],
        );
        let expected = match number {
            1 => Some(Family::V4),
            2 => Some(Family::V6),
            _ => None,
        };
        assert_eq!(parsed(&bytes).requested_family(), Ok(Some(expected)));
        assert_eq!(parsed(&bytes).additional_family(), Ok(Some(expected)));
    }
}

/// RFC 8489 section 14.2: 8 bytes for IPv4, 20 for IPv6, no other family.
//= 8489-14.1-address-length
#[test]
fn addresses_have_the_length_of_their_family() {
    for len in 0..=32 {
        for family in 0..=u8::MAX {
            let mut value = vec![0; len];
            if let Some(byte) = value.get_mut(1) {
                *byte = family;
            }
            let kinds = [T::XOR_PEER_ADDRESS, T::XOR_MAPPED_ADDRESS, T::XOR_RELAYED_ADDRESS];
            let bytes = raw_message(ALLOCATE, &kinds.map(|kind| (kind, &value[..])));
            let message = parsed(&bytes);
            let good = matches!((family, len), (1, 8) | (2, 20));
            assert_eq!(message.peer().is_ok(), good, "family {family}, {len} bytes");
            assert_eq!(message.peers().all(|peer| peer.is_ok()), good);
            assert_eq!(message.mapped_address().is_some(), good);
            assert_eq!(message.relayed_address().is_some(), good);
        }
    }
}

/// RFC 8489 section 14.2: an IPv6 address is XORed with the transaction id as well.
//= 8489-14.2-xor-mapped-address
#[test]
fn addresses_come_back_whatever_the_transaction_id() {
    for tid in [TransactionId([0; 12]), TransactionId([0xFF; 12]), TID] {
        for peer in ["0.0.0.0:0", "255.255.255.255:65535", "[::]:0", "[2001:db8::1]:3478"] {
            let mut buffer = [0xEE; 64];
            let len = Writer::new(&mut buffer, Class::Indication, Method::DATA, tid)
                .address(T::XOR_PEER_ADDRESS, address(peer))
                .finish()
                .unwrap();
            assert_eq!(parsed(&buffer[..len]).peer(), Ok(Some(address(peer))));
        }
    }
}

/// CVE-2026-27624, CVE-2026-53450: an IPv4 address in IPv6 clothes went past the peer rules. The
/// codec hands on what came, and `canonical_ip` says what it reaches.
#[test]
fn mapped_addresses_are_known_for_what_they_reach() {
    for (peer, reaches) in [
        ("[::ffff:127.0.0.1]:80", "127.0.0.1"),
        ("[::ffff:169.254.169.254]:80", "169.254.169.254"),
        ("[::ffff:0.0.0.0]:80", "0.0.0.0"),
        ("[2001:db8::7f00:1]:80", "2001:db8::7f00:1"),
        ("10.0.0.1:80", "10.0.0.1"),
    ] {
        let bytes = written(|writer| {
            writer.address(T::XOR_PEER_ADDRESS, address(peer));
        });
        let read = parsed(&bytes).peer().unwrap().unwrap();
        assert_eq!(read, address(peer));
        assert_eq!(canonical_ip(read.ip()).to_string(), reaches);
    }
}

/// RFC 8656 section 12: channel numbers are 0x4000 to 0x4FFF; RFC 5766 section 11 had them up to
/// 0x7FFF, and the wire knows those too.
#[test]
fn channel_numbers_are_4000_to_7fff_and_current_ones_end_at_4fff() {
    for number in 0..=u16::MAX {
        let expected = (0x4000..=0x7FFF).contains(&number).then_some(number);
        let current = ChannelNumber::new(number).is_some_and(ChannelNumber::is_current);
        assert_eq!(current, (0x4000..=0x4FFF).contains(&number));
        assert_eq!(ChannelNumber::new(number).map(ChannelNumber::number), expected);
        let [high, low] = number.to_be_bytes();
        let bytes = raw_message(ALLOCATE, &[(T::CHANNEL_NUMBER, &[high, low, 0, 0])]);
        let read = parsed(&bytes).channel_number().unwrap().unwrap();
        assert_eq!(read.map(ChannelNumber::number), expected);
        let framed = [high, low, 0, 2, b'a', b'b'];
        let read = ChannelData::parse(&framed);
        assert_eq!(read.map(|message| message.channel.number()), expected);
        if let Some(message) = read {
            assert_eq!(message.data, b"ab");
            assert_eq!(ChannelData::header(message.channel, 2), framed[..4]);
        }
    }
}

/// RFC 8656 section 12.5: over UDP padding may follow; data that are cut off may not.
//= 8656-12.6-too-short
#[test]
fn channel_data_is_as_long_as_it_says() {
    for length in 0..=u16::MAX {
        let [high, low] = length.to_be_bytes();
        let bytes = [0x40, 0x00, high, low, 1, 2, 3, 4];
        let data = ChannelData::parse(&bytes).map(|message| message.data);
        assert_eq!(data, bytes[4..].get(..usize::from(length)), "{length}");
    }
}
