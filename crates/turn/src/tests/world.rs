//! The world outside of a shard, faked: sockets are numbers, randomness is a counter scrambled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::auth::Denied;
use crate::clock::Tick;
use crate::policy::{Exceeded, StreamLimit};
use crate::{
    Adoption, AllocationId, Cause, ChannelRoute, Client, Clients, ConnectError, ConnectionId,
    DataPath, EndReason, Entrance, Event, MobileId, Observer, OpenError, OtherShards,
    PeerConnections, PeerStage, Randomness, RelayId, RelaySockets, Remedy, ShardNumber, Traffic,
    Usage, UsageRecord, UserId, Via,
};
use taciturn_stun::{Family, Method};

/// An event as a test wants to compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Allocated {
        username: String,
        relayed: SocketAddr,
        lifetime: Duration,
    },
    Ended {
        username: String,
        relayed: SocketAddr,
        traffic: Traffic,
        lived: Duration,
        reason: EndReason,
    },
    AuthenticationFailed {
        username: String,
        reason: Denied,
    },
    PeerRefused {
        peer: IpAddr,
        remedy: Remedy,
    },
    PortOutOfReach {
        peer: SocketAddr,
        remedy: Remedy,
    },
    RequestFailed {
        method: Method,
        code: u16,
    },
    ForeignNonce,
    ClassicBinding,
    HeldBack {
        username: String,
        exceeded: Exceeded,
        packets: u64,
    },
}

impl Happened {
    fn of(event: &Event<'_>) -> Self {
        match *event {
            Event::Allocated { user, relayed, lifetime, .. } => {
                Self::Allocated { username: user.name().into(), relayed, lifetime }
            }
            Event::Ended { user, relayed, traffic, lived, reason, .. } => {
                Self::Ended { username: user.name().into(), relayed, traffic, lived, reason }
            }
            Event::AuthenticationFailed { username, reason, .. } => {
                Self::AuthenticationFailed { username: username.into(), reason }
            }
            Event::ForeignNonce { .. } => Self::ForeignNonce,
            Event::ClassicBinding { .. } => Self::ClassicBinding,
            Event::PeerRefused { peer, remedy, .. } => {
                Self::PeerRefused { peer: peer.ip(), remedy }
            }
            Event::PortOutOfReach { peer, remedy, .. } => Self::PortOutOfReach { peer, remedy },
            Event::HeldBack { user, exceeded, packets, .. } => {
                Self::HeldBack { username: user.name().into(), exceeded, packets }
            }
            Event::RequestFailed { method, code, .. } => {
                Self::RequestFailed { method, code: code.number() }
            }
        }
    }
}

/// What another data path was told of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    Opened(u16),
    /// It is open already, and closes at another time.
    Moved(u16),
    Closed(u16),
}

/// A connection to a peer that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) owner: AllocationId,
    pub(super) id: ConnectionId,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// Records what the shard asks for, and fails where the test told it to.
#[derive(Debug, Default)]
pub(super) struct World {
    /// The relay sockets that are open: whose, and bound to what.
    pub(super) open: BTreeMap<u32, (AllocationId, SocketAddr)>,
    /// What is known of clients of the listeners of these numbers.
    pub(super) entrances: Vec<(u16, Entrance)>,
    /// Whether connections are secured by TLS.
    pub(super) tls: bool,
    /// How many have been opened so far.
    pub(super) opened: u32,
    /// Every port that was tried, in order.
    pub(super) tried: Vec<u16>,
    /// Ports that other processes hold.
    pub(super) taken: BTreeSet<u16>,
    /// Families of which no socket can be had.
    pub(super) impossible: Vec<Family>,
    /// What happened, in order.
    pub(super) events: Vec<Happened>,
    /// The last records of sessions that have ended, in order.
    pub(super) records: Vec<UsageRecord>,
    /// Of the request that failed last: in whose name, and why, where it was in order.
    pub(super) last_failure: Option<(String, Option<Cause>)>,
    /// Channels announced as open, and until when.
    pub(super) channels: Vec<(ChannelRoute, Tick)>,
    /// What was announced of channels, in order.
    pub(super) announced: Vec<Announcement>,
    /// What another data path has relayed on each channel that is closed from now on.
    pub(super) used: Usage,
    /// The sockets of TCP allocations that listen for peers.
    pub(super) listening: BTreeMap<u32, (AllocationId, SocketAddr)>,
    /// Connections to peers that were begun, in order.
    pub(super) attempts: Vec<Attempt>,
    /// Peer connections that are there or begun.
    pub(super) peers: BTreeSet<u32>,
    /// What each of them has relayed.
    pub(super) relayed: Traffic,
    /// Why none can be begun, if so.
    pub(super) no_connection: Option<ConnectError>,
    /// Data connections, and what they were bound to.
    pub(super) bound: Vec<(Client, ConnectionId)>,
    /// What clients were told unasked, or later.
    pub(super) told: Vec<(Client, Vec<u8>)>,
    /// Whether other shards have too much to do.
    pub(super) busy: bool,
    /// What was asked of other shards, and told to them (RFC 8016).
    pub(super) fetches: Vec<(ShardNumber, MobileId, Client)>,
    pub(super) releases: Vec<(ShardNumber, MobileId)>,
    pub(super) offers: Vec<(ShardNumber, Client)>,
    /// What another process has handed over: relay sockets, those that listen for peers, peer connections.
    pub(super) handed_over: HandedOver,
    pub(super) randomness: u64,
}

