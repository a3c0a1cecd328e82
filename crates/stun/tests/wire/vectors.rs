//! Messages made by others: the vectors of RFC 5769 and RFC 8489, and what Chrome sent to coturn.

// clippy.toml lets tests do this, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use taciturn_stun::{
    AttributeType, ChannelData, Class, Kind, Message, Method, PasswordAlgorithm, TransactionId,
    Writer,
};
use taciturn_turn::auth::{long_term_key, long_term_key_by, userhash};

const SOFTWARE: AttributeType = AttributeType::SOFTWARE;
const PRIORITY: AttributeType = AttributeType(0x0024);
const ICE_CONTROLLED: AttributeType = AttributeType(0x8029);

/// RFC 5769 section 2: the password of 2.1 to 2.3.
const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

const TID: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

#[rustfmt::skip]
const SAMPLE_REQUEST: [u8; 108] = [
    0x00, 0x01, 0x00, 0x58, // Binding request, length
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0xb7, 0xe7, 0xa7, 0x01, // transaction id
    0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x10, // SOFTWARE
    0x53, 0x54, 0x55, 0x4e, // "STUN test client"
    0x20, 0x74, 0x65, 0x73,
    0x74, 0x20, 0x63, 0x6c,
    0x69, 0x65, 0x6e, 0x74,
    0x00, 0x24, 0x00, 0x04, // PRIORITY
    0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, // ICE-CONTROLLED
    0x93, 0x2f, 0xf9, 0xb1,
    0x51, 0x26, 0x3b, 0x36,
    0x00, 0x06, 0x00, 0x09, // USERNAME
    0x65, 0x76, 0x74, 0x6a, // "evtj:h6vY" and three spaces
    0x3a, 0x68, 0x36, 0x76,
    0x59, 0x20, 0x20, 0x20,
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY
    0x9a, 0xea, 0xa7, 0x0c,
    0xbf, 0xd8, 0xcb, 0x56,
    0x78, 0x1e, 0xf2, 0xb5,
    0xb2, 0xd3, 0xf2, 0x49,
    0xc1, 0xb5, 0x71, 0xa2,
    0x80, 0x28, 0x00, 0x04, // FINGERPRINT
    0xe5, 0x7a, 0x3b, 0xcf,
];

#[rustfmt::skip]
const IPV4_RESPONSE: [u8; 80] = [
    0x01, 0x01, 0x00, 0x3c, // Binding success, length
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0xb7, 0xe7, 0xa7, 0x01, // transaction id
    0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x0b, // SOFTWARE
    0x74, 0x65, 0x73, 0x74, // "test vector" and one space
    0x20, 0x76, 0x65, 0x63,
    0x74, 0x6f, 0x72, 0x20,
    0x00, 0x20, 0x00, 0x08, // XOR-MAPPED-ADDRESS
    0x00, 0x01, 0xa1, 0x47, // IPv4, port 32853
    0xe1, 0x12, 0xa6, 0x43, // 192.0.2.1
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY
    0x2b, 0x91, 0xf5, 0x99,
    0xfd, 0x9e, 0x90, 0xc3,
    0x8c, 0x74, 0x89, 0xf9,
    0x2a, 0xf9, 0xba, 0x53,
    0xf0, 0x6b, 0xe7, 0xd7,
    0x80, 0x28, 0x00, 0x04, // FINGERPRINT
    0xc0, 0x7d, 0x4c, 0x96,
];

#[rustfmt::skip]
const IPV6_RESPONSE: [u8; 92] = [
    0x01, 0x01, 0x00, 0x48, // Binding success, length
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0xb7, 0xe7, 0xa7, 0x01, // transaction id
    0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x0b, // SOFTWARE
    0x74, 0x65, 0x73, 0x74, // "test vector" and one space
    0x20, 0x76, 0x65, 0x63,
    0x74, 0x6f, 0x72, 0x20,
    0x00, 0x20, 0x00, 0x14, // XOR-MAPPED-ADDRESS
    0x00, 0x02, 0xa1, 0x47, // IPv6, port 32853
    0x01, 0x13, 0xa9, 0xfa, // 2001:db8:1234:5678:11:2233:4455:6677
    0xa5, 0xd3, 0xf1, 0x79,
    0xbc, 0x25, 0xf4, 0xb5,
    0xbe, 0xd2, 0xb9, 0xd9,
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY
    0xa3, 0x82, 0x95, 0x4e,
    0x4b, 0xe6, 0x7b, 0xf1,
    0x17, 0x84, 0xc9, 0x7c,
    0x82, 0x92, 0xc2, 0x75,
    0xbf, 0xe3, 0xed, 0x41,
    0x80, 0x28, 0x00, 0x04, // FINGERPRINT
    0xc8, 0xfb, 0x0b, 0x4c,
];

