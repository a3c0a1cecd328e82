//! UDP and DTLS on one socket, batch by batch.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Call, PATIENCE, Rig};
use crate::dtls_clients::DtlsSettings;
use crate::dtls_clients::support::{Client, Kind, Pki};
use crate::listener::datagrams::Spoken;
use crate::listener::id::ListenerId;
use crate::test_rules::request;
use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Message, Method, Writer,
};
use taciturn_tls::{CertSource, CertStore};
use taciturn_turn::Via;
use taciturn_turn::policy::AnswerLimit;

const ID: ListenerId = ListenerId(0);

fn channel() -> ChannelNumber {
    ChannelNumber::new(0x4000).unwrap()
}

/// A worker with both on one socket, and what its clients trust.
struct Site {
    rig: Rig,
    pki: Pki,
    settings: Arc<DtlsSettings>,
    _certificate: tempfile::TempDir,
}

impl Site {
    fn new(answers: AnswerLimit) -> Self {
        let pki = Pki::new(Kind::P256);
        let certificate = tempfile::tempdir().unwrap();
        pki.write(certificate.path());
        let source = CertSource::Pem {
            cert: certificate.path().join("cert.pem"),
            key: certificate.path().join("key.pem"),
        };
        let store = Arc::new(CertStore::open(vec![source]).unwrap());
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = Arc::new(DtlsSettings::new("udp+dtls:3478", at, store).unwrap());
        let served = Arc::clone(&settings);
        let rig = Rig::listening(Spoken::UdpAndDtls, answers, |engine, listener| {
            engine.listen_dtls(listener, served)
        });
        Self { rig, pki, settings, _certificate: certificate }
    }

    fn hello(&self) -> Vec<u8> {
        Client::new(&self.pki.root).step().remove(0)
    }
}

fn unlimited() -> AnswerLimit {
    AnswerLimit::new(0, 0, Vec::new())
}

fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// What comes to a socket within a moment, or nothing.
fn heard(rig: &mut Rig, socket: &UdpSocket, patience: Duration) -> Option<Vec<u8>> {
    let (began, mut datagram) = (Instant::now(), vec![0; 5000]);
    loop {
        rig.turn();
        if let Ok(len) = socket.recv(&mut datagram) {
            datagram.truncate(len);
            return Some(datagram);
        }
        if began.elapsed() > patience {
            return None;
        }
    }
}

/// A client on DTLS, from a socket that may be a plain client's as well.
struct Encrypted {
    dtls: Client,
    socket: UdpSocket,
    nonce: Vec<u8>,
    requests: u8,
}

impl Encrypted {
    /// Shakes hands.
    fn connect(site: &mut Site, socket: UdpSocket) -> Self {
        Self::try_connect(site, socket, 100).expect("no handshake")
    }

    /// Shakes hands, and sends each flight so many times where nothing comes: a worker that has spent its time on
    /// handshakes is silent for a while.
    fn try_connect(site: &mut Site, socket: UdpSocket, times: u32) -> Option<Self> {
        let mut dtls = Client::new(&site.pki.root);
        let (mut flight, mut silent) = (Vec::new(), 0);
        while silent < times {
            let next = dtls.step();
            if !next.is_empty() {
                (flight, silent) = (next, 0);
            }
            for datagram in &flight {
                socket.send(datagram).unwrap();
            }
            if dtls.established {
                site.rig.turn();
                return Some(Self { dtls, socket, nonce: Vec::new(), requests: 0 });
            }
            match heard(&mut site.rig, &socket, Duration::from_millis(200)) {
                Some(datagram) => {
                    dtls.deliver(&datagram);
                    while let Some(more) = heard(&mut site.rig, &socket, Duration::ZERO) {
                        dtls.deliver(&more);
                    }
                }
                None => silent += 1,
            }
        }
        None
    }

    fn say(&mut self, message: &[u8]) {
        for datagram in self.dtls.send(message) {
            self.socket.send(&datagram).unwrap();
        }
    }

