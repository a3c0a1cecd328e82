//! Handshakes with a rustls client, in memory.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client, server};

use crate::testing::{Ca, RSA_PKCS1, RSA_PKCS8, at};
use crate::{CertSource, CertStore, Signing, TlsServer};

/// A server with one directory per list of names, all issued by one CA.
struct World {
    ca: Ca,
    dirs: Vec<TempDir>,
    store: Arc<CertStore>,
    server: TlsServer,
}

type Pair = (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>);

impl World {
    fn new(sources: &[&[&str]]) -> Self {
        let ca = Ca::new();
        let dirs = sources.iter().map(|names| {
            let dir = tempdir().unwrap();
            ca.leaf(names).write(dir.path());
            dir
        });
        let dirs: Vec<_> = dirs.collect();
        let certbot = |dir: &TempDir| CertSource::Certbot { dir: dir.path().into() };
        let store = Arc::new(CertStore::open(dirs.iter().map(certbot).collect()).unwrap());
        let server = TlsServer::new(Arc::clone(&store));
        Self { ca, dirs, store, server }
    }

    /// A client that trusts the CA and lives in the middle of 2030.
    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_details(provider, Arc::new(Summer))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    async fn connect(&self, config: ClientConfig, name: &str) -> io::Result<Pair> {
        let (near, far) = duplex(16 * 1024);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, server) = tokio::join!(connector.connect(name, near), self.server.accept(far));
        Ok((client?, server?))
    }

    async fn connect_offering(&self, alpn: &[&str], name: &str) -> io::Result<Pair> {
        let mut config = self.client(&[&TLS13, &TLS12]);
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        self.connect(config, name).await
    }

    fn leaf_of(&self, source: usize) -> CertificateDer<'static> {
        self.store.all()[source].certs_der()[0].clone()
    }
}

#[derive(Debug)]
struct Summer;

impl TimeProvider for Summer {
    fn current_time(&self) -> Option<UnixTime> {
        let since = at(2030, 7, 1).duration_since(std::time::UNIX_EPOCH).unwrap();
        Some(UnixTime::since_unix_epoch(since))
    }
}

fn presented(client: &client::TlsStream<DuplexStream>) -> CertificateDer<'static> {
    client.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn exchange((client, server): &mut Pair) {
    let mut bytes = [0; 4];
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    server.write_all(b"pong").await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"pong");
}

//= 8489-6.2.3-ecdhe-rsa, 8489-6.2.3-weak-suites, 8489-16-bcp195, 8656-3.1-bcp195
#[tokio::test]
async fn tls_1_2_and_1_3_are_served() {
    let world = World::new(&[&["turn.a.org"]]);
    for (version, want) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let config = world.client(&[version]);
        let mut pair = world.connect(config, "turn.a.org").await.unwrap();
        assert_eq!(pair.0.get_ref().1.protocol_version(), Some(want));
        exchange(&mut pair).await;
    }
}

