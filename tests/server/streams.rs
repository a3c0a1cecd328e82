//! Clients over TCP and TLS, with and without a PROXY protocol header, against the real server.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel, relays_both_ways};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const PEERS: &str = "[peers]\nallow = [\"127.0.0.0/8\"]\n";

fn configuration(listeners: &[&str], more: &str) -> String {
    let mut text = format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n{more}\n"
    );
    for listener in listeners {
        text.push_str(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{listener}\n"));
    }
    text
}

async fn tcp(address: SocketAddr) -> StreamClient<TcpStream> {
    StreamClient::new(TcpStream::connect(address).await.unwrap())
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

    async fn connect(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"stun.turn".to_vec()];
        let name = ServerName::try_from("turn.example.org").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

//= 8489-6.2.2-server-keeps-connection, 8489-12-udp-and-tcp, 8656-5-tcp-tls-dtls
#[tokio::test]
async fn a_tcp_client_relays_data_of_any_length_both_ways() {
    let server = Server::configured(&configuration(&["transport = \"tcp\""], PEERS));
    relays_both_ways(tcp(server.address).await).await;
}

//= 8656-5-tcp-tls-dtls
#[tokio::test]
async fn a_tls_client_verifies_the_server_agrees_on_alpn_and_relays() {
    let certificate = TestCertificate::new();
    let more = certificate.section() + PEERS;
    let server = Server::configured(&configuration(&["transport = \"tls\""], &more));
    let stream = TcpStream::connect(server.address).await.unwrap();
    let stream = certificate.connect(stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"stun.turn"[..]));
    relays_both_ways(StreamClient::new(stream)).await;
}

#[tokio::test]
async fn one_port_serves_tcp_and_tls_where_it_is_told_to() {
    let certificate = TestCertificate::new();
    let more = certificate.section() + PEERS;
    let server = Server::configured(&configuration(&["transport = \"auto\""], &more));
    relays_both_ways(tcp(server.address).await).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    relays_both_ways(StreamClient::new(certificate.connect(stream).await.unwrap())).await;
}

#[tokio::test]
async fn a_tls_listener_takes_no_plain_stun_and_a_tcp_listener_no_tls() {
    let certificate = TestCertificate::new();
    let listeners = ["transport = \"tls\"", "transport = \"tcp\""];
    let server = Server::configured(&configuration(&listeners, &certificate.section()));
    let mut plain = tcp(server.listener("tls")).await;
    plain.write(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    assert!(plain.read().await.is_none());
    let stream = TcpStream::connect(server.listener("tcp")).await.unwrap();
    assert!(certificate.connect(stream).await.is_err());
}

#[tokio::test]
async fn clients_of_two_transports_reach_each_other() {
    let server =
        Server::configured(&configuration(&["transport = \"tcp\"", "transport = \"udp\""], ""));
    let (mut a, mut b) = (tcp(server.listener("tcp")).await, tcp(server.listener("tcp")).await);
    let (at_a, at_b) = (a.allocate().await, b.allocate().await);
    a.bind(channel(), at_b).await;
    b.bind(channel(), at_a).await;
    a.send(channel(), b"from a").await;
    assert_eq!(b.receive(channel()).await, b"from a");
    b.send(channel(), b"from b").await;
    assert_eq!(a.receive(channel()).await, b"from b");
}

//= 8489-6.2.2-framing
#[tokio::test]
async fn many_messages_in_one_write_are_each_relayed() {
    let server = Server::configured(&configuration(&["transport = \"tcp\""], PEERS));
    let mut client = tcp(server.address).await;
    client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let mut burst = Vec::new();
    for n in 0..100_u8 {
        burst.extend([0x40, 0x01, 0, 5, n, n, n, n, n, 0, 0, 0]);
    }
    client.write(&burst).await;
    let mut buffer = [0; 100];
    for n in 0..100_u8 {
        let len = timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(buffer[..len], [n; 5]);
    }
}

//= 8489-6.2.2-no-connection-back
#[tokio::test]
async fn the_end_of_a_connection_is_the_end_of_its_allocation() {
    let mut server = Server::configured(&configuration(&["transport = \"tcp\""], PEERS));
    let mut client = tcp(server.address).await;
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    client.send(channel(), b"x").await;
    drop(client);
    // The port is free again: it can be bound by others.
    let start = std::time::Instant::now();
    while UdpSocket::bind(relayed).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "{relayed} stays open");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let log = server.log();
    let line = log.lines().find(|line| line.contains("session ended")).unwrap();
    assert!(line.contains("connection closed") && line.contains("transport=\"tcp\""), "{line}");
}

