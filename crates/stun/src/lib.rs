//! STUN messages (RFC 8489), TURN's attributes and ChannelData (RFC 8656, RFC 6062), on the wire.
//!
//! Reading allocates nothing and copies nothing: a [`Message`] borrows the datagram and holds one
//! slot for each attribute that a TURN server reads. Writing fills a buffer of the caller.
//! This crate does no I/O and reads no clock.
//!
//! | To do | Use |
//! | --- | --- |
//! | tell STUN from ChannelData and the rest | [`Kind::of`] |
//! | read a message and check its integrity | [`Message::parse`], [`Message::verify_integrity`] |
//! | write a message and sign it | [`Writer`] |
//! | read or write ChannelData | [`ChannelData`], [`ChannelNumber`] |
//! | cut messages out of a stream | [`Frame::of`] |
//!
//! ```
//! use taciturn_stun::{AttributeType, Class, Message, Method, TransactionId, Writer};
//!
//! let mut buffer = [0; 512];
//! let id = TransactionId(*b"abcdefghijkl");
//! let len = Writer::new(&mut buffer, Class::Success, Method::BINDING, id)
//!     .address(AttributeType::XOR_MAPPED_ADDRESS, "192.0.2.1:49152".parse().unwrap())
//!     .finish()
//!     .unwrap();
//! let message = Message::parse(&buffer[..len]).unwrap();
//! assert_eq!((message.class(), message.method()), (Class::Success, Method::BINDING));
//! assert_eq!(message.transaction_id(), id);
//! assert_eq!(message.mapped_address(), Some("192.0.2.1:49152".parse().unwrap()));
//! ```
#![forbid(unsafe_code)]

mod address;
mod attribute;
mod channel_data;
mod classic;
mod error_code;
mod frame;
mod header;
mod integrity;
mod malformed;
mod message;
mod unknown;
mod values;
mod walk;
mod writer;

pub use address::{Family, canonical_ip};
pub use attribute::{AttributeType, BadAttribute};
pub use channel_data::{ChannelData, ChannelNumber};
pub use classic::ClassicRequest;
pub use error_code::ErrorCode;
pub use frame::Frame;
pub use header::{Class, Method, TransactionId};
pub use integrity::{LongTermKey, PasswordAlgorithm};
pub use malformed::Malformed;
pub use message::Message;
pub use unknown::Unknown;
pub use values::ChangeRequest;
pub use writer::data_indication_prefix;
pub use writer::{BufferFull, Writer};

/// The fixed value that marks a STUN message (RFC 8489 section 5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// Bytes of a STUN header (RFC 8489 section 5).
pub const HEADER_LEN: usize = 20;

/// The value that FINGERPRINT's CRC-32 is XORed with (RFC 8489 section 14.7).
//= 8489-14.7-fingerprint
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// The protocol of a datagram from a client, by its first byte (RFC 7983 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A STUN message: the two top bits are zero.
    Stun,
    /// TURN ChannelData: 0x40 to 0x4F, and up to 0x7F from clients that follow RFC 5766.
    ChannelData,
    /// Neither; the server drops it.
    Other,
}

impl Kind {
    /// Looks at the first byte only.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0x00..=0x3F) => Self::Stun,
            Some(0x40..=0x7F) => Self::ChannelData,
            _ => Self::Other,
        }
    }
}
