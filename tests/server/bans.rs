//! Bans by the operator: at once, on all transports and workers, and over a restart.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "dtls")]

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use taciturn_stun::{Class, Message, Method, TransactionId, Writer};
use testkit::datagrams::udp;
use testkit::everywhere::{Site, TRANSPORTS};
use testkit::server::{PATIENCE, Server, bare};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Runs turnctl against a server; returns its exit code, and all that it prints.
fn turnctl(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(arguments).arg("--socket").arg(server.state.path().join("control.sock"));
    let output = turnctl.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn ok(server: &Server, arguments: &[&str]) -> String {
    let (code, text) = turnctl(server, arguments);
    assert_eq!(code, 0, "{arguments:?}: {text}");
    text
}

fn configuration() -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
         [peers]\nallow = [\"127.0.0.0/8\"]\n[[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\n"
    )
}

/// Another process on the state directory of a server that is ended by this signal.
fn restarted(mut server: Server, signal: Signal) -> Server {
    server.signal(signal);
    server.wait();
    let state = std::mem::replace(&mut server.state, tempfile::tempdir().unwrap());
    let mut command = bare(state.path());
    command.arg("--config").arg(state.path().join("taciturn.toml"));
    Server::spawned(command, state)
}

async fn try_allocate(server: &Server) -> Result<(), u16> {
    StreamClient::new(udp(server.address).await).try_allocate().await.map(drop)
}

/// Whether a client gets an answer to a request that needs no credentials, by this transport.
async fn is_answered(site: &Site, transport: &str) -> bool {
    let asked = async {
        let mut client = site.connect(transport).await.ok()?;
        let mut request = [0; 20];
        let tid = TransactionId([7; 12]);
        let mut writer = Writer::new(&mut request, Class::Request, Method::BINDING, tid);
        let len = writer.finish().unwrap();
        client.stream().write_all(&request[..len]).await.ok()?;
        client.stream().flush().await.ok()?;
        client.stream().read_u8().await.ok()
    };
    timeout(Duration::from_millis(700), asked).await.is_ok_and(|first| first.is_some())
}

#[tokio::test]
async fn a_banned_user_loses_its_sessions_at_once_and_gets_403_by_each_transport() {
    let site = Site::new("workers = 2\n");
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        let mut client = site.connect(transport).await.unwrap();
        client.allocate().await;
        client.bind(channel(), peer.local_addr().unwrap()).await;
        client.send(channel(), transport.as_bytes()).await;
        timeout(PATIENCE, peer.recv(&mut [0; 100])).await.unwrap().unwrap();
        clients.push(client);
    }
    let told = ok(&site.server, &["ban", "user", USER]);
    assert_eq!(told, format!("user {USER} is banned; 4 allocations ended\n"));
    assert_eq!(ok(&site.server, &["sessions"]), "no sessions\n");
    site.server.wait_for_log("reason=\"banned by the operator\"", 4);
    for (mut client, transport) in clients.into_iter().zip(TRANSPORTS) {
        client.send(channel(), b"x").await;
        let refreshed = client.ask(Method::REFRESH, |_| ()).await;
        let refreshed = Message::parse(&refreshed).unwrap();
        assert_eq!(refreshed.error_code(), Some(403), "{transport}");
        assert!(peer.try_recv(&mut [0; 100]).is_err());
        let mut another = site.connect(transport).await.unwrap();
        assert_eq!(another.try_allocate().await, Err(403), "{transport}");
    }
    let told = ok(&site.server, &["unban", "user", USER]);
    assert_eq!(told, format!("user {USER} is not banned any more\n"));
    for transport in TRANSPORTS {
        site.connect(transport).await.unwrap().allocate().await;
    }
}

