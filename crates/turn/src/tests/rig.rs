//! A server for tests: a shard, its rules, a clock, and the fake world around it.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::client::TestClient;
use super::outcome::Outcome;
use super::setup::Setup;
use super::world::{Attempt, Happened, World};
use super::{addr, seconds};
use crate::auth::{Authenticator, NonceKeys, SharedSecret, StaticKey, StaticUser};
use crate::clock::{Now, Tick};
use crate::policy::{
    AnswerLimit, FailureLimit, PORT_QUARANTINE, PeerPolicy, PeerPorts, PortPool, PortRange, Quota,
    RateLimits,
};
use crate::{
    Alternates, ChannelRoute, Client, ClientAddr, ConnectionId, ConnectionIds, Departed, IcmpError,
    MobileId, Redirect, Rules, Session, SessionIds, Settings, Shard, ShardNumber, TicketKey,
    Traffic, Usage, Verdict, Via, Whose, Withdrawn,
};
use taciturn_stun::Family;

/// Eleven bytes, as in the sizes that the tests of the first answer name.
pub(super) const REALM: &str = "example.org";
pub(super) const SECRET: &str = "a shared secret";
/// When the clock starts, in seconds since 1970.
pub(super) const START: u64 = 1_700_000_000;

const START_TICK: Tick = Tick(5_000_000);

/// A server. Clones are handles to the same one.
#[derive(Clone)]
pub(super) struct Rig(Rc<RefCell<Inner>>);

