//! TCP allocations (RFC 6062) over sockets, against the real server. Timers are tested in
//! `crates/turn/src/tests`, where the clock is the test's.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use taciturn_stun::{Class, Message, Method};
use testkit::server::{PATIENCE, Server};
use testkit::tcp_relay_client::{ALICE, BOB, RelayClient};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const PEERS: &str = "[peers]\nallow = [\"127.0.0.0/8\"]\n";
const TCP: &str = "transport = \"tcp\"";

fn configured(listener: &str, more: &str) -> Server {
    let users = format!("\"{}:{}\", \"{}:{}\"", ALICE.0, ALICE.1, BOB.0, BOB.1);
    Server::configured(&format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\nworkers = 3\n\
         [auth]\nusers = [{users}]\n[protocol]\ntcp_relay = true\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n{listener}\n"
    ))
}

async fn alice(server: &Server) -> RelayClient<TcpStream> {
    RelayClient::new(TcpStream::connect(server.address).await.unwrap(), ALICE)
}

async fn bob(server: &Server) -> RelayClient<TcpStream> {
    RelayClient::new(TcpStream::connect(server.address).await.unwrap(), BOB)
}

async fn listening() -> (TcpListener, SocketAddr) {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    (peer, address)
}

async fn accepted(peer: &TcpListener) -> (TcpStream, SocketAddr) {
    timeout(PATIENCE, peer.accept()).await.unwrap().unwrap()
}

/// Whether nobody has tried to connect.
fn is_untouched(peer: TcpListener) -> bool {
    let peer = peer.into_std().unwrap();
    matches!(peer.accept(), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// All that comes, to the end.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    timeout(PATIENCE, stream.write_all(bytes)).await.unwrap().unwrap();
    stream.flush().await.unwrap();
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(bytes, expected);
}

/// Says things both ways, and then ends it from the client's side.
async fn talk(
    mut data: impl AsyncRead + AsyncWrite + Unpin,
    mut peer: impl AsyncRead + AsyncWrite + Unpin,
) {
    for len in [1, 2, 3, 1000, 70_000] {
        let bytes: Vec<u8> = (0..len).map(|n: u32| (n * 7 + len) as u8).collect();
        tokio::join!(say(&mut data, &bytes), hear(&mut peer, &bytes));
        tokio::join!(say(&mut peer, &bytes), hear(&mut data, &bytes));
    }
    data.shutdown().await.unwrap();
    assert_eq!(rest(&mut peer).await, b"");
}

/// A certificate for turn.example.org in a directory of its own.
struct TestCertificate {
    directory: tempfile::TempDir,
    der: CertificateDer<'static>,
}

impl TestCertificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { directory, der: made.cert.der().clone() }
    }

    fn section(&self) -> String {
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", at("cert.pem"), at("key.pem"))
    }

    async fn alice(
        &self,
        server: &Server,
    ) -> RelayClient<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("turn.example.org").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        RelayClient::new(stream, ALICE)
    }
}

#[tokio::test]
async fn a_client_connects_to_a_peer_from_its_relayed_address() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    let relayed = control.allocate().await;
    // Several at a time, whichever workers their data connections come to.
    let mut joined = Vec::new();
    for _ in 0..8 {
        let (peer, at) = listening().await;
        let id = control.connect(at).await.unwrap();
        let (stream, from) = accepted(&peer).await;
        assert_eq!(from, relayed);
        joined.push((alice(&server).await.bind(id).await.unwrap(), stream));
    }
    for (data, peer) in joined {
        talk(data, peer).await;
    }
}

#[tokio::test]
async fn a_peer_connects_to_the_relayed_address() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    let relayed = control.allocate().await;
    control.permit("127.0.0.1:1".parse().unwrap()).await;
    let mut joined = Vec::new();
    for _ in 0..8 {
        let mut peer = TcpStream::connect(relayed).await.unwrap();
        say(&mut peer, b"early").await;
        let (id, from) = control.attempt().await;
        assert_eq!(from, peer.local_addr().unwrap());
        joined.push((alice(&server).await.bind(id).await.unwrap(), peer));
    }
    for (mut data, peer) in joined {
        // RFC 6062 section 5.4: with what came before the bind.
        hear(&mut data, b"early").await;
        talk(data, peer).await;
    }
}

#[tokio::test]
async fn control_and_data_may_be_tls() {
    let certificate = TestCertificate::new();
    let server = configured("transport = \"auto\"", &(PEERS.to_owned() + &certificate.section()));
    let mut control = certificate.alice(&server).await;
    control.allocate().await;
    for _ in 0..4 {
        let (peer, at) = listening().await;
        let id = control.connect(at).await.unwrap();
        let data = certificate.alice(&server).await.bind(id).await.unwrap();
        talk(data, accepted(&peer).await.0).await;
    }
    // A control connection of one kind, a data connection of the other.
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let data = alice(&server).await.bind(id).await.unwrap();
    talk(data, accepted(&peer).await.0).await;
}

