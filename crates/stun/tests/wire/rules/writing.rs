//! What is written: padding, lengths, errors.

use taciturn_stun::{
    AttributeType as T, BufferFull, ChannelNumber, Class, ErrorCode, Family, Method, Unknown,
    Writer,
};

use super::{ALLOCATE, address, parsed, written};
use testkit::stun::{REALM, TID, key, raw_message};

/// CVE-2020-4067: padding carried bytes of other clients' messages. RFC 8489 section 14 leaves its
/// value open; ours is zero, whatever the buffer held.
//= 8489-14-padding, 8656-18-padding
#[test]
fn padding_is_zero_in_every_attribute_written() {
    let reasons = ["", "a", "ab", "abc", "abcd"];
    let bytes = written(|writer| {
        for (len, reason) in (0..).zip(reasons) {
            writer
                .attribute(T::USERNAME, &vec![b'u'; len])
                .attribute(T::DATA, &vec![b'd'; len])
                .error(ErrorCode::UNAUTHENTICATED, reason)
                .lifetime(1)
                .requested_transport(17)
                .family(T::REQUESTED_ADDRESS_FAMILY, Family::V6)
                .channel_number(ChannelNumber::new(0x4FFF).unwrap())
                .address(T::XOR_PEER_ADDRESS, address("192.0.2.1:1"))
                .address(T::XOR_PEER_ADDRESS, address("[2001:db8::1]:1"))
                .unknown_attributes(&Unknown::only(T(0x7777)))
                .unknown_attributes(&Unknown::default());
        }
        writer.integrity(&key()).fingerprint();
    });
    let mut at = 20;
    let mut padded = 0;
    while at < bytes.len() {
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        let (value_end, end) = (at + 4 + length, at + 4 + length.next_multiple_of(4));
        assert!(bytes[value_end..end].iter().all(|&byte| byte == 0), "attribute at {at}");
        padded += end - value_end;
        at = end;
    }
    assert_eq!(at, bytes.len());
    assert!(padded > 20, "the test writes padding");
}

/// RFC 8656 sections 18.1, 18.6, 18.7: reserved bytes (RFFU) are zero when sent, ignored when read.
//= 8489-14.1-first-byte, 8489-14.8-reserved-ignored, 8656-18.1-channel-number-rffu,
//= 8656-18.6-family-reserved, 8656-18.7-transport-rffu
#[test]
fn reserved_bytes_are_written_as_zero_and_ignored_when_read() {
    let bytes = written(|writer| {
        writer
            .requested_transport(17)
            .family(T::REQUESTED_ADDRESS_FAMILY, Family::V4)
            .channel_number(ChannelNumber::new(0x4000).unwrap())
            .address(T::XOR_PEER_ADDRESS, address("192.0.2.1:1"))
            .error(ErrorCode::STALE_NONCE, "");
    });
    let message = parsed(&bytes);
    assert_eq!(message.find(T::REQUESTED_TRANSPORT), Some(&[17, 0, 0, 0][..]));
    assert_eq!(message.find(T::REQUESTED_ADDRESS_FAMILY), Some(&[1, 0, 0, 0][..]));
    assert_eq!(message.find(T::CHANNEL_NUMBER), Some(&[0x40, 0, 0, 0][..]));
    assert_eq!(message.find(T::XOR_PEER_ADDRESS).unwrap()[0], 0);
    assert_eq!(message.find(T::ERROR_CODE), Some(&[0, 0, 4, 38][..]));

    let peer = [0xFF, 1, 0x21 ^ 0x12, 0x12 ^ 0x34, 0x21 ^ 192, 0x12, 0xA4 ^ 2, 0x42 ^ 1];
    let bytes = raw_message(
        ALLOCATE,
        &[
            (T::REQUESTED_TRANSPORT, &[17, 0xFF, 0xFF, 0xFF]),
            (T::REQUESTED_ADDRESS_FAMILY, &[2, 0xFF, 0xFF, 0xFF]),
            (T::ADDITIONAL_ADDRESS_FAMILY, &[2, 0xFF, 0xFF, 0xFF]),
            (T::CHANNEL_NUMBER, &[0x40, 0, 0xFF, 0xFF]),
            (T::EVEN_PORT, &[0x7F]),
            (T::XOR_PEER_ADDRESS, &peer),
            (T::ERROR_CODE, &[0xFF, 0xFF, 0xFC, 1]),
        ],
    );
    let message = parsed(&bytes);
    assert_eq!(message.requested_transport(), Ok(Some(17)));
    assert_eq!(message.requested_family(), Ok(Some(Some(Family::V6))));
    assert_eq!(message.additional_family(), Ok(Some(Some(Family::V6))));
    assert_eq!(message.channel_number(), Ok(Some(ChannelNumber::new(0x4000))));
    assert_eq!(message.even_port(), Ok(Some(false)));
    assert_eq!(message.peer(), Ok(Some(address("192.0.2.1:4660"))));
    assert_eq!(message.error_code(), Some(401));
}

