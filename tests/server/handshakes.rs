//! Many TLS handshakes at a time, against the real server. It takes the address of a client from a PROXY
//! header, for loopback has no limit.
#![allow(clippy::unwrap_used)]

use testkit::certificates;
use testkit::server;
use testkit::stream_client;

use std::io::{self, Read as _, Write as _};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use certificates::{Authority, HOST};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use server::{PATIENCE, Server};
use stream_client::{PASSWORD, REALM, StreamClient, USER, relays_both_ways};
use taciturn_stun::{Class, Method, TransactionId, Writer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What one client of a listener behind a proxy may begin at once, at one a second.
const AT_ONCE: usize = 3;

struct Site {
    server: Server,
    authority: Authority,
    certificate: tempfile::TempDir,
}

fn configuration(certificate: &std::path::Path, more: &str) -> String {
    let at = certificate.display();
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [tls]\ncert = \"{at}/cert.pem\"\nkey = \"{at}/key.pem\"\n\
         [admin]\nmetrics = \"127.0.0.1:0\"\n{more}\n\
         [[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n\
         trusted_proxies = [\"127.0.0.1\"]\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n"
    )
}

impl Site {
    fn new(more: &str) -> Self {
        let authority = Authority::new();
        let certificate = tempfile::tempdir().unwrap();
        authority.issue().write_pair(certificate.path());
        let server = Server::configured(&configuration(certificate.path(), more));
        Self { server, authority, certificate }
    }

    /// Has it read its configuration again, with `more` in it.
    fn reload(&self, more: &str) {
        self.server.reload(&configuration(self.certificate.path(), more));
    }

    /// A connection that a proxy has of a client at `from`.
    async fn proxied(&self, from: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.listener("tls")).await.unwrap();
        let header = match from.parse::<Ipv6Addr>() {
            Ok(_) => format!("PROXY TCP6 {from} 2001:db8::1 4711 443\r\n"),
            Err(_) => format!("PROXY TCP4 {from} 203.0.113.9 4711 443\r\n"),
        };
        stream.write_all(header.as_bytes()).await.unwrap();
        stream
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.root().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Shakes hands as a client at `from`.
    async fn shake(
        &self,
        from: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.proxied(from).await;
        let name = ServerName::try_from(HOST).unwrap();
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await
    }

    /// How many of `tries` full handshakes of `from` are finished.
    async fn full(&self, from: &str, tries: usize) -> usize {
        let mut finished = 0;
        for _ in 0..tries {
            let shaken = self.shake(from, &self.client()).await;
            finished += usize::from(shaken.is_ok());
        }
        finished
    }

    fn refused(&self) -> f64 {
        let sample = "taciturn_refused_connections_total{limit=\"tls_handshakes\"} ";
        let at = self.server.told("metrics on http://").replace("/metrics", "");
        let mut stream = std::net::TcpStream::connect(at).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(sample)).unwrap();
        line.parse().unwrap()
    }
}

#[tokio::test]
async fn handshakes_of_one_address_are_limited_and_those_of_others_are_not() {
    let site = Site::new("[limits]\nhandshakes_per_address = 1");
    // A slow machine has time for another one meanwhile.
    let finished = site.full("192.0.2.7", 20).await;
    assert!((AT_ONCE..15).contains(&finished), "{finished}");
    assert_eq!(site.refused(), (20 - finished) as f64);
    let told = "connection from 192.0.2.7:4711 refused: too many handshakes from its address or network \
                (limits.handshakes_per_address)";
    site.server.wait_for_log(told, 1);
    let other = site.shake("198.51.100.7", &site.client()).await.unwrap();
    relays_both_ways(StreamClient::new(other)).await;
    assert_eq!(site.full("2001:db8:1:2::7", AT_ONCE).await, AT_ONCE);
}

