//! Arbitrary input: nothing panics, nothing leaks, nothing gets out that was not permitted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::client::channel_data;
use super::*;
use crate::clock::Tick;
use taciturn_stun::{AttributeType as T, Family, Method, canonical_ip};

const PEERS: [&str; 8] = [
    PEER,
    OTHER_PEER,
    "8.8.8.8:4001",
    "[::ffff:9.9.9.9]:5000",
    PEER_V6,
    "10.0.0.1:1",
    "203.0.113.7:50000",
    "203.0.113.7:50001",
];

/// One thing that somebody does.
#[derive(Clone, Debug)]
enum Step {
    Allocate { family: u8, additional: u8, even: Option<bool>, token: Option<usize>, lifetime: u32 },
    Refresh { lifetime: u32, family: u8 },
    Permit { peers: Vec<usize> },
    Bind { channel: u16, peer: usize },
    Send { peer: usize, data: Vec<u8> },
    ChannelData { channel: u16, data: Vec<u8> },
    PeerSends { peer: usize, socket: usize, len: usize },
    Repeat,
    HangUp,
    Wait { millis: u64 },
    PortsTaken { ports: Vec<u16> },
    NoSockets { family: u8 },
    Noise { bytes: Vec<u8> },
    Spoilt { at: usize, to: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let lifetime = || prop_oneof![Just(0), Just(600), Just(3600), any::<u32>()];
    let channel = || prop_oneof![0x4000_u16..0x4004, any::<u16>()];
    let data = || proptest::collection::vec(any::<u8>(), 0..20);
    let peer = || 0..PEERS.len();
    prop_oneof![
        3 => (
            0_u8..4,
            0_u8..8,
            proptest::option::weighted(0.3, any::<bool>()),
            proptest::option::weighted(0.2, 0_usize..4),
            lifetime(),
        )
            .prop_map(|(family, additional, even, token, lifetime)| Step::Allocate {
                family, additional, even, token, lifetime,
            }),
        2 => (lifetime(), 0_u8..6).prop_map(|(lifetime, family)| Step::Refresh { lifetime, family }),
        2 => proptest::collection::vec(peer(), 0..4).prop_map(|peers| Step::Permit { peers }),
        2 => (channel(), peer()).prop_map(|(channel, peer)| Step::Bind { channel, peer }),
        3 => (peer(), data()).prop_map(|(peer, data)| Step::Send { peer, data }),
        3 => (channel(), data()).prop_map(|(channel, data)| Step::ChannelData { channel, data }),
        3 => (peer(), 0_usize..8, 0_usize..1500)
            .prop_map(|(peer, socket, len)| Step::PeerSends { peer, socket, len }),
        1 => Just(Step::Repeat),
        1 => Just(Step::HangUp),
        2 => prop_oneof![0_u64..400_000, Just(300_000), Just(600_000), 0_u64..4_000_000]
            .prop_map(|millis| Step::Wait { millis }),
        1 => proptest::collection::vec(50_000_u16..50_006, 0..6)
            .prop_map(|ports| Step::PortsTaken { ports }),
        1 => (0_u8..8).prop_map(|family| Step::NoSockets { family }),
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| Step::Noise { bytes }),
        2 => (0_usize..200, any::<u8>()).prop_map(|(at, to)| Step::Spoilt { at, to }),
    ]
}

/// A server with a few ports, some clients, and what they have been granted.
struct Play {
    rig: Rig,
    clients: Vec<TestClient>,
    tokens: Vec<[u8; 8]>,
    last: Option<(usize, Vec<u8>)>,
    /// Until when a client may send to an address: learnt from its successes alone.
    permitted: BTreeMap<(usize, IpAddr), Tick>,
}

impl Play {
    fn new() -> Self {
        let rig = Rig::with(|setup| {
            setup.ports = (50_000, 50_005);
            setup.quota = 3;
            setup.max_permissions = 3;
            setup.max_channels = 2;
        });
        let clients = vec![
            rig.alice(),
            rig.bob(),
            rig.stream_client("192.0.2.3:1003", "alice"),
            rig.rest_client("192.0.2.4:1004", "carol", 1000),
            rig.alice().impostor("bob"),
        ];
        Self { rig, clients, tokens: Vec::new(), last: None, permitted: BTreeMap::new() }
    }

