//! After a restart the new process does whatever the old one would have done: both are given the same, and
//! answer, relay, tell and report the same.

use proptest::prelude::*;

use super::mobility::ticket;
use super::restart::Restart;
use super::*;
use crate::clock::Tick;
use crate::transaction_ids::TransactionIds;
use crate::{Client, ConnectionId, Traffic, Whose};
use taciturn_stun::{AttributeType as T, Family, Message, Method};

/// What may happen. Clients, peers and so on are numbers, reduced to what there is.
#[derive(Clone, Debug)]
enum Step {
    Allocate { client: u8, kind: u8, lifetime: u32 },
    Refresh { client: u8, lifetime: u32, family: u8 },
    Permit { client: u8, peers: Vec<u8> },
    Bind { client: u8, channel: u8, peer: u8 },
    Send { client: u8, peer: u8 },
    ChannelData { client: u8, channel: u8 },
    FromPeer { relay: u8, peer: u8 },
    Resume { client: u8, ticket: u8, end: bool },
    Connect { client: u8, peer: u8 },
    Connected { which: u8, well: bool },
    Arrive { relay: u8, peer: u8 },
    BindConnection { client: u8, which: u8 },
    PipeEnds { which: u8 },
    HangUp { client: u8 },
    Wait { millis: u64 },
    Kick { client: u8 },
    Drain { on: bool },
    Rotate,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, any) = (0..CLIENTS, any::<u8>);
    let lifetime = prop_oneof![Just(0_u32), Just(600), Just(3600), 0..4000_u32];
    let wait = prop_oneof![0..5_000_u64, 0..100_000_u64, 0..700_000_u64];
    prop_oneof![
        6 => (client.clone(), any(), lifetime.clone())
            .prop_map(|(client, kind, lifetime)| Step::Allocate { client, kind, lifetime }),
        3 => (client.clone(), lifetime, 0..4_u8)
            .prop_map(|(client, lifetime, family)| Step::Refresh { client, lifetime, family }),
        4 => (client.clone(), prop::collection::vec(any(), 1..3))
            .prop_map(|(client, peers)| Step::Permit { client, peers }),
        4 => (client.clone(), any(), any())
            .prop_map(|(client, channel, peer)| Step::Bind { client, channel, peer }),
        4 => (client.clone(), any()).prop_map(|(client, peer)| Step::Send { client, peer }),
        4 => (client.clone(), any())
            .prop_map(|(client, channel)| Step::ChannelData { client, channel }),
        6 => (any(), any()).prop_map(|(relay, peer)| Step::FromPeer { relay, peer }),
        3 => (client.clone(), any(), prop::bool::weighted(0.1))
            .prop_map(|(client, ticket, end)| Step::Resume { client, ticket, end }),
        2 => (client.clone(), any()).prop_map(|(client, peer)| Step::Connect { client, peer }),
        2 => (any(), prop::bool::ANY).prop_map(|(which, well)| Step::Connected { which, well }),
        2 => (any(), any()).prop_map(|(relay, peer)| Step::Arrive { relay, peer }),
        2 => (client.clone(), any())
            .prop_map(|(client, which)| Step::BindConnection { client, which }),
        1 => any().prop_map(|which| Step::PipeEnds { which }),
        1 => client.clone().prop_map(|client| Step::HangUp { client }),
        5 => wait.prop_map(|millis| Step::Wait { millis }),
        1 => client.prop_map(|client| Step::Kick { client }),
        1 => prop::bool::weighted(0.2).prop_map(|on| Step::Drain { on }),
        1 => Just(Step::Rotate),
    ]
}

const CLIENTS: u8 = 8;
const PEERS: [&str; 4] = [PEER, OTHER_PEER, PEER_V6, "8.8.8.8:4001"];

/// A server with its clients, and what they were told so far.
struct Process {
    rig: Rig,
    clients: Vec<TestClient>,
    tickets: Vec<Vec<u8>>,
    tokens: Vec<[u8; 8]>,
    /// Peer connections that were begun, and those that were bound.
    begun: Vec<ConnectionId>,
    bound: Vec<ConnectionId>,
}