#[rustfmt::skip]
const LONG_TERM_REQUEST: [u8; 116] = [
    0x00, 0x01, 0x00, 0x60, // Binding request, length
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0x78, 0xad, 0x34, 0x33, // transaction id
    0xc6, 0xad, 0x72, 0xc0,
    0x29, 0xda, 0x41, 0x2e,
    0x00, 0x06, 0x00, 0x12, // USERNAME
    0xe3, 0x83, 0x9e, 0xe3, // six katakana and two bytes of padding, here zero
    0x83, 0x88, 0xe3, 0x83,
    0xaa, 0xe3, 0x83, 0x83,
    0xe3, 0x82, 0xaf, 0xe3,
    0x82, 0xb9, 0x00, 0x00,
    0x00, 0x15, 0x00, 0x1c, // NONCE
    0x66, 0x2f, 0x2f, 0x34, // "f//499k954d6OL34oL9FSTvy64sA"
    0x39, 0x39, 0x6b, 0x39,
    0x35, 0x34, 0x64, 0x36,
    0x4f, 0x4c, 0x33, 0x34,
    0x6f, 0x4c, 0x39, 0x46,
    0x53, 0x54, 0x76, 0x79,
    0x36, 0x34, 0x73, 0x41,
    0x00, 0x14, 0x00, 0x0b, // REALM
    0x65, 0x78, 0x61, 0x6d, // "example.org" and one byte of padding, here zero
    0x70, 0x6c, 0x65, 0x2e,
    0x6f, 0x72, 0x67, 0x00,
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY
    0xf6, 0x70, 0x24, 0x65,
    0x6d, 0xd6, 0x4a, 0x3e,
    0x02, 0xb8, 0xe0, 0x71,
    0x2e, 0x85, 0xc9, 0xa2,
    0x8c, 0xa8, 0x96, 0x66,
];

/// RFC 8489 appendix B.1 with erratum 6268: the appendix forgot PASSWORD-ALGORITHM.
#[rustfmt::skip]
const SHA256_REQUEST: [u8; 164] = [
    0x00, 0x01, 0x00, 0x90, // Binding request, length
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0x78, 0xad, 0x34, 0x33, // transaction id
    0xc6, 0xad, 0x72, 0xc0,
    0x29, 0xda, 0x41, 0x2e,
    0x00, 0x1e, 0x00, 0x20, // USERHASH
    0x4a, 0x3c, 0xf3, 0x8f,
    0xef, 0x69, 0x92, 0xbd,
    0xa9, 0x52, 0xc6, 0x78,
    0x04, 0x17, 0xda, 0x0f,
    0x24, 0x81, 0x94, 0x15,
    0x56, 0x9e, 0x60, 0xb2,
    0x05, 0xc4, 0x6e, 0x41,
    0x40, 0x7f, 0x17, 0x04,
    0x00, 0x15, 0x00, 0x29, // NONCE
    0x6f, 0x62, 0x4d, 0x61, // "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA" and padding
    0x74, 0x4a, 0x6f, 0x73,
    0x32, 0x41, 0x41, 0x41,
    0x43, 0x66, 0x2f, 0x2f,
    0x34, 0x39, 0x39, 0x6b,
    0x39, 0x35, 0x34, 0x64,
    0x36, 0x4f, 0x4c, 0x33,
    0x34, 0x6f, 0x4c, 0x39,
    0x46, 0x53, 0x54, 0x76,
    0x79, 0x36, 0x34, 0x73,
    0x41, 0x00, 0x00, 0x00,
    0x00, 0x14, 0x00, 0x0b, // REALM
    0x65, 0x78, 0x61, 0x6d, // "example.org" and padding
    0x70, 0x6c, 0x65, 0x2e,
    0x6f, 0x72, 0x67, 0x00,
    0x00, 0x1d, 0x00, 0x04, // PASSWORD-ALGORITHM
    0x00, 0x02, 0x00, 0x00, // SHA-256, without parameters
    0x00, 0x1c, 0x00, 0x20, // MESSAGE-INTEGRITY-SHA256
    0xb5, 0xc7, 0xbf, 0x00,
    0x5b, 0x6c, 0x52, 0xa2,
    0x1c, 0x51, 0xc5, 0xe8,
    0x92, 0xf8, 0x19, 0x24,
    0x13, 0x62, 0x96, 0xcb,
    0x92, 0x7c, 0x43, 0x14,
    0x93, 0x09, 0x27, 0x8c,
    0xc6, 0x51, 0x8e, 0x65,
];

