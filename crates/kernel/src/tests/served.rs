//! A shard whose clients have channels, which are installed in the program's maps as well.

use std::net::{IpAddr, SocketAddr};

use aya::Ebpf;
use taciturn_stun::{
    AttributeType as T, ChannelNumber, Class, Family, Message, Method, TransactionId, Writer,
};
use taciturn_turn::auth::long_term_key;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::recorder::Recorder;
use taciturn_turn::{Client, ClientAddr, RelayAddress, Settings, Shard, Verdict, Via};
use testkit::shard::{PASSWORD, REALM, USER, rules, settings};

use crate::flow::{Flow, Peer};
use crate::layout::{Entries, Lease, Way};
use crate::maps::Maps;

pub(super) const V4: &str = "203.0.113.10";
pub(super) const V6: &str = "2001:db8:1::10";
pub(super) const PORT: u16 = 3478;
pub(super) const MTU: u16 = 1400;

/// Whether a flow is in force in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InForce,
    Expired,
    /// The way out is not known.
    NoWay,
}

#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) flow: Flow,
    pub(super) slot: u32,
    pub(super) state: State,
}

pub(super) struct Rig {
    pub(super) shard: Shard,
    pub(super) world: Recorder,
    pub(super) now: Now,
    pub(super) maps: Maps,
    pub(super) flows: Vec<Served>,
}

impl Rig {
    pub(super) fn new(program: &mut Ebpf) -> Self {
        let own: IpAddr = V4.parse().unwrap();
        let peers = ["198.51.100.0/24", "2001:db8:2::/48", "203.0.113.10/32", "2001:db8:1::10/128"];
        let settings = Settings {
            relay_addresses: [V4, V6].map(|ip| Some(RelayAddress::plain(ip.parse().unwrap()))),
            rfc5766_channels: true,
            ..settings(own)
        };
        let peers = peers.map(|net| net.parse().unwrap()).to_vec();
        let mut maps = Maps::of(program).unwrap();
        maps.set_alive(u64::MAX).unwrap();
        let mut rig = Self {
            shard: Shard::new(settings, rules(500, own, peers)),
            world: Recorder::default(),
            now: Now { tick: Tick(1_000), unix: 1_700_000_000 },
            maps,
            flows: Vec::new(),
        };
        for family in [Family::V4, Family::V6] {
            for n in 0..40 {
                let client = rig.allocate(family, n);
                for channel in 0..=n % 2 {
                    let state = match (n + channel) % 8 {
                        6 => State::Expired,
                        7 => State::NoWay,
                        _ => State::InForce,
                    };
                    let peer = SocketAddr::new(peer(family), 9000 + n % 5 + channel);
                    // The last two of RFC 8656, and the last two of RFC 5766.
                    let number = [0x4000, 0x4ffe, 0x7ffe][usize::from(n % 3)] + channel;
                    rig.bind(client, number, Peer::Elsewhere(peer), state);
                }
            }
            for n in 0..5 {
                let both = [100 + n * 2, 101 + n * 2].map(|n| rig.allocate(family, n));
                let relays = both.map(|(.., relay)| relay);
                for (at, client) in both.into_iter().enumerate() {
                    let (relay, public) = (relays[at], relays[1 - at]);
                    let state = match (n, at) {
                        (4, 1) => State::Expired,
                        (3, 1) => State::NoWay,
                        _ => State::InForce,
                    };
                    let peer = Peer::Own { public, bound: public, relay };
                    rig.bind(client, 0x4100 + n, peer, state);
                }
            }
        }
        rig
    }

    fn allocate(&mut self, family: Family, n: u16) -> (Client, SocketAddr) {
        let (remote, local) = match family {
            Family::V4 => ("203.0.113.77", V4),
            Family::V6 => ("2001:db8:3::77", V6),
        };
        let remote = SocketAddr::new(remote.parse().unwrap(), 30_000 + n);
        let client =
            Client { via: Via::Udp(0), local: local.parse().unwrap(), remote: ClientAddr(remote) };
        let wish = |writer: &mut Writer<'_>| {
            writer.requested_transport(17);
            let number = if family == Family::V6 { 2 } else { 1 };
            writer.attribute(T::REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0]);
        };
        let challenge = self.ask(client, &request(Method::ALLOCATE, None, wish));
        let nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let answer = self.ask(client, &request(Method::ALLOCATE, Some(&nonce), wish));
        let relay = Message::parse(&answer).unwrap().relayed_address().unwrap();
        (client, relay)
    }

    fn bind(
        &mut self,
        (client, relay): (Client, SocketAddr),
        channel: u16,
        peer: Peer,
        state: State,
    ) {
        let server = SocketAddr::new(client.local, PORT);
        let flow = Flow { client: client.remote.0, server, channel, relay, peer };
        let wish = |writer: &mut Writer<'_>| {
            let number = ChannelNumber::new(channel).unwrap();
            writer.channel_number(number).address(T::XOR_PEER_ADDRESS, flow.peer_as_seen());
        };
        let challenge = self.ask(client, &request(Method::CHANNEL_BIND, None, wish));
        let nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let answer = self.ask(client, &request(Method::CHANNEL_BIND, Some(&nonce), wish));
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.class(), Class::Success, "{flow:?}: {:?}", answer.error_code());
        let slot = u32::try_from(self.flows.len()).unwrap();
        let way = Way { ifindex: 1, mtu: MTU };
        let lease = match state {
            State::InForce => Lease { until: u64::MAX, ways: [way; 2] },
            State::Expired => Lease { until: 1, ways: [way; 2] },
            State::NoWay => Lease { until: u64::MAX, ways: [Way::default(); 2] },
        };
        self.maps.set_lease(slot, lease).unwrap();
        self.maps.insert(&Entries::of(&flow, slot)).unwrap();
        self.flows.push(Served { flow, slot, state });
    }

    fn ask(&mut self, client: Client, request: &[u8]) -> Vec<u8> {
        let mut reply = [0; 1500];
        let verdict =
            self.shard.from_client(self.now, client, request, &mut reply, &mut self.world);
        let Verdict::Reply(len) = verdict else { panic!("{verdict:?}") };
        reply[..len].to_vec()
    }
}

/// Where peers are.
fn peer(family: Family) -> IpAddr {
    match family {
        Family::V4 => "198.51.100.2".parse().unwrap(),
        Family::V6 => "2001:db8:2::2".parse().unwrap(),
    }
}

fn request(method: Method, nonce: Option<&[u8]>, wish: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 512];
    let tid = TransactionId(*b"0123456789ab");
    let mut writer = Writer::new(&mut buffer, Class::Request, method, tid);
    wish(&mut writer);
    if let Some(nonce) = nonce {
        writer
            .attribute(T::USERNAME, USER.as_bytes())
            .attribute(T::REALM, REALM.as_bytes())
            .attribute(T::NONCE, nonce)
            .integrity(&long_term_key(USER, REALM, PASSWORD));
    }
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}
