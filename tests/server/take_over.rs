//! Another process takes the place of a running server, and calls go on.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use taciturn_control::{Answer, CarriedOver, Connection, Line, Request, Status};
use taciturn_stun::ChannelData;
use testkit::certificates::Authority;
use testkit::datagrams::udp;
use testkit::program;
use testkit::server::{PATIENCE, Server, bare};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use testkit::tcp_relay_client::{ALICE, RelayClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

const PORT: u16 = 41_478;

/// A configuration on an address of its own, so that no other test has its ports.
fn configuration(ip: &str, workers: u16, more: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"{ip}\"\nworkers = {workers}\nrelay_ports = \"42000-42499\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n[admin]\nmetrics = \"off\"\n\
         [[listen]]\naddress = \"{ip}:{PORT}\"\ntransport = \"udp\"\n\
         [[listen]]\naddress = \"{ip}:{PORT}\"\ntransport = \"tcp\"\n{more}"
    )
}

/// The command for another process on the state directory of this one.
fn successor(server: &Server) -> Command {
    let mut command = bare(server.state.path());
    command.arg("--take-over").arg("--config").arg(server.state.path().join("taciturn.toml"));
    command
}

/// Another process that takes over from this one, which ends.
fn taken_over(mut server: Server) -> Server {
    let next = successor(&server);
    let state = std::mem::replace(&mut server.state, tempfile::tempdir().unwrap());
    let next = Server::spawned(next, state);
    next.wait_for_log("running calls were carried over", 1);
    server.wait_for_log("another process has taken over", 1);
    assert!(server.wait().success());
    next
}

