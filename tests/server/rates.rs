//! Limits of bytes a second over sockets, against the real server: over UDP, TCP and TLS, through
//! reloads, and on connections of TCP allocations. What passes in how much time is tested in
//! `crates/turn/src/policy/rates.rs` and `crates/turn/src/tests/rates.rs`, where the clock is the test's.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use testkit::datagrams::udp;
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use testkit::tcp_relay_client::{ALICE, RelayClient};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// As many as `PACKETS` are well within the buffers of a socket.
const PACKET: [u8; 500] = [7; 500];
const PACKETS: u32 = 60;

/// Two packets at once, and two more each second: even on a slow machine most are beyond it.
const LOW: u32 = 1_000;

fn configuration(limits: &str, more: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n\
         [admin]\nmetrics = \"127.0.0.1:0\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [limits]\n{limits}\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// A number among the metrics.
fn metric(server: &Server, name: &str) -> u32 {
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn dropped(server: &Server, reason: &str) -> u32 {
    metric(server, &format!("taciturn_dropped_packets_total{{reason=\"{reason}\"}}"))
}

fn relayed(server: &Server, transport: &str, direction: &str) -> u32 {
    let labels = format!("{{transport=\"{transport}\",direction=\"{direction}\"}}");
    metric(server, &format!("taciturn_relayed_packets_total{labels}"))
}

async fn tcp(to: SocketAddr) -> TcpStream {
    TcpStream::connect(to).await.unwrap()
}

/// Sends packets either way, and holds that as many pass as the limit has room for in the
/// time that it took; all others are counted as dropped.
async fn is_limited<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    transport: &str,
    client: &mut StreamClient<S>,
) {
    let at = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let before = dropped(server, "allocation_rate");
    let start = Instant::now();
    for n in 0..PACKETS {
        client.send(channel(), &PACKET).await;
        peer.send_to(&PACKET, at).await.unwrap();
        if n == 0 {
            // Whatever else happens, the first arrives.
            let mut buffer = [0; 1000];
            let got = timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(&buffer[..got], PACKET);
            assert_eq!(client.receive(channel()).await, PACKET);
        }
    }
    let judged = || {
        let passed = ["to_peer", "to_client"].map(|way| relayed(server, transport, way));
        (passed, dropped(server, "allocation_rate") - before)
    };
    while {
        let (passed, dropped) = judged();
        passed.iter().sum::<u32>() + dropped < 2 * PACKETS
    } {
        assert!(start.elapsed() < PATIENCE, "{:?}", judged());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = u32::try_from(start.elapsed().as_millis()).unwrap() + 2;
    // A second's worth, what has come back meanwhile, and one that is still to be paid.
    let most = (LOW + LOW * took / 1000) / PACKET.len() as u32 + 1;
    for passed in judged().0 {
        assert!((2..=most.min(PACKETS)).contains(&passed), "{transport}: {passed}, {took} ms");
    }
    server.wait_for_log("a limit is reached", 1);
}

#[tokio::test]
async fn bytes_per_second_per_allocation_hold_over_udp_and_tcp() {
    let limit = format!("bytes_per_second_per_allocation = {LOW}");
    let mut server = Server::configured(&configuration(&limit, ""));
    is_limited(&server, "udp", &mut StreamClient::new(udp(server.listener("udp")).await)).await;
    is_limited(&server, "tcp", &mut StreamClient::new(tcp(server.listener("tcp")).await)).await;
    let log = server.log();
    let line = log.lines().find(|line| line.contains("a limit is reached")).unwrap();
    let (user, key) = (format!("user=\"{USER}\""), "limits.bytes_per_second_per_allocation");
    assert!(line.contains(&user) && line.contains(key), "{line}");
    assert!(log.contains("is less than one voice call takes"), "the server warns at its start");
}

#[tokio::test]
async fn bytes_per_second_per_allocation_hold_over_tls() {
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!(
        "[tls]\ncert = {cert:?}\nkey = {key:?}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n"
    );
    let limit = format!("bytes_per_second_per_allocation = {LOW}");
    let server = Server::configured(&configuration(&limit, &tls));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("turn.example.org").unwrap();
    let stream = tcp(server.listener("tls")).await;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    is_limited(&server, "tls", &mut StreamClient::new(stream)).await;
}

#[tokio::test]
async fn a_reload_sets_raises_lowers_and_ends_a_limit_of_running_calls() {
    let mut server = Server::configured(&configuration("", ""));
    let mut client = StreamClient::new(tcp(server.listener("tcp")).await);
    client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let mut total = 0;
    for (limit, held_back) in [(0, false), (LOW, true), (2 * LOW, true), (LOW, true), (0, false)] {
        let limit =
            format!("packets_per_second_per_user = {limit}\nbytes_per_second_per_user = {limit}");
        server.reload(&configuration(&limit, ""));
        let before = dropped(&server, "user_rate");
        for _ in 0..PACKETS {
            client.send(channel(), &PACKET).await;
        }
        total += PACKETS;
        let start = Instant::now();
        while relayed(&server, "tcp", "to_peer") + dropped(&server, "user_rate") < total {
            assert!(start.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(dropped(&server, "user_rate") > before, held_back, "{limit}");
    }
    let log = server.log();
    assert!(log.contains("limits.bytes_per_second_per_user: 1000 -> 2000"), "{log}");
}

#[tokio::test]
async fn a_tcp_connection_to_a_peer_is_slowed_down_and_loses_nothing() {
    const RATE: usize = 50_000;
    let server = Server::configured(&format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n\
         [auth]\nusers = [\"{}:{}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [protocol]\ntcp_relay = true\n[limits]\nbytes_per_second_per_user = {RATE}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n",
        ALICE.0, ALICE.1
    ));
    let mut control = RelayClient::new(tcp(server.address).await, ALICE);
    control.allocate().await;
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id = control.connect(peer.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = timeout(PATIENCE, peer.accept()).await.unwrap().unwrap();
    let data = RelayClient::new(tcp(server.address).await, ALICE).bind(id).await;
    let mut data = data.unwrap();
    let bytes: Vec<u8> = (0..3 * RATE).map(|n| (n % 251) as u8).collect();
    let mut heard = vec![0; bytes.len()];
    let start = Instant::now();
    let (sent, got) = tokio::join!(
        timeout(PATIENCE, data.write_all(&bytes)),
        timeout(PATIENCE, peer.read_exact(&mut heard))
    );
    sent.unwrap().unwrap();
    got.unwrap().unwrap();
    assert!(heard == bytes, "other bytes arrived than were sent");
    // One second's worth at once, and one buffer that is still to be paid.
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    server.wait_for_log("TCP connection slowed down: a limit is reached", 1);
}