/// The vectors pad with spaces, which RFC 8489 section 14 allows; ours are zero. What is signed
/// differs with them, so the bytes are compared up to MESSAGE-INTEGRITY, the padding aside.
fn assert_same_up_to_integrity(ours: &[u8], vector: &[u8], integrity: usize, padding: &[usize]) {
    let mut expected = vector.to_vec();
    for &at in padding {
        assert_eq!(vector[at], b' ', "byte {at} of the vector is padding");
        expected[at] = 0;
    }
    assert_eq!(ours[..integrity], expected[..integrity]);
    assert_eq!(ours.len(), vector.len());
}

//= 8489-14-padding, 8489-14.7-fingerprint
#[test]
fn rfc5769_section_2_1_sample_request_is_read() {
    let message = Message::parse(&SAMPLE_REQUEST).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.transaction_id(), TID);
    assert_eq!(message.find(SOFTWARE), Some(&b"STUN test client"[..]));
    assert_eq!(message.find(PRIORITY), Some(&[0x6e, 0x00, 0x01, 0xff][..]));
    assert_eq!(
        message.find(ICE_CONTROLLED),
        Some(&[0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36][..])
    );
    assert_eq!(message.username(), Ok(Some("evtj:h6vY")));
    assert!(message.has_integrity() && message.has_fingerprint());
    assert!(message.verify_integrity(&PASSWORD));
    assert!(!message.verify_integrity(&&PASSWORD[1..]));
    // PRIORITY must be understood, and belongs to ICE.
    assert_eq!(message.unknown().types(), [PRIORITY.0]);
}

//= 8489-5-cookie, 8489-14-tlv
#[test]
fn rfc5769_section_2_1_sample_request_is_written() {
    let mut buffer = [0xEE; 200];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TID);
    let len = writer
        .attribute(SOFTWARE, b"STUN test client")
        .attribute(PRIORITY, &[0x6e, 0x00, 0x01, 0xff])
        .attribute(ICE_CONTROLLED, &[0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36])
        .attribute(AttributeType::USERNAME, b"evtj:h6vY")
        .integrity(&PASSWORD)
        .fingerprint()
        .finish()
        .unwrap();
    assert_same_up_to_integrity(&buffer[..len], &SAMPLE_REQUEST, 76, &[73, 74, 75]);
    assert!(Message::parse(&buffer[..len]).unwrap().verify_integrity(&PASSWORD));
}

fn response(vector: &[u8], address: &str, integrity: usize) {
    let address: SocketAddr = address.parse().unwrap();
    let key = PASSWORD;

    let message = Message::parse(vector).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Success, Method::BINDING));
    assert_eq!(message.transaction_id(), TID);
    assert_eq!(message.find(SOFTWARE), Some(&b"test vector"[..]));
    assert_eq!(message.mapped_address(), Some(address));
    assert!(message.has_fingerprint());
    assert!(message.verify_integrity(&key));

    let mut buffer = [0xEE; 200];
    let len = Writer::new(&mut buffer, Class::Success, Method::BINDING, TID)
        .attribute(SOFTWARE, b"test vector")
        .address(AttributeType::XOR_MAPPED_ADDRESS, address)
        .integrity(&key)
        .fingerprint()
        .finish()
        .unwrap();
    assert_same_up_to_integrity(&buffer[..len], vector, integrity, &[35]);
}

//= 8489-5-same-transaction-id, 8489-14.2-xor-mapped-address
#[test]
fn rfc5769_section_2_2_ipv4_response_is_read_and_written() {
    response(&IPV4_RESPONSE, "192.0.2.1:32853", 48);
}

