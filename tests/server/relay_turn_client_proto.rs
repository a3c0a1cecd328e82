//! A client that nobody here wrote, `turn-client-proto`, against the real server over UDP, TCP and
//! TLS. It does no I/O of its own and is told what time it is, so these tests live through an hour
//! of a call in a moment: the client asks for its refreshes when they are due.
//!
//! Up to 0.7.3 it neither writes nor skips the padding of ChannelData on streams (RFC 8656 section
//! 12.5), so data sent on a channel are a multiple of four bytes long here. Padding itself is held
//! by `streams.rs`.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taciturn_stun::{Class, Frame, Message, Method};
use testkit::certificates::Authority;
use testkit::server::{PATIENCE, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn_client_proto::api::{
    Transmit, TurnClientApi as _, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet,
};
use turn_client_proto::client::TurnClient;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::stun::message::IntegrityAlgorithm;
use turn_client_proto::types::{TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

/// The three ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

const WAYS: [Way; 3] = [Way::Udp, Way::Tcp, Way::Tls];

/// A server that listens on all of them.
struct Fixture {
    authority: Authority,
    server: Server,
}

impl Fixture {
    fn new() -> Self {
        let authority = Authority::new();
        let directory = tempfile::tempdir().unwrap();
        authority.issue().write_pair(directory.path());
        let listener = |transport| {
            format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"127.0.0.1:0\"\n")
        };
        let server = Server::configured(&format!(
            "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\n\
             [auth]\nusers = [\"alice:correct horse battery\"]\n\
             [peers]\nallow = [\"127.0.0.0/8\"]\n\
             [tls]\ncert = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n{1}{2}{3}",
            directory.path().display(),
            listener("udp"),
            listener("tcp"),
            listener("tls"),
        ));
        Self { authority, server }
    }

    async fn client(&self, way: Way, password: &str) -> Client {
        self.configured(way, TurnConfig::new(TurnCredentials::new("alice", password))).await
    }

    async fn configured(&self, way: Way, config: TurnConfig) -> Client {
        if way == Way::Udp {
            let remote = self.server.listener("udp");
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(remote).await.unwrap();
            let local = socket.local_addr().unwrap();
            let protocol = TurnClientUdp::allocate(local, remote, config);
            return Client::new(protocol.into(), Wire::Datagrams(socket));
        }
        let remote = self.server.listener(if way == Way::Tls { "tls" } else { "tcp" });
        let stream = TcpStream::connect(remote).await.unwrap();
        // The protocol is the same inside TLS.
        let protocol = TurnClientTcp::allocate(stream.local_addr().unwrap(), remote, config).into();
        let wire: Box<dyn Stream> = if way == Way::Tls {
            Box::new(self.authority.connect(stream).await.unwrap())
        } else {
            Box::new(stream)
        };
        Client::new(protocol, Wire::Stream(wire))
    }

    async fn alice(&self, way: Way) -> Client {
        self.client(way, "correct horse battery").await
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

enum Wire {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>),
}

impl Wire {
    async fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Datagrams(socket) => drop(socket.send(bytes).await.unwrap()),
            Self::Stream(stream) => {
                stream.write_all(bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    }

    async fn read(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 5000];
        let len = match self {
            Self::Datagrams(socket) => socket.recv(&mut buffer).await.unwrap(),
            Self::Stream(stream) => stream.read(&mut buffer).await.unwrap(),
        };
        assert!(len > 0, "the server closed the connection");
        buffer.truncate(len);
        buffer
    }
}

/// The client with what it lacks: a socket and a clock.
struct Client {
    protocol: TurnClient,
    wire: Wire,
    start: Instant,
    /// How far its clock is ahead of ours.
    ahead: Duration,
    /// Data from peers, in their order.
    data: VecDeque<(SocketAddr, Vec<u8>)>,
    /// What the server has sent and nobody has looked at.
    unseen: Vec<u8>,
    /// Requests that went out and have no answer yet.
    pending: usize,
    /// The answers that came.
    answers: Vec<(Method, Class)>,
    /// How many of them were signed with SHA-256.
    with_sha256: usize,
}

impl Client {
    fn new(protocol: TurnClient, wire: Wire) -> Self {
        Self {
            protocol,
            wire,
            start: Instant::now(),
            ahead: Duration::ZERO,
            data: VecDeque::new(),
            unseen: Vec::new(),
            pending: 0,
            answers: Vec::new(),
            with_sha256: 0,
        }
    }

    fn now(&self) -> turn_client_proto::stun::Instant {
        let elapsed = self.start.elapsed() + self.ahead;
        turn_client_proto::stun::Instant::ZERO + elapsed
    }

    /// Sends what is due; then reads once, unless the client wants to be asked before there is
    /// anything.
    async fn step(&mut self) {
        let wait = match self.protocol.poll(self.now()) {
            TurnPollRet::WaitUntil(at) => at.duration_since(self.now()),
            _ => PATIENCE,
        };
        self.send_due().await;
        if let Ok(bytes) = timeout(wait, self.wire.read()).await {
            self.receive(bytes);
        }
    }

    /// All that the client sends by itself are requests.
    async fn send_due(&mut self) {
        while let Some(transmit) = self.protocol.poll_transmit(self.now()) {
            self.pending += 1;
            self.wire.write(&transmit.data).await;
        }
    }

    fn receive(&mut self, bytes: Vec<u8>) {
        self.see(&bytes);
        let (now, transport) = (self.now(), self.protocol.transport());
        let (from, to) = (self.protocol.remote_addr(), self.protocol.local_addr());
        match self.protocol.recv(Transmit::new(bytes, transport, from, to), now) {
            TurnRecvRet::Handled => {}
            TurnRecvRet::PeerData(data) => self.data.push_back((data.peer, data.data().to_vec())),
            // The answer that ends it, such as a second 401, or one that came twice.
            TurnRecvRet::Ignored(_) => {}
            other => panic!("{other:?}"),
        }
        while let Some(data) = self.protocol.poll_recv(now) {
            self.data.push_back((data.peer, data.data().to_vec()));
        }
    }

    /// Notes which answers are among what came.
    fn see(&mut self, bytes: &[u8]) {
        self.unseen.extend_from_slice(bytes);
        while let Frame::Whole { len, padded } = Frame::of(&self.unseen) {
            if let Ok(message) = Message::parse(&self.unseen[..len])
                && message.class() != Class::Indication
            {
                self.answers.push((message.method(), message.class()));
                self.with_sha256 += usize::from(message.has_integrity_sha256());
                self.pending -= 1;
            }
            self.unseen.drain(..padded.min(self.unseen.len()));
        }
    }

    fn succeeded(&self, method: Method) -> usize {
        self.answers.iter().filter(|answer| **answer == (method, Class::Success)).count()
    }

    async fn event(&mut self) -> TurnEvent {
        let start = Instant::now();
        loop {
            if let Some(event) = self.protocol.poll_event() {
                return event;
            }
            assert!(start.elapsed() < PATIENCE, "nothing happens");
            self.step().await;
        }
    }

    async fn allocated(&mut self) -> SocketAddr {
        match self.event().await {
            TurnEvent::AllocationCreated(TransportType::Udp, relayed) => relayed,
            other => panic!("{other:?}"),
        }
    }

    async fn permit(&mut self, peer: SocketAddr) {
        self.protocol.create_permission(TransportType::Udp, peer.ip(), self.now()).unwrap();
        match self.event().await {
            TurnEvent::PermissionCreated(TransportType::Udp, ip) => assert_eq!(ip, peer.ip()),
            other => panic!("{other:?}"),
        }
    }

    async fn bind(&mut self, peer: SocketAddr) {
        self.protocol.bind_channel(TransportType::Udp, peer, self.now()).unwrap();
        loop {
            match self.event().await {
                TurnEvent::ChannelCreated(TransportType::Udp, to) => break assert_eq!(to, peer),
                // A channel is a permission too (RFC 8656 section 12.2).
                TurnEvent::PermissionCreated(TransportType::Udp, ip) => assert_eq!(ip, peer.ip()),
                other => panic!("{other:?}"),
            }
        }
    }

    /// By an indication, or on a channel where there is one.
    async fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let now = self.now();
        let message = self.protocol.send_to(TransportType::Udp, peer, data, now).unwrap().unwrap();
        self.wire.write(&message.build().data).await;
    }

    async fn received(&mut self) -> (SocketAddr, Vec<u8>) {
        let start = Instant::now();
        while self.data.is_empty() {
            assert!(start.elapsed() < PATIENCE, "no data");
            self.step().await;
        }
        self.data.pop_front().unwrap()
    }

    /// Lets minutes pass, with everything that comes due in them.
    async fn live(&mut self, minutes: u32) {
        for _ in 0..minutes * 6 {
            self.ahead += Duration::from_secs(10);
            let _ = self.protocol.poll(self.now());
            self.send_due().await;
            let start = Instant::now();
            while self.pending > 0 {
                assert!(start.elapsed() < PATIENCE, "a request has no answer");
                self.step().await;
            }
        }
    }
}

/// Sends data to the peer and back.
async fn both_ways(client: &mut Client, peer: &UdpSocket, relayed: SocketAddr, lengths: &[usize]) {
    let address = peer.local_addr().unwrap();
    let mut buffer = [0; 5000];
    for &len in lengths {
        let data = vec![len as u8; len];
        client.send(address, &data).await;
        let (got, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..got], from), (&data[..], relayed));
        peer.send_to(&data, relayed).await.unwrap();
        assert_eq!(client.received().await, (address, data));
    }
}