#[tokio::test]
async fn two_allocations_of_one_server_reach_each_other_without_a_rule() {
    let server = configured(TCP, "");
    let (mut one, mut other) = (alice(&server).await, bob(&server).await);
    let (at_one, at_other) = (one.allocate().await, other.allocate().await);
    other.permit(at_one).await;
    let id = one.connect(at_other).await.unwrap();
    let (others_id, from) = other.attempt().await;
    assert_eq!(from, at_one);
    let data = alice(&server).await.bind(id).await.unwrap();
    let others_data = bob(&server).await.bind(others_id).await.unwrap();
    talk(data, others_data).await;
}

#[tokio::test]
async fn what_follows_the_bind_request_at_once_is_data() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let mut peer = accepted(&peer).await.0;
    say(&mut peer, b"from the peer").await;
    let mut data = alice(&server).await.bind_and_say(id, b"not a STUN message").await;
    hear(&mut peer, b"not a STUN message").await;
    hear(&mut data, b"from the peer").await;
}

//= 8489-6.2.2-no-close-before-answer
#[tokio::test]
async fn who_has_no_more_to_say_still_hears_the_other() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();

    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let mut peer = accepted(&peer).await.0;
    let mut data = alice(&server).await.bind(id).await.unwrap();
    say(&mut data, b"question").await;
    data.shutdown().await.unwrap();
    assert_eq!(rest(&mut peer).await, b"question");
    let answering = async {
        say(&mut peer, &long).await;
        peer.shutdown().await.unwrap();
    };
    assert_eq!(tokio::join!(answering, rest(&mut data)).1, long);

    // And the other way round.
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let mut peer = accepted(&peer).await.0;
    let mut data = alice(&server).await.bind(id).await.unwrap();
    say(&mut peer, b"banner").await;
    peer.shutdown().await.unwrap();
    assert_eq!(rest(&mut data).await, b"banner");
    let answering = async {
        say(&mut data, &long).await;
        data.shutdown().await.unwrap();
    };
    assert_eq!(tokio::join!(answering, rest(&mut peer)).1, long);
}

#[tokio::test]
async fn last_words_arrive_and_one_end_takes_the_other_with_it() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let long = vec![9; 500_000];
    let (peer, at) = listening().await;

    let id = control.connect(at).await.unwrap();
    let mut far = accepted(&peer).await.0;
    let mut data = alice(&server).await.bind(id).await.unwrap();
    say(&mut data, &long).await;
    drop(data);
    assert_eq!(rest(&mut far).await, long);
    drop(far);

    // The same peer again, as soon as the server has seen that both are gone.
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let mut far = accepted(&peer).await.0;
    let mut data = alice(&server).await.bind(id).await.unwrap();
    let speaking = async {
        say(&mut far, &long).await;
        drop(far);
    };
    assert_eq!(tokio::join!(speaking, rest(&mut data)).1, long);
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_and_delays_nobody() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let mut slow = accepted(&peer).await.0;
    let mut data = alice(&server).await.bind(id).await.unwrap();
    let long: Vec<u8> = (0..24_000_000_u32).map(|n| (n % 253) as u8).collect();
    let sending = async {
        say(&mut data, &long).await;
        data.shutdown().await.unwrap();
    };
    let reading = async {
        // Another connection of the same allocation meanwhile.
        let (peer, at) = listening().await;
        let id = control.connect(at).await.unwrap();
        let other = alice(&server).await.bind(id).await.unwrap();
        talk(other, accepted(&peer).await.0).await;
        rest(&mut slow).await
    };
    assert!(tokio::join!(sending, reading).1 == long);
}

#[tokio::test]
async fn with_the_allocation_everything_of_it_is_closed() {
    let server = configured(TCP, PEERS);
    for hang_up in [false, true] {
        let mut control = alice(&server).await;
        let relayed = control.allocate().await;
        control.permit(relayed).await;
        let (peer, at) = listening().await;
        let id = control.connect(at).await.unwrap();
        let mut bound = accepted(&peer).await.0;
        let mut data = alice(&server).await.bind(id).await.unwrap();
        let (peer, at) = listening().await;
        control.connect(at).await.unwrap();
        let mut unbound = accepted(&peer).await.0;
        let mut arrived = TcpStream::connect(relayed).await.unwrap();
        control.attempt().await;
        if hang_up {
            drop(control);
        } else {
            control.release().await;
        }
        assert_eq!(rest(&mut data).await, b"");
        for stream in [&mut bound, &mut unbound, &mut arrived] {
            assert_eq!(rest(stream).await, b"");
        }
        let start = std::time::Instant::now();
        while TcpStream::connect(relayed).await.is_ok() {
            assert!(start.elapsed() < PATIENCE, "{relayed} still listens");
        }
    }
}

