//! Metrics and health, read over HTTP from a server that relays.
#![allow(clippy::unwrap_used)]

use testkit::datagrams;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use rustix::process::Signal;
use taciturn_stun::{AttributeType, Message, Method};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

fn configuration(more: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n[admin]\nmetrics = \"127.0.0.1:0\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// Head and body of an answer.
fn http(server: &Server, request: &str) -> (String, String) {
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn get(server: &Server, path: &str) -> (String, String) {
    http(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// Every sample by its name with labels. Holds that each has a HELP and a TYPE, and that its name
/// ends as its type wants.
fn metrics(server: &Server) -> BTreeMap<String, f64> {
    // What the workers have counted is asked for once a second at most.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (head, body) = get(server, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    let (mut found, mut helped, mut kinds) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for line in body.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name)) => helped.push(name.to_owned()),
            (Some("#"), Some("TYPE"), Some(name)) => {
                assert!(kinds.insert(name.to_owned(), words.next().unwrap()).is_none(), "{name}");
            }
            _ => {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let name = sample.split('{').next().unwrap();
                assert!(helped.iter().any(|known| known == name), "{name} has no HELP");
                assert_eq!(kinds[name] == "counter", name.ends_with("_total"), "{name}");
                let twice = found.insert(sample.to_owned(), value.parse().unwrap());
                assert_eq!(twice, None, "{sample} is there twice");
            }
        }
    }
    found
}

#[tokio::test]
async fn the_numbers_are_those_of_the_bytes_that_were_sent() {
    let server = Server::configured(&configuration(""));
    let before = metrics(&server);
    assert_eq!(before["taciturn_allocations"], 0.0);
    let relayed = "taciturn_relayed_bytes_total{transport=\"tcp\",direction=\"to_peer\"}";
    assert_eq!(before[relayed], 0.0, "shown before there is anything");
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    let at = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let mut buffer = [0; 2000];
    for len in [100, 200, 300] {
        client.send(channel(), &vec![1; len]).await;
        timeout(PATIENCE, peer.recv(&mut buffer)).await.unwrap().unwrap();
    }
    peer.send_to(&[2; 1000], at).await.unwrap();
    client.receive(channel()).await;
    client.send(taciturn_stun::ChannelNumber::new(0x4999).unwrap(), b"x").await;
    let wrong = TcpStream::connect(server.address).await.unwrap();
    let mut wrong = StreamClient::of_user(wrong, USER, "another password");
    assert_eq!(wrong.try_allocate().await, Err(401));
    client.mapped().await;
    let now = metrics(&server);
    for (sample, expected) in [
        (relayed, 600.0),
        ("taciturn_relayed_bytes_total{transport=\"tcp\",direction=\"to_client\"}", 1000.0),
        ("taciturn_relayed_packets_total{transport=\"tcp\",direction=\"to_peer\"}", 3.0),
        ("taciturn_relayed_packets_total{transport=\"tcp\",direction=\"to_client\"}", 1.0),
        ("taciturn_relayed_bytes_total{transport=\"udp\",direction=\"to_peer\"}", 0.0),
        ("taciturn_dropped_packets_total{reason=\"no_channel\"}", 1.0),
        ("taciturn_authentication_failures_total{reason=\"wrong_password\"}", 1.0),
        ("taciturn_allocations", 1.0),
        ("taciturn_allocations_made_total", 1.0),
        ("taciturn_users", 1.0),
        ("taciturn_connections", 2.0),
        ("taciturn_relay_ports_used{family=\"ipv4\"}", 1.0),
        ("taciturn_relay_ports", 1101.0),
        ("taciturn_workers", 2.0),
        ("taciturn_last_reload_success", 1.0),
        ("taciturn_stale_nonces_total{reason=\"expired\"}", 0.0),
        ("taciturn_unsent_packets_total{reason=\"slow_client\"}", 0.0),
        ("taciturn_overflowed_datagrams_total{socket=\"relay\"}", 0.0),
        ("taciturn_refused_connections_total{limit=\"connections\"}", 0.0),
        ("taciturn_evicted_connections_total", 0.0),
    ] {
        assert_eq!(now.get(sample), Some(&expected), "{sample}");
    }
    let version = format!("taciturn_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(now[&version], 1.0);
    drop(client);
    let ended = "taciturn_allocations_ended_total{reason=\"disconnected\"}";
    let start = std::time::Instant::now();
    while metrics(&server)[ended] < 1.0 {
        assert!(start.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn what_two_clients_of_the_server_send_each_other_counts_for_both() {
    let udp = "[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n";
    let server = Server::configured(&configuration(udp));
    let mut one = StreamClient::new(datagrams::udp(server.listener("udp")).await);
    let mut other = StreamClient::new(TcpStream::connect(server.listener("tcp")).await.unwrap());
    let (at, of_other) = (one.allocate().await, other.allocate().await);
    one.bind(channel(), of_other).await;
    other.bind(channel(), at).await;
    let lengths = [1, 4, 700, 1200];
    for len in lengths {
        one.send(channel(), &vec![1; len]).await;
        assert_eq!(other.receive(channel()).await.len(), len);
    }
    // A multiple of four: over UDP nothing is padded.
    other.send(channel(), &[2; 52]).await;
    assert_eq!(one.receive(channel()).await.len(), 52);
    let now = metrics(&server);
    let (sent, packets) = (lengths.iter().sum::<usize>() as f64, lengths.len() as f64);
    for (transport, direction, bytes, packets) in [
        ("udp", "to_peer", sent, packets),
        ("udp", "to_client", 52.0, 1.0),
        ("tcp", "to_peer", 52.0, 1.0),
        ("tcp", "to_client", sent, packets),
        ("tls", "to_peer", 0.0, 0.0),
    ] {
        let labels = format!("{{transport=\"{transport}\",direction=\"{direction}\"}}");
        let relayed = |what: &str| now[&format!("taciturn_relayed_{what}_total{labels}")];
        assert_eq!((relayed("bytes"), relayed("packets")), (bytes, packets), "{labels}");
    }
}

/// Asks until a sample is there and more than zero.
fn wait_for(server: &Server, sample: &str) {
    let start = std::time::Instant::now();
    while metrics(server)[sample] == 0.0 {
        assert!(start.elapsed() < PATIENCE, "{sample}");
    }
}

#[tokio::test]
async fn a_refused_peer_counts_for_the_rule_that_refused_it() {
    let server = Server::configured(&configuration("deny = [\"8.8.8.0/24\"]"));
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
    for peer in ["10.0.0.1:9", "192.168.1.1:9", "169.254.169.254:9", "8.8.8.8:9"] {
        let answer = client
            .ask(Method::CREATE_PERMISSION, |writer| {
                writer.address(AttributeType::XOR_PEER_ADDRESS, peer.parse().unwrap());
            })
            .await;
        assert_eq!(Message::parse(&answer).unwrap().error_code(), Some(403), "{peer}");
    }
    let now = metrics(&server);
    for (rule, times) in
        [("private", 2.0), ("link-local", 1.0), ("peers.deny", 1.0), ("AS112", 0.0)]
    {
        assert_eq!(now[&format!("taciturn_refused_peers_total{{rule=\"{rule}\"}}")], times);
    }
}

#[tokio::test]
async fn what_a_slow_client_does_not_read_is_counted_and_stays_so_when_it_leaves() {
    let server = Server::configured(&configuration(""));
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    let at = client.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.bind(channel(), peer.local_addr().unwrap()).await;
    let sample = "taciturn_unsent_packets_total{reason=\"slow_client\"}";
    let start = std::time::Instant::now();
    while metrics(&server)[sample] == 0.0 {
        assert!(start.elapsed() < PATIENCE, "{sample}");
        for _ in 0..1000 {
            peer.send_to(&[7; 1400], at).await.unwrap();
        }
    }
    drop(client);
    wait_for(&server, "taciturn_allocations_ended_total{reason=\"disconnected\"}");
    assert!(metrics(&server)[sample] > 0.0);
}

#[tokio::test]
async fn datagrams_that_come_while_the_server_hangs_are_counted() {
    let toml = configuration("").replace(
        "[[listen]]",
        "[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n[[listen]]",
    );
    let server = Server::configured(&toml);
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    server.signal(Signal::STOP);
    for _ in 0..20_000 {
        stranger.send_to(&[0; 1000], server.listener("udp")).await.unwrap();
    }
    server.signal(Signal::CONT);
    wait_for(&server, "taciturn_overflowed_datagrams_total{socket=\"listener\"}");
    assert_eq!(metrics(&server)["taciturn_overflowed_datagrams_total{socket=\"relay\"}"], 0.0);
}

#[tokio::test]
async fn connections_beyond_a_limit_are_counted() {
    let toml = configuration("[limits]\nconnections_per_address = 1");
    let server = Server::configured(&toml);
    let mut first = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    first.mapped().await;
    let mut second = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    assert_eq!(second.read().await, None);
    let sample = "taciturn_refused_connections_total{limit=\"connections_per_address\"}";
    assert_eq!(metrics(&server)[sample], 1.0);
}

#[test]
fn health_and_everything_else() {
    let server = Server::configured(&configuration(""));
    for path in ["/live", "/ready"] {
        let (head, body) = get(&server, path);
        assert!(head.starts_with("HTTP/1.1 200") && body == "ok\n", "{path} {head} {body}");
    }
    assert!(get(&server, "/nothing").0.starts_with("HTTP/1.1 404"));
    let (head, _) =
        http(&server, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert!(
        head.starts_with("HTTP/1.1 405") && head.to_lowercase().contains("allow: get"),
        "{head}"
    );
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(7000));
    assert!(http(&server, &endless).0.starts_with("HTTP/1.1 200"));
}

#[test]
fn half_requests_hold_up_no_health_probe() {
    let server = Server::configured(&configuration(""));
    let at = server.told("metrics on http://").replace("/metrics", "");
    let half = |_| {
        let mut stream = std::net::TcpStream::connect(&at).unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\n").unwrap();
        stream
    };
    let held: Vec<_> = (0..100).map(half).collect();
    let start = std::time::Instant::now();
    for path in ["/live", "/ready", "/metrics"] {
        assert!(get(&server, path).0.starts_with("HTTP/1.1 200"), "{path}");
    }
    // The oldest of them has made room; the newest is given up after three seconds.
    for mut stream in [&held[0], &held[99]] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(!matches!(stream.read(&mut [0; 10]), Ok(1..)));
    }
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn connections_closed_to_make_room_are_counted() {
    let server = Server::configured(&configuration("[limits]\nconnections = 1"));
    let mut first = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    first.mapped().await;
    let mut second = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    second.mapped().await;
    assert_eq!(first.read().await, None);
    let now = metrics(&server);
    assert_eq!(now["taciturn_evicted_connections_total"], 1.0);
    assert_eq!(now["taciturn_connections"], 1.0);
}

#[tokio::test]
async fn a_server_that_drains_is_alive_and_not_ready_until_that_is_cancelled() {
    let server = Server::configured(&configuration(""));
    // Without a call, the server would end at once.
    let mut client = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    client.allocate().await;
    let drain = |arguments: &[&str]| {
        let mut turnctl = std::process::Command::new(testkit::program::turnctl());
        turnctl.arg("drain").args(arguments).arg("--socket");
        assert!(turnctl.arg(server.state.path().join("control.sock")).status().unwrap().success());
    };
    for (arguments, status, ready) in
        [(&[][..], "HTTP/1.1 503", 0.0), (&["--cancel"], "HTTP/1.1 200", 1.0)]
    {
        drain(arguments);
        let (head, body) = get(&server, "/ready");
        assert!(head.starts_with(status), "{head} {body}");
        assert_eq!(body == "draining\n", ready == 0.0, "{body}");
        assert!(get(&server, "/live").0.starts_with("HTTP/1.1 200"));
        assert_eq!(metrics(&server)["taciturn_ready"], ready);
    }
}

#[test]
fn a_reload_is_seen_in_the_metrics() {
    let server = Server::configured(&configuration(""));
    server.reload(&configuration(""));
    server.write_configuration("nonsense = 1");
    server.signal(Signal::HUP);
    server.wait_for_log("reload refused", 1);
    let now = metrics(&server);
    assert_eq!(now["taciturn_reloads_total{result=\"applied\"}"], 1.0);
    assert_eq!(now["taciturn_reloads_total{result=\"refused\"}"], 1.0);
    assert_eq!(now["taciturn_last_reload_success"], 0.0);
    let at = now["taciturn_last_reload_timestamp_seconds"];
    assert!(at >= now["taciturn_start_time_seconds"]);
}

#[test]
fn a_port_that_is_taken_costs_the_metrics_and_nothing_else() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let server = Server::configured(
        &configuration("").replace("127.0.0.1:0\"\n[auth]", &format!("{at}\"\n[auth]")),
    );
    server.wait_for_log("no metrics: cannot listen on", 1);
    let off = configuration("").replace("metrics = \"127.0.0.1:0\"", "metrics = \"off\"");
    let mut server = Server::configured(&off);
    assert!(!server.log().contains("metrics"));
}

#[tokio::test]
async fn each_tenant_has_its_numbers_and_a_server_without_any_has_none() {
    let tenant = "[[tenant]]\nname = \"acme\"\nusers = [\"alice:a password of acme\"]\n\
                  relay_ports = \"59700-59799\"\npeers.allow = [\"127.0.0.0/8\"]";
    let server = Server::configured(&configuration(&tenant.replace("alice", USER)));
    let of = |name: &str, tenant: &str| format!("taciturn_tenant_{name}{{tenant=\"{tenant}\"}}");
    let bytes = |tenant: &str| {
        format!("taciturn_tenant_relayed_bytes_total{{tenant=\"{tenant}\",direction=\"to_peer\"}}")
    };
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let connect = || TcpStream::connect(server.address);
    let mut own = StreamClient::new(connect().await.unwrap());
    let mut acme = StreamClient::of_user(connect().await.unwrap(), USER, "a password of acme");
    let mut buffer = [0; 2000];
    for (client, data) in [(&mut own, &b"1234567"[..]), (&mut acme, b"123")] {
        let at = client.allocate().await;
        client.bind(channel(), peer.local_addr().unwrap()).await;
        client.send(channel(), data).await;
        let (len, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((len, from.port()), (data.len(), at.port()));
        assert_eq!((59_700..=59_799).contains(&at.port()), data.len() == 3, "{at}");
    }
    let shown = metrics(&server);
    for (tenant, relayed) in [("default", 7.0), ("acme", 3.0)] {
        assert_eq!(shown[&of("allocations", tenant)], 1.0);
        assert_eq!(shown[&of("users", tenant)], 1.0);
        assert_eq!(shown[&bytes(tenant)], relayed);
    }
    assert_eq!(shown[&of("relay_ports", "acme")], 100.0);
    let used = "taciturn_tenant_relay_ports_used{tenant=\"acme\",family=\"ipv4\"}";
    assert_eq!(shown[used], 1.0);
    assert!(!shown.contains_key(&of("relay_ports", "default")));
    let without = metrics(&Server::configured(&configuration("")));
    assert!(!without.keys().any(|sample| sample.starts_with("taciturn_tenant_")));
}
