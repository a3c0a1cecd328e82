//! Clients over DTLS against the real server, with OpenSSL as the client.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "dtls")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use taciturn_stun::{Class, Method, TransactionId, Writer};
use testkit::dtls::{Client, HOST, Kind, Pki, Wants};
use testkit::dtls_stream::{DtlsStream, half_open};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel, relays_both_ways};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

pub(super) const PEERS: &str = "[peers]\nallow = [\"127.0.0.0/8\"]\n";

/// A server with a certificate, and what its clients trust.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) pki: Pki,
    pub(super) certificate: tempfile::TempDir,
}

impl Site {
    /// A listener for DTLS, and `more` in the configuration.
    fn new(more: &str) -> Self {
        Self::listening(&["transport = \"dtls\"\naddress = \"127.0.0.1:0\""], more)
    }

    pub(super) fn listening(listeners: &[&str], more: &str) -> Self {
        let pki = Pki::new(Kind::P256);
        let certificate = tempfile::tempdir().unwrap();
        pki.write(certificate.path());
        let server = Server::configured(&Self::text(certificate.path(), listeners, more));
        Self { server, pki, certificate }
    }

    pub(super) fn text(certificate: &std::path::Path, listeners: &[&str], more: &str) -> String {
        let at = certificate.display();
        let mut text = format!(
            "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
             [tls]\ncert = \"{at}/cert.pem\"\nkey = \"{at}/key.pem\"\n{more}\n"
        );
        for listener in listeners {
            text.push_str(&format!("[[listen]]\n{listener}\n"));
        }
        text
    }

    /// Where it speaks DTLS, alone or beside UDP.
    fn address(&self) -> SocketAddr {
        let mut listeners = self.server.listeners.iter();
        listeners.find(|(_, spoken)| spoken.ends_with("dtls")).unwrap().0
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.pki.root)
    }

    async fn connect(&self) -> StreamClient<DtlsStream> {
        StreamClient::new(DtlsStream::connect(self.address(), self.client()).await.unwrap())
    }

    async fn connect_from(&self, socket: UdpSocket) -> StreamClient<DtlsStream> {
        let stream = DtlsStream::connect_from(socket, self.address(), self.client()).await;
        StreamClient::new(stream.unwrap())
    }

    /// Whether the server lets somebody in now. It does not answer whom it has no room for.
    async fn lets_in(&self) -> bool {
        let connecting = DtlsStream::connect(self.address(), self.client());
        timeout(Duration::from_millis(700), connecting).await.is_ok_and(|made| made.is_ok())
    }
}

/// Waits until nobody has the port: the allocation on it has ended.
async fn is_free_again(relayed: SocketAddr) {
    let start = Instant::now();
    while UdpSocket::bind(relayed).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "{relayed} stays open");
        sleep(Duration::from_millis(2)).await;
    }
}

//= 8656-5-tcp-tls-dtls
#[tokio::test]
async fn a_client_verifies_the_server_agrees_on_alpn_and_relays() {
    let site = Site::new(PEERS);
    let wants = Wants { alpn: Some(b"\x09stun.turn"), ..Wants::default() };
    let client = Client::that(&site.pki.root, &wants);
    let stream = DtlsStream::connect(site.address(), client).await.unwrap();
    let ssl = stream.client.stream.ssl();
    assert_eq!(ssl.selected_alpn_protocol(), Some(&b"stun.turn"[..]));
    assert_eq!(ssl.peer_cert_chain().unwrap().len(), 2, "leaf and intermediate");
    let mine = stream.socket.local_addr().unwrap();
    let mut client = StreamClient::new(stream);
    assert_eq!(client.mapped().await, mine);
    relays_both_ways(client).await;
}

//= 8489-6.3.1.2-answer-goes-back, 8489-12-binding
#[tokio::test]
async fn a_listener_on_all_addresses_answers_from_the_one_it_was_asked_at() {
    let listener = "transport = \"dtls\"\naddress = \"[::]:0\"";
    let site = Site::listening(&[listener], PEERS);
    let port = site.address().port();
    for asked in ["127.0.0.1", "127.0.0.2", "::1"] {
        // The client's socket is connected, so that an answer from elsewhere would not reach it.
        let server = SocketAddr::new(asked.parse().unwrap(), port);
        let stream = DtlsStream::connect(server, site.client()).await.unwrap();
        relays_both_ways(StreamClient::new(stream)).await;
    }
}

