//! Signals and drains that let calls end.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::program;
use testkit::server::{PATIENCE, Server, bare};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};

fn configuration(stop: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\n[auth]\nusers = [\"{USER}:{PASSWORD}\"]\n\
         [process]\nstop = \"{stop}\"\n[admin]\nmetrics = \"off\"\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

async fn client(server: &Server) -> StreamClient<TcpStream> {
    StreamClient::new(TcpStream::connect(server.address).await.unwrap())
}

/// turnctl, which has not ended yet.
fn begun(server: &Server, arguments: &[&str]) -> Child {
    let mut turnctl = Command::new(program::turnctl());
    turnctl.args(arguments).arg("--socket").arg(server.state.path().join("control.sock"));
    turnctl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its exit code, and all that it has printed.
fn ended(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_signal_lets_calls_end_by_themselves_and_nobody_in() {
    let mut server = Server::configured(&configuration("drain"));
    let mut caller = client(&server).await;
    let relayed = caller.allocate().await;
    server.signal(Signal::TERM);
    server.wait_for_log("draining: 1 allocations left", 1);
    assert_eq!(client(&server).await.try_allocate().await, Err(508));
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.bind(channel(), peer.local_addr().unwrap()).await;
    peer.send_to(b"goes on!", relayed).await.unwrap();
    assert_eq!(caller.receive(channel()).await, b"goes on!");
    drop(caller);
    assert!(server.wait().success());
    assert!(!server.has_logged("ended by the operator"));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_so_does_the_end_of_the_time() {
    let mut server = Server::configured(&configuration("drain:1h"));
    let mut caller = client(&server).await;
    caller.allocate().await;
    server.signal(Signal::INT);
    server.wait_for_log("draining", 1);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let mut server = Server::configured(&configuration("drain:1s"));
    let mut caller = client(&server).await;
    caller.allocate().await;
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[tokio::test]
async fn a_signal_does_not_prolong_a_drain() {
    let mut server = Server::configured(&configuration("drain:1h"));
    let mut caller = client(&server).await;
    caller.allocate().await;
    assert_eq!(ended(begun(&server, &["drain", "--timeout", "2s"])).0, 0);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

#[test]
fn without_calls_a_signal_ends_it_within_a_second_or_two() {
    let mut server = Server::configured(&configuration("drain:1h"));
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn systemd_is_asked_to_wait_while_calls_go_on() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let file = state.path().join("taciturn.toml");
    std::fs::write(&file, configuration("drain:1h")).unwrap();
    let mut command = bare(state.path());
    command.arg("--config").arg(&file);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
    let server = Server::spawned(command, state);
    let mut caller = client(&server).await;
    caller.allocate().await;
    server.signal(Signal::TERM);
    let mut asked = 0;
    while asked < 3 {
        let mut text = [0; 300];
        let len = manager.recv(&mut text).unwrap();
        asked += u32::from(text[..len].starts_with(b"EXTEND_TIMEOUT_USEC=3000000"));
    }
    server.signal(Signal::TERM);
}

#[tokio::test]
async fn a_drain_that_is_waited_for_returns_when_the_server_has_ended() {
    let mut server = Server::configured(&configuration("now"));
    let mut caller = client(&server).await;
    caller.allocate().await;
    let mut waiting = begun(&server, &["drain", "--wait", "--timeout", "1h"]);
    server.wait_for_log("draining", 1);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(waiting.try_wait().unwrap().is_none());
    drop(caller);
    assert!(server.wait().success());
    let told = "draining: 1 allocations left\nthe server has ended\n";
    assert_eq!(ended(waiting), (0, told.to_owned()));
}

#[tokio::test]
async fn who_waits_learns_that_a_drain_was_cancelled() {
    let server = Server::configured(&configuration("now"));
    let mut caller = client(&server).await;
    caller.allocate().await;
    let waiting = begun(&server, &["drain", "--wait"]);
    server.wait_for_log("draining", 1);
    assert_eq!(ended(begun(&server, &["drain", "--cancel"])).0, 0);
    let (code, text) = ended(waiting);
    assert!(code == 1 && text.contains("cancelled the drain"), "{text}");
}
