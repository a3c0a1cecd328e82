//! Certificates that change under a running server, while a call over TLS goes on.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use taciturn_stun::ChannelNumber;
use testkit::certificates::{Authority, HOST, shown};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER};
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
    Server::configured(&configuration(tls))
}

fn configuration(tls: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nhost = \"{HOST}\"\nexternal_ip = \"127.0.0.1\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [tls]\n{tls}\n\
         [[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n",
    )
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
    call.goes_on_until_logged(&server, "the last valid one").await;
    assert_eq!(served(&authority, server.address).await, old.der, "half written");
    call.goes_on().await;

    std::fs::write(&file, &text).unwrap();
    call.goes_on_until_logged(&server, "new certificate from").await;
    assert_eq!(served(&authority, server.address).await, new.der, "whole");
    call.goes_on().await;
    drop(call);

    let log = server.log();
    let kept = log.lines().filter(|line| line.contains("the last valid one")).collect::<Vec<_>>();
    let [kept] = kept.as_slice() else { panic!("told once, not {kept:?}") };
    for part in ["ERROR", "acme.json", "stays in use", "ends in the middle"] {
        assert!(kept.contains(part), "\"{part}\" is not in {kept}");
    }
    // The file is full of keys; none of it may reach the log.
    for value in text.split('"').filter(|value| value.len() > 100) {
        assert!(!log.contains(&value[..40]), "{log}");
    }
}

/// Has the server read its configuration again; answers turnctl's exit code and what it prints.
fn reload(server: &Server) -> (i32, String) {
    let mut turnctl = std::process::Command::new(testkit::program::turnctl());
    turnctl.args(["reload", "--socket"]).arg(server.state.path().join("control.sock"));
    let output = turnctl.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_reload_says_what_it_has_found_in_the_files() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let (first, other) = (authority.issue(), authority.issue());
    first.write_pair(directory.path());
    let at = directory.path().display();
    let with =
        |key: &str| configuration(&format!("cert = \"{at}/cert.pem\"\nkey = \"{at}/{key}\""));
    let server = Server::configured(&with("key.pem"));
    let same = "no change; reread and unchanged: certificate and key of ";
    assert_eq!(reload(&server), (0, format!("{same}{at}/cert.pem\n")));

    // The key elsewhere. (That of a path that stays might be found by the server itself, before.)
    std::fs::copy(directory.path().join("key.pem"), directory.path().join("moved.pem")).unwrap();
    server.write_configuration(&with("moved.pem"));
    let moved = format!(
        "tls: key of {at}/cert.pem read again from {at}/moved.pem, its certificate is unchanged\n"
    );
    assert_eq!(reload(&server), (0, moved));

    other.write_pair(directory.path());
    first.write_certificate(directory.path());
    server.write_configuration(&with("key.pem"));
    let (code, told) = reload(&server);
    assert_eq!(code, 1, "{told}");
    for part in ["reload refused, nothing is changed", "key.pem does not belong to", "cert.pem"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(served(&authority, server.address).await, first.der);

    other.write_pair(directory.path());
    let (code, told) = reload(&server);
    assert_eq!(code, 0, "{told}");
    assert!(told.starts_with(&format!("tls: new certificate from {at}/cert.pem: ")), "{told}");
    assert_eq!(served(&authority, server.address).await, other.der);
}