//= 8489-14.2-xor-mapped-address
#[test]
fn rfc5769_section_2_3_ipv6_response_is_read_and_written() {
    response(&IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853", 60);
}

//= 8489-14.5-integrity
#[test]
fn rfc5769_section_2_4_long_term_request_is_read_and_written_byte_for_byte() {
    // The password is given after SASLprep.
    let (username, realm) = ("マトリックス", "example.org");
    let key = long_term_key(username, realm, "TheMatrIX");

    let message = Message::parse(&LONG_TERM_REQUEST).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.username(), Ok(Some(username)));
    assert_eq!(message.realm(), Ok(Some(realm)));
    assert_eq!(message.nonce(), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert!(message.unknown().is_empty());
    assert!(!message.has_fingerprint());
    assert!(message.verify_integrity(&key));
    assert!(!message.verify_integrity(&long_term_key(username, realm, "TheMatrix")));

    let mut buffer = [0xEE; 200];
    let len = Writer::new(&mut buffer, Class::Request, Method::BINDING, message.transaction_id())
        .attribute(AttributeType::USERNAME, username.as_bytes())
        .attribute(AttributeType::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .attribute(AttributeType::REALM, realm.as_bytes())
        .integrity(&key)
        .finish()
        .unwrap();
    assert_eq!(buffer[..len], LONG_TERM_REQUEST);
}

//= 8489-14.4-userhash, 8489-14.6-integrity-sha256
#[test]
fn rfc8489_appendix_b_1_sha256_request_is_read_and_written_byte_for_byte() {
    let (username, realm) = ("マトリックス", "example.org");
    let hash = userhash(username, realm);
    let key = long_term_key_by(PasswordAlgorithm::Sha256, username, realm, "TheMatrIX");

    let message = Message::parse(&SHA256_REQUEST).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.userhash(), Ok(Some(hash)));
    assert_eq!(message.username(), Ok(None));
    assert_eq!(message.realm(), Ok(Some(realm)));
    assert_eq!(message.nonce(), Some(&b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"[..]));
    let algorithm = message.password_algorithm().and_then(PasswordAlgorithm::from_value);
    assert_eq!(algorithm, Some(PasswordAlgorithm::Sha256));
    assert!(message.unknown().is_empty());
    assert!(message.has_integrity_sha256() && message.verify_integrity(&key));
    assert!(!message.verify_integrity(&long_term_key(username, realm, "TheMatrIX")));

    let mut buffer = [0xEE; 200];
    let len = Writer::new(&mut buffer, Class::Request, Method::BINDING, message.transaction_id())
        .attribute(AttributeType::USERHASH, &hash)
        .attribute(AttributeType::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .attribute(AttributeType::REALM, realm.as_bytes())
        .attribute(AttributeType::PASSWORD_ALGORITHM, &PasswordAlgorithm::Sha256.value())
        .integrity_sha256(&key)
        .finish()
        .unwrap();
    assert_eq!(buffer[..len], SHA256_REQUEST);
}

/// RFC 8489 sections 14.5 to 14.7. A flipped bit may hide FINGERPRINT behind another type or
/// inside of another attribute; then MESSAGE-INTEGRITY still covers all in front of it.
//= 8489-14.5-integrity
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let long = |by| long_term_key_by(by, "マトリックス", "example.org", "TheMatrIX");
    let (md5, sha256) = (long(PasswordAlgorithm::Md5), long(PasswordAlgorithm::Sha256));
    let signed: [(&[u8], &[u8], usize); 5] = [
        (&SAMPLE_REQUEST, PASSWORD, SAMPLE_REQUEST.len() - 8),
        (&IPV4_RESPONSE, PASSWORD, IPV4_RESPONSE.len() - 8),
        (&IPV6_RESPONSE, PASSWORD, IPV6_RESPONSE.len() - 8),
        (&LONG_TERM_REQUEST, md5.bytes(), LONG_TERM_REQUEST.len()),
        (&SHA256_REQUEST, sha256.bytes(), SHA256_REQUEST.len()),
    ];
    for (vector, key, integrity_end) in signed {
        for bit in 0..vector.len() * 8 {
            let mut flipped = vector.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(message) = Message::parse(&flipped) else { continue };
            assert!(!message.has_fingerprint(), "FINGERPRINT covers bit {bit}");
            let covered = bit / 8 < integrity_end;
            assert_ne!(message.verify_integrity(&key), covered, "bit {bit}");
        }
    }
}

/// Chrome's Allocate and coturn 4.5.0.3's answers, as in the tests of pion/turn and webrtc-rs.
const CHROME_ALLOCATE: &str = "000300242112a442626b4a6849664c3630526863802f0016687474703a2f2f6c6f\
    63616c686f73743a333030302f00000019000411000000";
const COTURN_401: &str = "011300582112a442626b4a6849664c36305268630009001000000401556e617574686f72\
    697a656400150010356130323039623563623830363130360014000b61312e63796465762e7275758022001a436f74\
    75726e2d342e352e302e33202764616e204569646572272300";
const CHROME_ALLOCATE_SIGNED: &str = "0003006c2112a442324e50695a437a4634535034802f0016687474703a2f\
    2f6c6f63616c686f73743a333030302f000000190004110000000006000665726e61646f00000014000b61312e6379\
    6465762e7275000015001035613032303962356362383036313036000800145c8743f3b64bec0880cdd8d476d37b80\
    1a6c3d33";
const COTURN_SUCCESS: &str = "010300582112a442324e50695a437a4634535034001600080001fb922b1ab2110020\
    00080001adb2f49f38ae000d0004000002588022001a436f7475726e2d342e352e302e33202764616e204569646572\
    277475000800145d7e85b767a519ffce91dbf0a96775e370db92e3";
/// An ICE check of Chrome's inside of ChannelData.
const CHROME_CHANNEL_DATA: &str = "40000064000100502112a442453731722f2b322b6e4e7a5800060009443758\
    343a33776c59000000c0570004000003e7802a00081d5136dab65b169300250000002400046e001eff000800146\
    5d11a330e104a9f5f598af4abc6a805f26003cf802800046b334442";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn chrome_allocate_request_without_credentials() {
    let datagram = bytes(CHROME_ALLOCATE);
    assert_eq!(Kind::of(&datagram), Kind::Stun);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::ALLOCATE));
    assert_eq!(message.requested_transport(), Ok(Some(17)));
    assert_eq!(message.find(AttributeType(0x802F)), Some(&b"http://localhost:3000/"[..]));
    assert!(message.unknown().is_empty());
    assert!(!message.has_integrity());
}

#[test]
fn chrome_allocate_request_with_credentials() {
    let datagram = bytes(CHROME_ALLOCATE_SIGNED);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::ALLOCATE));
    assert_eq!(message.requested_transport(), Ok(Some(17)));
    assert_eq!(message.username(), Ok(Some("ernado")));
    assert_eq!(message.realm(), Ok(Some("a1.cydev.ru")));
    assert_eq!(message.nonce(), Some(&b"5a0209b5cb806106"[..]));
    assert!(message.has_integrity());
    assert!(message.unknown().is_empty());
}