/// Two workers: the two clients may be of one shard or of two.
#[tokio::test]
async fn clients_of_dtls_and_of_another_transport_reach_each_other() {
    let listeners = [
        "transport = \"dtls\"\naddress = \"127.0.0.1:0\"",
        "transport = \"tcp\"\naddress = \"127.0.0.1:0\"",
    ];
    let site = Site::listening(&listeners, "");
    let tcp = tokio::net::TcpStream::connect(site.server.listener("tcp")).await.unwrap();
    let (mut a, mut b, mut c) =
        (site.connect().await, site.connect().await, StreamClient::new(tcp));
    let (at_a, at_b, at_c) = (a.allocate().await, b.allocate().await, c.allocate().await);
    a.bind(channel(), at_b).await;
    b.bind(channel(), at_a).await;
    a.send(channel(), b"from a").await;
    assert_eq!(b.receive(channel()).await, b"from a");
    b.send(channel(), b"from b").await;
    assert_eq!(a.receive(channel()).await, b"from b");
    let mut d = site.connect().await;
    let at_d = d.allocate().await;
    c.bind(channel(), at_d).await;
    d.bind(channel(), at_c).await;
    c.send(channel(), b"from c").await;
    assert_eq!(d.receive(channel()).await, b"from c");
    d.send(channel(), b"from d").await;
    assert_eq!(c.receive(channel()).await, b"from d");
}

#[tokio::test]
async fn many_messages_in_a_burst_are_each_relayed() {
    let site = Site::new(PEERS);
    let mut client = site.connect().await;
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let mut buffer = [0; 1500];
    for n in 0..100_u8 {
        client.send(channel(), &[n; 1200]).await;
    }
    for n in 0..100_u8 {
        let len = timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(buffer[..len], [n; 1200]);
    }
    for n in 0..100_u8 {
        peer.send_to(&[n; 1200], relayed).await.unwrap();
    }
    for n in 0..100_u8 {
        assert_eq!(client.receive(channel()).await, [n; 1200]);
    }
}

/// RFC 8489 section 6.3.1: the answer to a request that was sent again is the same.
#[tokio::test]
async fn a_retransmitted_allocate_gets_the_same_relayed_address() {
    let site = Site::new("");
    let mut client = site.connect().await;
    let relayed = client.allocate().await;
    assert_eq!(client.allocate_again().await, relayed);
}

#[tokio::test]
async fn a_message_longer_than_a_record_is_dropped_and_said_at_the_end() {
    let mut site = Site::new(PEERS);
    let mut client = site.connect().await;
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    for len in [4092, 4093, 30_000, 7] {
        peer.send_to(&vec![b'x'; len], relayed).await.unwrap();
    }
    assert_eq!(client.receive(channel()).await.len(), 4092);
    assert_eq!(client.receive(channel()).await.len(), 7);
    client.stream().close().await;
    is_free_again(relayed).await;
    let log = site.server.log();
    let line = log.lines().find(|line| line.contains("too long")).unwrap();
    assert!(line.contains("dropped=2") && line.contains("longest=4096"), "{line}");
}

//= 8656-5-connection-ends
#[tokio::test]
async fn close_notify_ends_the_allocation() {
    let mut site = Site::new(PEERS);
    let mut client = site.connect().await;
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    client.send(channel(), b"x").await;
    client.stream().close().await;
    is_free_again(relayed).await;
    assert!(client.read().await.is_none(), "the server sends a close_notify of its own");
    let log = site.server.log();
    let line = log.lines().find(|line| line.contains("session ended")).unwrap();
    assert!(line.contains("connection closed") && line.contains("transport=\"dtls\""), "{line}");
}

#[tokio::test]
async fn a_server_that_stops_takes_leave_of_its_clients() {
    let site = Site::new("");
    let mut client = site.connect().await;
    client.allocate().await;
    site.server.signal(Signal::TERM);
    assert!(client.read().await.is_none());
}

