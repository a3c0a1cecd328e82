//! The first messages of clients that people use, captured from real runs (`tests/captured`).

use super::*;
use crate::auth::long_term_key;
use taciturn_stun::{AttributeType as T, Class, Message, Method, Writer};

/// What each has sent: its first Allocate, the one with credentials, Binding from some.
const CAPTURED: [(&str, &str); 7] = [
    ("aiortc", include_str!("../../../../tests/captured/aiortc.hex")),
    ("chromium", include_str!("../../../../tests/captured/chromium.hex")),
    ("firefox", include_str!("../../../../tests/captured/firefox.hex")),
    ("gstreamer", include_str!("../../../../tests/captured/gstreamer.hex")),
    ("libnice", include_str!("../../../../tests/captured/libnice.hex")),
    ("pion", include_str!("../../../../tests/captured/pion.hex")),
    ("uclient", include_str!("../../../../tests/captured/uclient.hex")),
];

/// Transport and bytes of each message.
fn messages(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (transport, hex) = line.split_once(' ').expect("a transport and bytes");
        let digits = hex.as_bytes().chunks(2).map(|two| str::from_utf8(two).expect("hex"));
        (transport, digits.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect())
    })
}

/// The same request with the nonce of this server, signed by this server's alice.
fn with_nonce(captured: &Message<'_>, nonce: &[u8], alice: &TestClient) -> Vec<u8> {
    let mut buffer = vec![0; 1500];
    let tid = captured.transaction_id();
    let mut writer = Writer::new(&mut buffer, Class::Request, captured.method(), tid);
    for kind in captured.attribute_types().into_iter().map(T) {
        match kind {
            T::NONCE => writer.attribute(kind, nonce),
            T::MESSAGE_INTEGRITY => writer.integrity(&alice.key),
            T::FINGERPRINT => writer.fingerprint(),
            kind => writer.attribute(kind, captured.find(kind).expect("an attribute of its")),
        };
    }
    let len = writer.finish().expect("room");
    buffer.truncate(len);
    buffer
}

#[test]
fn first_messages_of_clients_are_answered_as_the_rfcs_want_it() {
    let key = long_term_key("alice", "example.org", "a password");
    for (name, text) in CAPTURED {
        let (mut challenged, mut served) = (0, 0);
        for (transport, bytes) in messages(text) {
            let rig = Rig::new();
            let alice = match transport {
                "udp" => rig.alice(),
                "tcp" => rig.stream_client("192.0.2.1:1001", "alice"),
                other => panic!("{name} over {other}"),
            };
            let captured = Message::parse(&bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(captured.unknown().is_empty(), "{name} sends what is not known");
            if captured.method() == Method::BINDING {
                let reply = alice.raw(&bytes).reply();
                let answer = Message::parse(&reply).expect("an answer");
                assert_eq!(answer.mapped_address(), Some(alice.at.remote.0), "{name}");
                continue;
            }
            assert_eq!(captured.method(), Method::ALLOCATE, "{name}");
            assert_eq!(captured.requested_transport(), Ok(Some(17)), "{name}");
            if !captured.has_integrity() {
                let reply = alice.raw(&bytes).reply();
                let answer = Message::parse(&reply).expect("an answer");
                assert_eq!(answer.error_code(), Some(401), "{name}");
                assert_eq!(answer.has_fingerprint(), captured.has_fingerprint(), "{name}");
                assert!(answer.nonce().is_some() && answer.realm() == Ok(Some("example.org")));
                challenged += 1;
                continue;
            }
            assert_eq!(captured.username(), Ok(Some("alice")), "{name}");
            assert!(captured.verify_integrity(&key), "{name}: the key of its password");
            // Its nonce is of another server, so its password, which is another one, is not looked at.
            let reply = alice.raw(&bytes).reply();
            let refused = Message::parse(&reply).expect("an answer");
            assert_eq!(refused.error_code(), Some(438), "{name}");
            let fresh = refused.nonce().expect("a nonce");
            let reply = alice.raw(&with_nonce(&captured, fresh, &alice)).reply();
            let answer = Message::parse(&reply).expect("an answer");
            assert_eq!((answer.class(), answer.error_code()), (Class::Success, None), "{name}");
            assert!(answer.relayed_address().is_some() && answer.verify_integrity(&alice.key));
            served += 1;
        }
        assert!(challenged >= 1 && served >= 1, "{name}: {challenged} challenged, {served} served");
    }
}