    fn read(&mut self, rig: &mut Rig) -> Result<Vec<u8>, ()> {
        loop {
            if let Some(record) = self.dtls.recv()? {
                return Ok(record);
            }
            let datagram = heard(rig, &self.socket, PATIENCE).expect("nothing comes");
            self.dtls.deliver(&datagram);
        }
    }

    fn ask(
        &mut self,
        rig: &mut Rig,
        method: Method,
        wish: impl Fn(&mut Writer<'_>),
    ) -> Result<Vec<u8>, ()> {
        self.requests += 1;
        self.say(&request(method, self.requests, &self.nonce, wish));
        self.read(rig)
    }

    /// Makes an allocation with a channel to `peer`. Returns the relayed address.
    fn allocate(&mut self, rig: &mut Rig, peer: SocketAddr) -> SocketAddr {
        let transport = |writer: &mut Writer<'_>| {
            writer.requested_transport(17);
        };
        if self.nonce.is_empty() {
            let challenge = self.ask(rig, Method::ALLOCATE, transport).unwrap();
            self.nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        }
        let answer = self.ask(rig, Method::ALLOCATE, transport).unwrap();
        let relayed = Message::parse(&answer).unwrap().relayed_address().unwrap();
        let answer = self.ask(rig, Method::CHANNEL_BIND, |writer| {
            writer.channel_number(channel()).address(T::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(Message::parse(&answer.unwrap()).unwrap().class(), Class::Success);
        relayed
    }

    /// Ends its allocation.
    fn end(&mut self, rig: &mut Rig) {
        let answer = self.ask(rig, Method::REFRESH, |writer| {
            writer.lifetime(0);
        });
        assert_eq!(Message::parse(&answer.unwrap()).unwrap().class(), Class::Success);
    }
}

fn on_channel(data: &[u8]) -> Vec<u8> {
    [&ChannelData::header(channel(), data.len() as u16)[..], data].concat()
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

fn next(peer: &UdpSocket) -> Vec<u8> {
    let mut data = vec![0; 100];
    let len = peer.recv(&mut data).unwrap();
    data.truncate(len);
    data
}

//= 7983-7-dtls
#[test]
fn of_one_batch_each_datagram_goes_its_way_and_each_way_is_one_call() {
    let mut site = Site::new(unlimited());
    let plain = Call::open(&mut site.rig);
    let address = site.rig.address;
    let mut secure = Encrypted::connect(&mut site, socket(address));
    let other = peer();
    secure.allocate(&mut site.rig, other.local_addr().unwrap());
    let before = site.rig.engine.resources().egress.statistics;
    for number in 0..4 {
        plain.client.send(&on_channel(&[b'p', number])).unwrap();
        secure.say(&on_channel(&[b'd', number]));
    }
    site.rig.turn();
    for number in 0..4 {
        assert_eq!(next(&plain.peer), [b'p', number]);
        assert_eq!(next(&other), [b'd', number]);
    }
    let after = site.rig.engine.resources().egress.statistics;
    assert_eq!((after.datagrams - before.datagrams, after.sends - before.sends), (8, 2));
}

/// RFC 8656 section 5: the transport is part of the 5-tuple.
//= 8656-5-five-tuple
#[test]
fn plain_and_encrypted_at_one_address_are_two_clients() {
    let mut site = Site::new(unlimited());
    let plain = Call::open(&mut site.rig);
    plain.client.set_nonblocking(true).unwrap();
    let mut secure = Encrypted::connect(&mut site, plain.client.try_clone().unwrap());
    assert_eq!(site.rig.engine.snapshot().allocations, 1, "the handshake makes none");
    // The plain client's channel is none of the DTLS client.
    secure.say(&on_channel(b"through DTLS"));
    plain.client.send(&on_channel(b"plain")).unwrap();
    site.rig.turn();
    assert_eq!(next(&plain.peer), b"plain");

    let other = peer();
    let relayed = secure.allocate(&mut site.rig, other.local_addr().unwrap());
    assert_eq!(site.rig.engine.snapshot().allocations, 2);
    other.connect(relayed).unwrap();
    other.send(b"for DTLS").unwrap();
    assert_eq!(secure.read(&mut site.rig).unwrap(), on_channel(b"for DTLS"));
    plain.peer.send(b"for UDP").unwrap();
    assert_eq!(heard(&mut site.rig, &plain.client, PATIENCE).unwrap(), on_channel(b"for UDP"));

    // Neither ends the other.
    secure.end(&mut site.rig);
    assert_eq!(site.rig.engine.snapshot().allocations, 1);
    plain.client.send(&on_channel(b"goes on")).unwrap();
    site.rig.turn();
    assert_eq!(next(&plain.peer), b"goes on");
    let another = peer();
    secure.allocate(&mut site.rig, another.local_addr().unwrap());
    plain.ask(&mut site.rig, Method::REFRESH, |writer| {
        writer.lifetime(0);
    });
    plain.client.set_nonblocking(true).unwrap();
    assert_eq!(site.rig.engine.snapshot().allocations, 1);
    secure.say(&on_channel(b"likewise"));
    site.rig.turn();
    assert_eq!(next(&another), b"likewise");
}

#[test]
fn strangers_of_both_kinds_have_one_budget_and_who_is_known_does_not_feel_it() {
    /// A second, and three times as many at once.
    const ANSWERS: u64 = 20;
    let mut site = Site::new(AnswerLimit::without_exemption(ANSWERS as u32, 0));
    let call = Call::open(&mut site.rig);
    let stranger = socket(site.rig.address);
    let (hello, binding) = (site.hello(), request(Method::BINDING, 9, &[], |_| ()));
    let (began, mut answered) = (Instant::now(), [0_u64; 2]);
    for _ in 0..300 {
        stranger.send(&hello).unwrap();
        stranger.send(&binding).unwrap();
        while let Some(answer) = heard(&mut site.rig, &stranger, Duration::ZERO) {
            answered[usize::from(answer[0] == 22)] += 1;
        }
    }
    let [plain, encrypted] = answered;
    let most = ANSWERS * (4 + began.elapsed().as_secs());
    assert!(plain > 0 && encrypted > 0 && plain + encrypted <= most, "{answered:?} of {most}");
    // Nothing of it was kept, and the call has all it needs, from the same address.
    assert_eq!(site.rig.engine.snapshot().allocations, 1);
    assert_eq!(site.rig.engine.clients_of(ID), 1);
    for number in 0..100 {
        stranger.send(&hello).unwrap();
        call.client.send(&on_channel(&[number])).unwrap();
        site.rig.turn();
        assert_eq!(next(&call.peer), [number]);
        call.peer.send(&[number]).unwrap();
        site.rig.turn();
        assert_eq!(call.hear(), on_channel(&[number]));
    }
}

//= 7983-7-unknown
#[test]
fn what_is_neither_is_dropped_in_silence() {
    let mut site = Site::new(unlimited());
    let stranger = socket(site.rig.address);
    for byte in 0..=255 {
        stranger.send(&[byte; 60]).unwrap();
        // Records of DTLS, as far as that goes.
        stranger.send(&[&[byte, 254, 253][..], &[byte; 40]].concat()).unwrap();
    }
    stranger.send(&[]).unwrap();
    assert_eq!(heard(&mut site.rig, &stranger, Duration::from_millis(100)), None);
    assert_eq!(site.rig.engine.clients_of(ID), 0);
}

#[test]
fn dtls_is_taken_from_a_listener_and_given_back_while_calls_go_on() {
    let mut site = Site::new(unlimited());
    let plain = Call::open(&mut site.rig);
    let address = site.rig.address;
    let mut call = Encrypted::connect(&mut site, socket(address));
    let other = peer();
    let relayed = call.allocate(&mut site.rig, other.local_addr().unwrap());
    let mut idle = Encrypted::connect(&mut site, socket(address));
    idle.ask(&mut site.rig, Method::BINDING, |_| ()).unwrap();
    assert_eq!(site.rig.engine.clients_of(ID), 3);

    site.rig.engine.withdraw_dtls(ID);
    assert_eq!(idle.read(&mut site.rig), Err(()), "who has no allocation is taken leave of");
    assert_eq!(site.rig.engine.clients_of(ID), 2);
    let stranger = Encrypted::try_connect(&mut site, socket(address), 3);
    assert!(stranger.is_none(), "nobody is let in");
    other.connect(relayed).unwrap();
    other.send(b"goes on").unwrap();
    assert_eq!(call.read(&mut site.rig).unwrap(), on_channel(b"goes on"));
    plain.client.send(&on_channel(b"plain")).unwrap();
    site.rig.turn();
    assert_eq!(next(&plain.peer), b"plain");
    // With its allocation the connection ends as well.
    call.end(&mut site.rig);
    assert_eq!(call.read(&mut site.rig), Err(()));
    assert_eq!(site.rig.engine.clients_of(ID), 1);

    let settings = Arc::clone(&site.settings);
    site.rig.engine.set_dtls(ID, Spoken::UdpAndDtls, &settings).unwrap();
    let mut again = Encrypted::connect(&mut site, socket(address));
    again.allocate(&mut site.rig, other.local_addr().unwrap());
    assert_eq!(site.rig.engine.clients_of(ID), 2);
}

#[test]
fn dtls_comes_to_a_socket_that_has_served_udp_alone() {
    let mut site = Site::new(unlimited());
    let settings = Arc::clone(&site.settings);
    let listen = |engine: &mut crate::engine::Engine, listener| engine.listen(listener);
    site.rig = Rig::listening(Spoken::Udp, unlimited(), listen);
    let plain = Call::open(&mut site.rig);
    let address = site.rig.address;
    assert!(Encrypted::try_connect(&mut site, socket(address), 3).is_none());
    site.rig.engine.set_dtls(ID, Spoken::UdpAndDtls, &settings).unwrap();
    Encrypted::connect(&mut site, socket(address));
    plain.client.send(&on_channel(b"as before")).unwrap();
    site.rig.turn();
    assert_eq!(next(&plain.peer), b"as before");
}

/// Who shares a 5-tuple with somebody else, for the address of its NAT, has no part in that one's allocation.
#[test]
fn plain_requests_at_the_address_of_a_dtls_client_find_no_allocation() {
    let mut site = Site::new(unlimited());
    let shared = socket(site.rig.address);
    let mut secure = Encrypted::connect(&mut site, shared.try_clone().unwrap());
    let other = peer();
    secure.allocate(&mut site.rig, other.local_addr().unwrap());
    // The nonce is of the same address and listener, and the credential is right.
    let refresh = request(Method::REFRESH, 7, &secure.nonce, |writer| {
        writer.lifetime(0);
    });
    shared.send(&refresh).unwrap();
    let answer = heard(&mut site.rig, &shared, PATIENCE).unwrap();
    assert_eq!(Message::parse(&answer).unwrap().error_code(), Some(437));
    shared.send(&on_channel(b"a plain packet")).unwrap();
    site.rig.turn();
    // Alerts and records that nobody has encrypted change nothing either.
    for forged in
        [&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 2, 40][..], &[23, 254, 253], &[22; 200]]
    {
        shared.send(forged).unwrap();
    }
    site.rig.turn();
    secure.say(&on_channel(b"an encrypted one"));
    site.rig.turn();
    assert_eq!(next(&other), b"an encrypted one");
    let (sessions, _) = site.rig.engine.sessions(&taciturn_turn::Whose::default(), 0);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].carrier.name(), "dtls");
    assert!(!site.rig.engine.has_allocation(&taciturn_turn::Client {
        via: Via::Udp(0),
        local: Ipv4Addr::LOCALHOST.into(),
        remote: taciturn_turn::ClientAddr(shared.local_addr().unwrap()),
    }));
}
