//! The header: RFC 8489 section 5.

use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Malformed, Message, Method, Writer,
};

use super::{ALLOCATE, CLASSES, address, parsed, written};
use testkit::stun::{TID, key, raw_message, set_length};

/// RFC 8489 section 5: the class is interleaved with the method.
//= 8489-5-class-and-method
#[test]
fn every_method_and_class_comes_back() {
    let mut kinds = std::collections::HashSet::new();
    for method in (0..=0xFFF).map(Method) {
        for class in CLASSES {
            let mut buffer = [0xEE; 20];
            let len = Writer::new(&mut buffer, class, method, TID).finish().unwrap();
            let message = parsed(&buffer[..len]);
            assert_eq!((message.class(), message.method()), (class, method));
            assert_eq!(message.transaction_id(), TID);
            assert_eq!(buffer[0] & 0xC0, 0);
            kinds.insert([buffer[0], buffer[1]]);
        }
    }
    assert_eq!(kinds.len(), 4096 * 4);
}

/// RFC 8489 section 5, figure 3, and appendix A of RFC 5389: known values.
//= 8489-5-class-and-method
#[test]
fn message_types_have_their_layout() {
    for (class, method, kind) in [
        (Class::Request, Method::BINDING, 0x0001_u16),
        (Class::Indication, Method::BINDING, 0x0011),
        (Class::Success, Method::BINDING, 0x0101),
        (Class::Error, Method::BINDING, 0x0111),
        (Class::Error, Method::ALLOCATE, 0x0113),
        (Class::Indication, Method::SEND, 0x0016),
        (Class::Indication, Method::DATA, 0x0017),
        (Class::Success, Method::CHANNEL_BIND, 0x0109),
        // RFC 6062 section 6.1.
        (Class::Request, Method::CONNECT, 0x000A),
        (Class::Success, Method::CONNECTION_BIND, 0x010B),
        (Class::Indication, Method::CONNECTION_ATTEMPT, 0x001C),
        (Class::Request, Method(0x010), 0x0020),
        (Class::Request, Method(0x080), 0x0200),
        (Class::Request, Method(0xFFF), 0x3EEF),
        (Class::Error, Method(0xFFF), 0x3FFF),
    ] {
        let mut buffer = [0; 20];
        Writer::new(&mut buffer, class, method, TID).finish().unwrap();
        assert_eq!(u16::from_be_bytes([buffer[0], buffer[1]]), kind, "{class:?} {method:?}");
    }
}

/// RFC 8489 section 5: a method has 12 bits. More must not spill into the top bits or the class.
#[test]
fn a_method_of_more_than_twelve_bits_is_cut() {
    let mut buffer = [0; 20];
    Writer::new(&mut buffer, Class::Request, Method(0xF003), TID).finish().unwrap();
    assert_eq!(buffer[..2], [0x00, 0x03]);
}

/// RFC 8489 section 5.
//= 8489-5-top-bits, 8489-5-cookie
#[test]
fn short_headers_top_bits_and_other_cookies_are_refused() {
    let good = raw_message(ALLOCATE, &[]);
    for len in 0..20 {
        assert_eq!(Message::parse(&good[..len]).unwrap_err(), Malformed::Short);
    }
    for bits in [0x40, 0x80, 0xC0] {
        let mut bytes = good.clone();
        bytes[0] |= bits;
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::TopBits);
    }
    for at in 4..8 {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Cookie);
    }
}

/// RFC 8489 section 5: the length counts all behind the header, nothing less and nothing more.
//= 8489-5-length
#[test]
fn a_length_that_disagrees_with_the_datagram_is_refused() {
    let good = raw_message(ALLOCATE, &[(T::LIFETIME, &[0; 4]), (T::SOFTWARE, b"abcd")]);
    for length in (0..=u16::MAX).filter(|&length| usize::from(length) != good.len() - 20) {
        let mut bytes = good.clone();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Length, "{length}");
    }
    for extra in 1..=8 {
        let bytes = [&good[..], &vec![0; extra]].concat();
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Length);
    }
}

/// RFC 8489 section 5: attributes are padded, so the last two bits of the length are zero.
//= 8489-5-length
#[test]
fn a_length_that_is_no_multiple_of_four_is_refused() {
    for extra in 1..=3 {
        let mut bytes = raw_message(ALLOCATE, &[(T::SOFTWARE, b"abcd")]);
        bytes.resize(bytes.len() + extra, 0);
        set_length(&mut bytes);
        assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Length);
    }
}

/// CVE-2026-68552: length + 20 wrapped around in 16 bits.
//= 8489-5-length
#[test]
fn lengths_near_the_end_of_u16_do_not_wrap() {
    for length in [0xFFEC_u16, 0xFFF0, 0xFFF8, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF] {
        let wrapped = usize::from(length.wrapping_add(20));
        for size in [20, 24, wrapped.max(20)] {
            let mut bytes = vec![0; size];
            bytes[..20].copy_from_slice(&raw_message(ALLOCATE, &[]));
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Length);
        }
    }
    // The other way round: 65536 bytes of attributes look like none in 16 bits.
    let mut bytes = raw_message(ALLOCATE, &[]);
    bytes.resize(20 + 0x1_0000, 0);
    assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Length);
    // The longest message there is.
    let longest = raw_message(ALLOCATE, &[(T::DATA, &vec![7; 0xFFF8])]);
    assert_eq!(longest.len(), 20 + 0xFFFC);
    assert_eq!(parsed(&longest).data().map(<[u8]>::len), Some(0xFFF8));
}

/// The same for the length of an attribute: 0xFFFD and more are 0x10000 with padding.
//= 8489-14-tlv
#[test]
fn attributes_that_reach_past_the_end_are_refused() {
    for body in [0_usize, 4, 8, 0xFFF8] {
        let good = raw_message(ALLOCATE, &[(T::SOFTWARE, &vec![b'a'; body])]);
        for length in [body + 1, body + 4, 0xFFF9, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF] {
            let mut bytes = good.clone();
            bytes[22..24].copy_from_slice(&(length as u16).to_be_bytes());
            assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Attribute, "{length}");
        }
    }
}

/// CVE-2026-40613: a misaligned read was fatal. A message may start anywhere.
#[test]
fn a_message_is_read_at_any_alignment() {
    let message = written(|writer| {
        writer
            .lifetime(600)
            .address(T::XOR_PEER_ADDRESS, address("[2001:db8::1]:443"))
            .channel_number(ChannelNumber::new(0x4001).unwrap())
            .attribute(T::RESERVATION_TOKEN, b"12345678")
            .integrity(&key())
            .fingerprint();
    });
    let mut room = vec![0; message.len() + 16];
    for offset in 0..16 {
        let place = &mut room[offset..offset + message.len()];
        place.copy_from_slice(&message);
        let read = parsed(place);
        assert_eq!(read.lifetime(), Ok(Some(600)));
        assert_eq!(read.peer(), Ok(Some(address("[2001:db8::1]:443"))));
        assert_eq!(read.channel_number(), Ok(Some(ChannelNumber::new(0x4001))));
        assert_eq!(read.reservation_token(), Ok(Some(*b"12345678")));
        assert!(read.verify_integrity(&key()) && read.has_fingerprint());

        let place = &mut room[offset..offset + 7];
        place.copy_from_slice(&[0x40, 0x01, 0, 3, b'a', b'b', b'c']);
        assert_eq!(ChannelData::parse(place).unwrap().data, b"abc");
    }
}
