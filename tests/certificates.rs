//! Certificates that change under a running server, while a call over TLS goes on.
#![allow(clippy::unwrap_used)]

#[path = "common/certificates.rs"]
mod certificates;
#[path = "common/server.rs"]
mod server;
#[path = "common/stream_client.rs"]
mod stream_client;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use certificates::{Authority, HOST, shown};
use rustls::pki_types::CertificateDer;
use server::{PATIENCE, Server};
use stream_client::{PASSWORD, REALM, StreamClient, USER};
use taciturn::stun::ChannelNumber;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

/// A client over TLS, its relayed address, and its peer.
struct Call {
    client: StreamClient<TlsStream<TcpStream>>,
    relayed: SocketAddr,
    peer: UdpSocket,
}

impl Call {
    async fn new(authority: &Authority, server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let mut client = StreamClient::new(authority.connect(stream).await.unwrap());
        let relayed = client.allocate().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.bind(Self::channel(), peer.local_addr().unwrap()).await;
        Self { client, relayed, peer }
    }

    fn channel() -> ChannelNumber {
        ChannelNumber::new(0x4001).unwrap()
    }

    /// A packet in each direction.
    async fn goes_on(&mut self) {
        let mut buffer = [0; 100];
        self.client.send(Self::channel(), b"to the peer").await;
        let len = timeout(PATIENCE, self.peer.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..len], b"to the peer");
        self.peer.send_to(b"to the client", self.relayed).await.unwrap();
        assert_eq!(self.client.receive(Self::channel()).await, b"to the client");
    }

    /// Goes on until the server has logged something.
    async fn goes_on_until_logged(&mut self, server: &Server, text: &str) {
        let start = Instant::now();
        while !server.has_logged(text) {
            assert!(start.elapsed() < PATIENCE, "the server does not say \"{text}\"");
            self.goes_on().await;
            sleep(Duration::from_millis(50)).await;
        }
        self.goes_on().await;
    }
}

/// What a new connection is shown.
async fn served(authority: &Authority, server: SocketAddr) -> CertificateDer<'static> {
    let stream = TcpStream::connect(server).await.unwrap();
    shown(&authority.connect(stream).await.unwrap())
}

/// A server with these certificates.
fn start(tls: &str) -> Server {
    Server::configured(&format!(
        "realm = \"{REALM}\"\nhost = \"{HOST}\"\nexternal_ip = \"127.0.0.1\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [tls]\n{tls}\n\
         [[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n",
    ))
}

// These take some seconds: the server looks at the files every five, and takes a change that two
// looks have seen.

#[tokio::test]
async fn a_renewed_pair_is_served_to_new_connections_while_a_call_goes_on() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (old, new) = (authority.issue(), authority.issue());
    old.write_pair(directory.path());
    let at = directory.path().display();
    let server = start(&format!("cert = \"{at}/cert.pem\"\nkey = \"{at}/key.pem\""));
    let mut call = Call::new(&authority, server.address).await;
    assert_eq!(served(&authority, server.address).await, old.der);
    new.write_pair(directory.path());
    call.goes_on_until_logged(&server, "new certificate from").await;
    assert_eq!(served(&authority, server.address).await, new.der);
    call.goes_on().await;
}

#[tokio::test]
async fn an_acme_json_rewritten_in_two_goes_is_taken_when_it_is_whole() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = directory.path().join("acme.json");
    let (old, new) = (authority.issue(), authority.issue());
    std::fs::write(&file, old.acme_json()).unwrap();
    let mut server = start(&format!("acme = \"{}\"", file.display()));
    let mut call = Call::new(&authority, server.address).await;
    assert_eq!(served(&authority, server.address).await, old.der);

    // As Traefik writes: over the file itself, and here it stops halfway.
    let text = new.acme_json();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    call.goes_on_until_logged(&server, "the last good one").await;
    assert_eq!(served(&authority, server.address).await, old.der, "half written");
    call.goes_on().await;

    std::fs::write(&file, &text).unwrap();
    call.goes_on_until_logged(&server, "new certificate from").await;
    assert_eq!(served(&authority, server.address).await, new.der, "whole");
    call.goes_on().await;
    drop(call);

    let log = server.log();
    let kept = log.lines().filter(|line| line.contains("the last good one")).collect::<Vec<_>>();
    let [kept] = kept.as_slice() else { panic!("told once, not {kept:?}") };
    for part in ["ERROR", "acme.json", "stays in use", "ends in the middle"] {
        assert!(kept.contains(part), "\"{part}\" is not in {kept}");
    }
    // The file is full of keys; none of it may reach the log.
    for value in text.split('"').filter(|value| value.len() > 100) {
        assert!(!log.contains(&value[..40]), "{log}");
    }
}