/// A small buffer is an error, never a panic and never half a message.
#[test]
fn the_writer_reports_buffer_full_for_every_buffer_that_is_too_small() {
    let write = |buffer: &mut [u8]| {
        Writer::new(buffer, Class::Error, Method::ALLOCATE, TID)
            .error(ErrorCode::UNAUTHENTICATED, "Unauthenticated")
            .attribute(T::REALM, REALM.as_bytes())
            .attribute(T::SOFTWARE, b"")
            .unknown_attributes(&Unknown::only(T(0x7777)))
            .lifetime(600)
            .requested_transport(17)
            .family(T::REQUESTED_ADDRESS_FAMILY, Family::V4)
            .channel_number(ChannelNumber::new(0x4000).unwrap())
            .address(T::XOR_MAPPED_ADDRESS, address("192.0.2.1:1"))
            .address(T::XOR_RELAYED_ADDRESS, address("[2001:db8::1]:1"))
            .integrity(&key())
            .fingerprint()
            .finish()
    };
    let mut buffer = vec![0xEE; 400];
    let len = write(&mut buffer).unwrap();
    assert!(parsed(&buffer[..len]).verify_integrity(&key()));
    for size in 0..len {
        let mut small = vec![0xEE; size];
        assert_eq!(write(&mut small), Err(BufferFull), "{size} of {len} bytes");
    }
    let mut exact = vec![0x11; len];
    assert_eq!(write(&mut exact), Ok(len));
    assert_eq!(exact, buffer[..len]);
}

/// What does not fit is not made up for by something smaller that does.
#[test]
fn an_attribute_left_out_is_not_forgotten() {
    let mut buffer = [0; 40];
    let result = Writer::new(&mut buffer, Class::Request, Method::ALLOCATE, TID)
        .attribute(T::DATA, &[0; 20])
        .lifetime(600)
        .finish();
    assert_eq!(result, Err(BufferFull));
}

/// RFC 8489 section 5: the length has 16 bits.
#[test]
fn the_writer_reports_messages_that_the_length_field_cannot_hold() {
    let mut buffer = vec![0; 200_000];
    let mut write = |values: &[usize], signed: bool| {
        let mut writer = Writer::new(&mut buffer, Class::Indication, Method::DATA, TID);
        for &len in values {
            writer.attribute(T::DATA, &vec![1; len]);
        }
        if signed {
            writer.integrity(&key()).fingerprint();
        }
        let result = writer.finish();
        if let Ok(len) = result {
            parsed(&buffer[..len]);
        }
        result
    };
    assert_eq!(write(&[0xFFF8], false), Ok(20 + 0xFFFC));
    assert_eq!(write(&[0xFFF8 - 32], true), Ok(20 + 0xFFFC));
    assert_eq!(write(&[0xFFF8 - 28], true), Err(BufferFull));
    assert_eq!(write(&[0xFFF8], true), Err(BufferFull));
    assert_eq!(write(&[0xFFF9], false), Err(BufferFull));
    assert_eq!(write(&[0xFFFF], false), Err(BufferFull));
    assert_eq!(write(&[0x1_0000], false), Err(BufferFull));
    assert_eq!(write(&[0x8000, 0x8000], false), Err(BufferFull));
    assert_eq!(write(&[0x8000, 0x8000, 0x8000], true), Err(BufferFull));
}

/// RFC 8489 section 14.8: a reason phrase is UTF-8 of fewer than 128 characters.
//= 8489-14.8-reason-length
#[test]
fn a_long_reason_phrase_is_cut_between_characters() {
    for reason in [
        "a".repeat(126),
        "a".repeat(127),
        "a".repeat(128),
        "a".repeat(1000),
        "é".repeat(100),
        "a".to_owned() + &"é".repeat(100),
        "€".repeat(100),
        "🦀".repeat(100),
        "abc".to_owned() + &"🦀".repeat(100),
    ] {
        let bytes = written(|writer| {
            writer.error(ErrorCode::BAD_REQUEST, &reason);
        });
        let message = parsed(&bytes);
        let [0, 0, 4, 0, text @ ..] = message.find(T::ERROR_CODE).unwrap() else {
            panic!("the code stands in front of the phrase");
        };
        let text = std::str::from_utf8(text).expect("the phrase is UTF-8");
        assert!(reason.starts_with(text));
        assert!(text.chars().count() < 128, "{} characters", text.chars().count());
        assert!(text.len() == reason.len() || text.len() > 127 - 4, "no more is cut than must be");
    }
}

/// RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062 section 6.3.
//= 8489-6.3.1.1-error-code, 8489-6.3.1.1-reason-phrase, 8489-14.8-error-code-range
#[test]
fn error_codes_come_back() {
    let codes = [300, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508];
    let all = [
        ErrorCode::TRY_ALTERNATE,
        ErrorCode::BAD_REQUEST,
        ErrorCode::UNAUTHENTICATED,
        ErrorCode::FORBIDDEN,
        ErrorCode::UNKNOWN_ATTRIBUTE,
        ErrorCode::ALLOCATION_MISMATCH,
        ErrorCode::STALE_NONCE,
        ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
        ErrorCode::WRONG_CREDENTIALS,
        ErrorCode::UNSUPPORTED_TRANSPORT,
        ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
        ErrorCode::CONNECTION_ALREADY_EXISTS,
        ErrorCode::CONNECTION_TIMEOUT,
        ErrorCode::ALLOCATION_QUOTA_REACHED,
        ErrorCode::SERVER_ERROR,
        ErrorCode::INSUFFICIENT_CAPACITY,
    ];
    for (code, number) in all.into_iter().zip(codes) {
        let bytes = written(|writer| {
            writer.error(code, code.reason());
        });
        assert_eq!(code.number(), number);
        assert_eq!(parsed(&bytes).error_code(), Some(number));
        assert!(!code.reason().is_empty());
    }
}
