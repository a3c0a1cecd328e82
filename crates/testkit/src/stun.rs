//! What the tests of the codec share.

use std::hint::black_box;

use taciturn_stun::{AttributeType, MAGIC_COOKIE, Message, TransactionId};
use taciturn_turn::auth::{LongTermKey, PasswordAlgorithm, long_term_key, long_term_key_by};

/// The transaction id of messages whose id does not matter.
pub const TID: TransactionId = TransactionId(*b"0123456789ab");

/// A credential.
pub const USERNAME: &str = "1700000000:@alice:example.org";
/// Its realm.
pub const REALM: &str = "example.org";
/// Its password.
pub const PASSWORD: &str = "correct horse battery staple";

/// The key of that credential.
pub fn key() -> LongTermKey {
    long_term_key(USERNAME, REALM, PASSWORD)
}

/// The SHA-256 key of that credential (RFC 8489 section 18.5.1.2).
pub fn key_sha256() -> LongTermKey {
    long_term_key_by(PasswordAlgorithm::Sha256, USERNAME, REALM, PASSWORD)
}

/// A message with `kind` as its first two bytes, made without the code under test. Padding is
/// 0xFF, for receivers ignore it (RFC 8489 section 14).
pub fn raw_message(kind: u16, attributes: &[(AttributeType, &[u8])]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(MAGIC_COOKIE);
    bytes.extend(TID.0);
    for (kind, value) in attributes {
        bytes.extend(kind.0.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0xFF);
    }
    set_length(&mut bytes);
    bytes
}

/// Makes the length field right.
pub fn set_length(message: &mut [u8]) {
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Calls every accessor that reads without allocating.
pub fn read_everything(message: &Message<'_>, key: &LongTermKey) {
    let _ = black_box((message.class(), message.method(), message.transaction_id()));
    let _ = black_box((message.has_fingerprint(), message.has_integrity()));
    let _ = black_box(message.verify_integrity(key));
    let _ = black_box((message.unknown().types(), message.unknown().is_empty()));
    let _ = black_box((message.username(), message.realm(), message.nonce()));
    let _ = black_box((message.userhash(), message.has_integrity_sha256()));
    let _ = black_box((message.password_algorithm(), message.password_algorithms()));
    let _ = black_box((message.lifetime(), message.requested_transport()));
    let _ = black_box((message.requested_family(), message.additional_family()));
    let _ = black_box((message.even_port(), message.reservation_token(), message.dont_fragment()));
    let _ = black_box((message.channel_number(), message.peer(), message.data()));
    let _ = black_box(message.connection_id());
    let _ = black_box((message.mapped_address(), message.relayed_address(), message.error_code()));
    let _ = black_box(message.find(AttributeType::SOFTWARE));
    for peer in message.peers() {
        let _ = black_box(peer);
    }
}
