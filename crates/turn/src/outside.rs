//! What a shard asks of the world outside.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::mobile_allocations::MobileId;
use super::types::{AllocationId, Client, ConnectionId, PeerAddr, RelayId, ShardNumber, Traffic};
use crate::auth::Denied;
use crate::policy::{Exceeded, Refusal};
use taciturn_stun::{ChannelNumber, ErrorCode, Method};

/// Why a relay socket cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process holds the port; the next may be free.
    InUse,
    /// No descriptor, no such address: another port would not help.
    Impossible,
}

/// Why a connection to a peer cannot even be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The relayed address cannot be left from.
    Unreachable,
    /// No descriptor.
    Impossible,
}

/// The data path of one channel, for a relay that serves it faster than the sockets can (an XDP
/// map, say). Announced when it begins and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRoute {
    /// The client.
    pub client: Client,
    /// The channel on the client's side.
    pub channel: ChannelNumber,
    /// The relayed transport address on the peer's side, as it is bound.
    pub relay: SocketAddr,
    /// The peer.
    pub peer: PeerAddr,
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client refreshed it to zero.
    Released,
    /// Its lifetime ran out.
    Expired,
    /// The client's connection closed.
    Disconnected,
    /// Its credential ran out, and `strict_expiry` is on.
    CredentialExpired,
    /// The user or secret that it was made with was removed from the configuration.
    CredentialRemoved,
    /// The operator ended it.
    Kicked,
    /// The server stops.
    Shutdown,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Released,
        Self::Expired,
        Self::Disconnected,
        Self::CredentialExpired,
        Self::CredentialRemoved,
        Self::Kicked,
        Self::Shutdown,
    ];

    /// Its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::CredentialExpired => "credential_expired",
            Self::CredentialRemoved => "credential_removed",
            Self::Kicked => "kicked",
            Self::Shutdown => "shutdown",
        }
    }

    /// In words, for the log.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Released => "released by the client",
            Self::Expired => "not refreshed",
            Self::Disconnected => "connection closed",
            Self::CredentialExpired => "credential expired",
            Self::CredentialRemoved => "user or secret removed from the configuration",
            Self::Kicked => "ended by the operator",
            Self::Shutdown => "server stopped",
        }
    }
}

/// Something that an operator may want to read about. None happens once a packet.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// An allocation was made.
    Allocated {
        /// For whom.
        client: Client,
        /// The USERNAME.
        username: &'a str,
        /// The relayed transport address.
        relayed: SocketAddr,
        /// Its lifetime.
        lifetime: Duration,
    },
    /// An allocation ended.
    Ended {
        /// Whose.
        client: Client,
        /// The USERNAME.
        username: &'a str,
        /// The relayed transport address.
        relayed: SocketAddr,
        /// What it relayed.
        traffic: Traffic,
        /// How long it lived.
        lived: Duration,
        /// Why.
        reason: EndReason,
    },
    /// A credential was refused.
    AuthenticationFailed {
        /// Whose.
        client: Client,
        /// The USERNAME it sent.
        username: &'a str,
        /// Why.
        reason: Denied,
    },
    /// A nonce was refused with 438 that this server has not made for this client, or not since its start.
    ForeignNonce {
        /// Whose.
        client: Client,
    },
    /// A Binding request of RFC 3489 was dropped, because `protocol.rfc3489` is off.
    ClassicBinding {
        /// Whose.
        client: Client,
    },
    /// A peer was refused with 403.
    PeerRefused {
        /// To whom.
        client: Client,
        /// The peer's address.
        peer: IpAddr,
        /// The rule; `None` where the port of an own address is no relay port.
        refusal: Option<Refusal>,
    },
    /// A request was answered with an error other than the first 401.
    RequestFailed {
        /// Whose.
        client: Client,
        /// The USERNAME, once it is proven; before that empty.
        username: &'a str,
        /// What it asked.
        method: Method,
        /// The answer.
        code: ErrorCode,
        /// More than the code says, where there is more to say.
        detail: &'a str,
    },
    /// Packets were dropped because a rate is reached. Once a minute for each limit and whom it is
    /// for.
    HeldBack {
        /// The client whose packet was the last.
        client: Client,
        /// Its USERNAME.
        username: &'a str,
        /// The limit.
        exceeded: Exceeded,
        /// How many packets since the last time.
        packets: u64,
    },
}