/// RFC 6347 section 4.2.8.
#[tokio::test]
async fn a_client_that_starts_anew_on_its_port_is_served_and_its_old_allocation_ended() {
    // No room for a second one: the new connection takes the place of the old.
    let site = Site::new(&format!("{PEERS}[limits]\nconnections = 1\n"));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let again = socket.try_clone().unwrap();
    let mut first = site.connect_from(UdpSocket::from_std(socket).unwrap()).await;
    let relayed = first.allocate().await;
    // Its process is gone: nothing is closed, and the next one has the port.
    drop(first);
    let second = site.connect_from(UdpSocket::from_std(again).unwrap()).await;
    is_free_again(relayed).await;
    relays_both_ways(second).await;
}

#[tokio::test]
async fn connections_from_one_address_are_limited_together_with_those_over_tcp() {
    let listeners = [
        "transport = \"dtls\"\naddress = \"127.0.0.1:0\"",
        "transport = \"tcp\"\naddress = \"127.0.0.1:0\"",
    ];
    let mut site = Site::listening(&listeners, "[limits]\nconnections_per_address = 3\n");
    let tcp = tokio::net::TcpStream::connect(site.server.listener("tcp")).await.unwrap();
    let mut over_tcp = StreamClient::new(tcp);
    over_tcp.mapped().await;
    let (mut a, mut b) = (site.connect().await, site.connect().await);
    a.mapped().await;
    assert!(!site.lets_in().await);
    // The others go on, and who leaves makes room.
    b.mapped().await;
    b.stream().close().await;
    assert!(b.read().await.is_none());
    site.connect().await.mapped().await;
    assert!(site.server.log().contains("limits.connections_per_address"));
}

#[tokio::test]
async fn garbage_and_plain_stun_are_dropped_in_silence() {
    let mut site = Site::new("");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut binding = [0; 20];
    let tid = TransactionId(*b"binding test");
    Writer::new(&mut binding, Class::Request, Method::BINDING, tid).finish().unwrap();
    let hello = site.client().step().remove(0);
    let mut junk: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte; 30]).collect();
    junk.extend([Vec::new(), vec![0; 60_000], binding.to_vec()]);
    junk.extend((0..hello.len()).map(|n| hello[..n].to_vec()));
    for datagram in &junk {
        socket.send_to(datagram, site.address()).await.unwrap();
    }
    // From the address of a connection, and inside of one.
    let mut client = site.connect().await;
    for datagram in &junk {
        client.stream().socket.send(datagram).await.unwrap();
    }
    client.write(b"no STUN").await;
    client.mapped().await;
    assert!(socket.try_recv(&mut [0; 10]).is_err(), "nothing is answered to garbage");
    let log = site.server.log();
    assert!(!log.contains(" refused: ") && !log.contains("panicked"), "{log}");
}

/// What a process holds, in bytes.
fn resident(server: &Server) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.id())).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Sends a first ClientHello from each of so many ports; holds that each answer is the smaller one.
async fn knock(site: &Site, times: usize) {
    let mut buffer = [0; 1500];
    for _ in 0..times {
        let hello = site.client().step().remove(0);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&hello, site.address()).await.unwrap();
        let len = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        assert!(len < hello.len(), "{len} bytes to a stranger that sent {}", hello.len());
    }
}

/// RFC 6347 section 4.2.1.
#[tokio::test]
async fn strangers_leave_nothing() {
    let site = Site::new("[limits]\nconnections = 1\n");
    knock(&site, 200).await;
    let before = resident(&site.server);
    knock(&site, 3000).await;
    let grown = resident(&site.server).saturating_sub(before);
    assert!(grown < 128 * 1024, "{grown} bytes for 3000 strangers");
    // None of them has the one place.
    site.connect().await.mapped().await;
}