impl World {
    /// The number of the next socket on `address`, if it can be had.
    fn next_socket(&mut self, address: SocketAddr) -> Result<u32, OpenError> {
        self.tried.push(address.port());
        if self.impossible.contains(&Family::of(address.ip())) {
            return Err(OpenError::Impossible);
        }
        if self.taken.contains(&address.port()) {
            return Err(OpenError::InUse);
        }
        let mut all = self.open.values().chain(self.listening.values());
        assert!(!all.any(|(_, open)| *open == address), "{address} is opened twice");
        self.opened += 1;
        Ok(self.opened)
    }
}

impl World {
    /// How often a channel was announced as open that was not.
    pub(super) fn opened_channels(&self) -> usize {
        self.announced.iter().filter(|one| matches!(one, Announcement::Opened(_))).count()
    }

    /// Takes in a socket that was another shard's. Its owner is told later.
    pub(super) fn adopt(&mut self, address: SocketAddr) -> Option<RelayId> {
        let nobody = AllocationId::default();
        let number = self.next_socket(address).ok()?;
        self.open.insert(number, (nobody, address));
        Some(RelayId(number))
    }
}

/// Sockets on their way from process to process.
#[derive(Clone, Debug, Default)]
pub(super) struct HandedOver {
    pub(super) relays: BTreeSet<SocketAddr>,
    pub(super) tcp_relays: BTreeSet<SocketAddr>,
    pub(super) peers: BTreeSet<u32>,
}

impl HandedOver {
    pub(super) fn add(&mut self, other: Self) {
        self.relays.extend(other.relays);
        self.tcp_relays.extend(other.tcp_relays);
        self.peers.extend(other.peers);
    }
}

impl World {
    /// All sockets that there are.
    pub(super) fn hand_over(&self) -> HandedOver {
        HandedOver {
            relays: self.open.values().map(|(_, at)| *at).collect(),
            tcp_relays: self.listening.values().map(|(_, at)| *at).collect(),
            peers: self.peers.clone(),
        }
    }
}

impl Adoption for World {
    fn adopt_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId> {
        self.handed_over.relays.remove(&address).then_some(())?;
        self.opened += 1;
        self.open.insert(self.opened, (owner, address));
        Some(RelayId(self.opened))
    }

    fn adopt_tcp_relay(&mut self, owner: AllocationId, address: SocketAddr) -> Option<RelayId> {
        self.handed_over.tcp_relays.remove(&address).then_some(())?;
        self.opened += 1;
        self.listening.insert(self.opened, (owner, address));
        Some(RelayId(self.opened))
    }

    fn adopt_peer(
        &mut self,
        owner: AllocationId,
        connection: ConnectionId,
        _: PeerStage,
        _: StreamLimit,
    ) -> bool {
        let from = SocketAddr::from(([0, 0, 0, 0], 0));
        self.attempts.push(Attempt { owner, id: connection, from, to: from });
        self.handed_over.peers.remove(&connection.0) && self.peers.insert(connection.0)
    }
}

