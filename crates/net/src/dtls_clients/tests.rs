//! A worker's DTLS clients with the clock in the test's hand, and OpenSSL as the client.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Poll;
use openssl::x509::X509;
use tempfile::TempDir;

use super::settings::DtlsSettings;
use super::support::{Client, Kind, Pki, Wants, admit, flush, server_hello_has, settle};
use super::table::{DtlsClients, HALF_OPEN, HALF_OPEN_PER_ADDRESS, Tuple};
use crate::batch::ip_fields::KeptFields;
use crate::clock::Clock;
use crate::counters::RefusedHandshakes;
use crate::dtls::{DtlsContext, Listener};
use crate::engine::entered::Entered;
use crate::engine::{Engine, dtls};
use crate::handshakes::Gate;
use crate::listener::datagrams::Spoken;
use crate::listener::id::ListenerId;
use crate::listener::udp::UdpListener;
use crate::mailbox::OtherWorkers;
use crate::shared::Shared;
use crate::test_rules::{self, request, rules};
use crate::timeouts::{FIRST_MESSAGE, HANDSHAKE_TIME, WITHOUT_ALLOCATION};
use taciturn_stun::{Message, Method};
use taciturn_tls::{CertSource, CertStore, ReloadOutcome};
use taciturn_turn::Whose;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::{AnswerLimit, Connections, HandshakeLimit};

const INSTANT: Duration = Duration::from_millis(1);

/// After that one handshake, however long it took, is within the worker's share.
const PAID_OFF: Duration = Duration::from_millis(500);

/// An alert as anybody can send it: handshake_failure, without encryption.
const FATAL_ALERT: &[u8] = &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 2, 40];

/// A worker without a thread: datagrams are handed to it, its answers come by loopback.
struct Rig {
    pki: Pki,
    connections: Arc<Connections>,
    gate: Rc<Gate>,
    answers: Arc<AnswerLimit>,
    address: SocketAddr,
    now: Now,
    engine: Engine,
    _poll: Poll,
}

impl Rig {
    /// So many connections, and no other limit: loopback is exempt.
    fn new(limit: u32) -> Self {
        let handshakes = HandshakeLimit::new(1, HandshakeLimit::loopback().to_vec());
        Self::with(limit, handshakes, AnswerLimit::new(0, 0, Vec::new()))
    }

    /// So many handshakes and answers to strangers, for each address and second.
    fn limited(handshakes: u32, answers: u32) -> Self {
        let answers = AnswerLimit::without_exemption(answers, 0);
        Self::with(10, HandshakeLimit::new(handshakes, Vec::new()), answers)
    }

    fn with(limit: u32, handshakes: HandshakeLimit, answers: AnswerLimit) -> Self {
        let pki = Pki::new(Kind::P256);
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(CertStore::open(vec![written(&pki, directory.path())]).unwrap());
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = Arc::new(DtlsSettings::new("dtls:5349", at, store).unwrap());
        let socket = UdpSocket::bind(at).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = UdpListener::new(ListenerId(0), socket, address, Spoken::Dtls);
        let connections = Arc::new(Connections::new(limit, limit));
        let (clock, poll) = (Clock::start(), Poll::new().unwrap());
        let answers = Arc::new(answers);
        let handshakes = Arc::new(handshakes);
        let gate = Rc::new(Gate::new(clock, Arc::clone(&handshakes), Arc::clone(&answers)));
        let registry = poll.registry().try_clone().unwrap();
        let start = Now { tick: Tick(1_000_000), unix: 1_700_000_000 };
        let shared = Shared {
            settings: test_rules::settings(),
            rules: rules(start.tick, Vec::new()),
            entrances: Arc::default(),
            connections: Arc::clone(&connections),
            handshakes: Arc::clone(&handshakes),
            failed_logins: Arc::default(),
            usage: None,
            reception: Arc::default(),
            limit_names: crate::limit_names::LimitNames::default(),
            wake_delay: Duration::ZERO,
            kept_fields: KeptFields::default(),
            kernel: None,
        };
        let (unbound, workers) = (Arc::default(), OtherWorkers::default());
        let mut engine = Engine::new(clock, registry, &shared, unbound, workers, Rc::clone(&gate));
        engine.listen_dtls(listener, settings).unwrap();
        Self { pki, connections, gate, answers, address, now: start, engine, _poll: poll }
    }