#[tokio::test]
async fn a_call_is_set_up_carries_data_lives_on_and_ends() {
    let mut fixture = Fixture::new();
    for way in WAYS {
        let mut client = fixture.alice(way).await;
        let relayed = client.allocated().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.permit(peer.local_addr().unwrap()).await;
        // As indications: of any length.
        both_ways(&mut client, &peer, relayed, &[1, 2, 3, 4, 1001, 1400]).await;
        client.bind(peer.local_addr().unwrap()).await;
        both_ways(&mut client, &peer, relayed, &[4, 160, 1200, 1400]).await;

        // An hour: refreshes of the allocation, the permission and the channel, again and again.
        client.live(60).await;
        for (method, least) in
            [(Method::REFRESH, 2), (Method::CREATE_PERMISSION, 12), (Method::CHANNEL_BIND, 6)]
        {
            let done = client.succeeded(method);
            assert!(done >= least, "{way:?}: {done} of {method:?}: {:?}", client.answers);
        }
        both_ways(&mut client, &peer, relayed, &[160]).await;

        client.protocol.delete(client.now()).unwrap();
        let refreshes = client.succeeded(Method::REFRESH);
        let start = Instant::now();
        while client.succeeded(Method::REFRESH) == refreshes {
            assert!(start.elapsed() < PATIENCE, "{way:?}: the deletion is not confirmed");
            client.step().await;
        }
        assert!(client.protocol.relayed_addresses().next().is_none(), "{way:?}");
        // The port is free again: soon after the answer, which goes out first.
        let start = Instant::now();
        while UdpSocket::bind(relayed).await.is_err() {
            assert!(start.elapsed() < PATIENCE, "{way:?}: {relayed} is still in use");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let log = fixture.server.log();
    for way in ["udp", "tcp", "tls"] {
        let ended = |line: &&str| {
            line.contains("session ended") && line.contains(&format!("transport=\"{way}\""))
        };
        let line = log.lines().find(ended).unwrap();
        assert!(line.contains("released by the client"), "{line}");
    }
}

#[tokio::test]
async fn data_in_one_burst_arrive_each_and_in_order() {
    let fixture = Fixture::new();
    for way in WAYS {
        let mut client = fixture.alice(way).await;
        let relayed = client.allocated().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.bind(peer.local_addr().unwrap()).await;
        for n in 0..50_u8 {
            peer.send_to(&[n; 400], relayed).await.unwrap();
        }
        for n in 0..50 {
            assert_eq!(client.received().await.1, [n; 400], "{way:?}");
        }
        for n in 0..50_u8 {
            client.send(peer.local_addr().unwrap(), &[n; 400]).await;
        }
        let mut buffer = [0; 500];
        for n in 0..50 {
            let len = timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(buffer[..len], [n; 400], "{way:?}");
        }
    }
}

//= 8489-9.2.4-signed-with-sha256
#[tokio::test]
async fn a_client_that_takes_the_offer_of_sha256_is_answered_in_kind() {
    let fixture = Fixture::new();
    // Over UDP it is not offered by default: the answer to a stranger stays short.
    for (way, offered) in [(Way::Tcp, true), (Way::Tls, true), (Way::Udp, false)] {
        let mut config = TurnConfig::new(TurnCredentials::new("alice", "correct horse battery"));
        config.add_supported_integrity(IntegrityAlgorithm::Sha256);
        let mut client = fixture.configured(way, config).await;
        let relayed = client.allocated().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.permit(peer.local_addr().unwrap()).await;
        both_ways(&mut client, &peer, relayed, &[100]).await;
        // Allocate and CreatePermission; the challenge before them is not signed.
        assert_eq!(client.with_sha256, if offered { 2 } else { 0 }, "{way:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_gets_nothing() {
    let fixture = Fixture::new();
    for way in WAYS {
        let mut client = fixture.client(way, "not the password").await;
        // Two refusals: without a credential, and with the wrong one. The client waits on then, for
        // anybody could have sent an answer without integrity.
        let start = Instant::now();
        while client.answers.len() < 2 {
            assert!(start.elapsed() < PATIENCE, "{way:?}: no answer");
            client.step().await;
        }
        assert_eq!(client.answers, [(Method::ALLOCATE, Class::Error); 2], "{way:?}");
        assert!(client.protocol.relayed_addresses().next().is_none(), "{way:?}");
    }
}
