//! What is around the shard: sockets are numbers, and nothing is opened or closed twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use taciturn_turn::clock::Tick;
use taciturn_turn::{
    AllocationId, ChannelRoute, Client, Clients, ConnectError, ConnectionId, DataPath, EndReason,
    Entrance, Event, MobileId, Observer, OpenError, OtherShards, PeerConnections, Randomness,
    RelayId, RelaySockets, ShardNumber, Traffic, Usage, Via,
};

/// A relay socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) owner: AllocationId,
    pub(super) client: Client,
    pub(super) local: SocketAddr,
    pub(super) tcp: bool,
}

/// A connection with a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) owner: AllocationId,
    /// Whether the peer has yet to answer.
    pub(super) connecting: bool,
    /// Whether a client's data connection is joined to it.
    pub(super) bound: bool,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) sockets: BTreeMap<u32, Socket>,
    /// Whoever a socket is opened for.
    pub(super) asking: Option<Client>,
    pub(super) taken: BTreeSet<u16>,
    pub(super) connections: BTreeMap<u32, Connection>,
    /// Where the last connection went.
    pub(super) connected_to: Option<SocketAddr>,
    /// Allocations that have ended since this was looked at.
    pub(super) ended: Vec<(Client, EndReason)>,
    /// What clients were told unasked, or later.
    pub(super) told: Vec<(Client, Vec<u8>)>,
    /// Channels announced as open, and until when.
    pub(super) channels: HashMap<ChannelRoute, Tick>,
    opened: u32,
    randomness: u64,
}

impl World {
    fn open(
        &mut self,
        owner: AllocationId,
        local: SocketAddr,
        tcp: bool,
    ) -> Result<RelayId, OpenError> {
        if self.taken.contains(&local.port()) {
            return Err(OpenError::InUse);
        }
        let held = self.sockets.values().any(|socket| socket.local == local);
        assert!(!held, "{local} is opened twice");
        let client = self.asking.expect("sockets are opened for requests");
        self.opened += 1;
        self.sockets.insert(self.opened, Socket { owner, client, local, tcp });
        Ok(RelayId(self.opened))
    }

    fn close(&mut self, relay: RelayId, tcp: bool) {
        let closed = self.sockets.remove(&relay.0).expect("a socket that is open");
        assert_eq!(closed.tcp, tcp);
    }
}

impl Randomness for World {
    fn random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.randomness = self.randomness.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = self.randomness;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (word >> 56) as u8;
        }
    }
}

impl RelaySockets for World {
    fn open_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        self.open(owner, address, false)
    }

    fn close_relay(&mut self, relay: RelayId) {
        self.close(relay, false);
    }
}

impl PeerConnections for World {
    fn open_tcp_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        self.open(owner, address, true)
    }

    fn close_tcp_relay(&mut self, relay: RelayId) {
        self.close(relay, true);
    }

    fn connect_peer(
        &mut self,
        owner: AllocationId,
        relay: RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> Result<(), ConnectError> {
        let socket = self.sockets.get(&relay.0).expect("a connection leaves by an open socket");
        assert!(socket.tcp && socket.owner == owner);
        if peer.port() == 1 {
            return Err(ConnectError::Unreachable);
        }
        let begun = Connection { owner, connecting: true, bound: false };
        assert!(self.connections.insert(connection.0, begun).is_none(), "a number used twice");
        self.connected_to = Some(peer);
        Ok(())
    }

    fn bind_peer(&mut self, _client: Client, connection: ConnectionId) -> bool {
        let known = self.connections.get_mut(&connection.0).expect("a connection that is there");
        assert!(!known.bound && !known.connecting, "a connection is bound once");
        known.bound = true;
        true
    }

    fn close_peer(&mut self, connection: ConnectionId) -> Traffic {
        assert!(self.connections.remove(&connection.0).is_some(), "{connection:?} is not there");
        Traffic::default()
    }

    fn take_traffic(&mut self, _: ConnectionId) -> Traffic {
        Traffic::default()
    }
}

impl Clients for World {
    fn tell(&mut self, client: Client, message: &[u8]) {
        assert!(matches!(client.via, Via::Stream { .. }), "only connections are told");
        self.told.push((client, message.to_vec()));
    }

    fn listening_port(&self, _client: Client) -> Option<u16> {
        None
    }

    fn is_secure(&self, client: Client) -> bool {
        client.via == Via::Stream { connection: 6, listener: 1 }
    }

    fn entrance(&self, _client: Client) -> Entrance {
        Entrance::default()
    }
}

impl Observer for World {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Ended { client, reason, .. } = event {
            self.ended.push((client, reason));
        }
    }
}

/// There is one shard alone.
impl OtherShards for World {
    fn fetch(&mut self, _from: ShardNumber, _allocation: MobileId, _client: Client) -> bool {
        false
    }

    fn release_at(&mut self, _shard: ShardNumber, _allocation: MobileId) -> bool {
        false
    }

    fn offer_to(&mut self, _shard: ShardNumber, _client: Client) {}
}

impl DataPath for World {
    fn is_there(&self) -> bool {
        true
    }

    fn channel_opened(&mut self, route: ChannelRoute, until: Tick) {
        let before = self.channels.insert(route, until);
        assert_ne!(before, Some(until), "{route:?} is announced twice");
    }

    fn channel_closed(&mut self, route: ChannelRoute) -> Usage {
        self.channels.remove(&route).expect("a channel that was announced");
        Usage::default()
    }
}