/// Takes ten seconds: so long the server waits for the rest of a handshake.
#[tokio::test]
async fn half_open_connections_make_room_after_ten_seconds() {
    let site = Site::new("[limits]\nconnections_per_address = 4\n");
    let mut silent = Vec::new();
    let opened = Instant::now();
    for _ in 0..4 {
        silent.push(half_open(site.address(), &site.pki.root).await);
    }
    let is_in = site.lets_in().await;
    // On a slow machine the first of them may have made room by now.
    assert!(!is_in || opened.elapsed() >= Duration::from_secs(10));
    let start = Instant::now();
    while !site.lets_in().await {
        assert!(start.elapsed() < PATIENCE, "they stay");
    }
}

/// Takes some seconds: the server looks at the files every five.
#[tokio::test]
async fn a_renewed_certificate_is_served_to_new_connections_while_a_call_goes_on() {
    tokio::join!(
        takes_up_a_renewed_certificate(Site::new(PEERS)),
        takes_up_a_renewed_certificate(Site::listening(
            &["transport = \"udp+dtls\"\naddress = \"127.0.0.1:0\""],
            PEERS
        )),
    );
}

async fn takes_up_a_renewed_certificate(site: Site) {
    let mut call = site.connect().await;
    let relayed = call.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    call.bind(channel(), peer.local_addr().unwrap()).await;

    let new = Pki::for_host(Kind::P384, HOST);
    new.write(site.certificate.path());
    let start = Instant::now();
    while DtlsStream::connect(site.address(), Client::new(&new.root)).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "the new certificate is not served");
        sleep(Duration::from_millis(100)).await;
        // The call goes on meanwhile.
        peer.send_to(b"still here", relayed).await.unwrap();
        assert_eq!(call.receive(channel()).await, b"still here");
    }
    peer.send_to(b"and after", relayed).await.unwrap();
    assert_eq!(call.receive(channel()).await, b"and after");
    assert!(DtlsStream::connect(site.address(), site.client()).await.is_err(), "the old one");
}

#[tokio::test]
async fn a_listener_comes_and_goes_while_the_server_runs() {
    // An address that no other process has.
    let id = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, 64 + (id[1] & 63), id[2], id[3].max(1)], 42_001));
    let udp = "transport = \"udp\"\naddress = \"127.0.0.1:0\"";
    let dtls = format!("transport = \"dtls\"\naddress = \"{address}\"");
    let site = Site::listening(&[udp], PEERS);
    let reload = |listeners: &[&str]| {
        site.server.reload(&Site::text(site.certificate.path(), listeners, PEERS));
    };
    let connect =
        async || StreamClient::new(DtlsStream::connect(address, site.client()).await.unwrap());
    reload(&[udp, &dtls]);
    let mut call = connect().await;
    let relayed = call.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    call.bind(channel(), peer.local_addr().unwrap()).await;
    let mut idle = connect().await;
    idle.mapped().await;

    reload(&[udp]);
    assert_eq!(idle.read().await, None, "who has no allocation is taken leave of");
    let stranger = DtlsStream::connect(address, site.client());
    let stranger = timeout(Duration::from_millis(1500), stranger).await;
    assert!(!stranger.is_ok_and(|made| made.is_ok()), "nobody is let in");
    peer.send_to(b"goes on!", relayed).await.unwrap();
    assert_eq!(call.receive(channel()).await, b"goes on!");

    reload(&[udp, &dtls]);
    let mut another = connect().await;
    another.allocate().await;
    reload(&[udp]);
    peer.send_to(b"still on", relayed).await.unwrap();
    assert_eq!(call.receive(channel()).await, b"still on");
    call.stream().close().await;
    another.stream().close().await;
    site.server.wait_for_log("listener \"dtls:42001\" is closed", 1);
}

/// Prints what docs/performance.md has.
#[tokio::test]
async fn an_idle_connection_is_small() {
    const N: usize = 500;
    let site = Site::new("[limits]\nconnections_per_address = 1000\n");
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(site.connect().await);
    }
    let before = resident(&site.server);
    for _ in 0..N {
        let mut client = site.connect().await;
        client.mapped().await;
        held.push(client);
    }
    let each = resident(&site.server).saturating_sub(before) / N;
    println!("one idle DTLS connection: {each} bytes");
    assert!(each < 96 * 1024, "{each} bytes a connection");
}