struct Inner {
    now: Now,
    /// When its clock started, and how long after a whole second that was.
    began: (Now, Duration),
    shard: Shard,
    world: World,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let (settings, rules) = configured(setup);
        Self::start(Shard::new(settings, rules))
    }

    /// Another shard of the same server: the same rules and ports, sockets of its own.
    pub(super) fn beside(other: &Self) -> Self {
        let inner = other.0.borrow();
        let number = ShardNumber(inner.shard.parts.number.0 + 1);
        let (settings, rules) =
            (inner.shard.parts.settings.clone(), inner.shard.parts.rules.clone());
        let rig = Self::start(Shard::numbered(number, settings, rules));
        rig.0.borrow_mut().now = inner.now;
        rig
    }

    fn start(shard: Shard) -> Self {
        let now = Now { tick: START_TICK, unix: START };
        Self::of(shard, World::default(), now, Duration::ZERO)
    }

    /// One whose clock shows `now`, `since` after a whole second.
    pub(super) fn of(shard: Shard, world: World, now: Now, since: Duration) -> Self {
        Self(Rc::new(RefCell::new(Inner { now, began: (now, since), shard, world })))
    }

    /// How long it is since a whole second.
    pub(super) fn since_second(&self) -> Duration {
        let inner = self.0.borrow();
        let (began, since) = inner.began;
        let passed = inner.now.tick.since(began.tick) + since;
        Duration::from_nanos(passed.subsec_nanos().into())
    }

    /// Alice, at some address of hers.
    pub(super) fn alice(&self) -> TestClient {
        self.client("192.0.2.1:1001", "alice")
    }

    /// Bob, elsewhere.
    pub(super) fn bob(&self) -> TestClient {
        self.client("192.0.2.2:1002", "bob")
    }

    /// A static user over UDP.
    pub(super) fn client(&self, from: &str, user: &str) -> TestClient {
        TestClient::new(self.clone(), udp(from), user, &format!("{user}'s password"))
    }

    /// A static user over a TCP connection.
    pub(super) fn stream_client(&self, from: &str, user: &str) -> TestClient {
        let via = Via::Stream { connection: 7, listener: 1 };
        let at = Client { via, ..udp(from) };
        TestClient::new(self.clone(), at, user, &format!("{user}'s password"))
    }

    /// A static user over a DTLS connection.
    pub(super) fn dtls_client(&self, from: &str, user: &str) -> TestClient {
        let via = Via::Dtls { connection: 7, listener: 2 };
        let at = Client { via, ..udp(from) };
        TestClient::new(self.clone(), at, user, &format!("{user}'s password"))
    }

    /// One over a connection of this number.
    pub(super) fn tcp_client(&self, connection: u16, user: &str) -> TestClient {
        let via = Via::Stream { connection: u32::from(connection), listener: 1 };
        let at = Client { via, ..udp(&format!("192.0.2.1:{connection}")) };
        TestClient::new(self.clone(), at, user, &format!("{user}'s password"))
    }

    /// A user of the REST scheme whose credential ends in so many seconds from the start.
    pub(super) fn rest_client(&self, from: &str, name: &str, ends: u64) -> TestClient {
        self.rest_client_at(udp(from), name, ends)
    }

    /// The same over a connection of this number.
    pub(super) fn rest_tcp_client(&self, connection: u16, name: &str, ends: u64) -> TestClient {
        self.rest_client_at(self.tcp_client(connection, "").at, name, ends)
    }

    fn rest_client_at(&self, at: Client, name: &str, ends: u64) -> TestClient {
        let username = format!("{}:{name}", START + ends);
        let password = SharedSecret::new(SECRET).password_for(&username);
        TestClient::new(self.clone(), at, &username, &password)
    }

    /// Lets time pass. The shard is woken whenever it asked to be, and at the end.
    pub(super) fn advance(&self, span: Duration) {
        let target = self.now().tick + span;
        loop {
            let inner = &mut *self.0.borrow_mut();
            let due = inner.shard.next_timeout().filter(|due| *due <= target);
            let tick = due.unwrap_or(target).max(inner.now.tick);
            inner.set_clock(tick);
            inner.shard.handle_timeout(inner.now, &mut inner.world);
            let rest = inner.shard.next_timeout();
            assert!(rest.is_none_or(|next| next > tick), "a deadline is left that has passed");
            if due.is_none() {
                return;
            }
        }
    }

    /// Lets time pass without waking the shard: a busy worker is late for its timers.
    pub(super) fn oversleep(&self, span: Duration) {
        let inner = &mut *self.0.borrow_mut();
        let tick = inner.now.tick + span;
        inner.set_clock(tick);
    }

    pub(super) fn now(&self) -> Now {
        self.0.borrow().now
    }

    /// A packet from a client.
    pub(super) fn client_sends(&self, client: Client, packet: &[u8]) -> Outcome {
        let inner = &mut *self.0.borrow_mut();
        let mut reply = [0xAA; 2048];
        let verdict =
            inner.shard.from_client(inner.now, client, packet, &mut reply, &mut inner.world);
        inner.outcome(verdict, packet, &reply)
    }

    /// A packet from a peer to a relayed transport address, by its port.
    #[track_caller]
    pub(super) fn peer_sends(&self, peer: &str, relayed: SocketAddr, data: &[u8]) -> Outcome {
        self.socket_receives(addr(peer), relayed, data)
    }

    /// The same, from an address at hand.
    #[track_caller]
    pub(super) fn socket_receives(
        &self,
        peer: SocketAddr,
        relayed: SocketAddr,
        data: &[u8],
    ) -> Outcome {
        let inner = &mut *self.0.borrow_mut();
        let family = Family::of(relayed.ip());
        let on_it = |(_, local): &&(_, SocketAddr)| {
            local.port() == relayed.port() && Family::of(local.ip()) == family
        };
        let Some((owner, _)) = inner.world.open.values().find(on_it).copied() else {
            return Outcome::NobodyListens;
        };
        let (now, len) = (inner.now, data.len());
        let verdict = inner.shard.from_peer(now, owner, family, peer, len, &mut inner.world);
        inner.outcome(verdict, data, &[])
    }

    /// An ICMP error about a datagram from a relayed transport address to a peer: who is told, and
    /// what.
    pub(super) fn icmp(
        &self,
        peer: &str,
        relayed: SocketAddr,
        error: IcmpError,
    ) -> Option<(Client, Vec<u8>)> {
        let inner = &mut *self.0.borrow_mut();
        let family = Family::of(relayed.ip());
        let (owner, _) = inner
            .world
            .open
            .values()
            .find(|(_, local)| (local.port(), Family::of(local.ip())) == (relayed.port(), family))
            .copied()?;
        let mut out = [0xAA; 100];
        let (client, len) = inner.shard.from_icmp(
            inner.now,
            (owner, family),
            addr(peer),
            error,
            &mut out,
            &mut inner.world,
        )?;
        Some((client, out[..len].to_vec()))
    }

    /// The connection of a client is lost.
    pub(super) fn hang_up(&self, client: &TestClient) {
        let inner = &mut *self.0.borrow_mut();
        inner.shard.client_gone(inner.now, client.at, &mut inner.world);
    }

    /// This shard gives the other what that has asked of it, or says that it cannot. Returns how
    /// often; what has waited for it is answered.
    pub(super) fn hand_over_to(&self, other: &Self) -> usize {
        let asked = other.world(|world| std::mem::take(&mut world.fetches));
        for (from, id, client) in asked.clone() {
            let (from_here, to) = (self.shard(|s| s.parts.number), other.shard(|s| s.parts.number));
            assert_eq!(from, from_here, "the shard that is asked");
            let departed = {
                let inner = &mut *self.0.borrow_mut();
                inner.shard.depart(inner.now, id, to, client, &mut inner.world)
            };
            other.take_in(self, departed, id, client);
        }
        asked.len()
    }

    /// What [`Rig::hand_over_to`] does on the other side.
    pub(super) fn take_in(
        &self,
        from: &Self,
        departed: Option<Departed>,
        id: MobileId,
        client: Client,
    ) {
        let inner = &mut *self.0.borrow_mut();
        match departed {
            None => inner.shard.not_fetched(inner.now, id, client, &mut inner.world),
            Some(departed) => {
                let relays = departed.relays().map(|relay| {
                    let (_, at) = from.world(|world| world.open.remove(&relay?.0))?;
                    inner.world.adopt(at)
                });
                let landed = inner.shard.land(inner.now, departed, relays, &mut inner.world);
                for relay in relays.into_iter().flatten() {
                    if let Some((owner, _)) = inner.world.open.get_mut(&relay.0) {
                        *owner = landed;
                    }
                }
            }
        }
    }

    /// Takes an allocation out, for `to`, and lets it be on its way.
    pub(super) fn give_away(&self, to: &Self) -> (Option<Departed>, MobileId, Client) {
        let (_, id, client) = to.world(|world| world.fetches.remove(0));
        let inner = &mut *self.0.borrow_mut();
        let to = to.shard(|shard| shard.parts.number);
        (inner.shard.depart(inner.now, id, to, client, &mut inner.world), id, client)
    }

    /// Does what the other shard has told this one.
    pub(super) fn hear(&self, other: &Self) {
        let (releases, offers) = other.world(|world| {
            (std::mem::take(&mut world.releases), std::mem::take(&mut world.offers))
        });
        let inner = &mut *self.0.borrow_mut();
        for (_, id) in releases {
            inner.shard.release(inner.now, id, &mut inner.world);
        }
        for (_, client) in offers {
            inner.shard.fetch_for(inner.now, client, &mut inner.world);
        }
    }

    /// A peer connects to a relayed transport address of a TCP allocation. `None` when it was
    /// closed at once.
    #[track_caller]
    pub(super) fn peer_connects(&self, peer: &str, relayed: SocketAddr) -> Option<ConnectionId> {
        let inner = &mut *self.0.borrow_mut();
        let family = Family::of(relayed.ip());
        let on_it = |(_, local): &&(_, SocketAddr)| {
            local.port() == relayed.port() && Family::of(local.ip()) == family
        };
        let (owner, _) = *inner.world.listening.values().find(on_it).expect("a socket");
        let (shard, world) = (&mut inner.shard, &mut inner.world);
        let id = shard.peer_arrived(inner.now, owner, family, addr(peer), world);
        if let Some(id) = id {
            assert!(inner.world.peers.insert(id.0), "{id:?} is there already");
        }
        id
    }

    /// The peer of the last attempt takes the connection.
    pub(super) fn peer_accepts(&self) -> Attempt {
        let inner = &mut *self.0.borrow_mut();
        let attempt = *inner.world.attempts.last().expect("an attempt");
        inner.shard.peer_connected(inner.now, attempt.owner, attempt.id, &mut inner.world);
        attempt
    }

    /// It does not.
    pub(super) fn peer_refuses(&self) {
        let inner = &mut *self.0.borrow_mut();
        let attempt = *inner.world.attempts.last().expect("an attempt");
        assert!(inner.world.peers.remove(&attempt.id.0));
        inner.shard.connect_failed(inner.now, attempt.owner, attempt.id, &mut inner.world);
    }

    /// A peer connection and its data connection end, having relayed this.
    pub(super) fn pipe_ends(&self, attempt: Attempt, traffic: Traffic) {
        let inner = &mut *self.0.borrow_mut();
        assert!(inner.world.peers.remove(&attempt.id.0));
        inner.shard.peer_closed(attempt.owner, attempt.id, traffic);
    }

    /// The operator denies every peer from now on.
    pub(super) fn deny_everybody(&self) {
        let everywhere = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let inner = &mut *self.0.borrow_mut();
        inner.shard.parts.rules.peers = Arc::new(PeerPolicy::new(vec![], everywhere, vec![]));
    }

    /// The operator has changed the configuration.
    pub(super) fn reload(&self, change: impl FnOnce(&mut Settings, &mut Rules)) -> Withdrawn {
        let inner = &mut *self.0.borrow_mut();
        let (mut settings, mut rules) =
            (inner.shard.parts.settings.clone(), inner.shard.parts.rules.clone());
        change(&mut settings, &mut rules);
        inner.shard.set_rules(inner.now, settings, rules, &mut inner.world)
    }

    /// All allocations of these, in as many goes as it takes.
    pub(super) fn sessions(&self, whose: &Whose) -> Vec<Session> {
        let now = self.now();
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let (some, next) = self.shard(|shard| shard.sessions(now, whose, at));
            all.extend(some);
            from = next;
        }
        all
    }

    /// Another data path has forgotten all that it was told.
    pub(super) fn announce_anew(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.shard.announce_anew(inner.now, &mut inner.world);
    }

    /// Another data path reports what it has relayed.
    pub(super) fn channel_used(&self, route: &ChannelRoute, used: Usage) -> bool {
        let inner = &mut *self.0.borrow_mut();
        inner.shard.channel_used(inner.now, route, used)
    }

    pub(super) fn kick(&self, whose: &Whose) -> usize {
        let inner = &mut *self.0.borrow_mut();
        inner.shard.kick(inner.now, whose, &mut inner.world)
    }

    pub(super) fn drain(&self, on: bool) {
        self.0.borrow_mut().shard.drain(on);
    }

    pub(super) fn retire_listener(&self, listener: u16, on: bool) {
        self.0.borrow_mut().shard.retire_listener(listener, on);
    }

    pub(super) fn close_listener(&self, listener: u16) {
        let inner = &mut *self.0.borrow_mut();
        inner.shard.close_listener(inner.now, listener, &mut inner.world);
    }

    /// What a client was told unasked, or later; the oldest first.
    pub(super) fn next_told(&self, client: &TestClient) -> Option<Vec<u8>> {
        self.world(|world| {
            let at = world.told.iter().position(|(to, _)| *to == client.at)?;
            Some(world.told.remove(at).1)
        })
    }

    pub(super) fn shut_down(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.shard.shut_down(inner.now, &mut inner.world);
    }

    /// Sends clients elsewhere from now on.
    pub(super) fn redirect(&self, to: Redirect) {
        self.0.borrow_mut().shard.parts.settings.redirect = Some(to);
    }

    /// Changes where clients are sent for which there is no room.
    pub(super) fn alternates(&self, change: impl FnOnce(&Alternates)) {
        change(&self.0.borrow().shard.parts.rules.alternates);
    }

    /// Changes the shard.
    pub(super) fn with_shard<T>(&self, change: impl FnOnce(&mut Shard, Now, &mut World) -> T) -> T {
        let inner = &mut *self.0.borrow_mut();
        change(&mut inner.shard, inner.now, &mut inner.world)
    }

    /// Changes or reads the world.
    pub(super) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.borrow_mut().world)
    }

    /// Reads the shard.
    pub(super) fn shard<T>(&self, look: impl FnOnce(&Shard) -> T) -> T {
        look(&self.0.borrow().shard)
    }

    /// The events since the last call.
    pub(super) fn events(&self) -> Vec<Happened> {
        self.world(|world| std::mem::take(&mut world.events))
    }

    /// Ports leased or reserved, of both families.
    pub(super) fn used_ports(&self) -> usize {
        let used = |shard: &Shard| {
            let ports = &shard.parts.rules.ports;
            ports.used(Family::V4) + ports.used(Family::V6)
        };
        self.shard(used) as usize
    }

    /// Ports that wait for their token.
    pub(super) fn reserved_ports(&self) -> usize {
        self.shard(|shard| {
            let ports = &shard.parts.rules.ports;
            ports.reserved(Family::V4) + ports.reserved(Family::V6)
        })
    }

    /// Holds that nothing at all is left: no allocation, socket, port, place in a quota or table
    /// entry.
    #[track_caller]
    pub(super) fn assert_empty(&self) {
        self.assert_consistent();
        self.shard(|shard| assert!(shard.is_empty(), "{} allocations left", shard.len()));
        assert_eq!(self.used_ports(), 0, "ports left");
        self.shard(|shard| assert_eq!(shard.parts.rules.quota.users(), 0, "places in quotas left"));
        self.world(|world| assert_eq!(world.channels, [], "channels announced as open"));
        self.shard(|shard| {
            assert!(shard.parts.rules.connection_ids.is_empty(), "connection ids left")
        });
        self.world(|world| assert!(world.peers.is_empty(), "peer connections left"));
        self.shard(|shard| assert!(shard.parts.rules.mobile.is_empty(), "mobile allocations left"));
    }

    /// Holds that sockets, leases and tables tell the same story.
    #[track_caller]
    pub(super) fn assert_consistent(&self) {
        let (open, listening, peers) =
            self.world(|world| (world.open.clone(), world.listening.clone(), world.peers.len()));
        self.shard(|shard| {
            let (allocations, moves) = (&shard.parts.allocations, &shard.parts.moves);
            let mobile_of_all = &shard.parts.rules.mobile;
            let relays = |tcp: bool| -> usize {
                let those = allocations.iter().filter(|a| a.tcp().is_some() == tcp);
                those.map(|a| a.relays().iter().flatten().count()).sum()
            };
            assert_eq!(relays(false), open.len(), "relays of allocations, sockets open");
            assert_eq!(relays(true), listening.len(), "TCP relays of allocations, sockets open");
            assert_eq!(relays(false), allocations.ports(), "relays by port");
            let there = allocations.iter().filter(|a| !a.is_away()).count();
            assert_eq!(there, allocations.clients().count(), "allocations by client");
            let mobile = allocations.iter().filter(|a| a.mobility().is_some()).count();
            assert!(mobile <= mobile_of_all.len(), "mobile allocations that all know of");
            assert!(moves.len() <= mobile_of_all.len(), "moves that wait");
            let tcp = allocations.iter().filter_map(|a| a.tcp());
            let connections: usize = tcp.map(|tcp| tcp.len()).sum();
            assert_eq!(connections, peers, "peer connections of allocations, and those there are");
            for (tcp, (_, local)) in
                open.values().map(|o| (false, o)).chain(listening.values().map(|l| (true, l)))
            {
                let (family, port) = (Family::of(local.ip()), local.port());
                let ports = &shard.parts.rules.ports;
                let live = (ports.is_live(family, port), ports.is_live_for_tcp(family, port));
                assert_eq!(live, (!tcp, tcp), "whether {local} is live for UDP and TCP");
                assert!(ports.range().contains(port), "{local} out of range");
            }
        });
    }
}

