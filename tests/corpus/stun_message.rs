//! Any bytes as a STUN message: every accessor, and what must hold of a message that was taken.

use taciturn_stun::{AttributeType as T, Class, HEADER_LEN, Kind, Message, Writer};
use taciturn_turn::auth::long_term_key;

/// Reads `bytes` as a STUN message.
pub(crate) fn run(bytes: &[u8]) {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(reason) => return drop(reason.to_string()),
    };
    // RFC 8489 section 5.
    assert_eq!(Kind::of(bytes), Kind::Stun);
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    assert_eq!(bytes.len(), HEADER_LEN + length);
    assert_eq!(message.transaction_id().0[..], bytes[8..HEADER_LEN]);

    // A value is a piece of the message, never of what lies behind it.
    let inside = |value: Option<&[u8]>| {
        let Some(value) = value else { return };
        let range = bytes.as_ptr_range();
        let of = value.as_ptr_range();
        assert!(range.start <= of.start && of.end <= range.end, "a value outside of the message");
    };
    inside(message.nonce());
    inside(message.data());
    inside(message.password_algorithm());
    inside(message.password_algorithms());
    inside(message.username().ok().flatten().map(str::as_bytes));
    inside(message.realm().ok().flatten().map(str::as_bytes));
    for kind in message.attribute_types() {
        inside(message.find(T(kind)));
    }
    let _ = (message.userhash(), message.lifetime(), message.requested_transport());
    let _ = (message.requested_family(), message.additional_family(), message.even_port());
    let _ = (message.reservation_token(), message.dont_fragment(), message.channel_number());
    let _ = (message.connection_id(), message.relayed_address(), message.error_code());
    drop((message.mapped_address(), message.method().name(), format!("{message:?}")));

    // An answer must not grow with a stranger's message.
    let unknown = message.unknown();
    assert!(unknown.types().len() <= 8);
    assert!(unknown.types().iter().all(|kind| T(*kind).comprehension_required()));
    assert_eq!(unknown.is_empty(), unknown.types().is_empty());

    // The first of several counts, and a message of 64 KiB holds so many at the most.
    let peers: Vec<_> = message.peers().collect();
    assert!(peers.len() <= length / 4);
    assert_eq!(peers.first().copied().transpose(), message.peer());

    // Nobody guesses a key.
    let key = long_term_key("user", "realm", "a password that no input holds");
    assert!(!message.verify_integrity(&key), "an integrity that nobody made");

    written_again(&message);
}

/// What was read can be written, and is read alike.
fn written_again(message: &Message<'_>) {
    let mut buffer = vec![0xAA; 70_000];
    let (class, method) = (message.class(), message.method());
    let mut writer = Writer::new(&mut buffer, class, method, message.transaction_id());
    let (peer, data) = (message.peer().ok().flatten(), message.data());
    if let Some(peer) = peer {
        writer.address(T::XOR_PEER_ADDRESS, peer);
    }
    if let Some(data) = data {
        writer.attribute(T::DATA, data);
    }
    writer.unknown_attributes(message.unknown());
    let key = long_term_key("user", "realm", "another");
    if class != Class::Indication {
        writer.integrity(&key);
    }
    writer.fingerprint();
    // The whole may have become too long for the length field.
    let Ok(len) = writer.finish() else { return };
    let again = Message::parse(&buffer[..len]).expect("what ours writes ours reads");
    assert_eq!((again.class(), again.method()), (class, method));
    assert_eq!((again.peer(), again.data()), (Ok(peer), data));
    assert_eq!(again.verify_integrity(&key), class != Class::Indication);
}
