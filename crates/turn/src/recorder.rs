//! An outside for tests, benches and examples: it has no sockets, and records what a shard asks for.

use std::net::SocketAddr;

use super::channel_route::ChannelRoute;
use super::clock::Tick;
use super::effects::{
    Adoption, Clients, ConnectError, DataPath, Observer, OpenError, OtherShards, PeerConnections,
    PeerStage, Randomness, RelaySockets,
};
use super::entrance::Entrance;
use super::event::Event;
use super::mobile_allocations::MobileId;
use super::policy::StreamLimit;
use super::traffic::{Traffic, Usage};
use super::types::{AllocationId, Client, ConnectionId, RelayId, ShardNumber, Via};

/// Opens every socket, connects every peer, and tells nobody of it. There are no other shards, and there
/// is no other data path.
///
/// A test that wants something else implements the traits of
/// [`Outside`](super::Outside) itself.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The relay sockets that were opened, in the order of their [`RelayId`], which begins with 0.
    pub opened: Vec<(AllocationId, SocketAddr)>,
    /// Relay sockets that were closed.
    pub closed: Vec<RelayId>,
    /// Messages that clients got, other than answers to the packet at hand.
    pub told: Vec<(Client, Vec<u8>)>,
    /// How many events were reported.
    pub events: usize,
    /// The port that UDP clients send to.
    pub port: Option<u16>,
    drawn: u64,
}

impl Randomness for Recorder {
    /// The same numbers in each run, without a pattern: the output function of SplitMix64. Not for a
    /// server.
    fn random(&mut self, bytes: &mut [u8]) {
        for bytes in bytes.chunks_mut(8) {
            self.drawn = self.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = self.drawn;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let drawn = (word ^ (word >> 31)).to_ne_bytes();
            bytes.iter_mut().zip(drawn).for_each(|(slot, byte)| *slot = byte);
        }
    }
}

impl RelaySockets for Recorder {
    fn open_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        let number = u32::try_from(self.opened.len()).map_err(|_| OpenError::Impossible)?;
        self.opened.push((owner, address));
        Ok(RelayId(number))
    }

    fn close_relay(&mut self, relay: RelayId) {
        self.closed.push(relay);
    }
}

/// Every socket that a shard asks for was handed over.
impl Adoption for Recorder {
    fn adopt_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId> {
        self.open_relay(owner, address).ok()
    }

    fn adopt_tcp_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId> {
        self.open_tcp_relay(owner, address).ok()
    }

    fn adopt_peer(
        &mut self,
        _: AllocationId,
        _: ConnectionId,
        _: PeerStage,
        _: StreamLimit,
    ) -> bool {
        true
    }
}

impl PeerConnections for Recorder {
    fn open_tcp_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        self.open_relay(owner, address)
    }

    fn close_tcp_relay(&mut self, relay: RelayId) {
        self.close_relay(relay);
    }

    fn connect_peer(
        &mut self,
        _: AllocationId,
        _: RelayId,
        _: ConnectionId,
        _: SocketAddr,
    ) -> Result<(), ConnectError> {
        Ok(())
    }

    fn bind_peer(&mut self, _: Client, _: ConnectionId) -> bool {
        true
    }

    fn close_peer(&mut self, _: ConnectionId) -> Traffic {
        Traffic::default()
    }

    fn take_traffic(&mut self, _: ConnectionId) -> Traffic {
        Traffic::default()
    }
}

impl Clients for Recorder {
    fn tell(&mut self, client: Client, message: &[u8]) {
        self.told.push((client, message.to_vec()));
    }

    fn listening_port(&self, _: Client) -> Option<u16> {
        self.port
    }

    fn is_secure(&self, client: Client) -> bool {
        matches!(client.via, Via::Dtls { .. })
    }

    fn entrance(&self, _: Client) -> Entrance {
        Entrance::default()
    }
}

impl OtherShards for Recorder {
    fn fetch(&mut self, _: ShardNumber, _: MobileId, _: Client) -> bool {
        false
    }

    fn release_at(&mut self, _: ShardNumber, _: MobileId) -> bool {
        false
    }

    fn offer_to(&mut self, _: ShardNumber, _: Client) {}
}

impl Observer for Recorder {
    fn event(&mut self, _: Event<'_>) {
        self.events += 1;
    }
}

impl DataPath for Recorder {
    fn is_there(&self) -> bool {
        false
    }

    fn channel_opened(&mut self, _: ChannelRoute, _: Tick) {}

    fn channel_closed(&mut self, _: ChannelRoute) -> Usage {
        Usage::default()
    }
}