impl Randomness for World {
    fn random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // The output function of SplitMix64: the same in each run, without a pattern.
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
        let number = self.next_socket(address)?;
        self.open.insert(number, (owner, address));
        Ok(RelayId(number))
    }

    fn close_relay(&mut self, relay: RelayId) {
        assert!(self.open.remove(&relay.0).is_some(), "{relay:?} is not open");
    }
}

impl PeerConnections for World {
    fn open_tcp_relay(
        &mut self,
        owner: AllocationId,
        address: SocketAddr,
    ) -> Result<RelayId, OpenError> {
        let number = self.next_socket(address)?;
        self.listening.insert(number, (owner, address));
        Ok(RelayId(number))
    }

    fn close_tcp_relay(&mut self, relay: RelayId) {
        assert!(self.listening.remove(&relay.0).is_some(), "{relay:?} does not listen");
    }

    fn connect_peer(
        &mut self,
        owner: AllocationId,
        relay: RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> Result<(), ConnectError> {
        if let Some(error) = self.no_connection {
            return Err(error);
        }
        let (holder, from) = self.listening[&relay.0];
        assert_eq!(holder, owner);
        assert!(self.peers.insert(connection.0), "{connection:?} is there already");
        self.attempts.push(Attempt { owner, id: connection, from, to: peer });
        Ok(())
    }

    fn bind_peer(&mut self, client: Client, connection: ConnectionId) -> bool {
        self.bound.push((client, connection));
        true
    }

    fn close_peer(&mut self, connection: ConnectionId) -> Traffic {
        assert!(self.peers.remove(&connection.0), "{connection:?} is not there");
        self.relayed
    }

    fn take_traffic(&mut self, connection: ConnectionId) -> Traffic {
        assert!(self.peers.contains(&connection.0), "{connection:?} is not there");
        std::mem::take(&mut self.relayed)
    }
}

impl Clients for World {
    fn tell(&mut self, client: Client, message: &[u8]) {
        self.told.push((client, message.to_vec()));
    }

    fn listening_port(&self, client: Client) -> Option<u16> {
        Some(3478 + client.via.listener())
    }

    fn is_secure(&self, client: Client) -> bool {
        self.tls && matches!(client.via, Via::Stream { .. })
    }

    fn entrance(&self, client: Client) -> Entrance {
        let at = self.entrances.iter().find(|(listener, _)| *listener == client.via.listener());
        at.map(|(_, entrance)| entrance.clone()).unwrap_or_default()
    }
}

impl OtherShards for World {
    fn fetch(&mut self, from: ShardNumber, allocation: MobileId, client: Client) -> bool {
        if !self.busy {
            self.fetches.push((from, allocation, client));
        }
        !self.busy
    }

    fn release_at(&mut self, shard: ShardNumber, allocation: MobileId) -> bool {
        if !self.busy {
            self.releases.push((shard, allocation));
        }
        !self.busy
    }

    fn offer_to(&mut self, shard: ShardNumber, client: Client) {
        self.offers.push((shard, client));
    }
}

impl Observer for World {
    fn event(&mut self, event: Event<'_>) {
        if let Event::RequestFailed { user, cause, .. } = event {
            let username = user.map_or("", UserId::name);
            self.last_failure = Some((username.into(), cause));
        }
        if let Event::Ended { record: Some(record), .. } = &event {
            self.records.push((**record).clone());
        }
        self.events.push(Happened::of(&event));
    }
}

impl DataPath for World {
    fn is_there(&self) -> bool {
        true
    }

    fn channel_opened(&mut self, route: ChannelRoute, until: Tick) {
        let number = route.channel.number();
        match self.channels.iter_mut().find(|(known, _)| *known == route) {
            Some((_, known)) => {
                assert_ne!(*known, until, "{route:?} is announced twice");
                *known = until;
                self.announced.push(Announcement::Moved(number));
            }
            None => {
                self.channels.push((route, until));
                self.announced.push(Announcement::Opened(number));
            }
        }
    }

    fn channel_closed(&mut self, route: ChannelRoute) -> Usage {
        let at = self.channels.iter().position(|(known, _)| *known == route);
        self.channels.remove(at.unwrap_or_else(|| panic!("{route:?} was not announced")));
        self.announced.push(Announcement::Closed(route.channel.number()));
        self.used
    }
}