/// What a shard needs that is not its own: sockets, randomness, somebody who listens.
pub trait Outside {
    /// Fills `bytes` with randomness of the operating system's.
    fn random(&mut self, bytes: &mut [u8]);

    /// Opens a relay socket for `owner` on `address`.
    ///
    /// # Errors
    /// When the port is taken or no socket can be had.
    fn open_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError>;

    /// Closes a relay socket. Nothing more may arrive from it.
    fn close_relay(&mut self, relay: RelayId);

    /// Reports what happened.
    fn event(&mut self, event: Event<'_>);

    /// Opens a socket that listens for peers on `address`, for a TCP allocation. Who connects is
    /// reported to [`Shard::peer_arrived`](super::Shard::peer_arrived).
    ///
    /// # Errors
    /// When the port is taken or no socket can be had.
    fn open_tcp_relay(
        &mut self,
        _owner: AllocationId,
        _address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        Err(OpenError::Impossible)
    }

    /// Closes such a socket. Connections that came in by it stay.
    fn close_tcp_relay(&mut self, _relay: RelayId) {}

    /// Begins a connection to `peer` from the address and port of a TCP relay socket. How it ends
    /// is reported to [`Shard::peer_connected`](super::Shard::peer_connected) or
    /// [`Shard::connect_failed`](super::Shard::connect_failed), never from within this call, and
    /// not at all once it is closed.
    ///
    /// # Errors
    /// When it cannot be begun; then nothing is to be closed.
    fn connect_peer(
        &mut self,
        _owner: AllocationId,
        _relay: RelayId,
        _connection: ConnectionId,
        _peer: SocketAddr,
    ) -> Result<(), ConnectError> {
        Err(ConnectError::Impossible)
    }

    /// Makes the connection of `client` the data connection of a peer connection of any shard:
    /// what follows the answer is data. `false` when the peer connection is gone.
    fn bind_peer(&mut self, _client: Client, _connection: ConnectionId) -> bool {
        false
    }

    /// Closes a peer connection, whatever has become of it, and its data connection. Returns what
    /// it has relayed.
    fn close_peer(&mut self, _connection: ConnectionId) -> Traffic {
        Traffic::default()
    }

    /// Sends a message to a client: a late answer, or an indication.
    fn tell(&mut self, _client: Client, _message: &[u8]) {}

    /// Asks another shard for an allocation whose client has moved to this one
    /// ([`Shard::depart`](super::Shard::depart) there). What becomes of it is reported to
    /// [`Shard::land`](super::Shard::land) or [`Shard::not_fetched`](super::Shard::not_fetched), never
    /// from within this call. `false` when the other has too much to do.
    fn fetch(&mut self, _from: ShardNumber, _allocation: MobileId, _client: Client) -> bool {
        false
    }

    /// Tells another shard that the client of an allocation there has ended it
    /// ([`Shard::release`](super::Shard::release) there). `false` when it has too much to do.
    fn release_at(&mut self, _shard: ShardNumber, _allocation: MobileId) -> bool {
        false
    }

    /// Tells another shard that an allocation can come to this 5-tuple of its now, for the old one is
    /// gone ([`Shard::fetch_for`](super::Shard::fetch_for) there). May be lost.
    fn offer_to(&mut self, _shard: ShardNumber, _client: Client) {}

    /// The port of the server's that a client over UDP sends to.
    fn listening_port(&self, _client: Client) -> Option<u16> {
        None
    }

    /// Whether a client's connection is secured by TLS or DTLS.
    fn is_secure(&self, _client: Client) -> bool {
        false
    }

    /// A channel was bound. A faster data path may serve it, or not.
    fn channel_bound(&mut self, _route: ChannelRoute) {}

    /// A channel that was announced has ended.
    fn channel_ended(&mut self, _route: ChannelRoute) {}
}