#[tokio::test]
async fn bytes_that_are_no_stun_close_the_connection() {
    let server = Server::configured(&configuration(&["transport = \"tcp\""], ""));
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 40], &[0, 1, 0, 3, 0, 0, 0, 0]] {
        let mut client = tcp(server.address).await;
        client.write(bytes).await;
        assert!(client.read().await.is_none(), "{bytes:?}");
    }
}

//= 8489-6.2.2-overload
#[tokio::test]
async fn a_stranger_may_not_announce_a_message_over_2_kib() {
    let server = Server::configured(&configuration(&["transport = \"tcp\""], ""));
    let mut client = tcp(server.address).await;
    client.mapped().await;
    client.write(&[0, 3, 0x08, 0, 0x21, 0x12, 0xA4, 0x42]).await;
    assert!(client.read().await.is_none());
}

//= 8489-6.2.2-overload
#[tokio::test]
async fn connections_from_one_address_are_limited() {
    let limits = "[limits]\nconnections_per_address = 3\n";
    let server = Server::configured(&configuration(&["transport = \"tcp\""], limits));
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = tcp(server.address).await;
        client.mapped().await;
        held.push(client);
    }
    let mut over = TcpStream::connect(server.address).await.unwrap();
    let _ = over.write_all(&[0; 20]).await;
    assert!(matches!(timeout(PATIENCE, over.read(&mut [0; 10])).await.unwrap(), Ok(0) | Err(_)));
    // The others go on.
    held[0].mapped().await;
}