    fn enter<R>(&mut self, call: impl FnOnce(&mut Entered<'_>) -> R) -> R {
        self.engine.enter_at(self.now, call)
    }

    fn dtls(&mut self) -> &DtlsClients {
        &self.engine.resources().clients.dtls
    }

    fn kick(&mut self) -> usize {
        self.enter(|entered| entered.shard.kick(entered.now, &Whose::default(), &mut entered.out))
    }

    fn allocations(&self) -> usize {
        self.engine.snapshot().allocations
    }

    fn tuple(&self, remote: SocketAddr) -> Tuple {
        Tuple { listener: 0, local: self.address.ip(), remote }
    }

    /// A datagram from somewhere.
    fn from(&mut self, remote: SocketAddr, datagram: &[u8]) {
        let tuple = self.tuple(remote);
        self.enter(|entered| dtls::datagram(entered, tuple, datagram));
    }

    /// Lets time pass; the worker wakes whenever it asked to be, and at the end.
    fn advance(&mut self, span: Duration) {
        let target = self.now.tick + span;
        loop {
            let due = self.dtls().next_timeout().filter(|due| *due <= target);
            self.now.tick = due.unwrap_or(target).max(self.now.tick);
            self.enter(|_| ());
            if due.is_none() {
                break;
            }
        }
    }

    /// Nothing is kept for anybody.
    fn assert_empty(&mut self) {
        let connections = self.connections.open();
        let dtls = self.dtls();
        assert_eq!((dtls.clients.len(), dtls.by_tuple.len()), (0, 0));
        assert_eq!((connections, dtls.half_open.open()), (0, 0));
    }

    fn client(&self) -> TestClient {
        TestClient::at(Ipv4Addr::LOCALHOST, &self.pki.root)
    }

    /// A client whose handshake is done.
    fn connected(&mut self) -> TestClient {
        let mut client = self.client();
        client.shake_hands(self);
        assert!(client.dtls.established);
        client
    }
}

fn written(pki: &Pki, directory: &std::path::Path) -> CertSource {
    pki.write(directory);
    CertSource::Pem { cert: directory.join("cert.pem"), key: directory.join("key.pem") }
}

struct TestClient {
    dtls: Client,
    socket: UdpSocket,
    nonce: Vec<u8>,
}

impl TestClient {
    fn at(ip: Ipv4Addr, root: &X509) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { dtls: Client::new(root), socket, nonce: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Takes what the worker has sent. Loopback is quick, but not always within the call.
    fn hear(&mut self) -> usize {
        let mut buffer = [0; 5000];
        let (start, mut heard) = (Instant::now(), 0);
        while heard == 0 && start.elapsed() < Duration::from_millis(300) {
            while let Ok(len) = self.socket.recv(&mut buffer) {
                self.dtls.deliver(&buffer[..len]);
                heard += 1;
            }
        }
        heard
    }

    /// Sends the next flight of the handshake.
    fn step(&mut self, rig: &mut Rig) {
        for datagram in self.dtls.step() {
            rig.from(self.address(), &datagram);
        }
    }

    /// Returns the cookie, and goes silent then. Hands over the ClientHello with the cookie.
    fn half_open(&mut self, rig: &mut Rig) -> Vec<u8> {
        self.step(rig);
        self.hear();
        let hello = self.dtls.step().remove(0);
        rig.from(self.address(), &hello);
        hello
    }

    fn shake_hands(&mut self, rig: &mut Rig) {
        self.step(rig);
        while !self.dtls.established && self.dtls.failed.is_none() && self.hear() > 0 {
            self.step(rig);
        }
    }

    fn close(&mut self, rig: &mut Rig) {
        let _ = self.dtls.stream.shutdown();
        for datagram in self.dtls.sent() {
            rig.from(self.address(), &datagram);
        }
    }

    fn say(&mut self, rig: &mut Rig, message: &[u8]) {
        for datagram in self.dtls.send(message) {
            rig.from(self.address(), &datagram);
        }
    }

    fn ask(&mut self, rig: &mut Rig, method: Method, number: u8) -> Vec<u8> {
        let message = request(method, number, &self.nonce, |writer| {
            if method == Method::ALLOCATE {
                writer.requested_transport(17);
            }
        });
        self.say(rig, &message);
        self.hear();
        self.dtls.recv().unwrap().unwrap()
    }

    fn allocate(&mut self, rig: &mut Rig) {
        let challenge = self.ask(rig, Method::ALLOCATE, 1);
        self.nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let answer = self.ask(rig, Method::ALLOCATE, 2);
        assert!(Message::parse(&answer).unwrap().relayed_address().is_some());
    }

    fn heard_goodbye(&mut self) -> bool {
        self.hear();
        self.dtls.recv().is_err()
    }
}

/// RFC 6347 section 4.2.1: nothing before the cookie is good.
#[test]
fn nothing_is_kept_for_strangers() {
    let mut rig = Rig::new(10);
    let hello = rig.client().dtls.step().remove(0);
    for n in 0..10_000_u32 {
        let remote = SocketAddr::from((Ipv4Addr::from(0x7f01_0000 + n), 9));
        rig.from(remote, &hello);
        rig.from(remote, &[0xff; 40]);
    }
    rig.assert_empty();
    let dtls = rig.dtls();
    assert_eq!(
        (dtls.clients.capacity(), dtls.by_tuple.capacity(), dtls.deadlines.len()),
        (0, 0, 0)
    );
}

#[test]
fn a_cookie_from_another_address_keeps_nothing_either() {
    let mut rig = Rig::new(10);
    let mut client = rig.client();
    client.step(&mut rig);
    client.hear();
    let with_cookie = client.dtls.step().remove(0);
    rig.from("127.0.0.9:9".parse().unwrap(), &with_cookie);
    rig.assert_empty();
    rig.from(client.address(), &with_cookie);
    assert_eq!(rig.connections.open(), 1);
}

#[test]
fn a_handshake_that_is_not_finished_ends_after_ten_seconds_with_all_it_held() {
    let mut rig = Rig::new(10);
    let mut client = rig.client();
    client.half_open(&mut rig);
    assert_eq!((rig.connections.open(), rig.dtls().half_open.open()), (1, 1));
    rig.advance(HANDSHAKE_TIME - INSTANT);
    assert_eq!(rig.dtls().clients.len(), 1);
    rig.advance(INSTANT);
    rig.assert_empty();
    assert_eq!(rig.dtls().deadlines.len(), 0);
}

#[test]
fn unfinished_handshakes_are_bounded_from_one_address_and_in_all() {
    let mut rig = Rig::new(10_000);
    let from = |rig: &mut Rig, last: u8| {
        let mut client = TestClient::at(Ipv4Addr::new(127, 0, 0, last), &rig.pki.root);
        client.half_open(rig);
        client
    };
    let mut first: Vec<_> = (0..HALF_OPEN_PER_ADDRESS + 3).map(|_| from(&mut rig, 1)).collect();
    assert_eq!(rig.dtls().clients.len(), HALF_OPEN_PER_ADDRESS as usize);
    // Finished ones make room.
    first[0].shake_hands(&mut rig);
    from(&mut rig, 1);
    assert_eq!(rig.dtls().clients.len(), HALF_OPEN_PER_ADDRESS as usize + 1);
    for n in 0..HALF_OPEN {
        from(&mut rig, 2 + (n / HALF_OPEN_PER_ADDRESS) as u8);
    }
    assert_eq!(rig.dtls().half_open.open(), HALF_OPEN);
    assert_eq!(rig.dtls().clients.len(), HALF_OPEN as usize + 1);
    // After all of it, those who had no room get in.
    rig.advance(HANDSHAKE_TIME + FIRST_MESSAGE);
    rig.assert_empty();
    let mut late = from(&mut rig, 1);
    late.shake_hands(&mut rig);
    assert!(late.dtls.established);
}

/// A signature takes time in which the calls of the worker wait. The client sends its ClientHello
/// again (RFC 6347 section 4.2.4).
#[test]
fn handshakes_of_one_address_are_limited_also_where_it_ends_each_at_once_and_others_get_theirs() {
    let mut rig = Rig::limited(1, 0);
    let socket = rig.client().socket;
    let mut begun = 0;
    for _ in 0..40 {
        // The worker has time for another, however slow this machine is.
        rig.advance(PAID_OFF);
        let mut client = rig.client();
        client.socket = socket.try_clone().unwrap();
        let before = rig.dtls().next_generation;
        client.half_open(&mut rig);
        begun += rig.dtls().next_generation - before;
        rig.from(client.address(), FATAL_ALERT);
        assert_eq!(rig.dtls().clients.len(), 0, "the alert ends it");
    }
    assert_eq!(begun, 3 + 19, "three at once, and one a second for 19.5 s");
    assert_eq!(rig.gate.refused(), RefusedHandshakes { tls: 0, dtls: 40 - 22 });
    let mut other = TestClient::at(Ipv4Addr::new(127, 0, 0, 2), &rig.pki.root);
    rig.advance(PAID_OFF);
    other.shake_hands(&mut rig);
    assert!(other.dtls.established);
}

#[test]
fn a_handshake_is_refused_while_the_worker_has_spent_its_share_and_taken_up_later() {
    let mut rig = Rig::limited(10, 0);
    let mut client = rig.client();
    client.step(&mut rig);
    client.hear();
    let hello = client.dtls.step().remove(0);
    let far = Ipv4Addr::new(192, 0, 2, 1).into();
    rig.gate.dtls_has_cost(rig.now.tick, far, Duration::from_millis(24));
    rig.from(client.address(), &hello);
    assert_eq!((rig.dtls().clients.len(), rig.gate.refused().dtls), (0, 1));
    rig.advance(Duration::from_millis(199));
    rig.from(client.address(), &hello);
    assert_eq!(rig.dtls().clients.len(), 0);
    rig.advance(INSTANT);
    rig.from(client.address(), &hello);
    assert_eq!(rig.dtls().clients.len(), 1);
}

/// Whoever forges a source has them sent there.
#[test]
fn hello_verify_requests_come_out_of_the_budget_for_answers() {
    let mut rig = Rig::limited(0, 20);
    let mut client = rig.client();
    let hello = client.dtls.step().remove(0);
    let mut buffer = [0; 500];
    let mut answered = |rig: &mut Rig| {
        for _ in 0..100 {
            rig.from(client.address(), &hello);
        }
        (0..100).take_while(|_| client.socket.recv(&mut buffer).is_ok()).count()
    };
    assert_eq!(answered(&mut rig), 60);
    assert_eq!(rig.answers.withheld(), 40);
    rig.advance(Duration::from_secs(1));
    assert_eq!(answered(&mut rig), 20);
    let mut other = TestClient::at(Ipv4Addr::new(127, 0, 0, 2), &rig.pki.root);
    other.shake_hands(&mut rig);
    assert!(other.dtls.established);
}

#[test]
fn a_client_that_says_nothing_is_left_after_ten_seconds() {
    let mut rig = Rig::new(10);
    let mut client = rig.connected();
    assert_eq!(rig.dtls().half_open.open(), 0);
    rig.advance(FIRST_MESSAGE / 2);
    client.say(&mut rig, b"this is no STUN");
    rig.advance(FIRST_MESSAGE / 2 - INSTANT);
    assert_eq!(rig.dtls().clients.len(), 1);
    assert!(!client.heard_goodbye());
    rig.advance(INSTANT);
    rig.assert_empty();
    assert!(client.heard_goodbye());
}

#[test]
fn a_client_without_an_allocation_may_stay_for_a_minute_whatever_it_says() {
    let mut rig = Rig::new(10);
    let mut client = rig.connected();
    for number in 1..4 {
        client.ask(&mut rig, Method::BINDING, number);
        rig.advance(WITHOUT_ALLOCATION / 4);
    }
    client.ask(&mut rig, Method::BINDING, 4);
    rig.advance(WITHOUT_ALLOCATION / 4 - INSTANT);
    assert!(!client.heard_goodbye());
    rig.advance(INSTANT);
    rig.assert_empty();
    assert!(client.heard_goodbye());
}

#[test]
fn after_the_end_of_an_allocation_there_is_a_minute_for_another() {
    let mut rig = Rig::new(10);
    let mut client = rig.connected();
    client.allocate(&mut rig);
    rig.advance(WITHOUT_ALLOCATION * 3 / 2);
    assert_eq!(rig.kick(), 1);
    rig.advance(WITHOUT_ALLOCATION - INSTANT);
    assert_eq!(rig.dtls().clients.len(), 1);
    client.nonce.clear();
    client.allocate(&mut rig);
    rig.advance(WITHOUT_ALLOCATION * 3);
    assert_eq!(rig.dtls().clients.len(), 1);
    assert_eq!(rig.kick(), 1);
    rig.advance(WITHOUT_ALLOCATION);
    rig.assert_empty();
    assert!(client.heard_goodbye());
}

/// Has the worker end the connections of clients that were evicted.
fn end_evicted(rig: &mut Rig) {
    assert!(rig.dtls().has_evicted());
    rig.enter(|_| ());
    assert!(!rig.dtls().has_evicted());
}

#[test]
fn where_all_places_are_taken_the_oldest_without_an_allocation_goes() {
    let mut rig = Rig::new(3);
    let mut relaying = rig.connected();
    relaying.allocate(&mut rig);
    let (mut older, mut newer) = (rig.connected(), rig.connected());
    // From anywhere, by whatever transport. Loopback is one network; so this one is the smaller.
    let newcomer = rig.connections.take("192.0.2.1".parse().unwrap()).unwrap();
    end_evicted(&mut rig);
    assert!(older.heard_goodbye());
    newer.ask(&mut rig, Method::BINDING, 1);
    assert_eq!((rig.dtls().clients.len(), rig.connections.open()), (2, 3));
    assert!(newcomer.set_settled(true));
    newer.allocate(&mut rig);
    assert!(rig.connections.take("192.0.2.1".parse().unwrap()).is_none());
    assert!(!rig.dtls().has_evicted());
}

#[test]
fn a_client_that_has_lost_its_place_does_not_hear_of_an_allocation() {
    let mut rig = Rig::new(1);
    let mut client = rig.connected();
    let challenge = client.ask(&mut rig, Method::ALLOCATE, 1);
    client.nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
    let message = request(Method::ALLOCATE, 2, &client.nonce, |writer| {
        writer.requested_transport(17);
    });
    let datagrams = client.dtls.send(&message);
    let (tuple, connections) = (rig.tuple(client.address()), Arc::clone(&rig.connections));
    let _newcomer = rig.enter(|entered| {
        // Another worker gives the place away while the request is on its way.
        let newcomer = connections.take("192.0.2.1".parse().unwrap()).unwrap();
        datagrams.iter().for_each(|datagram| dtls::datagram(entered, tuple, datagram));
        newcomer
    });
    assert!(client.heard_goodbye());
    assert_eq!(rig.allocations(), 0);
    end_evicted(&mut rig);
    assert_eq!((rig.dtls().clients.len(), rig.connections.open()), (0, 1));
}

#[test]
fn a_handshake_that_is_not_finished_makes_room_as_well() {
    let mut rig = Rig::new(1);
    let mut client = rig.client();
    client.half_open(&mut rig);
    let newcomer = rig.connections.take("192.0.2.1".parse().unwrap()).unwrap();
    end_evicted(&mut rig);
    drop(newcomer);
    rig.assert_empty();
}

#[test]
fn a_client_with_an_allocation_may_be_silent_for_as_long_as_that_lives() {
    let mut rig = Rig::new(10);
    let mut client = rig.connected();
    client.allocate(&mut rig);
    rig.advance(WITHOUT_ALLOCATION * 9);
    assert_eq!((rig.dtls().clients.len(), rig.allocations()), (1, 1));
    rig.advance(WITHOUT_ALLOCATION);
    assert_eq!((rig.dtls().clients.len(), rig.allocations()), (1, 0), "it was never refreshed");
    rig.advance(WITHOUT_ALLOCATION);
    rig.assert_empty();
    assert!(client.heard_goodbye());
}

/// RFC 8656 section 5: with the 5-tuple goes the allocation.
#[test]
fn close_notify_ends_connection_and_allocation() {
    let mut rig = Rig::new(10);
    let mut client = rig.connected();
    client.allocate(&mut rig);
    client.close(&mut rig);
    rig.assert_empty();
    assert_eq!(rig.allocations(), 0);
    assert!(client.heard_goodbye());
}

#[test]
fn a_client_that_does_not_trust_the_certificate_leaves_nothing() {
    let mut rig = Rig::new(10);
    let mut client = TestClient::at(Ipv4Addr::LOCALHOST, &Pki::new(Kind::P256).root);
    client.shake_hands(&mut rig);
    assert!(client.dtls.failed.is_some());
    rig.assert_empty();
}

/// RFC 6347 section 4.2.8: the old association stays until the client has returned a cookie.
#[test]
fn a_client_that_starts_anew_takes_its_own_place_once_its_cookie_is_good() {
    let mut rig = Rig::new(1);
    let mut client = rig.connected();
    client.allocate(&mut rig);
    let mut again = rig.client();
    again.socket = client.socket.try_clone().unwrap();
    again.step(&mut rig);
    again.hear();
    assert_eq!((rig.allocations(), rig.dtls().clients.len()), (1, 1), "no cookie yet");
    again.shake_hands(&mut rig);
    assert!(again.dtls.established);
    assert_eq!((rig.allocations(), rig.dtls().clients.len()), (0, 1));
    assert_eq!((rig.connections.open(), rig.dtls().by_tuple.len()), (1, 1));
    again.allocate(&mut rig);
    // The deadlines of the one before do not touch it.
    rig.advance(WITHOUT_ALLOCATION);
    assert_eq!(rig.dtls().clients.len(), 1);
}

#[test]
fn a_flight_that_was_lost_is_sent_again() {
    let mut rig = Rig::new(10);
    let mut client = rig.client();
    client.half_open(&mut rig);
    assert!(client.hear() > 0);
    // OpenSSL's timer counts real time: a second.
    std::thread::sleep(Duration::from_millis(1100));
    rig.advance(Duration::from_millis(1100));
    assert!(client.hear() > 0, "the server's first flight once more");
}

#[test]
fn deadlines_of_those_who_are_gone_do_not_pile_up() {
    let mut rig = Rig::new(10);
    for _ in 0..300 {
        rig.connected().close(&mut rig);
        rig.advance(Duration::from_millis(20));
    }
    rig.assert_empty();
    assert!(rig.dtls().deadlines.len() < 100, "{}", rig.dtls().deadlines.len());
}

/// A listener with a certificate for each of two names.
struct TwoHosts {
    hosts: [&'static str; 2],
    directories: [TempDir; 2],
    pkis: [Pki; 2],
    store: Arc<CertStore>,
    settings: DtlsSettings,
}

impl TwoHosts {
    fn new() -> Self {
        let hosts = ["turn.example.org", "calls.example.net"];
        let directories = hosts.map(|_| tempfile::tempdir().unwrap());
        let pkis = hosts.map(|host| Pki::for_host(Kind::P256, host));
        let sources = pkis.iter().zip(&directories).map(|(pki, dir)| written(pki, dir.path()));
        let store = Arc::new(CertStore::open(sources.collect()).unwrap());
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = DtlsSettings::new("dtls", at, Arc::clone(&store)).unwrap();
        Self { hosts, directories, pkis, store, settings }
    }
}

/// The certificate for the name that a client asks for (RFC 6066 section 3), and the first one for
/// names that none is for.
#[test]
fn a_listener_serves_all_certificates_of_its_store_by_name_and_renews_each() {
    let TwoHosts { hosts, directories, pkis, store, settings } = TwoHosts::new();
    let serves = |host: &str, pki: &Pki| serves(&settings, host, pki);
    assert!(serves(hosts[0], &pkis[0]) && serves(hosts[1], &pkis[1]));
    assert!(!serves(hosts[0], &pkis[1]) && !serves(hosts[1], &pkis[0]));
    // RFC 6066 section 3: what the first certificate is for chooses nothing.
    assert!(!acknowledges(&settings, hosts[0]) && acknowledges(&settings, hosts[1]));
    let before = settings.served();
    assert!(settings.renew().is_empty());
    assert!(settings.news(&before).is_none(), "nothing has changed");

    let new = Pki::for_host(Kind::Rsa2048, hosts[1]);
    new.write(directories[1].path());
    let _ = store.reload();
    assert!(serves(hosts[1], &pkis[1]), "until it is taken up");
    assert!(settings.renew().is_empty());
    assert!(settings.news(&before).is_some());
    assert!(serves(hosts[1], &new) && !serves(hosts[1], &pkis[1]));
    assert!(serves(hosts[0], &pkis[0]));
}

/// rustls takes a certificate that is signed with SHA-1, and OpenSSL does not.
#[test]
fn a_renewed_certificate_that_openssl_refuses_leaves_its_name_the_last_good_one() {
    let TwoHosts { hosts, directories, pkis, store, settings } = TwoHosts::new();
    let serves = |host: &str, pki: &Pki| serves(&settings, host, pki);

    Pki::signed_with_sha1(hosts[1]).write(directories[1].path());
    assert!(settings.check(&store).is_ok());
    assert!(store.reload().iter().any(|outcome| matches!(outcome, ReloadOutcome::Replaced { .. })));
    let told: Vec<_> = settings.renew().iter().map(ToString::to_string).collect();
    let [told] = told.as_slice() else { panic!("one of them is refused: {told:?}") };
    let file = directories[1].path().join("cert.pem").display().to_string();
    for part in ["listener \"dtls\"", &file, "the last good one stays in use", "too weak"] {
        assert!(told.contains(part), "\"{part}\" is not in {told}");
    }
    assert!(serves(hosts[1], &pkis[1]) && serves(hosts[0], &pkis[0]));
    assert!(settings.renew().is_empty(), "told once");
    assert!(settings.check(&store).unwrap_err().to_string().contains(&file));

    // The other one is renewed all the same, and the refused one is not told again.
    let first = Pki::for_host(Kind::P256, hosts[0]);
    first.write(directories[0].path());
    let _ = store.reload();
    assert!(settings.renew().is_empty());
    assert!(serves(hosts[0], &first) && serves(hosts[1], &pkis[1]));

    // Of the first source it is the same, for everybody who asks for another name.
    Pki::signed_with_sha1(hosts[0]).write(directories[0].path());
    let good = Pki::for_host(Kind::P256, hosts[1]);
    good.write(directories[1].path());
    let _ = store.reload();
    assert_eq!(settings.renew().len(), 1);
    assert!(serves(hosts[0], &first) && serves(hosts[1], &good));
}

/// Whether the ServerHello tells a client that its name has chosen the certificate.
fn acknowledges(settings: &DtlsSettings, host: &str) -> bool {
    let now = Instant::now();
    let mut listener = Listener::new(DtlsContext::clone(&settings.served()), now).unwrap();
    let root = Pki::new(Kind::P256).root;
    let mut client = Client::that(&root, &Wants { host, ..Wants::default() });
    server_hello_has(&flush(&mut admit(&mut listener, &mut client)), 0)
}

/// Whether a client that asks for `host` can verify what it gets.
fn serves(settings: &DtlsSettings, host: &str, pki: &Pki) -> bool {
    let now = Instant::now();
    let mut listener = Listener::new(DtlsContext::clone(&settings.served()), now).unwrap();
    let mut client = Client::that(&pki.root, &Wants { host, ..Wants::default() });
    let mut server = admit(&mut listener, &mut client);
    settle(&mut client, &mut server);
    client.established
}