fn status(server: &Server) -> Status {
    let path = server.state.path().join("control.sock");
    let mut connection = Connection::open(&path, PATIENCE, "0.1.0").unwrap();
    connection.send(&Request::Status).unwrap();
    match connection.receive().unwrap().line {
        Line::Last { outcome: Ok(Answer::Status(status)), .. } => *status,
        other => panic!("{other:?}"),
    }
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

/// Calls on UDP and TCP go on in processes with so many workers, one after the other.
async fn calls_go_on(ip: &str, workers: &[u16]) {
    let peer = echo().await;
    let mut server = Server::configured(&configuration(ip, workers[0], ""));
    let at = SocketAddr::new(ip.parse().unwrap(), PORT);
    let (mut by_udp, mut by_tcp) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let mut client = StreamClient::new(udp(at).await);
        client.allocate().await;
        client.bind(channel(), peer).await;
        by_udp.push(client);
        let mut client = StreamClient::new(TcpStream::connect(at).await.unwrap());
        client.allocate().await;
        client.bind(channel(), peer).await;
        by_tcp.push(client);
    }
    for (n, workers) in (0_u8..).zip(workers.iter().skip(1).chain([&workers[0]])) {
        for client in &mut by_udp {
            talk!(client, &[n, 1]);
        }
        for client in &mut by_tcp {
            talk!(client, &[n, 2]);
        }
        server.write_configuration(&configuration(ip, *workers, ""));
        server = taken_over(server);
        let CarriedOver { allocations, stayed, ended, .. } = status(&server).carried_over.unwrap();
        assert_eq!((allocations, stayed, ended), (16, 0, 0), "{workers} workers");
    }
    for client in &mut by_udp {
        talk!(client, b"at last");
    }
    for client in &mut by_tcp {
        talk!(client, b"at last");
    }
    drop(by_tcp);
    // Of TCP they end with the connection.
    for _ in 0..300 {
        if status(&server).allocations == 8 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{:?}", status(&server));
}

#[tokio::test]
async fn calls_on_udp_and_tcp_go_on_in_another_process() {
    calls_go_on("127.41.0.1", &[1, 1, 1]).await;
}

#[tokio::test]
async fn calls_go_on_where_their_packets_come_to_with_another_number_of_workers() {
    calls_go_on("127.41.0.2", &[2, 3, 1, 4, 2]).await;
}

/// Half of a message is there when the process changes.
#[tokio::test]
async fn a_message_that_has_come_in_part_is_completed_in_the_other_process() {
    let (ip, peer) = ("127.41.0.3", echo().await);
    let server = Server::configured(&configuration(ip, 1, ""));
    let mut client = StreamClient::new(TcpStream::connect((ip, PORT)).await.unwrap());
    client.allocate().await;
    client.bind(channel(), peer).await;
    talk!(client, b"before");
    let message = [&ChannelData::header(channel(), 8)[..], b"one half"].concat();
    client.write(&message[..7]).await;
    // The server has read it when it has read what was sent by another.
    let mut other = StreamClient::new(TcpStream::connect((ip, PORT)).await.unwrap());
    other.allocate().await;
    let server = taken_over(server);
    client.write(&message[7..]).await;
    assert_eq!(client.receive(channel()).await, b"one half");
    assert_eq!(status(&server).allocations, 2);
}

async fn hear(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(bytes, expected);
}

/// RFC 6062: a connection that is bound, one that is not yet, and a relay socket that listens.
#[tokio::test]
async fn connections_of_tcp_allocations_go_on_in_another_process() {
    let ip = "127.41.0.4";
    let server = Server::configured(&configuration(ip, 2, "[protocol]\ntcp_relay = true\n"));
    let connect = async || TcpStream::connect((ip, PORT)).await.unwrap();
    let mut control = RelayClient::new(connect().await, ALICE);
    let relayed = control.allocate().await;
    let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listening.local_addr().unwrap();
    control.permit(peer).await;
    let id = control.connect(peer).await.unwrap();
    let mut far = listening.accept().await.unwrap().0;
    let mut near = RelayClient::new(connect().await, ALICE).bind(id).await.unwrap();
    near.write_all(b"before").await.unwrap();
    hear(&mut far, b"before").await;
    // Its peer has spoken, and nobody has bound it.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unbound = control.connect(other.local_addr().unwrap()).await.unwrap();
    let mut waiting = other.accept().await.unwrap().0;
    waiting.write_all(b"hello").await.unwrap();

    let server = taken_over(server);
    near.write_all(b"after").await.unwrap();
    hear(&mut far, b"after").await;
    far.write_all(b"and back").await.unwrap();
    let mut back = [0; 8];
    timeout(PATIENCE, near.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"and back");
    let mut late = RelayClient::new(connect().await, ALICE).bind(unbound).await.unwrap();
    let mut hello = [0; 5];
    timeout(PATIENCE, late.read_exact(&mut hello)).await.unwrap().unwrap();
    assert_eq!(&hello, b"hello");
    // The relay socket accepts.
    let arrives = TcpStream::connect(relayed).await.unwrap();
    assert_eq!(control.attempt().await.1.ip(), arrives.local_addr().unwrap().ip());
    // With the allocation they end.
    control.release().await;
    assert_eq!(timeout(PATIENCE, far.read(&mut [0; 10])).await.unwrap().unwrap(), 0);
    drop(server);
}

/// Its session is in the old process, which ends with it. Until then the relay port is in use in the new one as well.
#[tokio::test]
async fn a_client_on_tls_stays_in_the_old_process_until_it_ends() {
    let (ip, peer, authority) = ("127.41.0.8", echo().await, Authority::new());
    let certificates = tempfile::tempdir().unwrap();
    authority.issue().write_pair(certificates.path());
    let at = |name: &str| certificates.path().join(name).display().to_string();
    let more = format!(
        "[[listen]]\naddress = \"{ip}:41479\"\ntransport = \"tls\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        at("cert.pem"),
        at("key.pem")
    );
    let mut old = Server::configured(&configuration(ip, 1, &more));
    let stream = TcpStream::connect((ip, 41_479)).await.unwrap();
    let mut client = StreamClient::new(authority.connect(stream).await.unwrap());
    client.allocate().await;
    client.bind(channel(), peer).await;
    talk!(client, b"before");
    let next = successor(&old);
    let state = std::mem::replace(&mut old.state, tempfile::tempdir().unwrap());
    let new = Server::spawned(next, state);
    old.wait_for_log("another process has taken over", 1);
    talk!(client, b"after");
    let known = status(&new);
    let carried_over = known.carried_over.unwrap();
    assert_eq!((carried_over.allocations, carried_over.stayed), (0, 1));
    assert_eq!((known.allocations, known.relay_ports_used.ipv4), (0, 1));
    drop(client);
    assert!(old.wait().success());
    for _ in 0..300 {
        if status(&new).relay_ports_used.ipv4 == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{:?}", status(&new));
}

/// Whatever goes wrong before the other process is ready: this one goes on.
#[tokio::test]
async fn where_the_other_process_cannot_serve_this_one_goes_on() {
    let (ip, peer) = ("127.41.0.5", echo().await);
    let server = Server::configured(&configuration(ip, 1, ""));
    let mut client =
        StreamClient::new(udp((ip.parse::<std::net::IpAddr>().unwrap(), PORT).into()).await);
    client.allocate().await;
    client.bind(channel(), peer).await;
    // It has an address that is taken.
    let taken = std::net::TcpListener::bind((ip, 0)).unwrap();
    let more =
        format!("[[listen]]\naddress = \"{}\"\ntransport = \"tcp\"\n", taken.local_addr().unwrap());
    server.write_configuration(&configuration(ip, 1, &more));
    let output = successor(&server).output().unwrap();
    assert!(!output.status.success());
    server.wait_for_log("not handed over, this process goes on", 1);
    talk!(client, b"goes on");
    // It is one that only asks, and is gone.
    let path = server.state.path().join("control.sock");
    let mut connection = Connection::open(&path, PATIENCE, "0.1.0").unwrap();
    connection.send(&Request::HandOver).unwrap();
    drop(connection);
    server.wait_for_log("not handed over, this process goes on", 2);
    talk!(client, b"still");
    // What it says is no word of the hand-over.
    let mut connection = Connection::open(&path, PATIENCE, "0.1.0").unwrap();
    connection.send(&Request::HandOver).unwrap();
    assert!(matches!(
        connection.receive().unwrap().line,
        Line::Last { outcome: Ok(Answer::HandOver(_)), .. }
    ));
    let stream: UnixStream = connection.into_stream().unwrap();
    std::io::Write::write_all(&mut &stream, &[0xff; 200]).unwrap();
    server.wait_for_log("not handed over, this process goes on", 3);
    talk!(client, b"and still");
    assert_eq!(status(&server).allocations, 1);
}

#[test]
fn where_no_server_listens_it_starts_as_usual() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("taciturn.toml");
    std::fs::write(&file, configuration("127.41.0.6", 1, "")).unwrap();
    let mut command = bare(state.path());
    command.arg("--take-over").arg("--config").arg(&file);
    let server = Server::spawned(command, state);
    server.wait_for_log("no server listens on", 1);
    assert!(status(&server).carried_over.is_none());
}

/// A file that is a socket of another program gives nothing.
#[test]
fn a_program_that_only_listens_there_is_not_taken_over_from() {
    let state = tempfile::tempdir().unwrap();
    let socket = state.path().join("control.sock");
    let listening = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listening.accept() {
            let _ = std::io::Write::write_all(&mut &stream, b"220 mail.example.org ESMTP\r\n");
        }
    });
    let error = start_and_fail(state.path(), &configuration("127.41.0.7", 1, ""));
    assert!(error.contains("cannot take over from the server that listens on"), "{error}");
}