//= 8489-6.2.2-overload
#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody() {
    let server = Server::configured(&configuration(&["transport = \"tcp\""], PEERS));
    let (mut slow, mut quick) = (tcp(server.address).await, tcp(server.address).await);
    let (at_slow, at_quick) = (slow.allocate().await, quick.allocate().await);
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    slow.bind(channel(), peer.local_addr().unwrap()).await;
    quick.bind(channel(), peer.local_addr().unwrap()).await;
    // 16 MiB for the slow one: more than any socket buffer and its line take.
    for n in 0..16_384_u32 {
        peer.send_to(&[0; 1024], at_slow).await.unwrap();
        if n % 64 == 0 {
            peer.send_to(b"quick", at_quick).await.unwrap();
            assert_eq!(quick.receive(channel()).await, b"quick");
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_the_mapped_address_is_the_clients() {
    let proxied = "transport = \"tcp\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let server = Server::configured(&configuration(&[proxied], PEERS));
    let mut client = tcp(server.address).await;
    client.write(b"PROXY TCP4 192.0.2.7 203.0.113.9 4711 443\r\n").await;
    assert_eq!(client.mapped().await.to_string(), "192.0.2.7:4711");

    let mut client = tcp(server.address).await;
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    header.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    header.extend("2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
    header.extend([0x12, 0x67, 0x01, 0xBB]);
    // In two pieces, the second with the client's first message behind it.
    client.write(&header[..10]).await;
    client.write(&header[10..]).await;
    assert_eq!(client.mapped().await.to_string(), "[2001:db8::7]:4711");
    relays_both_ways(client).await;
}

#[tokio::test]
async fn behind_a_proxy_that_passes_tls_through_the_client_is_still_the_clients() {
    let certificate = TestCertificate::new();
    let proxied =
        "transport = \"auto\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let more = certificate.section() + PEERS;
    let server = Server::configured(&configuration(&[proxied], &more));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.7 203.0.113.9 4711 443\r\n").await.unwrap();
    let mut client = StreamClient::new(certificate.connect(stream).await.unwrap());
    assert_eq!(client.mapped().await.to_string(), "192.0.2.7:4711");
    relays_both_ways(client).await;
}

#[tokio::test]
async fn a_proxy_header_from_elsewhere_is_not_believed() {
    let proxied = "transport = \"tcp\"\nproxy_protocol = true\ntrusted_proxies = [\"192.0.2.1\"]";
    let mut server = Server::configured(&configuration(&[proxied], ""));
    let mut client = tcp(server.address).await;
    client.write(b"PROXY TCP4 192.0.2.7 203.0.113.9 4711 443\r\n").await;
    assert!(client.read().await.is_none());
    assert!(server.log().contains("is not in trusted_proxies"));
}

#[tokio::test]
async fn a_listener_without_proxy_takes_no_proxy_header() {
    let server = Server::configured(&configuration(&["transport = \"tcp\""], ""));
    let mut client = tcp(server.address).await;
    client.write(b"PROXY TCP4 192.0.2.7 203.0.113.9 4711 443\r\n").await;
    assert!(client.read().await.is_none());
}

/// Connections that carry something else than their listener expects: each leaves one line that says what to change,
/// and not one for each byte or each try.
#[tokio::test]
async fn what_a_listener_does_not_expect_is_named_in_the_log() {
    let certificate = TestCertificate::new();
    let proxied = "transport = \"tcp\"\nname = \"proxied\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let listeners = [
        "transport = \"tcp\"\nname = \"plain\"",
        "transport = \"tls\"\nname = \"secure\"",
        proxied,
    ];
    let mut server = Server::configured(&configuration(
        &listeners,
        &format!("{PEERS}{}", certificate.section()),
    ));
    let [plain, secure, proxied] = [0, 1, 2].map(|n| server.listeners[n].0);
    let stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42tttttttttttt";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x04\xd2\x01\xbb";
    for (address, bytes, words) in [
        (
            plain,
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n"[..],
            "plain: connection from|set proxy_protocol = true",
        ),
        (plain, v2, "plain: connection from|set proxy_protocol = true"),
        (plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plain: connection from|it speaks HTTP"),
        (plain, b"SSH-2.0-OpenSSH_9.2\r\n", "plain: connection from|it speaks SSH"),
        (
            plain,
            b"\x16\x03\x01\x00\x7a\x01\x00",
            "plain: connection from|TLS on a listener for plain TCP",
        ),
        (plain, &[0x80; 40], "plain: connection from|neither STUN nor ChannelData"),
        (secure, stun, "secure: connection from|plain STUN on a listener for TLS"),
        (secure, b"GET / HTTP/1.1\r\n\r\n", "secure: connection from|it speaks HTTP"),
        (
            secure,
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n",
            "secure: connection from|set proxy_protocol = true",
        ),
        (proxied, stun, "proxied: connection from|sends no PROXY protocol header"),
    ] {
        let (listener, words) = words.split_once('|').unwrap();
        let before = server.logged(words);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        // Closed, or reset where something was left unread.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        server.wait_for_log(words, before + 1);
        assert!(server.has_logged(listener), "{listener}");
    }
    // Bytes behind whole messages, by a client with an allocation.
    let mut client = tcp(plain).await;
    client.allocate().await;
    drop(client);
    // A flood of them has its budget.
    for _ in 0..100 {
        let mut stream = TcpStream::connect(plain).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("it speaks HTTP")).count();
    assert!(lines < 60, "{lines} lines");
    assert!(!log.contains("authentication failed"), "fail2ban bans nobody for it: {log}");
}