/// All that is seen of one step.
#[derive(Debug, PartialEq)]
struct Seen {
    outcomes: Vec<Outcome>,
    events: Vec<String>,
    told: Vec<(Client, Vec<u8>)>,
    /// The allocations, the ports in use and reserved, the channels announced.
    sessions: Vec<String>,
    ports: (usize, usize),
    channels: Vec<String>,
    peers: Vec<u32>,
}

fn setup(setup: &mut setup::Setup) {
    setup.mobility = true;
    setup.tcp_relay = true;
    setup.ports = (50_000, 50_019);
    setup.quota = 3;
    setup.rates.packets.user = 20;
    setup.rates.new_peers.allocation = 1;
    setup.rates.allocations.user = 1;
}

impl Process {
    fn new() -> Self {
        let rig = Rig::with(setup);
        let clients = vec![
            rig.alice(),
            rig.bob(),
            rig.tcp_client(11, "alice"),
            rig.tcp_client(12, "bob"),
            rig.dtls_client("192.0.2.4:1004", "alice"),
            rig.client("198.51.100.9:7777", "alice"),
            rig.rest_client("192.0.2.6:1006", "carol", 2_000),
            rig.tcp_client(13, "alice"),
        ];
        clients[4].sha256.set(true);
        let (begun, bound) = (Vec::new(), Vec::new());
        Self { rig, clients, tickets: Vec::new(), tokens: Vec::new(), begun, bound }
    }

    /// The process that goes on in place of this one, `passed` later.
    fn restarted(&self, passed: u64, begins: Tick) -> Self {
        let passed = Duration::from_millis(passed);
        let how = Restart { passed, begins, setup: &setup, ..Restart::default() };
        let rig = how.of_one(&self.rig).0;
        let clients = self.clients.iter().map(|client| client.of(&rig)).collect();
        let (tickets, tokens) = (self.tickets.clone(), self.tokens.clone());
        Self { rig, clients, tickets, tokens, begun: self.begun.clone(), bound: self.bound.clone() }
    }

    fn client(&self, number: u8) -> &TestClient {
        &self.clients[usize::from(number) % self.clients.len()]
    }