    fn act(&mut self, who: usize, step: &Step) {
        let client = &self.clients[who];
        match step {
            Step::Allocate { family, additional, even, token, lifetime } => {
                let mut asked = client.allocation().lifetime(*lifetime);
                if let Some(reserve) = even {
                    asked = asked.even_port(*reserve);
                }
                if *family > 1 {
                    asked = asked.attribute(T::REQUESTED_ADDRESS_FAMILY, &[*family, 0, 0, 0]);
                }
                if *additional > 4 {
                    asked = asked.family(T::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
                }
                if let Some(token) = token.and_then(|n| self.tokens.get(n)) {
                    asked = asked.attribute(T::RESERVATION_TOKEN, token);
                }
                let answer = asked.send();
                self.tokens.extend(answer.message().reservation_token().unwrap());
                self.last = Some((who, asked.bytes()));
            }
            Step::Refresh { lifetime, family } => {
                let mut asked = client.request(Method::REFRESH).lifetime(*lifetime);
                if let Some(family) = Family::from_number(*family) {
                    asked = asked.family(T::REQUESTED_ADDRESS_FAMILY, family);
                }
                asked.send();
                self.last = Some((who, asked.bytes()));
            }
            Step::Permit { peers } => {
                let peers: Vec<&str> = peers.iter().map(|n| PEERS[*n]).collect();
                if client.try_permit(&peers).code().is_none() {
                    self.granted(who, &peers);
                }
            }
            Step::Bind { channel, peer } => {
                if client.try_bind(*channel, PEERS[*peer]).code().is_none() {
                    self.granted(who, &[PEERS[*peer]]);
                }
            }
            Step::Send { peer, data } => self.sent(who, &client.send(PEERS[*peer], data)),
            Step::ChannelData { channel, data } => {
                self.sent(who, &client.raw(&channel_data(*channel, data)));
            }
            Step::PeerSends { peer, socket, len } => {
                let nth = |world: &mut world::World| {
                    world.open.values().nth(*socket).map(|(_, local)| *local)
                };
                if let Some(socket) = self.rig.world(nth) {
                    self.rig.peer_sends(PEERS[*peer], socket, &vec![b'x'; *len]);
                }
            }
            Step::Repeat => {
                if let Some((who, bytes)) = &self.last {
                    self.sent(*who, &self.clients[*who].raw(bytes));
                }
            }
            Step::HangUp => self.rig.hang_up(client),
            Step::Wait { millis } => self.rig.advance(Duration::from_millis(*millis)),
            Step::PortsTaken { ports } => {
                let open: Vec<u16> =
                    self.rig.world(|w| w.open.values().map(|(_, local)| local.port()).collect());
                let others = ports.iter().filter(|port| !open.contains(port)).copied();
                self.rig.world(|world| world.taken = others.collect());
            }
            Step::NoSockets { family } => {
                let family = Family::from_number(*family);
                self.rig.world(|world| world.impossible = family.into_iter().collect());
            }
            Step::Noise { bytes } => self.sent(who, &client.raw(bytes)),
            Step::Spoilt { at, to } => {
                if let Some((who, mut bytes)) = self.last.clone() {
                    if let Some(byte) = bytes.get_mut(*at) {
                        *byte = *to;
                    }
                    self.sent(who, &self.clients[who].raw(&bytes));
                }
            }
        }
    }

    /// Notes that a client was granted these peers.
    fn granted(&mut self, who: usize, peers: &[&str]) {
        let until = self.rig.now().tick + seconds(300);
        for peer in peers {
            self.permitted.insert((self.owner(who), canonical_ip(addr(peer).ip())), until);
        }
    }

    /// Clients on one 5-tuple are one.
    fn owner(&self, who: usize) -> usize {
        let at = self.clients[who].at;
        self.clients.iter().position(|client| client.at == at).unwrap()
    }

    /// Holds that what a client sent went nowhere without a grant, and that no answer is long.
    fn sent(&self, who: usize, outcome: &Outcome) {
        match outcome {
            Outcome::ToPeer { peer, .. } => {
                let until = self.permitted.get(&(self.owner(who), peer.ip()));
                let now = self.rig.now().tick;
                assert!(until.is_some_and(|until| now < *until), "{peer} was never permitted");
            }
            Outcome::Reply(bytes) => assert!(bytes.len() <= 600, "{} bytes", bytes.len()),
            _ => {}
        }
    }

    /// Holds that the tables, the sockets and the port pool tell the same story.
    fn check(&mut self) {
        // What an allocation was granted ends with it.
        let clients = &self.clients;
        let lives = |who: usize| self.rig.shard(|shard| shard.has_allocation(&clients[who].at));
        self.permitted.retain(|(who, _), _| lives(*who));
        self.rig.assert_consistent();
        let open = self.rig.world(|world| world.open.len());
        assert_eq!(self.rig.used_ports(), open + self.rig.reserved_ports(), "ports used");
    }

    fn finish(self) {
        self.rig.world(|world| {
            world.taken.clear();
            world.impossible.clear();
        });
        self.rig.advance(seconds(7200));
        // A reservation that ran out is given back when the next port of its family is leased.
        let passer_by = self.rig.client("192.0.2.99:99", "alice");
        passer_by.allocate();
        passer_by.refresh(0).assert_ok();
        passer_by.allocate_v6();
        passer_by.refresh(0).assert_ok();
        self.rig.assert_empty();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_requests_keeps_the_books(
        steps in proptest::collection::vec((0_usize..5, step()), 1..80),
    ) {
        let mut play = Play::new();
        for (who, step) in &steps {
            play.act(*who, step);
            play.check();
        }
        play.finish();
    }

    #[test]
    fn any_bytes_from_anybody_are_survived(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20),
        kind in any::<[u8; 2]>(),
    ) {
        let rig = Rig::new();
        let alice = rig.alice();
        let relayed = alice.allocate();
        alice.bind(CHANNEL, PEER);
        for mut packet in packets {
            alice.raw(&packet);
            rig.bob().raw(&packet);
            rig.peer_sends(PEER, relayed, &packet).at(&alice);
            // The same with a header that leads further in.
            if packet.len() >= 20 {
                let len = (packet.len() & !3).min(0xFFFC);
                packet.truncate(len);
                packet[0] = kind[0] & 0x01;
                packet[1] = kind[1] & 0x1F;
                packet[2..4].copy_from_slice(&u16::try_from(len - 20).unwrap().to_be_bytes());
                packet[4..8].copy_from_slice(&taciturn_stun::MAGIC_COOKIE);
                alice.raw(&packet);
                rig.bob().raw(&packet);
            }
        }
        rig.assert_consistent();
        prop_assert_eq!(rig.shard(|shard| shard.len()), 1);
    }
}
