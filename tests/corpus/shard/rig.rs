//! A shard with its clients: plays steps, and holds every outcome against the model.

mod outcomes;
mod requests;
mod users;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use taciturn_stun::{
    AttributeType as T, Class, Family, Message, Method, TransactionId, Writer, canonical_ip,
};
use taciturn_turn::auth::NonceKeys;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::{
    AnswerLimit, FailureLimit, PORT_QUARANTINE, PeerPolicy, PortPool, PortRange, Quota, RateLimits,
    Rates, Wish,
};
use taciturn_turn::{
    Client, ClientAddr, ConnectionId, ConnectionIds, EndReason, IcmpError, RelayAddress, Rules,
    Settings, Shard, Traffic, Via, Whose,
};
use zeroize::Zeroizing;

use super::model::Model;
use super::steps::{Peer, Setup, Span, Step};
use super::world::World;
use outcomes::SIGNED;
use users::{AUTHENTICATORS, USERS};

const REALM: &str = "example.org";
const START: u64 = 1_700_000_000;
const START_TICK: Tick = Tick(5_000_000);

/// Bounds that an input reaches soon.
const PORTS: (u16, u16) = (50_000, 50_015);
const QUOTA: u32 = 3;
const MAX_PERMISSIONS: usize = 6;
const MAX_CHANNELS: usize = 4;
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
const MAX_CONNECTIONS: usize = 5;
const CONNECTIONS_IN_ALL: usize = 8;

/// One client, and what it remembers.
struct Party {
    at: Client,
    nonce: Vec<u8>,
    old_nonce: Vec<u8>,
    last: Vec<u8>,
    /// Its connection carries data of a peer now.
    is_pipe: bool,
}

pub(super) struct Rig {
    shard: Shard,
    rules: Rules,
    settings: Settings,
    world: World,
    model: Model,
    parties: Vec<Party>,
    now: Now,
    tids: u64,
    /// CONNECTION-IDs that clients were told.
    connection_ids: Vec<u32>,
    everybody_denied: bool,
}

/// Allows one denied peer of those that packets name, and a media server beside the relay.
fn with_ports(policy: PeerPolicy) -> PeerPolicy {
    let of = |net: &str, ports: &str| {
        (net.parse().expect("a network"), ports.parse().expect("a range of ports"))
    };
    policy.allowing_ports(vec![of("10.0.0.1/32", "80"), of("203.0.113.7/32", "1024-9999")])
}