#[tokio::test]
async fn a_session_is_resumed_although_its_address_has_no_handshake_left() {
    let site = Site::new("[limits]\nhandshakes_per_address = 1");
    let known = site.client();
    let first = site.shake("192.0.2.7", &known).await.unwrap();
    // TLS 1.3 sends the ticket after the handshake.
    relays_both_ways(StreamClient::new(first)).await;
    assert!(site.full("192.0.2.7", 10).await < 9);
    let again = site.shake("192.0.2.7", &known).await.unwrap();
    assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    relays_both_ways(StreamClient::new(again)).await;
}

#[tokio::test]
async fn zero_and_the_exempt_networks_are_no_limit() {
    let unlimited = Site::new("[limits]\nhandshakes_per_address = 0");
    assert_eq!(unlimited.full("192.0.2.7", 10).await, 10);
    let more = "[limits]\nhandshakes_per_address = 1\nunverified_exempt = [\"192.0.2.0/24\"]";
    let exempt = Site::new(more);
    assert_eq!(exempt.full("192.0.2.7", 10).await, 10);
    assert_eq!(exempt.full("127.0.0.1", 10).await, 10);
    assert!(exempt.full("192.0.3.7", 10).await < 9);
    assert_eq!((unlimited.refused(), exempt.refused() > 0.0), (0.0, true));
}

#[tokio::test]
async fn a_reload_takes_up_another_limit() {
    let site = Site::new("[limits]\nhandshakes_per_address = 1");
    assert!(site.full("192.0.2.7", 10).await < 9);
    site.reload("[limits]\nhandshakes_per_address = 0");
    assert_eq!(site.full("192.0.2.7", 10).await, 10);
}

/// A ClientHello that claims 60 KB: it is not read to an end that never comes.
#[tokio::test]
async fn a_client_hello_of_more_than_16_kib_is_not_waited_for() {
    let site = Site::new("");
    let mut stream = site.proxied("192.0.2.7").await;
    let body = [&[1, 0, 0xEA, 0x60, 3, 3][..], &[b'r'; 20_000]].concat();
    for part in body.chunks(4000) {
        let len = u16::try_from(part.len()).unwrap();
        let record = [&[0x16, 3, 1][..], &len.to_be_bytes(), part].concat();
        // It may have been closed by the last of them.
        let _ = stream.write_all(&record).await;
    }
    let mut buffer = [0; 100];
    let half_the_handshake_time = Duration::from_secs(5);
    let closed = timeout(half_the_handshake_time, stream.read(&mut buffer)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let client = site.client();
    let usual = site.shake("192.0.2.7", &client);
    assert!(timeout(PATIENCE, usual).await.unwrap().is_ok());
}

/// A client may write to its session before the handshake is complete: that data then follows its Finished at once,
/// and the server has read whole records of it before it knows.
#[tokio::test]
async fn data_that_follow_the_handshake_at_once_are_no_part_of_it() {
    const MANY: usize = 3000;
    let site = Site::new("");
    let request = {
        let mut buffer = [0; 20];
        let tid = TransactionId([7; 12]);
        Writer::new(&mut buffer, Class::Request, Method::BINDING, tid).finish().unwrap();
        buffer
    };
    let mut session =
        ClientConnection::new(site.authority.client_config(), ServerName::try_from(HOST).unwrap())
            .unwrap();
    session.set_buffer_limit(None);
    session.writer().write_all(&request.repeat(MANY)).unwrap();
    let mut stream = std::net::TcpStream::connect(site.server.listener("tls")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PROXY TCP4 127.0.0.1 127.0.0.1 4000 5349\r\n").unwrap();
    let answers = tokio::task::spawn_blocking(move || {
        let mut tls = rustls::Stream::new(&mut session, &mut stream);
        let mut head = [0; 20];
        for _ in 0..MANY {
            tls.read_exact(&mut head).unwrap();
            assert_eq!(head[..2], [1, 1]);
            let mut rest = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
            tls.read_exact(&mut rest).unwrap();
        }
        MANY
    });
    assert_eq!(answers.await.unwrap(), MANY);
}