/// Starts a server that takes over, and returns what it says when it has failed.
fn start_and_fail(state: &Path, toml: &str) -> String {
    let file = state.join("taciturn.toml");
    std::fs::write(&file, toml).unwrap();
    let mut command = bare(state);
    command.arg("--take-over").arg("--config").arg(&file);
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", program::taciturn().display());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_ban_holds_in_the_process_that_takes_over_and_is_kept_by_it() {
    let ip = "127.41.0.93";
    let server = Server::configured(&configuration(ip, 2, ""));
    let at = SocketAddr::new(ip.parse().unwrap(), PORT);
    let peer = echo().await;
    let mut caller = StreamClient::new(udp(at).await);
    caller.allocate().await;
    caller.bind(channel(), peer).await;
    let ban = |server: &Server, kind: &str, value: &str| {
        let mut turnctl = Command::new(program::turnctl());
        turnctl.args(["ban", kind, value, "--socket"]);
        let output = turnctl.arg(server.state.path().join("control.sock")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    ban(&server, "user", "nobody");
    let server = taken_over(server);
    server.wait_for_log("1 bans hold", 1);
    talk!(caller, b"goes on");
    ban(&server, "user", USER);
    let server = taken_over(server);
    server.wait_for_log("2 bans hold", 1);
    assert_eq!(StreamClient::new(udp(at).await).try_allocate().await, Err(403));
}
