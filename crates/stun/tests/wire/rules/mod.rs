//! The rules of RFC 8489 and RFC 8656 for messages, and what other servers got wrong, a test each.

// clippy.toml lets tests do this, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod attributes;
mod header;
mod integrity;
mod writing;

use std::net::SocketAddr;

use taciturn_stun::{Class, Message, Method, Writer};
use testkit::stun::TID;

const ALLOCATE: u16 = 0x0003;
const CLASSES: [Class; 4] = [Class::Request, Class::Indication, Class::Success, Class::Error];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Writes an Allocate request into a buffer full of old bytes.
fn written(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = vec![0xEE; 70_000];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::ALLOCATE, TID);
    fill(&mut writer);
    let len = writer.finish().unwrap();
    buffer.truncate(len);
    buffer
}

fn parsed(bytes: &[u8]) -> Message<'_> {
    Message::parse(bytes).unwrap()
}
