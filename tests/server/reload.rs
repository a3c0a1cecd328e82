//! SIGHUP: another configuration for a server that runs, without a call that notices.
#![allow(clippy::unwrap_used)]

use rustix::process::Signal;
use taciturn_turn::auth::SharedSecret;
use testkit::datagrams::udp;
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Two workers, UDP and TCP, peers on loopback; more at the top and at the end.
fn configuration(top: &str, auth: &str, end: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n{top}\n[auth]\n{auth}\n{end}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

fn alice() -> String {
    format!("users = [\"{USER}:{PASSWORD}\"]")
}

const PEERS: &str = "[peers]\nallow = [\"127.0.0.0/8\"]\n";

async fn tcp(server: &Server) -> TcpStream {
    TcpStream::connect(server.listener("tcp")).await.unwrap()
}

#[tokio::test]
async fn a_call_through_twenty_reloads_loses_no_packet() {
    let mut server = Server::configured(&configuration("", &alice(), PEERS));
    let mut client = StreamClient::new(udp(server.listener("udp")).await);
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let (mut buffer, mut packet) = ([0; 100], 0_u32);
    for round in 1..=20_usize {
        let end = format!(
            "[peers]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"8.8.{round}.0/24\"]\n\
             [limits]\nallocations_per_user = {round}\nchannels_per_allocation = {round}\n\
             max_lifetime = {}\n[protocol]\nicmp_errors = {}\n[tuning]\nwake_delay_us = {}\n",
            1000 + round,
            round % 2 == 0,
            round * 50
        );
        let auth = format!(
            "users = [\"user{round}:a password of that user\"]\non_removal = \"keep\"\nstrict_expiry = {}",
            round % 2 == 1
        );
        server.write_configuration(&configuration("", &auth, &end));
        server.signal(Signal::HUP);
        let mut more = 20;
        while more > 0 {
            if server.logged("configuration reloaded") == round {
                more -= 1;
            }
            packet += 1;
            client.send(channel(), &packet.to_be_bytes()).await;
            let got = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
            assert_eq!((got, &buffer[..4]), ((4, relayed), &packet.to_be_bytes()[..]));
            peer.send_to(&buffer[..4], relayed).await.unwrap();
            assert_eq!(client.receive(channel()).await, packet.to_be_bytes());
        }
    }
    assert!(packet >= 400, "{packet}");
    let log = server.log();
    assert!(log.contains("reload: auth.users: 1 added, 1 removed"), "{log}");
    assert!(log.contains("reload: limits.max_lifetime: 1001s -> 1002s"), "{log}");
    assert!(!log.contains("a password of that user") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let server = Server::configured(&configuration("", &alice(), ""));
    let bad = configuration("relay_port = \"1-2\"", "users = [\"bob:another password\"]", "");
    server.write_configuration(&bad);
    server.signal(Signal::HUP);
    server.wait_for_log("reload refused, nothing is changed", 1);
    server.wait_for_log("did you mean \"relay_ports\"?", 1);
    assert_eq!(server.logged("another password"), 0);
    StreamClient::new(tcp(&server).await).allocate().await;
    let tls = "[tls]\ncert = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\"";
    let users = "users = [\"bob:another password\"]";
    server.write_configuration(&configuration("", users, ""));
    server.signal(Signal::HUP);
    server.wait_for_log("configuration reloaded: 1 changes", 1);
    let bob = StreamClient::of_user(tcp(&server).await, "bob", "another password");
    { bob }.allocate().await;
    assert_eq!(StreamClient::new(tcp(&server).await).try_allocate().await, Err(401));
    server.write_configuration(&configuration("", users, tls));
    server.signal(Signal::HUP);
    server.wait_for_log("reload refused, nothing is changed", 2);
    server.wait_for_log("/nowhere/cert.pem", 1);
}

#[tokio::test]
async fn a_secret_is_rotated_without_a_gap() {
    let (old, new) = ("the secret of last year", "the secret of this year");
    let auth = |secrets: &[&str]| configuration("", &format!("secrets = {secrets:?}"), "");
    let mut server = Server::configured(&auth(&[old]));
    let allocates = async |server: &Server, secret: &str| {
        let user = "2000000000:alice";
        let password = SharedSecret::new(secret).password_for(user);
        StreamClient::of_user(tcp(server).await, user, &password).try_allocate().await.is_ok()
    };
    for (secrets, accepted) in
        [(&[old][..], [true, false]), (&[old, new], [true, true]), (&[new], [false, true])]
    {
        server.reload(&auth(secrets));
        let found = [allocates(&server, old).await, allocates(&server, new).await];
        assert_eq!(found, accepted, "{secrets:?}");
    }
    let log = server.log();
    assert!(log.contains("no change") && log.contains("auth.secrets: 1 added"), "{log}");
    assert!(!log.contains("the secret of"), "{log}");
}

#[tokio::test]
async fn a_user_that_is_removed_loses_its_calls_unless_the_operator_keeps_them() {
    let bob = "users = [\"bob:another long password\"]";
    let mut server = Server::configured(&configuration("", &alice(), PEERS));
    let mut client = StreamClient::new(udp(server.listener("udp")).await);
    let relayed = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    server.reload(&configuration("", &format!("{bob}\non_removal = \"keep\""), PEERS));
    server.wait_for_log("1 allocations continue although the user or secret", 1);
    client.send(channel(), b"on").await;
    timeout(PATIENCE, peer.recv(&mut [0; 100])).await.unwrap().unwrap();
    server.reload(&configuration("", bob, PEERS));
    server.wait_for_log("1 allocations ended: the user or secret", 1);
    server.wait_for_log("user or secret removed from the configuration", 1);
    // The relay socket is closed.
    UdpSocket::bind(relayed).await.unwrap();
    let log = server.log();
    assert!(log.contains("turnctl kick --user NAME") && log.contains("auth.on_removal"), "{log}");
    assert!(!log.contains("another long password"), "{log}");
}

#[tokio::test]
async fn a_peer_that_is_denied_gets_nothing_more_from_running_calls() {
    let server = Server::configured(&configuration("", &alice(), PEERS));
    let mut client = StreamClient::new(tcp(&server).await);
    let relayed = client.allocate().await;
    let (peer, other) = (
        UdpSocket::bind("127.0.0.2:0").await.unwrap(),
        UdpSocket::bind("127.0.0.3:0").await.unwrap(),
    );
    let second = taciturn_stun::ChannelNumber::new(0x4002).unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    client.bind(second, other.local_addr().unwrap()).await;
    let mut buffer = [0; 100];
    client.send(channel(), b"before").await;
    timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
    let fewer = "[peers]\nallow = [\"127.0.0.1\", \"127.0.0.3\"]\n";
    server.reload(&configuration("", &alice(), fewer));
    server.wait_for_log(
        "the new peer rules ended permissions, channels or connections that they deny",
        1,
    );
    for _ in 0..50 {
        client.send(channel(), b"after").await;
        peer.send_to(b"after", relayed).await.unwrap();
    }
    // What is sent to the other peer comes after all that, and so does what it sends back.
    client.send(second, b"last").await;
    let (got, from) = timeout(PATIENCE, other.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((got, from), (4, relayed));
    assert!(peer.try_recv(&mut buffer).is_err(), "the denied peer got a packet");
    other.send_to(b"last", relayed).await.unwrap();
    assert_eq!(client.receive(second).await, b"last");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_taken_up() {
    let server = Server::configured(&configuration("", &alice(), ""));
    let top = "relay_ports = \"59000-59999\"";
    server.reload(&configuration(top, "users = [\"bob:another password\"]", ""));
    let told = "needs a restart: relay_ports: 59000-60100 -> 59000-59999";
    server.wait_for_log(told, 1);
    let mut bob = StreamClient::of_user(tcp(&server).await, "bob", "another password");
    bob.allocate().await;
    // It is said for as long as it is so.
    server.reload(&configuration(top, "users = [\"bob:another password\"]", ""));
    server.wait_for_log(told, 2);
}

#[tokio::test]
async fn certificates_that_cannot_be_read_refuse_the_reload() {
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&first, &second] {
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }
    let with = |dir: &std::path::Path| {
        let at = dir.display();
        let tls = format!(
            "[tls]\ncert = \"{at}/cert.pem\"\nkey = \"{at}/key.pem\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n"
        );
        configuration("", &alice(), &tls)
    };
    let server = Server::configured(&with(first.path()));
    server.write_configuration(&with(&first.path().join("nowhere")));
    server.signal(Signal::HUP);
    server.wait_for_log("reload refused, nothing is changed", 1);
    server.reload(&with(first.path()));
    // Where the kernel has landlock, files of another directory are shut since the start.
    server.write_configuration(&with(second.path()));
    server.signal(Signal::HUP);
    let start = std::time::Instant::now();
    let (told, taken) = ("A file in another directory needs a restart", "reload: tls: added");
    while server.logged(told) + server.logged(taken) == 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    StreamClient::new(tcp(&server).await).allocate().await;
}

#[tokio::test]
async fn limits_on_allocations_follow_and_count_what_is_there() {
    let configured = |limits: &str| configuration("", &alice(), &format!("[limits]\n{limits}\n"));
    let mut server = Server::configured(&configured(""));
    let mut first = StreamClient::new(tcp(&server).await);
    first.allocate().await;
    for (limits, answer) in [
        ("allocations = 1", Some(508)),
        ("allocations_per_user = 1", Some(486)),
        ("allocations = 2\nports_reserved_percent = 50\nport_quarantine = \"0s\"", None),
    ] {
        server.reload(&configured(limits));
        let got = StreamClient::new(tcp(&server).await).try_allocate().await;
        assert_eq!(got.err(), answer, "{limits}");
    }
    let log = server.log();
    assert!(log.contains("limits.port_quarantine: 2m -> 0s"), "{log}");
    assert!(log.contains("limits.ports_reserved_percent: 10 -> 50"), "{log}");
    for limit in ["limits.allocations)", "limits.allocations_per_user)"] {
        let told = |line: &&str| line.contains("request refused") && line.contains(limit);
        let line = log.lines().find(told).unwrap_or_default();
        assert!(line.contains(&format!("user=\"{USER}\"")), "{log}");
    }
}