#[tokio::test]
async fn a_connection_is_bound_once_and_by_its_user_alone() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let far = accepted(&peer).await.0;
    assert_eq!(control.connect(at).await, Err(446));
    assert_eq!(bob(&server).await.bind(id).await.unwrap_err(), 441);
    assert_eq!(alice(&server).await.bind(id ^ 1).await.unwrap_err(), 400);
    let data = alice(&server).await.bind(id).await.unwrap();
    assert_eq!(alice(&server).await.bind(id).await.unwrap_err(), 400);
    // None of that has harmed it.
    talk(data, far).await;
}

#[tokio::test]
async fn a_peer_that_refuses_is_447() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let (peer, at) = listening().await;
    drop(peer);
    assert_eq!(control.connect(at).await, Err(447));
}

#[tokio::test]
async fn no_connection_arrives_at_a_peer_that_is_denied() {
    let server = configured(TCP, "");
    let mut control = alice(&server).await;
    control.allocate().await;
    // The server's own address, with a port that is no relay's, and another one.
    for host in ["127.0.0.1:0", "127.77.7.7:0"] {
        let peer = TcpListener::bind(host).await.unwrap();
        assert_eq!(control.connect(peer.local_addr().unwrap()).await, Err(403));
        assert!(is_untouched(peer));
    }
}

#[tokio::test]
async fn a_peer_without_permission_is_turned_away() {
    let server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    let relayed = control.allocate().await;
    // It may be reset before it knows that it is connected.
    if let Ok(mut peer) = TcpStream::connect(relayed).await {
        assert_eq!(rest(&mut peer).await, b"");
    }
    // Nothing was said of it: the next message is the answer to the next request.
    control.permit(relayed).await;
    let _peer = TcpStream::connect(relayed).await.unwrap();
    control.attempt().await;
}

#[tokio::test]
async fn data_connections_count_like_all_others() {
    let server = configured(TCP, &format!("{PEERS}[limits]\nconnections_per_address = 2\n"));
    let mut control = alice(&server).await;
    control.allocate().await;
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let far = accepted(&peer).await.0;
    let data = alice(&server).await.bind(id).await.unwrap();
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut third).await, b"");
    talk(data, far).await;
    let start = std::time::Instant::now();
    loop {
        let mut fourth = TcpStream::connect(server.address).await.unwrap();
        let request = RelayClient::<TcpStream>::binding_request();
        let _ = fourth.write_all(&request).await;
        if matches!(fourth.read(&mut [0; 20]).await, Ok(20)) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "the place is not given back");
    }
}

#[tokio::test]
async fn connections_of_an_allocation_are_bounded() {
    let limits = "[limits]\npeer_connections_per_allocation = 2\n";
    let server = configured(TCP, &format!("{PEERS}{limits}"));
    let mut control = alice(&server).await;
    control.allocate().await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let (peer, at) = listening().await;
        control.connect(at).await.unwrap();
        kept.push(peer);
    }
    let (peer, at) = listening().await;
    assert_eq!(control.connect(at).await, Err(508));
    assert!(is_untouched(peer));
}

#[tokio::test]
async fn without_the_option_there_are_no_tcp_allocations() {
    let server = Server::configured(&format!(
        "external_ip = \"127.0.0.1\"\nrealm = \"example.org\"\n\
         [auth]\nusers = [\"{}:{}\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\n{TCP}\n",
        ALICE.0, ALICE.1
    ));
    let mut client = alice(&server).await;
    let answer = client.ask(Method::ALLOCATE, |writer| {
        writer.requested_transport(6);
    });
    let answer = answer.await;
    let answer = Message::parse(&answer).unwrap();
    assert_eq!((answer.class(), answer.error_code()), (Class::Error, Some(442)));
}

#[tokio::test]
async fn the_log_tells_what_a_tcp_allocation_has_relayed() {
    let mut server = configured(TCP, PEERS);
    let mut control = alice(&server).await;
    control.allocate().await;
    let (peer, at) = listening().await;
    let id = control.connect(at).await.unwrap();
    let mut peer = accepted(&peer).await.0;
    let mut data = alice(&server).await.bind(id).await.unwrap();
    say(&mut data, &[1; 2048]).await;
    hear(&mut peer, &[1; 2048]).await;
    say(&mut peer, b"ok").await;
    hear(&mut data, b"ok").await;
    control.release().await;
    let log = server.log();
    let line = log.lines().find(|line| line.contains("session ended")).unwrap();
    assert!(line.contains("to_peers=\"2.0 KiB\"") && line.contains("to_client=\"2 B\""), "{line}");
}