/// Networks, each with a range of ports.
pub(super) fn port_rules(texts: &[(&str, &str)]) -> Vec<(IpNet, PeerPorts)> {
    texts.iter().map(|(net, ports)| (net.parse().unwrap(), ports.parse().unwrap())).collect()
}

/// What a server is configured for.
pub(super) fn configured(setup: Setup) -> (Settings, Rules) {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let (allow, deny): (Vec<IpNet>, Vec<IpNet>) = (nets(setup.allow), nets(setup.deny));
    let ports = port_rules(setup.allow_ports);
    let relays = [setup.v4, setup.v6];
    let own: Vec<IpAddr> = relays.iter().flatten().flat_map(|a| [a.public, a.local]).collect();
    let user = |name: &str, password: &str| StaticUser {
        name: name.into(),
        key: StaticKey::Password(Zeroizing::new(password.into())),
    };
    let users = [user("alice", "alice's password"), user("bob", "bob's password")];
    let secrets = match setup.shared_secret {
        true => vec![SharedSecret::new(SECRET)],
        false => Vec::new(),
    };
    let range = PortRange::new(setup.ports.0, setup.ports.1).unwrap();
    let rules = Rules {
        authenticator: Arc::new(Authenticator::new(REALM, &users, secrets, setup.strict_expiry)),
        nonces: Arc::new(NonceKeys::new(seconds(3600), [[1; 32], [2; 32]], START_TICK)),
        peers: Arc::new(PeerPolicy::new(allow, deny, own).allowing_ports(ports)),
        ports: Arc::new(PortPool::new(range, PORT_QUARANTINE)),
        quota: Arc::new(Quota::new(setup.quota, setup.quota_in_all)),
        rates: Arc::new(RateLimits::new(setup.rates)),
        tenant_peers: Arc::default(),
        answers: Arc::new(AnswerLimit::new(setup.answers.0, setup.answers.1, Vec::new())),
        failures: Arc::new(FailureLimit::new(setup.failures)),
        connection_ids: Arc::new(ConnectionIds::new(setup.connections_in_all)),
        tickets: Arc::new(TicketKey::new(Zeroizing::new([3; 32]))),
        bans: Arc::default(),
        requests: Arc::default(),
        mobile: Arc::default(),
        alternates: Arc::default(),
        guests: Arc::default(),
        session_ids: setup.records.then(|| Arc::new(SessionIds::new(0xABC))),
    };
    let settings = Settings {
        relay_addresses: relays,
        max_lifetime: setup.max_lifetime,
        max_permissions: setup.max_permissions,
        max_channels: setup.max_channels,
        rfc5766_channels: setup.rfc5766_channels,
        tcp_relay: setup.tcp_relay,
        max_peer_connections: setup.max_peer_connections,
        ports_reserved_percent: setup.ports_reserved_percent,
        rfc8489_over_udp: setup.rfc8489_over_udp,
        redirect: setup.redirect,
        icmp_errors: true,
        nat_discovery: setup.nat_discovery,
        rfc3489: setup.rfc3489,
        software: setup.software,
        keep_removed: setup.keep_removed,
        keep_removed_rows: setup.keep_removed_rows,
        mobility: setup.mobility,
    };
    (settings, rules)
}

