//! A client that nobody here wrote, webrtc-rs's `turn`, against the real server over sockets.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;

use taciturn_turn::auth::SharedSecret;
use testkit::server::{PATIENCE, Server};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

const USER: &[&str] = &["--user", "alice:correct horse battery", "--realm", "example.org"];
const LOOPBACK_PEERS: &[&str] = &["--allow-peer", "127.0.0.0/8"];

async fn client(server: SocketAddr, username: &str, password: &str) -> Client {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: username.to_owned(),
        password: password.to_owned(),
        realm: "example.org".to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await
    .unwrap();
    client.listen().await.unwrap();
    client
}

async fn alice(server: SocketAddr) -> Client {
    client(server, "alice", "correct horse battery").await
}

/// Receives one datagram.
async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2000];
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    (buffer[..len].to_vec(), from)
}

/// Receives one datagram through the relay.
async fn receive_relayed(relay: &(impl Conn + Send + Sync)) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2000];
    let (len, from) = timeout(PATIENCE, relay.recv_from(&mut buffer)).await.unwrap().unwrap();
    (buffer[..len].to_vec(), from)
}

//= 8656-5-udp
#[tokio::test]
async fn data_pass_both_ways_between_a_client_and_a_peer() {
    let server = Server::start(&[USER, LOOPBACK_PEERS].concat());
    let client = alice(server.address).await;
    let relay = client.allocate().await.unwrap();
    let relayed = relay.local_addr().unwrap();
    assert!((59000..=60100).contains(&relayed.port()), "{relayed}");
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // The client makes a permission, sends indications, and binds a channel meanwhile.
    for n in 0..50_u32 {
        let data = vec![n as u8; 1 + n as usize * 25];
        relay.send_to(&data, peer.local_addr().unwrap()).await.unwrap();
        assert_eq!(receive(&peer).await, (data.clone(), relayed));
        peer.send_to(&data, relayed).await.unwrap();
        assert_eq!(receive_relayed(&relay).await, (data, peer.local_addr().unwrap()));
    }
    client.close().await.unwrap();
}

#[tokio::test]
async fn two_clients_of_the_server_reach_each_other_without_any_allow_rule() {
    // Two workers: the two clients may be of one shard or of two.
    for _ in 0..4 {
        let server = Server::start(&[USER, &["--workers", "2"]].concat());
        let (a, b) = (alice(server.address).await, alice(server.address).await);
        let (relay_a, relay_b) = (a.allocate().await.unwrap(), b.allocate().await.unwrap());
        let (at_a, at_b) = (relay_a.local_addr().unwrap(), relay_b.local_addr().unwrap());
        // The first packet each way only opens the permission at its sender's side.
        relay_a.send_to(b"opens a for b", at_b).await.unwrap();
        relay_b.send_to(b"from b", at_a).await.unwrap();
        assert_eq!(receive_relayed(&relay_a).await, (b"from b".to_vec(), at_b));
        relay_a.send_to(b"from a", at_b).await.unwrap();
        let mut got = receive_relayed(&relay_b).await;
        if got.0 == b"opens a for b" {
            got = receive_relayed(&relay_b).await;
        }
        assert_eq!(got, (b"from a".to_vec(), at_a));
    }
}

#[tokio::test]
async fn rest_credentials_work_beside_static_users() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("secret");
    std::fs::write(&file, "a shared secret for this test\n").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.to_str().unwrap();
    let server = Server::start(&[USER, &["--secret-file", file]].concat());
    let secret = SharedSecret::new("a shared secret for this test");
    let username = "4102444800:@alice:domain.org";
    let good = client(server.address, username, &secret.password_for(username)).await;
    assert!(good.allocate().await.is_ok());
    assert!(alice(server.address).await.allocate().await.is_ok());
    let expired = "1700000000:@alice:domain.org";
    let expired = client(server.address, expired, &secret.password_for(expired)).await;
    assert!(expired.allocate().await.is_err());
}

#[tokio::test]
async fn a_wrong_password_gets_nothing_and_one_line_with_the_address() {
    let mut server = Server::start(USER);
    let client = client(server.address, "alice", "not the password").await;
    let error = client.allocate().await.err().unwrap().to_string();
    assert!(error.contains("401"), "{error}");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("authentication failed")).unwrap();
    assert!(line.contains("client=127.0.0.1:") && line.contains("wrong password"), "{line}");
    assert!(!log.contains("correct horse") && !log.contains("not the password"), "{log}");
}

#[tokio::test]
async fn a_peer_on_this_host_is_out_of_reach_unless_it_is_allowed() {
    let server = Server::start(USER);
    let client = alice(server.address).await;
    let relay = client.allocate().await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    for target in [&peer, &other] {
        // 127.0.0.1 is the relay's own address: the permission passes, the packet does not.
        let _ = relay.send_to(b"inside", target.local_addr().unwrap()).await;
    }
    // What a relay did not send cannot be waited for. After two more transactions the server has
    // done with all before them; then a packet of our own shows that nothing is queued.
    for _ in 0..2 {
        client.send_binding_request().await.unwrap();
    }
    for target in [&peer, &other] {
        let mark = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        mark.send_to(b"mark", target.local_addr().unwrap()).await.unwrap();
        assert_eq!(receive(target).await.0, b"mark");
    }
}
