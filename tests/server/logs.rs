//! The log of a server that relays: as text and as JSON, and as fail2ban reads it.
#![allow(clippy::unwrap_used)] // helpers of tests

use testkit::server;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command};

use regex::Regex;
use rustix::fs::fstat;
use serde_json::Value;
use server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const GUESS: &str = "not the password";
/// As a client would choose it that wants somebody else to be banned.
const EVIL: &str = "\" client=192.0.2.9:1 \",\"client\":\"192.0.2.9:1\"";

fn configuration(format: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n[log]\nformat = \"{format}\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// What a server writes while one client relays, one has a wrong password and one an evil name.
async fn log(format: &str) -> String {
    let mut server = Server::configured(&configuration(format));
    let connect = async |user, password| {
        let stream = TcpStream::connect(server.address).await.unwrap();
        StreamClient::of_user(stream, user, password)
    };
    for user in [USER, EVIL] {
        assert_eq!(connect(user, GUESS).await.try_allocate().await, Err(401));
    }
    let mut alice = connect(USER, PASSWORD).await;
    let at = alice.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    alice.bind(channel(), peer.local_addr().unwrap()).await;
    alice.send(channel(), &[1; 1500]).await;
    timeout(PATIENCE, peer.recv(&mut [0; 2000])).await.unwrap().unwrap();
    for _ in 0..2 {
        peer.send_to(&[2; 1000], at).await.unwrap();
        alice.receive(channel()).await;
    }
    drop(alice);
    server.wait_for_log("session ended", 1);
    server.log()
}

fn json(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

/// The names and values of a line of text, without quotes.
fn fields(line: &str) -> BTreeMap<String, String> {
    let field = Regex::new(r#" (\w+)=("(?:[^"\\]|\\.)*"|\S+)"#).unwrap();
    let pair = |found: regex::Captures<'_>| {
        let value = &found[2];
        let value = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
        (found[1].to_owned(), value)
    };
    field.captures_iter(line).map(pair).collect()
}

#[tokio::test]
async fn a_session_ends_with_one_line_that_tells_all_of_it() {
    let lines = json(&log("json").await);
    let ended: Vec<_> = lines.iter().filter(|line| line["message"] == "session ended").collect();
    let [ended] = ended.as_slice() else { panic!("{ended:?}") };
    for (name, value) in [("user", USER), ("transport", "tcp"), ("reason", "connection closed")] {
        assert_eq!(ended[name], value);
    }
    for (name, value) in [
        ("bytes_to_peers", 1500),
        ("bytes_to_client", 2000),
        ("packets_to_peers", 1),
        ("packets_to_client", 2),
    ] {
        assert_eq!(ended[name], value, "{name}");
    }
    assert!(ended["seconds"].is_u64());
    for name in ["client", "relayed"] {
        let address: SocketAddr = ended[name].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback());
    }
}

#[tokio::test]
async fn text_and_json_say_the_same_and_no_secret() {
    let (text, json_log) = tokio::join!(log("text"), log("json"));
    for log in [&text, &json_log] {
        assert!(!log.contains(PASSWORD) && !log.contains(GUESS), "{log}");
    }
    let lines = json(&json_log);
    for message in ["session ended", "authentication failed"] {
        let as_text: Vec<_> =
            text.lines().filter(|line| line.contains(message)).map(fields).collect();
        let as_json: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
        assert_eq!(as_text.len(), as_json.len(), "{message}");
        for (text, json) in as_text.iter().zip(as_json) {
            let json = json.as_object().unwrap();
            let names: Vec<_> = json
                .keys()
                .filter(|name| !["timestamp", "level", "message"].contains(&name.as_str()))
                .collect();
            assert_eq!(text.keys().collect::<Vec<_>>(), names, "{message}");
            for name in ["user", "transport", "reason"] {
                assert_eq!(json[name].as_str(), Some(text[name].as_str()), "{name}");
            }
        }
    }
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
}

/// The expressions of the filter, as this library has them in place of Python's.
fn filter() -> Vec<Regex> {
    let text = include_str!("../../config/fail2ban/taciturn.conf");
    let (_, expressions) = text.split_once("failregex = ").unwrap();
    let (expressions, _) = expressions.split_once("\n\n").unwrap();
    let address = "(?<ip>[0-9.]+)";
    let regex = |line: &str| {
        Regex::new(&line.trim().replace("<IP4>", address).replace("<IP6>", "[0-9a-f:]+")).unwrap()
    };
    expressions.lines().map(regex).collect()
}

#[tokio::test]
async fn the_filter_for_fail2ban_finds_the_client_and_nobody_else() {
    let filter = filter();
    assert_eq!(filter.len(), 2);
    let time = Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    let (text, json_log) = tokio::join!(log("text"), log("json"));
    for (log, regex) in [(text, &filter[0]), (json_log, &filter[1])] {
        // fail2ban takes the time out of a line before it looks at the rest.
        let banned: Vec<_> = log
            .lines()
            .filter_map(|line| Some(regex.captures(&time.replace(line, ""))?["ip"].to_owned()))
            .collect();
        assert_eq!(banned, ["127.0.0.1", "127.0.0.1"], "{log}");
    }
}

/// A server whose log goes into a pipe that is read by hand: up to the line about its metrics so far.
struct Unread {
    child: Child,
    log: BufReader<PipeReader>,
    address: SocketAddr,
    metrics: String,
    _state: tempfile::TempDir,
}

impl Unread {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = server::bare(state.path());
        command
            .args(["--listen", "tcp:127.0.0.1:0", "--external-ip", "127.0.0.1", "--realm", REALM])
            .args(["--user", &format!("{USER}:{PASSWORD}"), "--allow-peer", "127.0.0.0/8"])
            .env("TACITURN_ADMIN_METRICS", "127.0.0.1:0")
            .env("TACITURN_LOG", "debug")
            .stderr(writer);
        let mut child = command.spawn().unwrap();
        // This end of the pipe is the server's alone.
        drop(command);
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut out = out.lines().map_while(Result::ok);
        let line = out.find(|line| line.trim().starts_with("listening")).unwrap();
        let address = line.trim().trim_start_matches("listening").trim();
        let address = address.split('/').next().unwrap().parse().unwrap();
        std::thread::spawn(move || out.for_each(drop));
        let mut log = BufReader::new(reader);
        let mut line = String::new();
        while !line.contains("metrics on") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0);
        }
        let (_, metrics) = line.split_once("http://").unwrap();
        let metrics = metrics.trim().trim_end_matches("/metrics").to_owned();
        Self { child, log, address, metrics, _state: state }
    }

    /// Has it write more than the pipe and the server hold: at this level each request is a line. Each client
    /// sends fewer requests than one client may have served at once.
    async fn fill_log(&self) {
        while self.lost() == 0 {
            let mut client = StreamClient::new(TcpStream::connect(self.address).await.unwrap());
            client.allocate().await;
            for _ in 0..500 {
                client.bind(channel(), "127.0.0.1:9".parse().unwrap()).await;
            }
        }
    }

    /// Lines that were lost, as its metrics say.
    fn lost(&self) -> u64 {
        let mut stream = std::net::TcpStream::connect(&self.metrics).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let sample = "\ntaciturn_lost_log_lines_total ";
        page.split_once(sample).unwrap().1.lines().next().unwrap().parse().unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_call() {
    let mut server = Unread::start();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut alice = StreamClient::new(stream);
    alice.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = peer.local_addr().unwrap();
    assert_eq!(server.lost(), 0);
    alice.bind(channel(), at).await;
    server.fill_log().await;
    alice.send(channel(), b"still relayed").await;
    let mut data = [0; 100];
    let len = timeout(PATIENCE, peer.recv(&mut data)).await.unwrap().unwrap();
    assert_eq!(&data[..len], b"still relayed");
    // Once it is read again, it says what is missing.
    let mut line = String::new();
    while !line.contains("log lines lost") {
        line.clear();
        assert!(server.log.read_line(&mut line).unwrap() > 0);
    }
    let told: u64 = fields(&line)["since_start"].parse().unwrap();
    assert_eq!((told, told), (server.lost(), fields(&line)["lost"].parse().unwrap()));
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_ends_when_it_is_told_to() {
    let mut server = Unread::start();
    server.fill_log().await;
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn the_log_says_which_user_of_the_machine_asked_for_a_change() {
    let mut server = Server::configured(&configuration("text"));
    let ask = |arguments: &[&str]| {
        let mut turnctl = Command::new(testkit::program::turnctl());
        turnctl.args(arguments).arg("--socket").arg(server.state.path().join("control.sock"));
        assert!(turnctl.output().unwrap().status.success(), "{arguments:?}");
    };
    ask(&["status"]);
    ask(&["log-level"]);
    ask(&["kick", "--user", "mal \"lory\""]);
    ask(&["log-level", "debug", "--for", "1m"]);
    ask(&["reload"]);
    ask(&["drain", "--cancel"]);
    let log = server.log();
    let asked: Vec<_> =
        log.lines().filter(|line| line.contains("operator request")).map(fields).collect();
    let requests: Vec<_> = asked.iter().map(|fields| fields["request"].as_str()).collect();
    let expected = ["kick user mal \"lory\"", "log level debug for 60 s", "reload", "cancel drain"];
    assert_eq!(requests, expected);
    for fields in asked {
        assert_eq!(fields["uid"], rustix::process::getuid().as_raw().to_string());
        assert_ne!(fields["pid"], "0");
    }
}

/// The first line of a server whose standard error is the journal's socket, or is not.
fn first_line(is_journal: bool, format: &str) -> String {
    let state = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let stat = fstat(&writer).unwrap();
    let inode = if is_journal { stat.st_ino } else { stat.st_ino + 1 };
    let mut command = server::command(state.path());
    command
        .args(["--user", &format!("{USER}:{PASSWORD}")])
        .env("TACITURN_LOG_FORMAT", format)
        .env("TACITURN_ADMIN_METRICS", "127.0.0.1:0")
        .env("JOURNAL_STREAM", format!("{}:{inode}", stat.st_dev))
        .stderr(writer);
    let mut child = command.spawn().unwrap();
    let line = BufReader::new(reader)
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("metrics on"));
    child.kill().unwrap();
    child.wait().unwrap();
    line.unwrap()
}

#[test]
fn the_journal_gets_text_without_a_time_and_everything_else_has_one() {
    let line = first_line(true, "text");
    assert!(line.trim_start().starts_with("INFO metrics on http://"), "{line}");
    let line = first_line(false, "text");
    assert!(line.starts_with("20") && line.contains(" INFO metrics on"), "{line}");
    let line: Value = serde_json::from_str(&first_line(true, "json")).unwrap();
    assert!(line["timestamp"].as_str().unwrap().starts_with("20"));
}

#[test]
fn another_format_is_refused_with_those_there_are() {
    let error =
        taciturn_config::Config::from_toml("[log]\nformat = \"xml\"").unwrap_err().to_string();
    assert!(error.contains("log.format: \"xml\" is no format"), "{error}");
    assert!(error.contains("write \"text\" or \"json\""), "{error}");
}
