//! A server's rules, and a shard with allocations on it, for tests and benches that look at what a
//! packet costs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Family, Message, Method, TransactionId,
    Writer,
};
use taciturn_turn::auth::{Authenticator, NonceKeys, StaticKey, StaticUser, long_term_key};
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::{
    AnswerLimit, FailureLimit, PORT_QUARANTINE, PeerPolicy, PortPool, PortRange, Quota, RateLimits,
    Rates,
};
use taciturn_turn::recorder::Recorder;
use taciturn_turn::{
    AllocationId, Client, ClientAddr, ConnectionIds, RelayAddress, Rules, Settings, Shard,
    TicketKey, Verdict, Via,
};
use zeroize::Zeroizing;

pub const REALM: &str = "example.org";
pub const USER: &str = "alice";
pub const PASSWORD: &str = "correct horse battery staple";

/// The channel of every client, and its peer.
pub const CHANNEL: u16 = 0x4000;
pub const PEER: ([u8; 4], u16) = ([198, 51, 100, 9], 4000);

/// Rules with room for `allocations`, on ports from 20,000 on; clients may relay to `peers`.
pub fn rules(allocations: u16, own: IpAddr, peers: Vec<ipnet::IpNet>) -> Rules {
    let password = StaticKey::Password(Zeroizing::new(PASSWORD.to_owned()));
    let users = [StaticUser { name: USER.to_owned(), key: password }];
    let range = PortRange::new(20_000, 20_000 + allocations - 1).unwrap();
    let nonces = NonceKeys::new(Duration::from_secs(3600), [[1; 32], [2; 32]], Tick(0));
    Rules {
        authenticator: Arc::new(Authenticator::new(REALM, &users, Vec::new(), false)),
        nonces: Arc::new(nonces),
        peers: Arc::new(PeerPolicy::new(peers, Vec::new(), vec![own])),
        ports: Arc::new(PortPool::new(range, PORT_QUARANTINE)),
        quota: Arc::new(Quota::new(1_000_000, 0)),
        rates: Arc::new(RateLimits::new(Rates::default())),
        answers: Arc::new(AnswerLimit::new(0, 0, Vec::new())),
        failures: Arc::new(FailureLimit::new(0)),
        connection_ids: Arc::new(ConnectionIds::new(16)),
        tickets: Arc::new(TicketKey::new(Zeroizing::new([3; 32]))),
        bans: Arc::default(),
        requests: Arc::default(),
        tenant_peers: Arc::default(),
        mobile: Arc::default(),
        alternates: Arc::default(),
        guests: Arc::default(),
        session_ids: None,
    }
}

/// Settings with relayed addresses on `own`.
pub fn settings(own: IpAddr) -> Settings {
    Settings {
        relay_addresses: [Some(RelayAddress::plain(own)), None],
        max_permissions: 128,
        max_channels: 64,
        max_peer_connections: 16,
        ports_reserved_percent: 0,
        ..Settings::default()
    }
}

/// A shard with clients, each of which has a channel to the same peer.
pub struct Rig {
    pub shard: Shard,
    pub world: Recorder,
    pub now: Now,
    pub clients: Vec<Client>,
}

impl Rig {
    pub fn new(allocations: u16) -> Self {
        let own = IpAddr::from([203, 0, 113, 7]);
        let shard = Shard::new(
            settings(own),
            rules(allocations, own, vec!["198.51.100.0/24".parse().unwrap()]),
        );
        let clients = (0..allocations).map(|n| {
            let [high, low] = n.to_be_bytes();
            Client {
                remote: ClientAddr(SocketAddr::from(([192, 0, high, low], 50_000))),
                local: IpAddr::from([203, 0, 113, 7]),
                via: Via::Udp(0),
            }
        });
        let now = Now { tick: Tick(1_000), unix: 1_700_000_000 };
        let (world, clients) = (Recorder::default(), clients.collect());
        let mut rig = Self { shard, world, now, clients };
        for n in 0..rig.clients.len() {
            rig.open(rig.clients[n]);
        }
        assert_eq!(rig.shard.len(), usize::from(allocations));
        rig
    }

    /// The allocation of a client.
    pub fn allocation(&self, client: usize) -> AllocationId {
        self.world.opened[client].0
    }

    /// Challenge, Allocate, ChannelBind.
    fn open(&mut self, client: Client) {
        let (challenge, _) = self.ask(client, &allocate(None));
        let challenge = Message::parse(&challenge).unwrap();
        let nonce = challenge.nonce().unwrap().to_vec();
        for request in [allocate(Some(&nonce)), channel_bind(&nonce, SocketAddr::from(PEER))] {
            let (answer, class) = self.ask(client, &request);
            assert_eq!(
                class,
                Class::Success,
                "{:?}",
                Message::parse(&answer).unwrap().error_code()
            );
        }
    }

    fn ask(&mut self, client: Client, request: &[u8]) -> (Vec<u8>, Class) {
        let mut reply = [0; 1500];
        let verdict =
            self.shard.from_client(self.now, client, request, &mut reply, &mut self.world);
        let Verdict::Reply(len) = verdict else { panic!("{verdict:?}") };
        let answer = reply[..len].to_vec();
        let class = Message::parse(&answer).unwrap().class();
        (answer, class)
    }

    /// The verdict on a packet of a client.
    pub fn client_sends(&mut self, client: usize, packet: &[u8]) -> Verdict {
        let client = self.clients[client];
        self.shard.from_client(self.now, client, packet, &mut [], &mut self.world)
    }

    /// The verdict on a packet of the peer for a client.
    pub fn peer_sends(&mut self, client: usize, peer: SocketAddr, len: usize) -> Verdict {
        let owner = self.allocation(client);
        self.shard.from_peer(self.now, owner, Family::V4, peer, len, &mut self.world)
    }
}

/// An Allocate request, signed where there is a nonce.
pub fn allocate(nonce: Option<&[u8]>) -> Vec<u8> {
    request(Method::ALLOCATE, nonce, |writer| {
        writer.requested_transport(17);
    })
}

/// A ChannelBind request for [`CHANNEL`].
pub fn channel_bind(nonce: &[u8], peer: SocketAddr) -> Vec<u8> {
    request(Method::CHANNEL_BIND, Some(nonce), |writer| {
        let channel = ChannelNumber::new(CHANNEL).unwrap();
        writer.channel_number(channel).address(T::XOR_PEER_ADDRESS, peer);
    })
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

/// ChannelData on [`CHANNEL`].
pub fn channel_data(len: u16) -> Vec<u8> {
    let channel = ChannelNumber::new(CHANNEL).unwrap();
    let mut message = ChannelData::header(channel, len).to_vec();
    message.resize(message.len() + usize::from(len), 0x5A);
    message
}

/// A Send indication.
pub fn send_indication(peer: SocketAddr, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len + 100];
    let tid = TransactionId(*b"0123456789ab");
    let written = Writer::new(&mut buffer, Class::Indication, Method::SEND, tid)
        .address(T::XOR_PEER_ADDRESS, peer)
        .attribute(T::DATA, &vec![0x5A; len])
        .finish();
    buffer.truncate(written.unwrap());
    buffer
}
