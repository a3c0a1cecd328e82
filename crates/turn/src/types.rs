//! Names for the things that must not be mixed up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use borsh::{BorshDeserialize, BorshSerialize};

use super::snapshot::wire;
use taciturn_stun::Family;

/// Where a client is: the source of its datagrams or of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct ClientAddr(
    #[borsh(serialize_with = "wire::address::write", deserialize_with = "wire::address::read")]
    pub SocketAddr,
);

/// Where a peer is, as the client names it and as its datagrams come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PeerAddr(
    #[borsh(serialize_with = "wire::address::write", deserialize_with = "wire::address::read")]
    pub SocketAddr,
);

impl fmt::Debug for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What carries the packets between a client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Via {
    /// Datagrams on the listening socket of this number.
    Udp(u16),
    /// A connection of this number, on the listener of that number.
    Stream {
        /// Unique among the live connections of the shard.
        connection: u32,
        /// The listener it came in by.
        listener: u16,
    },
    /// A DTLS connection of this number, on the listening socket of that number.
    Dtls {
        /// Unique among the live DTLS connections of the shard.
        connection: u32,
        /// The listening socket it came in by.
        listener: u16,
    },
}

impl Via {
    /// The number of the listener.
    #[must_use]
    pub const fn listener(self) -> u16 {
        match self {
            Self::Udp(listener) | Self::Stream { listener, .. } | Self::Dtls { listener, .. } => {
                listener
            }
        }
    }

    /// Whether it is a TCP or TLS connection, as TCP allocations need it (RFC 6062 section 5.1).
    #[must_use]
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Stream { .. })
    }
}

/// What a client's packets are carried by, as the counters tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
#[repr(u8)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
    /// DTLS.
    Dtls,
}

impl Carrier {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// That of a client, given whether its connection is secured.
    #[must_use]
    pub const fn of(via: Via, secure: bool) -> Self {
        match (via, secure) {
            (Via::Udp(_), _) => Self::Udp,
            (Via::Dtls { .. }, _) => Self::Dtls,
            (Via::Stream { .. }, false) => Self::Tcp,
            (Via::Stream { .. }, true) => Self::Tls,
        }
    }

    /// Its name: `udp`, `tcp`, `tls`, `dtls`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }
}

//= 8656-5-five-tuple
/// A client as RFC 8656 section 5 identifies it: the 5-tuple. The server's port and the transport
/// follow from the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Client {
    /// The listener or connection.
    pub via: Via,
    /// The server's address that the client sends to; answers come from it.
    pub local: IpAddr,
    /// The client's own address.
    pub remote: ClientAddr,
}

/// A TCP connection between a relayed transport address and a peer, as CONNECTION-ID names it (RFC
/// 6062 section 6.2.1): random, and no other of this server has the same number at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct ConnectionId(pub u32);

/// A shard among those of one server.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
)]
pub struct ShardNumber(pub u16);

/// A relay socket of this shard. Its number is `net`'s affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelayId(pub u32);

slotmap::new_key_type! {
    /// An allocation of this shard. A number is used again with another generation, so an old one finds
    /// nothing.
    pub struct AllocationId;
}

/// One address that relayed transport addresses are made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    /// What clients are told and peers send to.
    pub public: IpAddr,
    /// What the sockets are bound to: the same address, or the private side of a 1:1 NAT.
    pub local: IpAddr,
}

impl RelayAddress {
    /// An address that is bound and told alike.
    #[must_use]
    pub const fn plain(ip: IpAddr) -> Self {
        Self { public: ip, local: ip }
    }

    /// The family of both sides.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.public)
    }
}