impl Rig {
    pub(super) fn new(setup: &Setup) -> Self {
        let relay = |public: &str, local: &str| {
            let local = if setup.nat { local } else { public };
            let [public, local] = [public, local].map(|ip| ip.parse().expect("an address"));
            RelayAddress { public, local }
        };
        let v4 = Some(relay("203.0.113.7", "10.0.0.7"));
        let v6 = (!setup.no_v6).then(|| relay("2001:db8::7", "fd00::7"));
        let authenticator = usize::from(setup.shared_secret) + 2 * usize::from(setup.strict_expiry);
        let answers = if setup.limited_answers { (4, 20) } else { (0, 0) };
        let range = PortRange::new(PORTS.0, PORTS.1).expect("a range");
        let keys = NonceKeys::new(Duration::from_secs(3600), [[1; 32], [2; 32]], START_TICK);
        let relay_addresses = [v4, v6];
        let own = |relay: &RelayAddress| [relay.public, relay.local];
        let own: Vec<IpAddr> = relay_addresses.iter().flatten().flat_map(own).collect();
        let rules = Rules {
            authenticator: Arc::clone(&AUTHENTICATORS[authenticator]),
            nonces: Arc::new(keys),
            peers: Arc::new(with_ports(PeerPolicy::new(vec![], vec![], own))),
            ports: Arc::new(PortPool::new(range, PORT_QUARANTINE)),
            quota: Arc::new(Quota::new(QUOTA, 0)),
            rates: Arc::new(RateLimits::new(Rates::default())),
            answers: Arc::new(AnswerLimit::new(answers.0, answers.1, Vec::new())),
            failures: Arc::new(FailureLimit::new(answers.0)),
            connection_ids: Arc::new(ConnectionIds::new(CONNECTIONS_IN_ALL)),
            tickets: Arc::new(taciturn_turn::TicketKey::new(Zeroizing::new([3; 32]))),
            bans: Arc::default(),
            requests: Arc::default(),
            tenant_peers: Arc::default(),
            alternates: Arc::default(),
            mobile: Arc::default(),
            guests: Arc::default(),
            session_ids: None,
        };
        let settings = Settings {
            relay_addresses,
            max_lifetime: MAX_LIFETIME,
            max_permissions: MAX_PERMISSIONS,
            max_channels: MAX_CHANNELS,
            rfc5766_channels: setup.rfc5766_channels,
            tcp_relay: setup.tcp_relay,
            max_peer_connections: MAX_CONNECTIONS,
            ports_reserved_percent: 0,
            rfc8489_over_udp: setup.rfc8489_over_udp,
            icmp_errors: true,
            ..Settings::default()
        };
        let udp = Via::Udp(0);
        let stream = |connection| Via::Stream { connection, listener: 1 };
        let dtls = Via::Dtls { connection: 8, listener: 2 };
        let parties = [
            (udp, "192.0.2.1:1001"),
            (udp, "192.0.2.1:1002"),
            (udp, "[2001:db8:1::1]:1003"),
            (stream(5), "192.0.2.2:1004"),
            (stream(6), "192.0.2.3:1005"),
            (stream(7), "[2001:db8:1::2]:1006"),
            (dtls, "192.0.2.4:1007"),
        ]
        .map(|(via, from)| {
            let remote = ClientAddr(from.parse().expect("an address"));
            let at = Client { via, local: IpAddr::from([203, 0, 113, 7]), remote };
            let (nonce, old_nonce, last) = Default::default();
            Party { at, nonce, old_nonce, last, is_pipe: false }
        });
        Self {
            shard: Shard::new(settings.clone(), rules.clone()),
            rules,
            settings,
            world: World::default(),
            model: Model::default(),
            parties: parties.into(),
            now: Now { tick: START_TICK, unix: START },
            tids: 0,
            connection_ids: Vec::new(),
            everybody_denied: false,
        }
    }

