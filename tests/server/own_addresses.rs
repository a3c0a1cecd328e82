//! Addresses that the machine gets and loses while the server runs, in a network namespace of the
//! test's own: needs root and `unshare`.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use testkit::server;
use testkit::stream_client;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use server::{PATIENCE, Server};
use stream_client::{PASSWORD, REALM, StreamClient, USER};
use taciturn_stun::{AttributeType as T, Message, Method};
use tokio::net::TcpStream;

/// Public, so that nothing but the rule about own addresses denies them.
const RELAYED: &str = "11.1.0.1";
const LATER: &str = "11.1.0.99";

/// Runs the test of that name again, alone and in a namespace; whether this is that run.
fn in_a_namespace(name: &str) -> bool {
    const INSIDE: &str = "TEST_WITHIN_A_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        ip(&["link", "set", "lo", "up"]);
        ip(&["address", "add", &format!("{RELAYED}/32"), "dev", "lo"]);
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, for a network namespace");
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    let name = format!("own_addresses::{name}");
    again.args(["--net", "--"]).arg(this).args(["--exact", &name, "--nocapture"]).env(INSIDE, "1");
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    false
}

fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

fn configuration() -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"{RELAYED}\"\nworkers = 1\n[admin]\nmetrics = \"127.0.0.1:9641\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// The code of the answer to CreatePermission for `peer`.
async fn permission(client: &mut StreamClient<TcpStream>, peer: &str) -> Option<u16> {
    let peer = SocketAddr::new(peer.parse().unwrap(), 5555);
    let answer = client.ask(Method::CREATE_PERMISSION, |writer| {
        writer.address(T::XOR_PEER_ADDRESS, peer);
    });
    Message::parse(&answer.await).unwrap().error_code()
}

#[tokio::test]
async fn an_address_that_the_machine_gets_later_is_no_peer_within_a_second() {
    if !in_a_namespace("an_address_that_the_machine_gets_later_is_no_peer_within_a_second") {
        return;
    }
    let server = Server::configured(&configuration());
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
    assert_eq!(permission(&mut client, LATER).await, None, "somebody else's, so far");
    let added = Instant::now();
    ip(&["address", "add", &format!("{LATER}/32"), "dev", "lo"]);
    while permission(&mut client, LATER).await != Some(403) {
        assert!(added.elapsed() < PATIENCE, "{LATER} is still a peer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.wait_for_log(&format!("denied as peers from now on: {LATER}"), 1);
    // The permission that was there has ended as well.
    server.wait_for_log(
        "the new peer rules ended permissions, channels or connections that they deny",
        1,
    );
    // One that has gone is no peer either, until a reload.
    ip(&["address", "del", &format!("{LATER}/32"), "dev", "lo"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(permission(&mut client, LATER).await, Some(403));
    server.signal(Signal::HUP);
    server.wait_for_log("configuration reloaded", 1);
    assert_eq!(permission(&mut client, LATER).await, None, "the reload has forgotten it");
}

#[tokio::test]
async fn a_reload_keeps_addresses_that_came_after_the_start_denied() {
    if !in_a_namespace("a_reload_keeps_addresses_that_came_after_the_start_denied") {
        return;
    }
    let server = Server::configured(&configuration());
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
    ip(&["address", "add", &format!("{LATER}/32"), "dev", "lo"]);
    server.signal(Signal::HUP);
    server.wait_for_log("configuration reloaded", 1);
    assert_eq!(permission(&mut client, LATER).await, Some(403));
}

#[tokio::test]
async fn a_relayed_address_that_leaves_is_told_once_and_so_is_its_return() {
    if !in_a_namespace("a_relayed_address_that_leaves_is_told_once_and_so_is_its_return") {
        return;
    }
    let server = Server::configured(&configuration());
    let address = format!("{RELAYED}/32");
    ip(&["address", "del", &address, "dev", "lo"]);
    server.wait_for_log(&format!("the relayed address {RELAYED} is no longer on this machine"), 1);
    assert_eq!(present().await, "0");
    // Other changes are no reason to say it again.
    ip(&["address", "add", &format!("{LATER}/32"), "dev", "lo"]);
    server.wait_for_log(&format!("denied as peers from now on: {LATER}"), 1);
    ip(&["address", "add", &address, "dev", "lo"]);
    server.wait_for_log(&format!("the relayed address {RELAYED} is on this machine again"), 1);
    assert_eq!(present().await, "1");
    assert_eq!(server.logged("no longer on this machine"), 1);
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
}

/// What the metrics say of the relayed IPv4 address.
async fn present() -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect("127.0.0.1:9641").await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let name = "taciturn_relayed_address_present{family=\"ipv4\"} ";
    page.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
}
