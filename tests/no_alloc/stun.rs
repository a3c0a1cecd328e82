//! Reading and writing messages allocates nothing: an allocator that counts says so.

// clippy.toml lets tests do this, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use crate::counting::allocations;
use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, ErrorCode, Family, Kind, Message,
    Method, Unknown, Writer,
};
use testkit::stun::{REALM, TID, USERNAME, key, raw_message, read_everything};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A request with every attribute that is read, or the most of them.
fn write(buffer: &mut [u8]) -> usize {
    let v4 = SocketAddr::from(([192, 0, 2, 1], 1));
    let v6 = SocketAddr::from(([0x2001, 0xDB8, 0, 0, 0, 0, 0, 1], 1));
    Writer::new(buffer, Class::Request, Method::ALLOCATE, TID)
        .attribute(T::USERNAME, USERNAME.as_bytes())
        .attribute(T::REALM, REALM.as_bytes())
        .attribute(T::NONCE, b"5a0209b5cb806106")
        .lifetime(600)
        .requested_transport(17)
        .family(T::REQUESTED_ADDRESS_FAMILY, Family::V4)
        .family(T::ADDITIONAL_ADDRESS_FAMILY, Family::V6)
        .attribute(T::EVEN_PORT, &[0x80])
        .attribute(T::RESERVATION_TOKEN, b"12345678")
        .attribute(T::DONT_FRAGMENT, b"")
        .attribute(T::CHANNEL_NUMBER, &[0x40, 0, 0, 0])
        .address(T::XOR_PEER_ADDRESS, v4)
        .address(T::XOR_PEER_ADDRESS, v6)
        .address(T::XOR_MAPPED_ADDRESS, v4)
        .address(T::XOR_RELAYED_ADDRESS, v6)
        .error(ErrorCode::UNAUTHENTICATED, ErrorCode::UNAUTHENTICATED.reason())
        .unknown_attributes(&Unknown::only(T(0x7777)))
        .attribute(T(0x7777), b"unknown")
        .attribute(T::SOFTWARE, b"taciturn")
        .attribute(T::DATA, &[7; 1200])
        .finish()
        .unwrap()
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| Box::new(1)), 1);
    assert_eq!(allocations(|| vec![0_u8; 100]), 1);
    assert_eq!(allocations(|| 1 + 1), 0);
}

#[test]
fn reading_a_message_allocates_nothing() {
    let key = key();
    let mut buffer = [0; 2048];
    let len = write(&mut buffer);
    let read = || {
        let message = Message::parse(&buffer[..len]).unwrap();
        read_everything(&message, &key);
        message.unknown().types().len() + message.peers().count()
    };
    assert_eq!(read(), 3);
    assert_eq!(allocations(read), 0);
}

#[test]
fn checking_integrity_and_fingerprint_allocates_nothing() {
    let key = key();
    let mut buffer = [0; 2048];
    let len = Writer::new(&mut buffer, Class::Request, Method::REFRESH, TID)
        .attribute(T::USERNAME, USERNAME.as_bytes())
        .integrity(&key)
        .fingerprint()
        .finish()
        .unwrap();
    let check = || {
        let message = Message::parse(&buffer[..len]).unwrap();
        message.has_fingerprint() && message.verify_integrity(&key)
    };
    assert!(check());
    assert_eq!(allocations(check), 0);
}

#[test]
fn refusing_a_message_allocates_nothing() {
    let good = raw_message(0x0003, &[(T::SOFTWARE, b"abcd"), (T::FINGERPRINT, &[0; 4])]);
    for len in 0..=good.len() {
        let mut bytes = good[..len].to_vec();
        if len >= 20 {
            testkit::stun::set_length(&mut bytes);
        }
        assert_eq!(allocations(|| Message::parse(&bytes).is_ok()), 0);
    }
    // Nor do values that cannot be read.
    let wrong = raw_message(
        0x0003,
        &[(T::USERNAME, b"\xFF"), (T::LIFETIME, b""), (T::XOR_PEER_ADDRESS, &[0; 8])],
    );
    let key = key();
    assert_eq!(allocations(|| read_everything(&Message::parse(&wrong).unwrap(), &key)), 0);
}

#[test]
fn a_message_full_of_attributes_allocates_nothing() {
    let many: Vec<(T, &[u8])> = (0..15_000).map(|kind| (T(kind), &b""[..])).collect();
    let bytes = raw_message(0x0003, &many);
    let key = key();
    assert_eq!(allocations(|| read_everything(&Message::parse(&bytes).unwrap(), &key)), 0);
}

#[test]
fn channel_data_allocates_nothing() {
    let framed = [0x40, 0x01, 0, 3, b'a', b'b', b'c', 0];
    let read = || (Kind::of(&framed), ChannelData::parse(&framed).unwrap().data.len());
    assert_eq!(read(), (Kind::ChannelData, 3));
    assert_eq!(allocations(read), 0);
    let channel = ChannelNumber::new(0x4001).unwrap();
    assert_eq!(allocations(|| ChannelData::header(channel, 3)), 0);
}

#[test]
fn writing_a_message_allocates_nothing() {
    let key = key();
    let peer = address("[2001:db8::1]:443");
    let mut buffer = [0; 2048];
    assert_eq!(allocations(|| write(&mut buffer)), 0);
    let mut signed = || {
        Writer::new(&mut buffer, Class::Success, Method::ALLOCATE, TID)
            .address(T::XOR_RELAYED_ADDRESS, peer)
            .integrity(&key)
            .fingerprint()
            .finish()
            .unwrap()
    };
    assert_eq!(signed(), 20 + 24 + 24 + 8);
    assert_eq!(allocations(signed), 0);
}
