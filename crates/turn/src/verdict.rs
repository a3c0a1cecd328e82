//! What a shard decides about one packet.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use super::types::{Client, RelayId};

/// The bytes that go in front of relayed data: a ChannelData header or the head of a Data
/// indication. Empty on the way to a peer.
#[derive(Clone, Copy)]
pub struct Prefix {
    bytes: [u8; 48],
    len: u8,
}

impl Prefix {
    /// These bytes; those beyond the 48th are left out.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut prefix = Self { bytes: [0; 48], len: 0 };
        for (slot, byte) in prefix.bytes.iter_mut().zip(bytes) {
            *slot = *byte;
            prefix.len += 1;
        }
        prefix
    }

    /// The bytes, at most 48.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({:02x?})", self.as_bytes())
    }
}

/// What is to be done with a packet that arrived.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Nothing.
    Drop(DropReason),
    /// Send the first so many bytes of the reply buffer to the client that sent the packet.
    Reply(usize),
    /// Send the first `len` bytes of the reply buffer from one of the server's own addresses and
    /// ports to another port of the client, or another way round (RFC 5780).
    ReplyFrom {
        /// How many bytes.
        len: usize,
        /// A UDP listener, as it is bound.
        from: SocketAddr,
        /// The client's address, and the port that it names.
        to: SocketAddr,
    },
    /// Nothing now: the answer comes by [`Clients::tell`](super::Clients::tell).
    Later,
    /// Send `prefix`, then `payload` of the packet, then `padding` zero bytes to the client.
    ToClient {
        /// Whose allocation it is; not always the one that sent the packet.
        client: Client,
        /// What goes in front.
        prefix: Prefix,
        /// Which bytes of the packet.
        payload: Range<usize>,
        /// Zero bytes behind, 0 to 3.
        padding: u8,
    },
    /// Send `payload` of the packet from the relay socket to the peer.
    ToPeer {
        /// The socket.
        relay: RelayId,
        /// The destination.
        peer: SocketAddr,
        /// Which bytes of the packet.
        payload: Range<usize>,
        /// Whether the IP packet is to carry DF (RFC 8656 section 15).
        dont_fragment: bool,
    },
}

/// Why a packet goes no further. Counted, never logged one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Neither STUN nor ChannelData, or not whole.
    Malformed,
    /// A class or method that a server has no answer to.
    Unexpected,
    /// ChannelData or a Send indication from a client without an allocation, or whose allocation is
    /// on its way to this shard.
    NoAllocation,
    /// A channel that is not bound.
    NoChannel,
    /// To or from a peer without a permission.
    NoPermission,
    /// An indication that lacks an attribute, or holds one that is not understood.
    BadIndication,
    /// To an own address on a port that no allocation has.
    OwnAddress,
    /// Data of more bytes than the framing can hold.
    TooLong,
    /// A request of a stranger, whose answer a limit withheld.
    Withheld,
    /// Beyond what one allocation may relay in a second.
    AllocationRate,
    /// Beyond what one user may relay in a second.
    UserRate,
    /// Beyond what one tenant may relay in a second.
    TenantRate,
    /// Beyond what may be relayed in all in a second.
    TotalRate,
    /// A request from a source with too many wrong credentials.
    WrongCredentials,
    /// Beyond the requests that one client has judged in a second.
    RequestRate,
    /// A Binding request without the magic cookie (RFC 3489), which is off.
    Classic,
    /// A request from an address that the operator has banned.
    Banned,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Malformed,
        Self::Unexpected,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::BadIndication,
        Self::OwnAddress,
        Self::TooLong,
        Self::Withheld,
        Self::AllocationRate,
        Self::UserRate,
        Self::TenantRate,
        Self::TotalRate,
        Self::WrongCredentials,
        Self::RequestRate,
        Self::Classic,
        Self::Banned,
    ];

    /// Its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unexpected => "unexpected",
            Self::NoAllocation => "no_allocation",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::BadIndication => "bad_indication",
            Self::OwnAddress => "own_address",
            Self::TooLong => "too_long",
            Self::Withheld => "withheld",
            Self::AllocationRate => "allocation_rate",
            Self::UserRate => "user_rate",
            Self::TenantRate => "tenant_rate",
            Self::TotalRate => "total_rate",
            Self::WrongCredentials => "wrong_credentials",
            Self::RequestRate => "request_rate",
            Self::Classic => "rfc3489",
            Self::Banned => "banned",
        }
    }
}