//= 8489-6.2.3-ecdhe-rsa
#[tokio::test]
async fn rsa_certificates_are_served() {
    let world = World::new(&[&["turn.a.org"]]);
    let leaf = world.ca.leaf_with_key(&["turn.a.org"], RSA_PKCS1, RSA_PKCS8);
    leaf.write(world.dirs[0].path());
    let _ = world.store.reload();
    for version in [&TLS12, &TLS13] {
        let config = world.client(&[version]);
        exchange(&mut world.connect(config, "turn.a.org").await.unwrap()).await;
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_server_name() {
    let world = World::new(&[&["turn.a.org", "203.0.113.7"], &["*.b.org"], &["turn.b.org"]]);
    for (name, source) in [
        ("turn.a.org", 0),
        ("turn.b.org", 2),
        ("other.b.org", 1),
        // An address is not sent as a server name: the first source it is.
        ("203.0.113.7", 0),
    ] {
        let (client, _server) = world.connect_offering(&[], name).await.unwrap();
        assert_eq!(presented(&client), world.leaf_of(source), "{name}");
    }
    let error = world.connect_offering(&[], "turn.c.org").await.unwrap_err();
    assert!(error.to_string().contains("turn.c.org"), "the first one is shown: {error}");
    for (sni, source) in [(Some("turn.c.org"), 0), (None, 0), (Some("x.B.org"), 1)] {
        let chain = world.store.current(sni);
        assert_eq!(chain.certs_der()[0], world.leaf_of(source), "{sni:?}");
    }
}

/// RFC 7443, and what is done beyond it.
#[tokio::test]
async fn application_protocols_are_agreed_to_and_never_a_reason_to_refuse() {
    let world = World::new(&[&["turn.a.org"]]);
    for (offered, agreed) in [
        (&["stun.turn"][..], Some(&b"stun.turn"[..])),
        (&["stun.nat-discovery"], Some(b"stun.nat-discovery")),
        (&["stun.nat-discovery", "stun.turn"], Some(b"stun.turn")),
        (&["h2", "stun.turn"], Some(b"stun.turn")),
        (&[], None),
        (&["h2", "http/1.1"], None),
    ] {
        let mut pair = world.connect_offering(offered, "turn.a.org").await.unwrap();
        assert_eq!(pair.0.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        assert_eq!(pair.1.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        exchange(&mut pair).await;
    }
}

#[tokio::test]
async fn a_new_connection_sees_the_new_certificate_and_an_old_one_goes_on() {
    let world = World::new(&[&["turn.a.org"]]);
    let mut old = world.connect_offering(&[], "turn.a.org").await.unwrap();
    exchange(&mut old).await;
    let before = world.leaf_of(0);

    world.ca.leaf(&["turn.a.org"]).write(world.dirs[0].path());
    assert!(world.store.poll().is_empty(), "a change counts when it is seen twice");
    assert_eq!(world.store.poll().len(), 1);
    assert_ne!(world.leaf_of(0), before);

    let mut new = world.connect_offering(&[], "turn.a.org").await.unwrap();
    assert_eq!(presented(&new.0), world.leaf_of(0));
    assert_eq!(presented(&old.0), before);
    exchange(&mut old).await;
    exchange(&mut new).await;
}

//= 8489-6.2.3-weak-suites
#[tokio::test]
async fn what_is_no_tls_is_an_error_and_no_panic() {
    let world = World::new(&[&["turn.a.org"]]);
    let (mut near, far) = duplex(16 * 1024);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(world.server.accept(far).await.is_err());
    let (near, far) = duplex(16 * 1024);
    drop(near);
    assert!(world.server.accept(far).await.is_err());
}

async fn connect_without_signature(world: &World, config: ClientConfig) -> io::Result<Pair> {
    let (near, far) = duplex(16 * 1024);
    let name = ServerName::try_from("turn.a.org").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let serving = async {
        let start = TlsServer::read_hello(far).await?;
        let begun = world.server.begin(start, Signing::ResumptionOnly);
        let resumed = begun.kind == Some(HandshakeKind::Resumed);
        let stream = begun.accept.await?;
        assert!(resumed, "no other handshake is finished");
        Ok::<_, io::Error>(stream)
    };
    let (client, server) = tokio::join!(connector.connect(name, near), serving);
    let server = server?;
    Ok((client?, server))
}

#[tokio::test]
async fn without_signatures_a_resumed_session_is_served_and_no_other() {
    for version in [&TLS12, &TLS13] {
        let world = World::new(&[&["turn.a.org"]]);
        let config = world.client(&[version]);
        assert!(connect_without_signature(&world, config.clone()).await.is_err());
        // A full handshake gives a ticket, which TLS 1.3 sends after it.
        exchange(&mut world.connect(config.clone(), "turn.a.org").await.unwrap()).await;
        let mut pair = connect_without_signature(&world, config.clone()).await.unwrap();
        assert_eq!(pair.0.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        exchange(&mut pair).await;
        // A ticket of another server proves nothing.
        let other = World::new(&[&["turn.a.org"]]);
        assert!(connect_without_signature(&other, config).await.is_err());
    }
}
