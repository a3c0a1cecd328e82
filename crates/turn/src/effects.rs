//! What a shard causes outside of itself, as traits: sockets, messages to clients, calls of other shards,
//! events, randomness.
//!
//! No method has a default, so that the compiler names what an implementation lacks.
//! [`Recorder`](super::recorder::Recorder) implements all of them for tests.

use std::net::SocketAddr;

use super::channel_route::ChannelRoute;
use super::clock::Tick;
use super::entrance::Entrance;
use super::event::Event;
use super::mobile_allocations::MobileId;
use super::policy::StreamLimit;
use super::traffic::{Traffic, Usage};
use super::types::{AllocationId, Client, ConnectionId, RelayId, ShardNumber};

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

/// Randomness of cryptographic quality.
pub trait Randomness {
    /// Fills `bytes` from the operating system's generator.
    fn random(&mut self, bytes: &mut [u8]);
}

/// The UDP sockets of relayed transport addresses.
pub trait RelaySockets {
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
}

/// What a process has received of the one before it: sockets, for the allocations that a shard restores
/// ([`Shard::restore`](super::Shard::restore)). Whatever is not asked for, the caller closes.
pub trait Adoption {
    /// Makes the relay socket that is bound to `address` that of `owner`. Returns `None` if there is none.
    fn adopt_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId>;

    /// The same for a socket that listens for peers, of a TCP allocation.
    fn adopt_tcp_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId>;

    /// Makes a peer connection that of `owner`, to be no faster than `limit`. Returns false if it is not there. What becomes of it is
    /// reported as of one that was begun here: never from within this call.
    fn adopt_peer(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        stage: PeerStage,
        limit: StreamLimit,
    ) -> bool;
}

/// How far a peer connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerStage {
    /// The peer has not answered yet.
    Connecting,
    /// The client has not made its data connection yet.
    Unbound,
    /// It has one, which relays.
    Bound,
}

/// The TCP sockets of relayed transport addresses, and the connections with peers (RFC 6062).
pub trait PeerConnections {
    /// Opens a socket that listens for peers on `address`, for a TCP allocation. A peer that connects is
    /// reported to [`Shard::peer_arrived`](super::Shard::peer_arrived).
    ///
    /// # Errors
    /// When the port is taken or no socket can be had.
    fn open_tcp_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError>;

    /// Closes such a socket. Connections that came in by it stay.
    fn close_tcp_relay(&mut self, relay: RelayId);

    /// Begins a connection to `peer` from the address and port of a TCP relay socket. Its outcome is
    /// reported to [`Shard::peer_connected`](super::Shard::peer_connected) or
    /// [`Shard::connect_failed`](super::Shard::connect_failed), never from within this call, and
    /// not at all once it is closed.
    ///
    /// # Errors
    /// When it cannot be begun; then nothing is to be closed.
    fn connect_peer(
        &mut self,
        owner: AllocationId,
        relay: RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> Result<(), ConnectError>;

    /// Makes the connection of `client` the data connection of a peer connection of any shard:
    /// what follows the answer is data. Returns false if the peer connection is gone.
    fn bind_peer(&mut self, client: Client, connection: ConnectionId) -> bool;

    /// Closes a peer connection, whatever has become of it, and its data connection. Returns what
    /// it has relayed, but for what [`take_traffic`](Self::take_traffic) has returned.
    fn close_peer(&mut self, connection: ConnectionId) -> Traffic;

    /// Returns what a peer connection has relayed, and was not returned yet. It goes on.
    fn take_traffic(&mut self, connection: ConnectionId) -> Traffic;
}

/// The server's side of its clients: how they are connected, and messages that answer no packet at hand.
pub trait Clients {
    /// Sends a message to a client: an answer that comes later, or an indication.
    fn tell(&mut self, client: Client, message: &[u8]);

    /// Returns the port of the server that a client over UDP sends to.
    fn listening_port(&self, client: Client) -> Option<u16>;

    /// Returns whether TLS or DTLS secures a client's connection.
    fn is_secure(&self, client: Client) -> bool;

    /// Returns where a client came in. Asked for requests, and only where tenants have realms of their own.
    fn entrance(&self, client: Client) -> Entrance;
}

/// The other shards of the same server (RFC 8016).
pub trait OtherShards {
    /// Asks another shard for an allocation whose client has moved to this one
    /// ([`Shard::depart`](super::Shard::depart) there). The outcome is reported to
    /// [`Shard::land`](super::Shard::land) or [`Shard::not_fetched`](super::Shard::not_fetched), never
    /// from within this call. Returns false if the other shard has too much to do.
    fn fetch(&mut self, from: ShardNumber, allocation: MobileId, client: Client) -> bool;

    /// Tells another shard that the client of an allocation there has ended it
    /// ([`Shard::release`](super::Shard::release) there). Returns false if that shard has too much to do.
    fn release_at(&mut self, shard: ShardNumber, allocation: MobileId) -> bool;

    /// Tells another shard that an allocation can come to this 5-tuple of that shard now, because its old
    /// one is gone ([`Shard::fetch_for`](super::Shard::fetch_for) there). May be lost.
    fn offer_to(&mut self, shard: ShardNumber, client: Client);
}

/// Takes what an operator may want to read about.
pub trait Observer {
    /// Reports what happened.
    fn event(&mut self, event: Event<'_>);
}

/// A data path beside the shard that relays ChannelData by itself, in the kernel say.
///
/// The shard announces the channels that may be served that way, and nothing else: none of a guest's, and none at all
/// while packets or bytes a second are limited, because those are decided packet by packet. On a channel whose peer is a
/// relayed address of the server ([`ChannelRoute::between`]) the data path may relay to a client alone that has an
/// announced channel the other way round: whether anybody has the address is decided packet by packet too. Whatever the data path does not serve is relayed by
/// [`Shard::from_client`](super::Shard::from_client) and [`Shard::from_peer`](super::Shard::from_peer).
pub trait DataPath {
    /// Returns whether there is such a data path. Where there is none, the shard keeps and computes nothing for
    /// it.
    fn is_there(&self) -> bool;

    /// The data path may serve a channel from now on, and until `until`: the earliest end of its binding,
    /// its permission and its allocation. Called again whenever a refresh, or anything else, moves that
    /// moment. The data path stops then by itself, for [`DataPath::channel_closed`] may come a little later.
    fn channel_opened(&mut self, route: ChannelRoute, until: Tick);

    /// The data path may not serve a channel any more. Returns what it has relayed on it since it last
    /// reported to [`Shard::channel_used`](super::Shard::channel_used).
    fn channel_closed(&mut self, route: ChannelRoute) -> Usage;
}

/// All that a shard needs from outside.
pub trait Outside:
    Randomness + RelaySockets + PeerConnections + Clients + OtherShards + Observer + DataPath
{
}

impl<T> Outside for T where
    T: Randomness + RelaySockets + PeerConnections + Clients + OtherShards + Observer + DataPath
{
}
