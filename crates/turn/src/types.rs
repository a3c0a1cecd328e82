//! Names for the things that must not be mixed up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use taciturn_stun::Family;

/// Where a client is: the source of its datagrams or of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub SocketAddr);

/// Where a peer is, as the client names it and as its datagrams come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddr(pub SocketAddr);

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u32);

/// A shard among those of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardNumber(pub u16);

/// A relay socket of this shard. Its number is `net`'s affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelayId(pub u32);

/// An allocation of this shard. Numbers are used again; the generation tells old from new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId {
    pub(super) index: u32,
    pub(super) generation: u32,
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
    /// Nothing now: the answer comes by [`Outside::tell`](super::Outside::tell).
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
    /// Beyond what may be relayed in all in a second.
    TotalRate,
    /// A request from a source with too many wrong credentials.
    WrongCredentials,
    /// A Binding request without the magic cookie (RFC 3489), which is off.
    Classic,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 14] = [
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
        Self::TotalRate,
        Self::WrongCredentials,
        Self::Classic,
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
            Self::TotalRate => "total_rate",
            Self::WrongCredentials => "wrong_credentials",
            Self::Classic => "rfc3489",
        }
    }
}

/// Packets and bytes of application data, both ways. TCP allocations count bytes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets from the client to peers.
    pub packets_to_peers: u64,
    /// Bytes from the client to peers.
    pub bytes_to_peers: u64,
    /// Packets from peers to the client.
    pub packets_to_client: u64,
    /// Bytes from peers to the client.
    pub bytes_to_client: u64,
}

impl Traffic {
    pub(super) fn count_to_peer(&mut self, len: usize) {
        self.packets_to_peers += 1;
        self.bytes_to_peers += len as u64;
    }

    pub(super) fn count_to_client(&mut self, len: u16) {
        self.packets_to_client += 1;
        self.bytes_to_client += u64::from(len);
    }

    /// Adds what another has counted.
    pub const fn add(&mut self, other: Self) {
        self.packets_to_peers += other.packets_to_peers;
        self.bytes_to_peers += other.bytes_to_peers;
        self.packets_to_client += other.packets_to_client;
        self.bytes_to_client += other.bytes_to_client;
    }
}