    pub(super) fn play(&mut self, step: &Step) {
        match step {
            Step::Ask { client, user, what, twist } => {
                let client = self.party(*client);
                let request = self.request(client, usize::from(*user % 4), what, *twist);
                self.parties[client].last.clone_from(&request);
                self.client_sends(client, &request);
            }
            Step::Again { client } => {
                let client = self.party(*client);
                let request = self.parties[client].last.clone();
                self.client_sends(client, &request);
            }
            Step::Changed { client, at, byte } => {
                let client = self.party(*client);
                let mut request = self.parties[client].last.clone();
                if let Some(slot) = request.get_mut(usize::from(*at)) {
                    *slot ^= *byte;
                }
                self.client_sends(client, &request);
            }
            Step::Send { client, peer, len, dont_fragment } => {
                let client = self.party(*client);
                let (peer, data) = (self.peer(*peer), data(*len));
                let mut buffer = vec![0; 2000];
                let tid = self.fresh_tid();
                let mut writer = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid);
                writer.address(T::XOR_PEER_ADDRESS, peer).attribute(T::DATA, &data);
                if *dont_fragment {
                    writer.attribute(T::DONT_FRAGMENT, &[]);
                }
                let len = writer.finish().expect("room");
                self.client_sends(client, &buffer[..len]);
            }
            Step::Channel { client, channel, len, more } => {
                let client = self.party(*client);
                let data = data(*len);
                let number = channel_number(*channel).to_be_bytes();
                let length = (data.len() as u16).to_be_bytes();
                let mut packet = [&number[..], &length, &data].concat();
                packet.resize(packet.len() + usize::from(more % 4), 0xFF);
                self.client_sends(client, &packet);
            }
            Step::Raw { client, bytes } => {
                let client = self.party(*client);
                self.client_sends(client, bytes);
            }
            Step::FromPeer { relay, peer, len } => self.peer_sends(*relay, *peer, *len),
            Step::Icmp { relay, peer, kind, code, mtu } => {
                self.icmp(
                    *relay,
                    *peer,
                    IcmpError { kind: *kind, code: *code, mtu: (*mtu).into() },
                );
            }
            Step::Wait { span } => self.wait(*span),
            Step::HangUp { client } => {
                let client = self.party(*client);
                if !matches!(self.parties[client].at.via, Via::Udp(_)) {
                    self.shard.client_gone(self.now, self.parties[client].at, &mut self.world);
                    self.parties[client].is_pipe = false;
                }
            }
            Step::Connected { attempt, accepts } => self.connected(*attempt, *accepts),
            Step::Arrives { relay, peer } => self.arrives(*relay, *peer),
            Step::PipeEnds { which } => {
                let bound = self.world.connections.iter().filter(|(_, c)| c.bound);
                let bound: Vec<_> = bound.map(|(id, c)| (*id, c.owner)).collect();
                if let Some((id, owner)) = pick(&bound, *which) {
                    self.world.connections.remove(&id);
                    self.shard.peer_closed(owner, ConnectionId(id), Traffic::default());
                }
            }
            Step::Kick { user } => {
                let user = Some(USERS[usize::from(*user % 4)].name.clone());
                let whose = Whose { user, ..Whose::default() };
                self.shard.kick(self.now, &whose, &mut self.world);
            }
            Step::Deny { everybody } => self.deny(*everybody),
            Step::Drain => self.shard.drain(true),
            Step::Rotate => {
                let fresh = self.now.tick.0.to_le_bytes().repeat(4);
                let fresh = fresh.try_into().expect("32 bytes");
                self.rules.nonces.rotate(fresh, self.now.tick);
            }
            Step::Occupied { port, taken } => {
                let port = PORTS.0 + u16::from(*port % 16);
                match taken {
                    true => self.world.taken.insert(port),
                    false => self.world.taken.remove(&port),
                };
            }
        }
        self.settle();
    }

    fn party(&self, number: u8) -> usize {
        usize::from(number) % self.parties.len()
    }

    fn fresh_tid(&mut self) -> TransactionId {
        self.tids += 1;
        let mut tid = [0; 12];
        tid[4..].copy_from_slice(&self.tids.to_be_bytes());
        TransactionId(tid)
    }

    fn peer(&self, peer: Peer) -> SocketAddr {
        let parsed = |text: &str| text.parse().expect("an address");
        match peer {
            Peer::Public(n) => parsed(
                [
                    "8.8.8.8:4000",
                    "8.8.8.8:4001",
                    "9.9.9.9:1",
                    "[2a00::1]:4000",
                    "[2a00::2]:4000",
                    "[::ffff:8.8.8.8]:4000",
                    "1.1.1.1:4000",
                    "[2a00::3]:4000",
                ][usize::from(n % 8)],
            ),
            Peer::Private(n) => parsed(
                [
                    "127.0.0.1:80",
                    "10.0.0.1:80",
                    "[::1]:80",
                    "[::ffff:127.0.0.1]:80",
                    "169.254.169.254:80",
                    "0.0.0.0:80",
                    "[64:ff9b::7f00:1]:80",
                    "[fe80::1]:80",
                ][usize::from(n % 8)],
            ),
            Peer::Relay(n) => {
                let all: Vec<_> = self.world.sockets.values().map(|s| s.local).collect();
                pick(&all, n).map_or_else(|| parsed("203.0.113.7:50000"), |at| self.public(at))
            }
            Peer::Own(port) => SocketAddr::new(IpAddr::from([203, 0, 113, 7]), port),
            Peer::Any(ip, port) => SocketAddr::new(IpAddr::from(ip), port),
        }
    }

    /// A relay's address as clients know it.
    fn public(&self, local: SocketAddr) -> SocketAddr {
        let relay = self.settings.relay_addresses[Family::of(local.ip()) as usize];
        match relay {
            Some(relay) if relay.local == local.ip() => SocketAddr::new(relay.public, local.port()),
            _ => local,
        }
    }

    /// Whether the rules of now let clients have this peer, once its address is permitted.
    fn is_open(&self, peer: SocketAddr) -> bool {
        let (ip, port) = (peer.ip(), peer.port());
        let live = self.is_own(ip) && self.rules.ports.is_live(Family::of(ip), port);
        let peers = &self.rules.peers;
        live || peers.check(ip).is_ok() || peers.port_allowed_by_name(ip, port)
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.settings.relay_addresses.iter().flatten().any(|relay| relay.public == ip)
    }

    fn wait(&mut self, span: Span) {
        let span = match span {
            Span::Milliseconds(n) => Duration::from_millis(n.into()),
            Span::Seconds(n) => Duration::from_secs(n.into()),
            Span::Minutes(n) => Duration::from_secs(60 * u64::from(n)),
            Span::Edge { which, off } => {
                let seconds = [300, 600, 30, 3600][usize::from(which % 4)];
                let off = i64::from(off.signum());
                Duration::from_millis((seconds * 1000_u64).saturating_add_signed(off))
            }
        };
        let tick = self.now.tick + span;
        self.now = Now { tick, unix: START + tick.since(START_TICK).as_secs() };
        self.shard.handle_timeout(self.now, &mut self.world);
        assert!(self.shard.next_timeout().is_none_or(|next| next > tick), "a deadline is left");
    }

    fn connected(&mut self, attempt: u8, accepts: bool) {
        let connecting = self.world.connections.iter().filter(|(_, c)| c.connecting);
        let connecting: Vec<_> = connecting.map(|(id, c)| (*id, c.owner)).collect();
        let Some((id, owner)) = pick(&connecting, attempt) else { return };
        if accepts {
            if let Some(connection) = self.world.connections.get_mut(&id) {
                connection.connecting = false;
            }
            let id = ConnectionId(id);
            self.shard.peer_connected(self.now, owner, id, &mut self.world);
        } else {
            self.world.connections.remove(&id);
            self.shard.connect_failed(self.now, owner, ConnectionId(id), &mut self.world);
        }
    }

    fn arrives(&mut self, relay: u8, peer: Peer) {
        let sockets: Vec<_> = self.world.sockets.values().copied().filter(|s| s.tcp).collect();
        let Some(socket) = pick(&sockets, relay) else { return };
        let (family, peer) = (Family::of(socket.local.ip()), self.peer(peer));
        let world = &mut self.world;
        let taken = self.shard.peer_arrived(self.now, socket.owner, family, peer, world);
        let Some(id) = taken else { return };
        let granted = &self.model.clients[&socket.client];
        let ip = self.public(SocketAddr::new(canonical_ip(peer.ip()), peer.port())).ip();
        assert!(granted.permits(ip, self.now.tick), "RFC 6062 section 5.3: {peer}");
        let there =
            super::world::Connection { owner: socket.owner, connecting: false, bound: false };
        assert!(self.world.connections.insert(id.0, there).is_none(), "a number used twice");
    }

    /// The operator denies everybody by name, or goes back to the rules built in.
    fn deny(&mut self, everybody: bool) {
        let all = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("a network"));
        let denied = if everybody { all.to_vec() } else { Vec::new() };
        let own = self.settings.relay_addresses.iter().flatten();
        let own = own.flat_map(|relay| [relay.public, relay.local]).collect();
        let policy = PeerPolicy::new(vec![], denied, own);
        self.rules.peers = Arc::new(if everybody { policy } else { with_ports(policy) });
        self.everybody_denied = everybody;
        let (settings, rules) = (self.settings.clone(), self.rules.clone());
        self.shard.set_rules(self.now, settings, rules, &mut self.world);
        if everybody {
            self.model.clients.values_mut().for_each(|granted| granted.withdraw(|_| true));
        }
    }

    /// Takes up what the shard has said on the way.
    fn settle(&mut self) {
        for (client, reason) in std::mem::take(&mut self.world.ended) {
            let known = self.model.clients.get(&client);
            match reason {
                EndReason::Released => assert!(known.is_none(), "nobody asked to release it"),
                EndReason::Expired | EndReason::CredentialExpired => {
                    assert!(known.is_some_and(|granted| granted.expires <= self.now.tick));
                }
                EndReason::CredentialRemoved => panic!("no user or secret was removed"),
                EndReason::NotRestored => panic!("nothing was restored"),
                EndReason::Disconnected
                | EndReason::Kicked
                | EndReason::Banned
                | EndReason::Shutdown => {}
            }
            self.model.clients.remove(&client);
        }
        for (client, bytes) in std::mem::take(&mut self.world.told) {
            let message = Message::parse(&bytes).expect("what is told is a message");
            assert!(bytes.len() <= SIGNED);
            if message.class() == Class::Error {
                assert_eq!(message.method(), Method::CONNECT);
                continue;
            }
            let id = message.connection_id().expect("4 bytes").expect("CONNECTION-ID");
            assert!(self.model.clients.contains_key(&client));
            self.connection_ids.push(id);
        }
    }

    /// What must hold at any time.
    pub(super) fn check(&self) {
        let now = self.now.tick;
        let model = &self.model;
        assert_eq!(self.shard.len(), model.clients.len(), "allocations");
        for granted in model.clients.values() {
            assert!(now < granted.expires, "an allocation outlived its lifetime");
            assert!(granted.live_permissions(now) <= MAX_PERMISSIONS);
            assert!(granted.live_channels(now) <= MAX_CHANNELS);
        }
        for user in 0..USERS.len() {
            let held = model.clients.values().filter(|granted| granted.user == user).count();
            assert!(held <= QUOTA as usize, "a quota is overdrawn");
        }
        let mut relayed: Vec<_> = model.clients.values().flat_map(|g| g.relayed.clone()).collect();
        let mut open: Vec<_> = self.world.sockets.values().map(|s| self.public(s.local)).collect();
        relayed.sort();
        open.sort();
        assert_eq!(relayed, open, "relayed addresses that clients know, and sockets");

        let ports = &self.rules.ports;
        let used = (ports.used(Family::V4) + ports.used(Family::V6)) as usize;
        assert!(open.len() <= used, "a socket without a lease");
        assert!(used <= open.len() + self.model.tokens.len(), "a port has leaked");
        assert!(self.world.connections.len() <= CONNECTIONS_IN_ALL);
        assert_eq!(self.rules.connection_ids.len(), self.world.connections.len());
        let mut from = Some(0);
        while let Some(at) = from {
            let (sessions, next) = self.shard.sessions(self.now, &Whose::default(), at);
            for session in sessions {
                assert!(session.permissions <= MAX_PERMISSIONS);
                assert!(session.channels <= MAX_CHANNELS);
            }
            from = next;
        }
    }

    /// Everybody goes; nothing is left.
    pub(super) fn end(&mut self) {
        self.play(&Step::Wait { span: Span::Minutes(61) });
        self.check();
        assert!(self.shard.is_empty(), "an allocation lives on");
        assert_eq!(self.shard.next_timeout(), None, "a timer is left");
        // Reservations are looked at when somebody wants a port.
        for family in [Family::V4, Family::V6] {
            drop(self.rules.ports.lease(family, Wish::Any, 0, 0, self.now.tick));
            assert_eq!(self.rules.ports.used(family), 0, "a port is left");
        }
        assert_eq!(self.rules.quota.users(), 0, "a place in a quota is left");
        assert!(self.world.sockets.is_empty() && self.world.channels.is_empty());
        assert!(self.rules.connection_ids.is_empty() && self.world.connections.is_empty());
    }
}

/// One of several by a number.
fn pick<T: Clone>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number).checked_rem(all.len())?).cloned()
}

/// Data that tell their length.
fn data(len: u16) -> Vec<u8> {
    (0..len % 1400).map(|at| (at ^ len) as u8).collect()
}

/// A few numbers of today's range, its borders, and those of RFC 5766.
fn channel_number(number: u8) -> u16 {
    match number % 12 {
        n @ 0..=7 => 0x4000 + u16::from(n),
        8 => 0x4FFF,
        9 => 0x5000,
        10 => 0x7FFF,
        _ => 0x3FFF,
    }
}
