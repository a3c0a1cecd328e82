//! turnctl and a server that runs.
#![allow(clippy::unwrap_used)]

#[path = "common/server.rs"]
mod server;
#[path = "common/stream_client.rs"]
mod stream_client;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use server::{PATIENCE, Server};
use stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

fn configuration(more: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n[admin]\nmetrics = \"off\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// Runs turnctl against a server; answers its exit code, and all that it prints.
fn turnctl(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut turnctl = Command::new(env!("CARGO_BIN_EXE_turnctl"));
    turnctl.args(arguments).arg("--socket").arg(server.state.path().join("control.sock"));
    let output = turnctl.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

async fn client(server: &Server) -> StreamClient<TcpStream> {
    StreamClient::new(TcpStream::connect(server.address).await.unwrap())
}

#[tokio::test]
async fn who_is_there_is_shown_and_can_be_ended() {
    let server = Server::configured(&configuration(""));
    let socket = server.state.path().join("control.sock");
    assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(turnctl(&server, &["sessions"]), (0, "no sessions\n".to_owned()));
    let mut caller = client(&server).await;
    let relayed = caller.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.bind(channel(), peer.local_addr().unwrap()).await;
    caller.send(channel(), &[1; 700]).await;
    timeout(PATIENCE, peer.recv(&mut [0; 1000])).await.unwrap().unwrap();
    let at = caller.mapped().await.to_string();
    let (code, text) = turnctl(&server, &["sessions", "--user", USER]);
    let line = text.lines().nth(1).unwrap();
    let columns: Vec<_> = line.split_whitespace().collect();
    let expected = [at.as_str(), "tcp", USER, &relayed.to_string(), "1", "700", "0"];
    assert_eq!((code, &columns[..7]), (0, &expected[..]), "{text}");
    assert_eq!(turnctl(&server, &["sessions", "--user", "nobody"]).1, "no sessions\n");
    let (_, text) = turnctl(&server, &["sessions", "--json"]);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["session"]["bytes_to_peers"], 700);
    let (code, text) = turnctl(&server, &["status"]);
    assert!(code == 0 && text.contains("ready\n  allocations      1\n"), "{text}");
    assert_eq!(turnctl(&server, &["kick"]).0, 2);
    assert_eq!(turnctl(&server, &["kick", "--client", &at]), (0, "1 allocations ended\n".into()));
    assert_eq!(turnctl(&server, &["sessions"]).1, "no sessions\n");
    server.wait_for_log("reason=\"ended by the operator\"", 1);
}

#[test]
fn reload_prints_what_changes_or_why_it_is_refused() {
    let server = Server::configured(&configuration(""));
    assert_eq!(turnctl(&server, &["reload"]), (0, "no change\n".to_owned()));
    server.write_configuration(&configuration("[limits]\nconnections = 100"));
    let told = "limits.connections: 4096 -> 100\n";
    assert_eq!(turnctl(&server, &["reload"]), (0, told.to_owned()));
    server.write_configuration(&configuration("[limits]\nconection = 1"));
    let (code, text) = turnctl(&server, &["reload"]);
    assert!(code == 1 && text.contains("nothing is changed"), "{text}");
    assert!(text.contains("limits.conection") && text.contains("did you mean"), "{text}");
}

#[tokio::test]
async fn a_server_that_drains_ends_with_its_last_call() {
    let mut server = Server::configured(&configuration(""));
    let mut caller = client(&server).await;
    let relayed = caller.allocate().await;
    let (code, text) = turnctl(&server, &["drain"]);
    assert_eq!((code, text.as_str()), (0, "draining: 1 allocations are left\n"));
    assert!(turnctl(&server, &["status"]).1.contains(", draining\n"));
    assert_eq!(client(&server).await.try_allocate().await, Err(508));
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.bind(channel(), peer.local_addr().unwrap()).await;
    peer.send_to(b"goes on!", relayed).await.unwrap();
    assert_eq!(caller.receive(channel()).await, b"goes on!");
    drop(caller);
    assert!(server.wait().success());
    assert!(!server.state.path().join("control.sock").exists());
}

#[tokio::test]
async fn a_drain_ends_in_time_even_if_a_call_does_not() {
    let mut server = Server::configured(&configuration(""));
    let mut caller = client(&server).await;
    caller.allocate().await;
    assert_eq!(turnctl(&server, &["drain", "--timeout", "1s"]).0, 0);
    assert!(server.wait().success());
}

#[test]
fn a_server_without_calls_answers_before_it_ends() {
    let mut server = Server::configured(&configuration(""));
    let told = turnctl(&server, &["drain"]);
    assert_eq!(told, (0, "draining: 0 allocations are left\n".to_owned()));
    assert!(server.wait().success());
}

#[test]
fn without_a_server_it_says_where_it_looked() {
    let nowhere = tempfile::tempdir().unwrap();
    let path = nowhere.path().join("control.sock");
    let mut turnctl = Command::new(env!("CARGO_BIN_EXE_turnctl"));
    let output = turnctl.args(["status", "--socket"]).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(path.to_str().unwrap()) && text.contains("no server"), "{text}");
}

#[test]
fn what_is_no_request_is_told_so_and_costs_nothing() {
    use std::io::{Read as _, Write as _};
    let server = Server::configured(&configuration(""));
    for request in ["nonsense\n", "{\"command\":\"explode\"}\n", &"a".repeat(9000)] {
        let path = server.state.path().join("control.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        // The server may have answered and closed before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("{\"error\":"), "{answer}");
    }
    assert_eq!(turnctl(&server, &["status"]).0, 0);
}