    fn peer(number: u8) -> &'static str {
        PEERS[usize::from(number) % PEERS.len()]
    }

    /// One of the relay sockets, in the order of their addresses.
    fn relay(&self, number: u8, tcp: bool) -> Option<SocketAddr> {
        let mut all: Vec<_> = self.rig.world(|world| match tcp {
            true => world.listening.values().map(|(_, at)| *at).collect(),
            false => world.open.values().map(|(_, at)| *at).collect(),
        });
        all.sort();
        usize::from(number).checked_rem(all.len()).map(|at| all[at])
    }

    /// One of the peer connections.
    fn connection(&self, number: u8) -> Option<ConnectionId> {
        let all: Vec<_> = self.rig.world(|world| world.peers.iter().copied().collect());
        usize::from(number).checked_rem(all.len()).map(|at| ConnectionId(all[at]))
    }

    /// Asks as a client does: again with the nonce of the challenge. A request with another nonce is another.
    fn ask(&mut self, client: u8, request: impl Fn(&TestClient) -> Vec<u8>) -> Vec<Outcome> {
        let client = self.client(client);
        let mut outcomes = vec![client.raw(&request(client))];
        if let Some(Outcome::Reply(bytes)) = outcomes.last().cloned() {
            let message = Message::parse(&bytes).unwrap();
            if let (Some(401 | 438), Some(nonce)) = (message.error_code(), message.nonce()) {
                client.nonce.replace(nonce.into());
                outcomes.push(client.raw(&request(client)));
            }
        }
        if let Some(Outcome::Reply(bytes)) = outcomes.last() {
            let answer = Answer { bytes: bytes.clone() };
            if answer.code().is_none() && answer.message().find(T::MOBILITY_TICKET).is_some() {
                self.tickets.push(ticket(&answer));
            }
            if let (None, Ok(Some(token))) = (answer.code(), answer.message().reservation_token()) {
                self.tokens.push(token);
            }
        }
        outcomes
    }

    fn play(&mut self, step: &Step) -> Vec<Outcome> {
        match step.clone() {
            Step::Allocate { client, kind, lifetime } => self.allocate(client, kind, lifetime),
            Step::Refresh { client, lifetime, family } => self.ask(client, |client| {
                let request = client.request(Method::REFRESH).lifetime(lifetime);
                match family {
                    0 => request.family(T::REQUESTED_ADDRESS_FAMILY, Family::V4),
                    1 => request.family(T::REQUESTED_ADDRESS_FAMILY, Family::V6),
                    _ => request,
                }
                .bytes()
            }),
            Step::Permit { client, peers } => self.ask(client, |client| {
                let request = client.request(Method::CREATE_PERMISSION);
                let peers = peers.iter().map(|peer| addr(Self::peer(*peer)));
                peers.fold(request, client::Request::peer).bytes()
            }),
            Step::Bind { client, channel, peer } => self.ask(client, |client| {
                let number = [0x40, channel % 4, 0, 0];
                let request = client.request(Method::CHANNEL_BIND);
                request.attribute(T::CHANNEL_NUMBER, &number).peer(addr(Self::peer(peer))).bytes()
            }),
            Step::Send { client, peer } => {
                vec![self.client(client).send(Self::peer(peer), b"data")]
            }
            Step::ChannelData { client, channel } => {
                let channel = CHANNEL + u16::from(channel % 4);
                vec![self.client(client).channel_data(channel, b"dat")]
            }
            Step::FromPeer { relay, peer } => {
                let relay = self.relay(relay, false);
                let from_peer = |relay| self.rig.peer_sends(Self::peer(peer), relay, b"reply");
                relay.map(from_peer).into_iter().collect()
            }
            Step::Resume { client, ticket, end } => {
                let Some(at) = usize::from(ticket).checked_rem(self.tickets.len()) else {
                    return Vec::new();
                };
                let ticket = self.tickets[at].clone();
                let lifetime = if end { 0 } else { 700 };
                self.ask(client, |client| {
                    let request = client.request(Method::REFRESH).lifetime(lifetime);
                    request.attribute(T::MOBILITY_TICKET, &ticket).bytes()
                })
            }
            Step::Connect { client, peer } => {
                let outcomes = self.ask(client, |client| client.connect(Self::peer(peer)).bytes());
                if let Some(Outcome::Later) = outcomes.last() {
                    self.begun.push(self.rig.world(|world| world.attempts.last().unwrap().id));
                }
                outcomes
            }
            Step::BindConnection { client, which } => {
                let id = self.connection(which).map_or([7; 4], |id| id.0.to_be_bytes());
                let outcomes = self.ask(client, |client| {
                    let request = client.request(Method::CONNECTION_BIND);
                    request.attribute(T::CONNECTION_ID, &id).bytes()
                });
                let bound = self.rig.world(|world| std::mem::take(&mut world.bound));
                self.bound.extend(bound.into_iter().map(|(_, id)| id));
                outcomes
            }
            step => {
                self.happen(step);
                Vec::new()
            }
        }
    }

    fn allocate(&mut self, client: u8, kind: u8, lifetime: u32) -> Vec<Outcome> {
        let token = self.tokens.last().copied().unwrap_or_default();
        self.ask(client, |client| {
            let request = match kind % 9 {
                7 => client.tcp_allocation(),
                _ => client.allocation(),
            };
            let request = match kind % 9 {
                0 => request.even_port(false),
                1 | 2 => request.even_port(true),
                3 => request.attribute(T::RESERVATION_TOKEN, &token),
                4 => request.family(T::REQUESTED_ADDRESS_FAMILY, Family::V6),
                5 => request.attribute(T::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
                6 | 8 => request.attribute(T::MOBILITY_TICKET, b""),
                _ => request,
            };
            request.lifetime(lifetime).bytes()
        })
    }

    /// What no client sends.
    fn happen(&mut self, step: Step) {
        let rig = self.rig.clone();
        // The owner of a connection that is there is found by its attempt.
        let nth = |which: u8, all: &[ConnectionId]| {
            let there = |id: &&ConnectionId| rig.world(|world| world.peers.contains(&id.0));
            let there: Vec<_> = all.iter().filter(there).copied().collect();
            usize::from(which).checked_rem(there.len()).map(|at| there[at])
        };
        let attempt = |id: ConnectionId| {
            let find = |world: &mut world::World| {
                world.attempts.iter().rev().find(|attempt| attempt.id == id).copied()
            };
            rig.world(find)
        };
        match step {
            Step::Connected { which, well } => {
                let Some(attempt) = nth(which, &self.begun).and_then(attempt) else { return };
                self.begun.retain(|id| *id != attempt.id);
                rig.with_shard(|shard, now, world| match well {
                    true => shard.peer_connected(now, attempt.owner, attempt.id, world),
                    false => {
                        world.peers.remove(&attempt.id.0);
                        shard.connect_failed(now, attempt.owner, attempt.id, world);
                    }
                });
            }
            Step::Arrive { relay, peer } => {
                let Some(relay) = self.relay(relay, true) else { return };
                if let Some(id) = rig.peer_connects(Self::peer(peer), relay) {
                    rig.world(|world| {
                        let on_it = |(_, local): &&(_, SocketAddr)| *local == relay;
                        let (owner, _) = *world.listening.values().find(on_it).unwrap();
                        world.attempts.push(world::Attempt { owner, id, from: relay, to: relay });
                    });
                }
            }
            Step::PipeEnds { which } => {
                let Some(attempt) = nth(which, &self.bound).and_then(attempt) else { return };
                let traffic = Traffic { bytes_to_client: 7, ..Traffic::default() };
                rig.pipe_ends(attempt, traffic);
            }
            Step::HangUp { client } => rig.hang_up(self.client(client)),
            Step::Wait { millis } => rig.advance(Duration::from_millis(millis)),
            Step::Kick { client } => {
                let user = Some(self.client(client).user.clone());
                rig.kick(&Whose { user, ..Whose::default() });
            }
            Step::Drain { on } => rig.drain(on),
            Step::Rotate => {
                let now = rig.now().tick;
                rig.shard(|shard| shard.parts.rules.nonces.rotate([5; 32], now));
            }
            other => panic!("{other:?} is a client's"),
        }
    }

    /// Plays a step, and tells all that is seen of it.
    fn see(&mut self, step: &Step) -> Seen {
        let outcomes = self.play(step);
        self.rig.assert_consistent();
        let now = self.rig.now().tick;
        let (told, channels, peers) = self.rig.world(|world| {
            let told = std::mem::take(&mut world.told);
            let channel = |(route, until): &(_, Tick)| format!("{route:?} {:?}", until.since(now));
            let channels: Vec<_> = world.channels.iter().map(channel).collect();
            (told, channels, world.peers.iter().copied().collect())
        });
        // A reservation that is over is given back by the next look.
        self.rig.shard(|shard| drop(shard.parts.rules.ports.snapshot(now)));
        let events = self.rig.events().iter().map(|event| format!("{event:?}")).collect();
        let sessions = self.rig.sessions(&Whose::default());
        let mut seen = Seen {
            outcomes,
            events,
            told,
            sessions: sessions.iter().map(|session| format!("{session:?}")).collect(),
            ports: (self.rig.used_ports(), self.rig.reserved_ports()),
            channels,
            peers,
        };
        // What expires at the same time has no order.
        for all in [&mut seen.events, &mut seen.sessions, &mut seen.channels] {
            all.sort();
        }
        seen
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_restarted_server_does_what_the_old_one_would_have_done(
        before in prop::collection::vec(step(), 0..40),
        after in prop::collection::vec(step(), 0..40),
        passed in prop_oneof![Just(0), 0..3_000_u64, 0..400_000_u64],
        begins in prop_oneof![Just(Tick(9_000_000)), Just(Tick(1 << 50))],
    ) {
        let mut old = Process::new();
        for step in &before {
            old.see(step);
        }
        let mut new = old.restarted(passed, begins);
        old.rig.advance(Duration::from_millis(passed));
        // The same randomness from here on. Ids of transactions are drawn in advance.
        new.rig.world(|world| world.randomness = 7);
        old.rig.world(|world| world.randomness = 7);
        old.rig.with_shard(|shard, _, _| shard.parts.tids = TransactionIds::default());
        // What has expired meanwhile has ended here and is left out there, and both say so.
        let nothing = Step::Wait { millis: 0 };
        prop_assert_eq!(old.see(&nothing), new.see(&nothing));
        for step in &after {
            prop_assert_eq!(old.see(step), new.see(step), "{:?}", step);
        }
    }
}
