//! Listeners that come, change and go while the server runs, and the calls that go on.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use rustix::process::Signal;
use taciturn_stun::{Class, Message, Method};
use testkit::certificates::{Authority, shown};
use testkit::datagrams::{Datagrams, udp};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel, relays_both_ways};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A port of an address that no other process of this machine has. Each test has ports of its own.
fn at(port: u16) -> SocketAddr {
    let id = std::process::id().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 64 + (id[1] & 63), id[2], id[3].max(1)), port))
}

/// Two workers, TCP on a port of the kernel's choice, and these listeners, each with more keys.
fn configuration(listeners: &[(&str, SocketAddr, &str)], more: &str) -> String {
    let mut text = format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n[admin]\nmetrics = \"off\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    );
    for (transport, address, keys) in listeners {
        text.push_str(&format!(
            "[[listen]]\naddress = \"{address}\"\ntransport = \"{transport}\"\n{keys}\n"
        ));
    }
    text
}

async fn tcp(to: SocketAddr) -> StreamClient<TcpStream> {
    StreamClient::new(TcpStream::connect(to).await.unwrap())
}

async fn over_udp(to: SocketAddr) -> StreamClient<Datagrams> {
    StreamClient::new(udp(to).await)
}

/// What `turnctl status` prints.
fn status(server: &Server) -> String {
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(["status", "--socket"]).arg(server.state.path().join("control.sock"));
    String::from_utf8(turnctl.output().unwrap().stdout).unwrap()
}

/// Waits until `turnctl status` is as it should be.
async fn status_becomes(server: &Server, is_right: impl Fn(&str) -> bool) {
    let start = std::time::Instant::now();
    while !is_right(&status(server)) {
        assert!(start.elapsed() < PATIENCE, "{}", status(server));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits until nobody takes connections there any more.
async fn is_closed(address: SocketAddr) {
    let start = std::time::Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "{address} still takes connections");
    }
}

