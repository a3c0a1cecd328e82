//! Writing a STUN message into a buffer of the caller's.

use std::net::SocketAddr;

use super::address::{write_plain, write_xored};
use super::attribute::AttributeType as T;
use super::header::{Class, Method, TransactionId, message_type};
use super::integrity::{fingerprint, sign_sha1, sign_sha256};
use super::unknown::Unknown;
use super::{ChannelNumber, ErrorCode, Family, HEADER_LEN, MAGIC_COOKIE};

/// The buffer is too small for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not fit into the buffer")]
pub struct BufferFull;

/// Writes one message, attribute by attribute, then [`Writer::finish`].
///
/// Padding is always zero. An attribute that does not fit makes `finish` fail; nothing panics.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    tid: TransactionId,
    full: bool,
}

impl<'b> Writer<'b> {
    /// Starts a message at the front of `buffer`.
    #[must_use]
    pub fn new(buffer: &'b mut [u8], class: Class, method: Method, tid: TransactionId) -> Self {
        let mut writer = Self { buffer, len: HEADER_LEN, tid, full: false };
        match writer.buffer.first_chunk_mut::<HEADER_LEN>() {
            Some(header) => {
                header[..2].copy_from_slice(&message_type(class, method).to_be_bytes());
                header[2..4].fill(0);
                header[4..8].copy_from_slice(&MAGIC_COOKIE);
                header[8..].copy_from_slice(&tid.0);
            }
            None => writer.full = true,
        }
        writer
    }

    /// Adds any attribute.
    //= 8489-14-padding, 8656-18-padding
    pub fn attribute(&mut self, kind: T, value: &[u8]) -> &mut Self {
        let (Ok(length), padded) = (u16::try_from(value.len()), value.len().next_multiple_of(4))
        else {
            self.full = true;
            return self;
        };
        let Some(space) =
            self.buffer.get_mut(self.len..self.len + 4 + padded).filter(|_| !self.full)
        else {
            self.full = true;
            return self;
        };
        space[..2].copy_from_slice(&kind.0.to_be_bytes());
        space[2..4].copy_from_slice(&length.to_be_bytes());
        space[4..4 + value.len()].copy_from_slice(value);
        space[4 + value.len()..].fill(0);
        self.len += 4 + padded;
        self
    }

    /// Adds XOR-MAPPED-ADDRESS, XOR-RELAYED-ADDRESS or XOR-PEER-ADDRESS.
    pub fn address(&mut self, kind: T, address: SocketAddr) -> &mut Self {
        let mut value = [0; 20];
        let len = write_xored(address, self.tid, &mut value);
        self.attribute(kind, &value[..len])
    }

    //= 8489-14.15-alternate-server-form
    /// Adds ALTERNATE-SERVER or MAPPED-ADDRESS, which are not XORed (RFC 8489 section 14.1).
    pub fn plain_address(&mut self, kind: T, address: SocketAddr) -> &mut Self {
        let mut value = [0; 20];
        let len = write_plain(address, &mut value);
        self.attribute(kind, &value[..len])
    }

    /// Adds ERROR-CODE with a reason phrase (RFC 8489 section 14.8), of which at most 127 bytes are
    /// sent.
    //= 8489-14.8-error-code-range
    pub fn error(&mut self, code: ErrorCode, reason: &str) -> &mut Self {
        //= 8489-14.8-reason-length
        // RFC 8489 section 14.8: UTF-8, fewer than 128 characters. The end of one is looked for at
        // most three bytes back.
        let mut len = reason.len().min(127);
        while !reason.is_char_boundary(len) {
            len -= 1;
        }
        let mut value = [0; 4 + 127];
        let [_, _, class, number, text @ ..] = &mut value;
        // A class is 3 to 6 and a number 0 to 99.
        *class = (code.number() / 100) as u8;
        *number = (code.number() % 100) as u8;
        text[..len].copy_from_slice(&reason.as_bytes()[..len]);
        self.attribute(T::ERROR_CODE, &value[..4 + len])
    }

    //= 8489-14.13-unknown-list
    /// Adds UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13).
    pub fn unknown_attributes(&mut self, unknown: &Unknown) -> &mut Self {
        let mut value = [0; 16];
        let types = unknown.types();
        for (slot, kind) in value.chunks_exact_mut(2).zip(types) {
            slot.copy_from_slice(&kind.to_be_bytes());
        }
        self.attribute(T::UNKNOWN_ATTRIBUTES, &value[..types.len() * 2])
    }

