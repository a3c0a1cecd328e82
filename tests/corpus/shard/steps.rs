//! What an input can say.

use arbitrary::Arbitrary;

/// The server, with bounds so low that inputs reach them.
#[derive(Arbitrary, Debug)]
pub(super) struct Setup {
    pub(super) nat: bool,
    pub(super) no_v6: bool,
    pub(super) tcp_relay: bool,
    pub(super) rfc5766_channels: bool,
    pub(super) rfc8489_over_udp: bool,
    pub(super) strict_expiry: bool,
    pub(super) limited_answers: bool,
    pub(super) shared_secret: bool,
}

/// One thing that happens. Clients, users, peers and ports are numbers, reduced to what there is.
#[derive(Arbitrary, Debug)]
pub(super) enum Step {
    /// A request, of a client that follows the rules unless `twist` says otherwise.
    Ask { client: u8, user: u8, what: Ask, twist: Twist },
    /// The last request of that client once more.
    Again { client: u8 },
    /// A Send indication.
    Send { client: u8, peer: Peer, len: u16, dont_fragment: bool },
    /// ChannelData.
    Channel { client: u8, channel: u8, len: u16, more: u8 },
    /// Any bytes.
    Raw { client: u8, bytes: Vec<u8> },
    /// The last request with one byte changed.
    Changed { client: u8, at: u16, byte: u8 },
    /// A datagram from a peer to a relayed address, by its number among those open.
    FromPeer { relay: u8, peer: Peer, len: u16 },
    /// An ICMP error about a datagram to a peer.
    Icmp { relay: u8, peer: Peer, kind: u8, code: u8, mtu: u16 },
    /// Time passes.
    Wait { span: Span },
    /// A client's connection is lost.
    HangUp { client: u8 },
    /// A peer accepts, or not, what Connect has begun.
    Connected { attempt: u8, accepts: bool },
    /// A peer connects to a TCP relay.
    Arrives { relay: u8, peer: Peer },
    /// A data connection that was bound ends.
    PipeEnds { which: u8 },
    /// The operator ends the allocations of a user.
    Kick { user: u8 },
    /// The operator denies a network, or no longer.
    Deny { everybody: bool },
    /// The operator drains the server.
    Drain,
    /// The key of nonces is replaced.
    Rotate,
    /// The system refuses sockets on some port, or not.
    Occupied { port: u8, taken: bool },
}

/// What a request asks for.
#[derive(Arbitrary, Debug)]
pub(super) enum Ask {
    Binding,
    Allocate {
        tcp: bool,
        family: AskFamily,
        port: AskPort,
        lifetime: Lifetime,
        extra: u8,
    },
    Refresh {
        lifetime: Lifetime,
        family: AskFamily,
    },
    Permit {
        peers: Vec<Peer>,
    },
    Bind {
        channel: u8,
        peer: Peer,
    },
    Connect {
        peer: Peer,
    },
    ConnectionBind {
        id: u8,
    },
    /// A method and attributes that nobody would send.
    Odd {
        method: u16,
        attributes: Vec<(u16, Vec<u8>)>,
    },
}

/// Which address family an Allocate or Refresh names.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum AskFamily {
    None,
    V4,
    V6,
    Additional,
    Both,
    Unknown(u8),
}

/// Which port an Allocate names.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum AskPort {
    Any,
    Even,
    EvenAndNext,
    /// The token of this number among those that were given out.
    Token(u8),
    /// One that nobody was given.
    WrongToken([u8; 8]),
}

/// A LIFETIME.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Lifetime {
    None,
    Zero,
    Short(u8),
    Long(u32),
}

/// Where a request differs from what a good client sends.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    None,
    Fingerprint,
    Sha256,
    Unsigned,
    WrongPassword,
    NoNonce,
    OldNonce,
    ForeignNonce,
    UnknownAttribute,
    AfterIntegrity,
}

/// A peer.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Peer {
    /// One of a few on the public Internet.
    Public(u8),
    /// One that the built-in rules deny.
    Private(u8),
    /// A relayed address of this server, by its number among those open.
    Relay(u8),
    /// Another port of the server's own address.
    Own(u16),
    /// Any address.
    Any([u8; 16], u16),
}

/// How long a wait is.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Span {
    Milliseconds(u8),
    Seconds(u8),
    Minutes(u8),
    /// Exactly a permission, a channel, a reservation, an allocation; or a moment less or more.
    Edge {
        which: u8,
        off: i8,
    },
}
