//! What a server answers, and what peers send through it.

use std::net::SocketAddr;
use std::time::Duration;

use super::ClientError;
use taciturn_stun::{AttributeType as T, ChannelNumber, Message, Method};

/// An answer, whatever its class.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) bytes: Vec<u8>,
    /// From the first sending to the answer.
    pub took: Duration,
    /// How often the request was sent; the round trip is known only if it is 1.
    pub sends: u32,
    /// Bytes of the request.
    pub request_len: usize,
}

impl Answer {
    /// The message.
    ///
    /// # Errors
    /// If the server sends something other than a STUN message.
    pub fn message(&self) -> Result<Message<'_>, ClientError> {
        Message::parse(&self.bytes).map_err(|fault| ClientError::NotStun(fault.to_string()))
    }

    /// Bytes of the answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As an error, which it is.
    ///
    /// # Errors
    /// If it is not a STUN message.
    pub(super) fn refused(&self, method: Method) -> Result<ClientError, ClientError> {
        let message = self.message()?;
        let Some(code) = message.error_code() else {
            return Ok(ClientError::Incomplete { method, what: "ERROR-CODE" });
        };
        let phrase = message.find(T::ERROR_CODE).and_then(|value| value.get(4..));
        let reason = String::from_utf8_lossy(phrase.unwrap_or_default()).trim().to_owned();
        Ok(ClientError::Refused { method, code, reason })
    }
}

/// The challenge of a server: realm and nonce (RFC 8489 section 9.2.4).
#[derive(Clone, Debug)]
pub struct Challenge {
    /// REALM.
    pub realm: String,
    /// NONCE.
    pub nonce: Vec<u8>,
    /// SOFTWARE, if the server sends it.
    pub software: Option<String>,
    /// Bytes of the request, and of its answer.
    pub sizes: (usize, usize),
}

/// The outcome of an Allocate without credentials.
#[derive(Clone, Debug)]
pub enum Opened {
    /// 401, as it must be.
    Challenged(Challenge),
    /// The server gave an allocation to a stranger.
    Granted(Allocation),
}

/// An allocation (RFC 8656 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// XOR-RELAYED-ADDRESS: where peers send to.
    pub relayed: SocketAddr,
    /// XOR-MAPPED-ADDRESS: where the server sees this client.
    pub mapped: Option<SocketAddr>,
    /// Seconds until it ends without a refresh.
    pub lifetime: u32,
}

/// Data from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A Data indication (RFC 8656 section 11.4).
    Indication {
        /// The peer, as the relay saw it.
        peer: SocketAddr,
        /// What.
        data: Vec<u8>,
    },
    /// ChannelData (RFC 8656 section 12.4).
    Channel {
        /// The number that the client bound.
        channel: ChannelNumber,
        /// What.
        data: Vec<u8>,
    },
}

impl Incoming {
    /// The data of the peer.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Indication { data, .. } | Self::Channel { data, .. } => data,
        }
    }
}

/// The content of a success response to Allocate.
pub(super) fn allocation(message: &Message<'_>) -> Result<Allocation, ClientError> {
    let missing = |what| ClientError::Incomplete { method: Method::ALLOCATE, what };
    let relayed = message.relayed_address().ok_or_else(|| missing("XOR-RELAYED-ADDRESS"))?;
    let lifetime = message.lifetime().ok().flatten().ok_or_else(|| missing("LIFETIME"))?;
    Ok(Allocation { relayed, mapped: message.mapped_address(), lifetime })
}