#[tokio::test]
async fn a_banned_address_gets_no_answer_and_no_connection_by_any_transport() {
    let site = Site::new("workers = 2\n");
    let mut caller = site.connect("tls").await.unwrap();
    caller.allocate().await;
    for ban in [["address", "127.0.0.1"], ["network", "127.0.0.0/8"]] {
        for transport in TRANSPORTS {
            assert!(is_answered(&site, transport).await, "{transport}");
        }
        let told = ok(&site.server, &["ban", ban[0], ban[1]]);
        let ended = if ban[0] == "address" { 1 } else { 0 };
        assert_eq!(told, format!("{} {} is banned; {ended} allocations ended\n", ban[0], ban[1]));
        for transport in TRANSPORTS {
            assert!(!is_answered(&site, transport).await, "{transport}");
        }
        ok(&site.server, &["unban", ban[0], ban[1]]);
    }
}

#[tokio::test]
async fn a_ban_survives_a_crash_and_ends_in_time() {
    let server = Server::configured(&configuration());
    ok(&server, &["ban", "user", USER]);
    ok(&server, &["ban", "address", "192.0.2.7", "--for", "1d"]);
    let server = restarted(server, Signal::KILL);
    server.wait_for_log("2 bans hold", 1);
    assert_eq!(try_allocate(&server).await, Err(403));
    let listed = ok(&server, &["bans"]);
    assert!(listed.contains("192.0.2.7") && listed.contains(" never\n"), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&ok(&server, &["bans", "--json"])).unwrap();
    let bans = json["result"]["bans"].as_array().unwrap();
    assert_eq!(
        (bans.len(), &bans[0]["kind"], &bans[0]["value"]),
        (2, &"user".into(), &USER.into())
    );
    ok(&server, &["ban", "user", USER, "--for", "1s"]);
    server.wait_for_log("a ban has ended", 1);
    assert_eq!(try_allocate(&server).await, Ok(()));
    let server = restarted(server, Signal::TERM);
    assert_eq!(try_allocate(&server).await, Ok(()));
    server.wait_for_log("1 bans hold", 1);
}

#[tokio::test]
async fn a_damaged_file_of_bans_is_said_and_kept_aside_and_the_server_serves() {
    let server = Server::configured(&configuration());
    ok(&server, &["ban", "user", USER]);
    let file = server.state.path().join("bans.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let server = restarted(server, Signal::KILL);
    server.wait_for_log("bans.json is damaged", 1);
    assert_eq!(try_allocate(&server).await, Ok(()));
    let kept = server.state.path().join("bans.json.damaged");
    assert_eq!(std::fs::read(kept).unwrap(), whole[..whole.len() / 2]);
    ok(&server, &["ban", "user", USER]);
    assert_eq!(try_allocate(&restarted(server, Signal::KILL)).await, Err(403));
}

#[test]
fn what_cannot_be_banned_is_told_with_what_to_write() {
    let server = Server::configured(&configuration());
    for (arguments, told) in [
        (&["ban", "network", "0.0.0.0/0"][..], "a prefix of /8 or longer"),
        (&["ban", "address", "turn.example.org"], "203.0.113.7"),
        (&["ban", "network", "192.0.2.0"], "203.0.113.0/24"),
        (&["ban", "user", ""], "1 to 508 bytes"),
        (&["unban", "user", "nobody"], "`turnctl bans` shows who is"),
    ] {
        let (code, text) = turnctl(&server, arguments);
        assert!(code == 1 && text.contains(told), "{text}");
    }
    assert_eq!(ok(&server, &["bans"]), "no bans\n");
    assert_eq!(turnctl(&server, &["ban", "host", "x"]).0, 2);
}

/// The file can be written behind the sandbox, or the operator is told that it cannot.
#[test]
fn a_ban_that_cannot_be_kept_holds_and_is_told_so() {
    let server = Server::configured(&configuration());
    std::fs::create_dir(server.state.path().join("bans.json.new")).unwrap();
    let told = ok(&server, &["ban", "user", USER]);
    assert!(told.contains("it holds until the server ends: cannot write"), "{told}");
    server.wait_for_log("cannot write", 1);
}