/// A client over UDP that sends from here.
pub(super) fn udp(from: &str) -> Client {
    Client {
        via: Via::Udp(0),
        local: "203.0.113.7".parse().unwrap(),
        remote: ClientAddr(addr(from)),
    }
}

impl Inner {
    fn set_clock(&mut self, tick: Tick) {
        let (began, since) = self.began;
        let unix = began.unix + (tick.since(began.tick) + since).as_secs();
        self.now = Now { tick, unix };
    }

    /// Carries a verdict out.
    fn outcome(&self, verdict: Verdict, packet: &[u8], reply: &[u8]) -> Outcome {
        match verdict {
            Verdict::Drop(reason) => Outcome::Dropped(reason),
            Verdict::Reply(len) => Outcome::Reply(reply[..len].to_vec()),
            Verdict::ReplyFrom { len, from, to } => {
                Outcome::ReplyFrom { from, to, bytes: reply[..len].to_vec() }
            }
            Verdict::Later => Outcome::Later,
            Verdict::ToClient { client, prefix, payload, padding } => {
                let mut bytes = prefix.as_bytes().to_vec();
                bytes.extend(&packet[payload]);
                bytes.extend(vec![0; usize::from(padding)]);
                Outcome::ToClient { client, bytes }
            }
            Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
                let (_, from) = self.world.open[&relay.0];
                assert_eq!(Family::of(from.ip()), Family::of(peer.ip()), "the socket's family");
                let data = packet[payload].to_vec();
                Outcome::ToPeer { from, peer, data, dont_fragment }
            }
        }
    }
}