    /// Adds UNKNOWN-ATTRIBUTES as RFC 3489 section 11.2.10 has it: an even number of types, the last
    /// one twice where need be.
    pub(super) fn classic_unknown(&mut self, unknown: &Unknown) -> &mut Self {
        let types = unknown.types();
        let last = types.last().filter(|_| types.len() % 2 == 1);
        let mut value = [0; 16];
        for (slot, kind) in value.chunks_exact_mut(2).zip(types.iter().chain(last)) {
            slot.copy_from_slice(&kind.to_be_bytes());
        }
        self.attribute(T::UNKNOWN_ATTRIBUTES, &value[..types.len().next_multiple_of(2) * 2])
    }

    /// Adds LIFETIME, in seconds.
    pub fn lifetime(&mut self, seconds: u32) -> &mut Self {
        self.attribute(T::LIFETIME, &seconds.to_be_bytes())
    }

    /// Adds REQUESTED-TRANSPORT: the protocol number, 17 for UDP.
    pub fn requested_transport(&mut self, protocol: u8) -> &mut Self {
        self.attribute(T::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0])
    }

    /// Adds REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
    pub fn family(&mut self, kind: T, family: Family) -> &mut Self {
        self.attribute(kind, &[family.number(), 0, 0, 0])
    }

    /// Adds CHANNEL-NUMBER.
    pub fn channel_number(&mut self, channel: ChannelNumber) -> &mut Self {
        let [high, low] = channel.number().to_be_bytes();
        self.attribute(T::CHANNEL_NUMBER, &[high, low, 0, 0])
    }

    /// Adds CONNECTION-ID (RFC 6062 section 6.2.1).
    pub fn connection_id(&mut self, id: u32) -> &mut Self {
        self.attribute(T::CONNECTION_ID, &id.to_be_bytes())
    }

    /// Adds MESSAGE-INTEGRITY over everything so far (RFC 8489 section 14.5).
    pub fn integrity(&mut self, key: &impl AsRef<[u8]>) -> &mut Self {
        self.set_length(24);
        let covered = self.buffer.get(..self.len).unwrap_or_default();
        let tag = sign_sha1(key.as_ref(), &[covered]);
        self.attribute(T::MESSAGE_INTEGRITY, &tag)
    }

    /// Adds MESSAGE-INTEGRITY-SHA256 over everything so far (RFC 8489 section 14.6).
    pub fn integrity_sha256(&mut self, key: &impl AsRef<[u8]>) -> &mut Self {
        self.set_length(36);
        let covered = self.buffer.get(..self.len).unwrap_or_default();
        let tag = sign_sha256(key.as_ref(), &[covered]);
        self.attribute(T::MESSAGE_INTEGRITY_SHA256, &tag)
    }

    /// Adds FINGERPRINT over everything so far; must be the last (RFC 8489 section 14.7).
    pub fn fingerprint(&mut self) -> &mut Self {
        self.set_length(8);
        let covered = self.buffer.get(..self.len).unwrap_or_default();
        let value = fingerprint(&[covered]);
        self.attribute(T::FINGERPRINT, &value.to_be_bytes())
    }

    /// Writes the length field as if `more` bytes of attributes followed.
    fn set_length(&mut self, more: usize) {
        match (u16::try_from(self.len + more - HEADER_LEN), self.buffer.get_mut(2..4)) {
            (Ok(length), Some(field)) => field.copy_from_slice(&length.to_be_bytes()),
            _ => self.full = true,
        }
    }

    /// Completes the message; returns its length.
    ///
    /// # Errors
    /// When the buffer was too small.
    pub fn finish(&mut self) -> Result<usize, BufferFull> {
        self.set_length(0);
        if self.full { Err(BufferFull) } else { Ok(self.len) }
    }
}

//= 8656-11.3-data-indication
/// The STUN message in front of the data of a Data indication (RFC 8656 section 11.4): header,
/// XOR-PEER-ADDRESS and the DATA attribute's own header. Returns its length, 36 or 48.
///
/// The data follow, then padding up to a multiple of 4; the length field counts both.
pub fn data_indication_prefix(
    out: &mut [u8; 48],
    tid: TransactionId,
    peer: SocketAddr,
    data_len: u16,
) -> Result<usize, BufferFull> {
    let mut writer = Writer::new(out, Class::Indication, Method::DATA, tid);
    writer.address(T::XOR_PEER_ADDRESS, peer).finish()?;
    let at = writer.len;
    writer.set_length(4 + usize::from(data_len).next_multiple_of(4));
    if writer.full {
        return Err(BufferFull);
    }
    let space = out.get_mut(at..at + 4).ok_or(BufferFull)?;
    space[..2].copy_from_slice(&T::DATA.0.to_be_bytes());
    space[2..].copy_from_slice(&data_len.to_be_bytes());
    Ok(at + 4)
}