/// A call: a client, and a peer that sends back what it gets.
struct Call<S> {
    client: StreamClient<S>,
    sent: u32,
    came: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Call<S> {
    async fn begin(mut client: StreamClient<S>) -> Self {
        client.allocate().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.bind(channel(), peer.local_addr().unwrap()).await;
        tokio::spawn(async move {
            let mut buffer = [0; 100];
            while let Ok((len, from)) = peer.recv_from(&mut buffer).await {
                let _ = peer.send_to(&buffer[..len], from).await;
            }
        });
        Self { client, sent: 0, came: 0 }
    }

    /// Sends numbered packets, with some on their way at a time, and holds that each comes back in
    /// its turn: one that was lost, or that came twice, breaks the row.
    async fn exchange(&mut self, packets: u32) {
        const ON_THE_WAY: u32 = 16;
        let end = self.sent + packets;
        while self.came < end {
            while self.sent < end && self.sent - self.came < ON_THE_WAY {
                self.sent += 1;
                self.client.send(channel(), &self.sent.to_be_bytes()).await;
            }
            self.came += 1;
            assert_eq!(self.client.receive(channel()).await, self.came.to_be_bytes());
        }
    }

    async fn end(mut self) {
        let answer = self.client.ask(Method::REFRESH, |writer| {
            writer.lifetime(0);
        });
        assert_eq!(Message::parse(&answer.await).unwrap().class(), Class::Success);
    }
}

#[tokio::test]
async fn a_listener_that_is_added_is_served_at_once() {
    let server = Server::configured(&configuration(&[], ""));
    let authority = Authority::new();
    let issued = authority.issue();
    issued.write_pair(server.state.path());
    let dir = server.state.path().display();
    let tls = format!("[tls]\ncert = \"{dir}/cert.pem\"\nkey = \"{dir}/key.pem\"\n");
    let listeners = [("udp", at(41_001), ""), ("tcp", at(41_001), ""), ("auto", at(41_002), "")];
    server.reload(&configuration(&listeners, &tls));
    server.wait_for_log(&format!("now listening on {}/udp, ", at(41_001)), 1);
    server.wait_for_log("reload: tls: added", 1);
    Call::begin(over_udp(at(41_001)).await).await.exchange(20).await;
    relays_both_ways(tcp(at(41_001)).await).await;
    relays_both_ways(tcp(at(41_002)).await).await;
    let stream = TcpStream::connect(at(41_002)).await.unwrap();
    let stream = authority.connect(stream).await.unwrap();
    assert_eq!(shown(&stream), issued.der);
    relays_both_ways(StreamClient::new(stream)).await;
}

#[tokio::test]
async fn a_listener_that_is_removed_keeps_its_calls_and_takes_no_other() {
    let address = at(41_011);
    let with = configuration(&[("udp", address, ""), ("tcp", address, "")], "");
    let without = configuration(&[], "");
    let server = Server::configured(&with);
    // Enough for both workers to have some.
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(Call::begin(over_udp(address).await).await);
    }
    let mut over_tcp = Call::begin(tcp(address).await).await;
    let mut idle = tcp(address).await;
    idle.mapped().await;
    let silent = TcpStream::connect(address).await.unwrap();
    server.reload(&without);
    assert_eq!(idle.read().await, None, "a connection without an allocation is closed");
    assert_eq!(over_udp(address).await.try_allocate().await, Err(508));
    is_closed(address).await;
    drop(silent);
    // The connections without an allocation close in their own time.
    let port = address.port();
    let over_tcp_one =
        format!("  listener         \"tcp:{port}\" (tcp {address}): closing, 1 connections\n");
    status_becomes(&server, |text| text.contains(&over_tcp_one)).await;
    let over_udp_six =
        format!("  listener         \"udp:{port}\" (udp {address}): closing, 6 allocations\n");
    status_becomes(&server, |text| text.contains(&over_udp_six)).await;
    for call in &mut calls {
        call.exchange(20).await;
    }
    over_tcp.exchange(20).await;
    // Put back while its calls run, it is the same as before.
    server.reload(&with);
    assert!(!status(&server).contains("\"udp:"), "it is back");
    relays_both_ways(tcp(address).await).await;
    let mut another = Call::begin(over_udp(address).await).await;
    server.reload(&without);
    another.exchange(20).await;
    over_tcp.exchange(20).await;
    assert!(status(&server).contains(&format!("\"udp:{port}\"")));
    // With one call left on one of the workers, the sockets of both are still there.
    for call in calls {
        call.end().await;
    }
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        another.exchange(5).await;
    }
    another.end().await;
    let closed = format!("listener \"udp:{}\" is closed", address.port());
    server.wait_for_log(&closed, 1);
    status_becomes(&server, |text| text.contains(&over_tcp_one)).await;
    status_becomes(&server, |text| !text.contains(&format!("\"udp:{port}\""))).await;
    // Nobody is there: the system says so.
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    gone.connect(address).await.unwrap();
    gone.send(b"x").await.unwrap();
    assert!(timeout(PATIENCE, gone.recv(&mut [0; 10])).await.unwrap().is_err());
    over_tcp.exchange(20).await;
    server.reload(&with);
    Call::begin(over_udp(address).await).await.exchange(20).await;
}

#[tokio::test]
async fn a_listener_that_cannot_be_had_leaves_everything_as_it_was() {
    let (free, taken) = (at(41_021), at(41_022));
    let _holder = std::net::TcpListener::bind(taken).unwrap();
    let server = Server::configured(&configuration(&[], ""));
    let mut call = Call::begin(tcp(server.address).await).await;
    let new = configuration(&[("udp", free, ""), ("tcp", taken, "")], "");
    server.write_configuration(&new.replace(PASSWORD, "another password"));
    server.signal(Signal::HUP);
    server.wait_for_log("reload refused, nothing is changed", 1);
    server.wait_for_log(&format!("cannot listen on {taken}/tcp: another program has the port"), 1);
    drop(UdpSocket::bind(free).await.unwrap());
    tcp(server.address).await.allocate().await;
    call.exchange(20).await;
}