//= 8489-14-padding
#[test]
fn coturn_answers_with_padding_that_is_not_zero() {
    let refused = bytes(COTURN_401);
    let message = Message::parse(&refused).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Error, Method::ALLOCATE));
    assert_eq!(message.error_code(), Some(401));
    assert_eq!(message.realm(), Ok(Some("a1.cydev.ru")));

    let granted = bytes(COTURN_SUCCESS);
    let message = Message::parse(&granted).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Success, Method::ALLOCATE));
    assert_eq!(message.relayed_address(), Some("10.8.22.83:55936".parse().unwrap()));
    assert_eq!(message.mapped_address(), Some("213.141.156.236:36000".parse().unwrap()));
    assert_eq!(message.lifetime(), Ok(Some(600)));
}

#[test]
fn chrome_ice_check_inside_of_channel_data() {
    let datagram = bytes(CHROME_CHANNEL_DATA);
    assert_eq!(Kind::of(&datagram), Kind::ChannelData);
    let channel_data = ChannelData::parse(&datagram).unwrap();
    assert_eq!(channel_data.channel.number(), 0x4000);
    assert_eq!(channel_data.data, &datagram[4..]);
    let check = Message::parse(channel_data.data).unwrap();
    assert_eq!((check.class(), check.method()), (Class::Request, Method::BINDING));
    assert_eq!(check.username(), Ok(Some("D7X4:3wlY")));
    assert!(check.has_integrity() && check.has_fingerprint());
}
