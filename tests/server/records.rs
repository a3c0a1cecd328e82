//! Records of what sessions have used, of a server that relays.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use testkit::datagrams::udp;
use testkit::server::{PATIENCE, Server, bare};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use testkit::tcp_relay_client::{ALICE, RelayClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

fn configuration(records: &str, more: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
         [peers]\nallow = [\"127.0.0.0/8\"]\n[admin]\nmetrics = \"127.0.0.1:0\"\n[fleet]\nnode = \"fra1\"\n\
         [protocol]\ntcp_relay = true\nmobility = true\n[records]\n{records}\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// A directory for records, and the configuration of a file in it.
fn with_file(more: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("usage.jsonl");
    (dir, format!("file = {file:?}\n{more}"))
}

/// The records of a file, which are whole lines.
fn records(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("usage.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same, once they are as they should be.
fn records_until(dir: &Path, hold: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let records = records(dir);
        if hold(&records) {
            return records;
        }
        assert!(begun.elapsed() < PATIENCE, "{records:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn number(record: &Value, field: &str) -> u64 {
    record[field].as_u64().unwrap()
}

fn ended(records: &[Value]) -> usize {
    records.iter().filter(|record| record["type"] == "ended").count()
}

const FIELDS: [(&str, &str, &str); 4] = [
    ("bytes_to_peers", "bytes", "to_peer"),
    ("bytes_to_client", "bytes", "to_client"),
    ("packets_to_peers", "packets", "to_peer"),
    ("packets_to_client", "packets", "to_client"),
];

/// What all records say was relayed.
fn sums(records: &[Value]) -> [u64; 4] {
    FIELDS.map(|(field, ..)| records.iter().map(|record| number(record, field)).sum())
}

fn metrics(server: &Server) -> String {
    // What the workers have counted is asked for once a second at most.
    std::thread::sleep(Duration::from_millis(1100));
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What the metrics say was relayed.
fn counted(server: &Server) -> [u64; 4] {
    let page = metrics(server);
    FIELDS.map(|(_, unit, direction)| {
        let name = format!("taciturn_relayed_{unit}_total{{");
        let direction = format!("direction=\"{direction}\"");
        let fitting =
            page.lines().filter(|line| line.starts_with(&name) && line.contains(&direction));
        fitting.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    })
}

/// A peer on loopback that sends back what comes.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2000];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    });
    address
}

/// What is said comes back.
macro_rules! talk {
    ($client:expr, $said:expr) => {
        $client.send(channel(), $said).await;
        assert_eq!($client.receive(channel()).await, $said);
    };
}

#[tokio::test]
async fn the_sum_of_all_records_is_what_the_metrics_say_to_the_byte() {
    let (dir, file) = with_file("every = \"1s\"");
    let mut server = Server::configured(&configuration(&file, ""));
    let peer = echo().await;
    // Some end by themselves, some with their connection, some with the server.
    for round in 0..3_usize {
        let mut client = StreamClient::new(udp(server.listener("udp")).await);
        client.allocate().await;
        client.bind(channel(), peer).await;
        for len in 1..=10 {
            talk!(client, &vec![7_u8; len * (round + 1)][..]);
        }
        client.release().await;
    }
    let mut by_tcp = StreamClient::new(TcpStream::connect(server.listener("tcp")).await.unwrap());
    by_tcp.allocate().await;
    by_tcp.bind(channel(), peer).await;
    talk!(by_tcp, b"over TCP");
    let mut stays = StreamClient::new(udp(server.listener("udp")).await);
    stays.allocate().await;
    stays.bind(channel(), peer).await;
    talk!(stays, b"until the end");
    // RFC 6062, with a record while the connection goes on.
    let connect = async || TcpStream::connect(server.listener("tcp")).await.unwrap();
    let mut control = RelayClient::new(connect().await, ALICE);
    control.allocate().await;
    let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far_address = listening.local_addr().unwrap();
    control.permit(far_address).await;
    let id = control.connect(far_address).await.unwrap();
    let mut far = listening.accept().await.unwrap().0;
    let mut near = RelayClient::new(connect().await, ALICE).bind(id).await.unwrap();
    for _ in 0..3 {
        near.write_all(b"to the peer").await.unwrap();
        let mut bytes = [0; 11];
        far.read_exact(&mut bytes).await.unwrap();
        far.write_all(b"back").await.unwrap();
        near.read_exact(&mut bytes[..4]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let so_far = records_until(dir.path(), |records| {
        let of_tcp = |record: &&Value| {
            record["type"] == "running" && number(record, "bytes_to_peers") % 11 == 0
        };
        records.iter().filter(of_tcp).count() >= 1
    });
    assert!(ended(&so_far) >= 3, "{so_far:#?}");
    talk!(stays, b"once more");
    drop((near, far));
    control.release().await;
    drop(by_tcp);
    records_until(dir.path(), |records| ended(records) == 5);
    let counted = counted(&server);
    server.signal(Signal::TERM);
    server.wait();
    let records = records(dir.path());
    assert_eq!(sums(&records), counted);
    assert_eq!(ended(&records), 6);
    let mut sessions = BTreeSet::new();
    for record in records.iter().filter(|record| record["type"] == "ended") {
        assert!(
            sessions.insert(record["session"].as_str().unwrap().to_owned()),
            "it has ended twice"
        );
        // The records of a session are numbered, and add up to what it has relayed.
        let own: Vec<_> =
            records.iter().filter(|other| other["session"] == record["session"]).cloned().collect();
        let numbers: BTreeSet<_> = own.iter().map(|record| number(record, "seq")).collect();
        assert_eq!(numbers, (1..=own.len() as u64).collect());
        assert_eq!(sums(&own), FIELDS.map(|(field, ..)| number(&record["total"], field)));
    }
    let ids: BTreeSet<_> = records.iter().map(|record| record["id"].to_string()).collect();
    assert_eq!(ids.len(), records.len());
    let last = records.iter().find(|record| record["reason"] == "shutdown").unwrap();
    assert_eq!(
        (&last["user"], &last["node"], &last["transport"]),
        (&"alice".into(), &"fra1".into(), &"udp".into())
    );
    assert!(last["relayed"][0].as_str().unwrap().starts_with("127.0.0.1:"));
    let mode = fs::metadata(dir.path().join("usage.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o027, 0, "{mode:o}");
}

/// The command for a process on the state directory of this one.
fn successor(server: &Server) -> Command {
    let mut command = bare(server.state.path());
    command.arg("--config").arg(server.state.path().join("taciturn.toml"));
    command
}

#[tokio::test]
async fn a_session_that_another_process_takes_over_is_recorded_once_and_keeps_its_number() {
    let (dir, file) = with_file("every = \"1s\"\naddresses = \"none\"");
    let listeners = "[[listen]]\naddress = \"127.0.0.1:41978\"\ntransport = \"udp\"\n";
    let toml = configuration(&file, listeners);
    let mut server = Server::configured(&toml);
    let peer = echo().await;
    let at: SocketAddr = "127.0.0.1:41978".parse().unwrap();
    let mut client = StreamClient::new(udp(at).await);
    client.allocate().await;
    client.bind(channel(), peer).await;
    talk!(client, b"before");
    let first = records_until(dir.path(), |records| !records.is_empty()).remove(0);
    talk!(client, b"and more");
    let mut next = successor(&server);
    next.arg("--take-over");
    let state = std::mem::replace(&mut server.state, tempfile::tempdir().unwrap());
    let next = Server::spawned(next, state);
    next.wait_for_log("running calls were carried over", 1);
    assert!(server.wait().success());
    talk!(client, b"after");
    client.release().await;
    let records = records_until(dir.path(), |records| ended(records) == 1);
    assert!(records.iter().all(|record| record["session"] == first["session"]));
    assert!(records.iter().all(|record| record.get("client").is_none()));
    assert_eq!(sums(&records), [19, 19, 3, 3]);
    let total = &records.iter().find(|record| record["type"] == "ended").unwrap()["total"];
    assert_eq!(FIELDS.map(|(field, ..)| number(total, field)), [19, 19, 3, 3]);
    drop(next);
}

/// Takes records by HTTP when it is there. Returns what it was sent, by id.
struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn new(listener: std::net::TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = take(stream.unwrap(), &shared);
            }
        });
        Self { address, taken }
    }

    fn ids_until(&self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let ids = self.taken.lock().unwrap().clone();
            if ids.len() >= count {
                return ids;
            }
            assert!(begun.elapsed() < PATIENCE, "{ids:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn take(mut stream: std::net::TcpStream, taken: &Mutex<Vec<String>>) -> Option<()> {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..read]).ok()?);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length =
            head.split_once("content-length: ")?.1.lines().next()?.parse::<usize>().ok()?;
        if body.len() == length {
            assert!(head.contains("authorization: bearer a token of some length"), "{head}");
            let ids = body
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].to_string());
            taken.lock().unwrap().extend(ids);
            return stream.write_all(b"HTTP/1.1 204 OK\r\n\r\n").ok();
        }
    }
}

#[tokio::test]
async fn what_a_killed_server_has_kept_reaches_a_receiver_that_was_away() {
    // The receiver's port is known, and nobody listens.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    drop(held);
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "a token of some length\n").unwrap();
    let records = format!("url = \"http://{address}/usage\"\ntoken_file = {token:?}");
    let mut server = Server::configured(&configuration(&records, ""));
    let peer = echo().await;
    for _ in 0..3 {
        let mut client = StreamClient::new(udp(server.listener("udp")).await);
        client.allocate().await;
        client.bind(channel(), peer).await;
        talk!(client, b"data");
        client.release().await;
    }
    let begun = Instant::now();
    while !metrics(&server).contains("taciturn_records_written_total{type=\"ended\"} 3") {
        assert!(begun.elapsed() < PATIENCE);
    }
    server.wait_for_log("not delivered to http://127.0.0.1", 1);
    let page = metrics(&server);
    assert!(page.contains("taciturn_records_waiting 3"), "{page}");
    server.signal(Signal::KILL);
    server.wait();
    let spool = server.state.path().join("records-spool");
    let mode = fs::metadata(&spool).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let next = successor(&server);
    let state = std::mem::replace(&mut server.state, tempfile::tempdir().unwrap());
    let next = Server::spawned(next, state);
    let collector = Collector::new(std::net::TcpListener::bind(address).unwrap());
    assert_eq!(collector.address, address);
    let ids = collector.ids_until(3);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3, "{ids:?}");
    let begun = Instant::now();
    while !metrics(&next).contains("taciturn_records_waiting 0") {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[test]
fn a_server_that_cannot_keep_its_records_does_not_start_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "something else").unwrap();
    let missing = dir.path().join("missing");
    for (records, error) in [
        (format!("file = {:?}", file.join("usage.jsonl")), "cannot write to"),
        (format!("file = {file:?}"), "no record"),
        (format!("url = \"http://127.0.0.1:9/\"\ntoken_file = {missing:?}"), "token_file"),
        (format!("url = \"https://127.0.0.1:9/\"\nca_file = {missing:?}"), "ca_file"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let toml = state.path().join("taciturn.toml");
        fs::write(&toml, configuration(&records, "")).unwrap();
        fs::set_permissions(&toml, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = bare(state.path());
        let output = command.arg("--config").arg(&toml).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(error) && text.contains("records"), "{text}");
        assert!(String::from_utf8(output.stdout).unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_file_that_logrotate_has_renamed_is_opened_again() {
    let (dir, file) = with_file("");
    let server = Server::configured(&configuration(&file, ""));
    let mut sessions = 0;
    let session = async || {
        let mut client = StreamClient::new(udp(server.listener("udp")).await);
        client.allocate().await;
        client.release().await;
    };
    session().await;
    sessions += 1;
    records_until(dir.path(), |records| records.len() == sessions);
    fs::rename(dir.path().join("usage.jsonl"), dir.path().join("usage.jsonl.1")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("configuration reloaded", 1);
    let begun = Instant::now();
    while !dir.path().join("usage.jsonl").exists() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    session().await;
    records_until(dir.path(), |records| records.len() == 1);
}