#[tokio::test]
async fn a_listener_changes_its_ways_where_it_is() {
    let address = at(41_031);
    let server = Server::configured(&configuration(&[("tcp", address, "")], ""));
    let authority = Authority::new();
    let issued = authority.issue();
    issued.write_pair(server.state.path());
    let mut call = Call::begin(tcp(address).await).await;
    let dir = server.state.path().display();
    let own = format!("cert = \"{dir}/cert.pem\"\nkey = \"{dir}/key.pem\"\nname = \"calls\"");
    server.reload(&configuration(&[("tls", address, &own)], ""));
    call.exchange(20).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = authority.connect(stream).await.unwrap();
    assert_eq!(shown(&stream), issued.der);
    relays_both_ways(StreamClient::new(stream)).await;
    let mut plain = tcp(address).await;
    plain.write(&[0, 1, 0, 0]).await;
    assert_eq!(plain.read().await, None, "TLS alone is spoken now");
    // Behind a proxy from now on.
    let proxied = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    server.reload(&configuration(&[("tcp", address, proxied)], ""));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let header = b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 3478\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, header).await.unwrap();
    let mapped = StreamClient::new(stream).mapped().await;
    assert_eq!(mapped, "203.0.113.9:5000".parse().unwrap());
    call.exchange(20).await;
}

#[tokio::test]
async fn an_address_that_calls_hold_needs_a_restart_and_the_rest_is_taken_up() {
    let address = at(41_041);
    let server = Server::configured(&configuration(&[("udp", address, "")], ""));
    let mut call = Call::begin(over_udp(address).await).await;
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let more = "[limits]\nconnections = 100";
    server.reload(&configuration(&[("udp", everywhere, "")], more));
    server.wait_for_log("reload: limits.connections: 4096 -> 100", 1);
    server.wait_for_log("needs a restart: listen: added udp 0.0.0.0:41041", 1);
    call.exchange(20).await;
    Call::begin(over_udp(address).await).await.exchange(20).await;
}

#[tokio::test]
async fn calls_through_twenty_reloads_lose_no_packet() {
    let (stays, comes) = (at(41_051), at(41_052));
    let with = |round: u32, listeners: &[(&str, SocketAddr, &str)]| {
        let more = format!(
            "deny = [\"8.8.{round}.0/24\"]\n[limits]\nallocations_per_user = {}\nmax_lifetime = {}\n\
             [log]\nlevel = \"{}\"",
            10 + round,
            1000 + round,
            ["info", "debug"][round as usize % 2]
        );
        let user = format!("\"user{round}:a password of that user\", \"{USER}:");
        configuration(listeners, &more).replace(&format!("\"{USER}:"), &user)
    };
    let both = [("udp", stays, ""), ("udp", comes, ""), ("tcp", comes, "")];
    let server = Server::configured(&with(0, &both));
    let (mut first, mut second, mut third) = (
        Call::begin(over_udp(stays).await).await,
        Call::begin(over_udp(comes).await).await,
        Call::begin(tcp(comes).await).await,
    );
    for round in 1..=20 {
        let listeners = if round % 2 == 0 { &both[..] } else { &both[..1] };
        server.write_configuration(&with(round, listeners));
        let mut reload = Command::new(testkit::program::turnctl());
        reload.arg("reload").arg("--socket").arg(server.state.path().join("control.sock"));
        let reload = tokio::task::spawn_blocking(move || reload.output().unwrap());
        // Before, while and after it is taken up.
        while !reload.is_finished() {
            tokio::join!(first.exchange(20), second.exchange(20), third.exchange(20));
        }
        let output = reload.await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for key in
            ["auth.users: 1 added", "peers.deny: added", "limits.allocations_per_user", "listen: "]
        {
            assert!(told.contains(key), "no {key} in {told}");
        }
        tokio::join!(first.exchange(20), second.exchange(20), third.exchange(20));
    }
    assert!(first.came >= 20 * 20 && first.came == first.sent, "{}", first.came);
}
