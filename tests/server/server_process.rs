//! The server as a person at a terminal, or systemd, meets it.
#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use taciturn_stun::{Class, Message, Method, TransactionId, Writer};
use testkit::server::{PATIENCE, Server, command};

/// One Binding transaction; the server answers, so it runs.
fn binding(server: &Server) -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = [0; 20];
    let tid = TransactionId(*b"binding test");
    Writer::new(&mut request, Class::Request, Method::BINDING, tid).finish().unwrap();
    socket.send_to(&request, server.address).unwrap();
    let mut answer = [0; 100];
    let len = socket.recv(&mut answer).unwrap();
    let mapped = Message::parse(&answer[..len]).unwrap().mapped_address().unwrap();
    assert_eq!(mapped, socket.local_addr().unwrap());
    mapped
}

fn output(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn starts_without_configuration_and_keeps_one_secret() {
    let server = Server::start(&[]);
    binding(&server);
    let kept = server.state.path().join("turn_secret");
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(kept).unwrap().trim().len() >= 48);
}

#[test]
fn says_where_it_listens_and_what_it_relays_on() {
    let server = Server::start(&["--realm", "turn.domain.org", "--workers", "1"]);
    let expected = format!(
        "taciturn {} is ready\n  listening    {}/udp\n  relaying on  127.0.0.1, ports 59000-60100 (1101)\n  \
         realm        turn.domain.org\n  credentials  1 shared secret of its own in {}/turn_secret\n  \
         workers      1, one core each\n",
        env!("CARGO_PKG_VERSION"),
        server.address,
        server.state.path().display()
    );
    assert_eq!(server.announced, expected);
}

#[test]
fn what_nobody_has_configured_is_in_the_report_alone() {
    let server = Server::start(&[
        "--user",
        "alice:correct horse battery",
        "--user",
        "bob:staple of the horse",
    ]);
    assert!(server.announced.contains("  credentials  2 static users\n"), "{}", server.announced);
    let server = Server::start(&[]);
    assert!(
        server.announced.contains("  credentials  1 shared secret of its own in "),
        "{}",
        server.announced
    );
    server.signal(Signal::TERM);
    server.wait_for_log("stopping", 1);
    assert!(!server.has_logged("shared secret"));
}

#[test]
fn sigterm_and_ctrl_c_stop_it_at_once_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        binding(&server);
        server.signal(signal);
        assert!(server.wait().success(), "{signal:?}");
    }
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut text = [0; 200];
        let next = || {
            let len = manager.recv(&mut text).unwrap();
            String::from_utf8(text[..len].to_vec()).unwrap()
        };
        // What it is to keep for the next process comes in between.
        let is_kept = |text: &String| text.starts_with("FDSTORE") || text == "BARRIER=1";
        std::iter::repeat_with(next).find(|text| !is_kept(text)).unwrap()
    };
    let mut program = command(state.path());
    program.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let mut server = program.spawn().unwrap();
    assert_eq!(heard(), "READY=1\nSTATUS=Ready; no calls");
    // Each is an answer of every worker to a call after the one before.
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    let last = std::iter::repeat_with(heard).find(|text| text != "WATCHDOG=1").unwrap();
    assert_eq!(last, "STOPPING=1\nSTATUS=Stopping");
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_manager_that_cannot_be_told_is_an_error() {
    let state = tempfile::tempdir().unwrap();
    let mut program = command(state.path());
    program.env("NOTIFY_SOCKET", "/nowhere/notify");
    let (code, error) = output(program);
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot reach NOTIFY_SOCKET=/nowhere/notify"), "{error}");
}

#[test]
fn a_port_in_use_is_an_error_that_says_how_to_find_the_other_program() {
    // Not from the relay range, where a listener is a mistake of another kind. The kernel draws
    // ports from above 32768 by default, and may draw one of that range.
    let taken =
        (20_000..59_000).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).unwrap();
    let address = taken.local_addr().unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut program = command(state.path());
    program.args(["--listen", &format!("udp:{address}")]);
    let (code, error) = output(program);
    assert_eq!(code, Some(1));
    assert!(error.contains("another program has the port"), "{error}");
    assert!(error.contains(&format!("sport = :{}", address.port())), "{error}");
}

#[test]
fn a_listener_that_cannot_be_served_is_never_dropped_in_silence() {
    let state = tempfile::tempdir().unwrap();
    let mut program = command(state.path());
    program.args(["--listen", "tls:127.0.0.1:0"]);
    let (code, error) = output(program);
    assert_eq!(code, Some(2));
    assert!(error.contains("certificate"), "{error}");
}

#[cfg(not(feature = "dtls"))]
#[test]
fn without_the_feature_a_dtls_listener_is_refused_with_its_name() {
    let state = tempfile::tempdir().unwrap();
    let at = state.path().display();
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    std::fs::write(format!("{at}/cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(format!("{at}/key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut program = command(state.path());
    program.env("TACITURN_TLS_CERT", format!("{at}/cert.pem"));
    program.env("TACITURN_TLS_KEY", format!("{at}/key.pem"));
    program.args(["--listen", "dtls:127.0.0.1:0"]);
    let (code, error) = output(program);
    assert_eq!(code, Some(1));
    assert!(error.contains("dtls:0") && error.contains("--features dtls"), "{error}");
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let state = tempfile::tempdir().unwrap();
    let mut program = command(state.path());
    program.args(["--relay-ports", "60100-59000"]);
    let (code, error) = output(program);
    assert_eq!(code, Some(2));
    assert!(error.contains("--relay-ports"), "{error}");
    assert!(std::fs::read_dir(state.path()).unwrap().next().is_none(), "nothing was written");
}

#[test]
fn garbage_is_survived_in_silence() {
    let server = Server::start(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut junk: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte; 30]).collect();
    junk.push(Vec::new());
    junk.push(vec![0; 60_000]);
    junk.push(vec![0x40; 4]);
    for datagram in &junk {
        socket.send_to(datagram, server.address).unwrap();
    }
    binding(&server);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 10]).is_err(), "nothing is answered to garbage");
}

#[test]
fn clients_are_never_sent_back_to_where_they_are() {
    // RFC 8489 section 10: a loop that this server can see is not left for clients to see.
    let state = tempfile::tempdir().unwrap();
    let mut program = command(state.path());
    program.args(["--listen", "udp:127.0.0.1:23478"]);
    program.env("TACITURN_REDIRECT_SERVERS", "127.0.0.1:23478");
    let (code, error) = output(program);
    assert_eq!(code, Some(1));
    assert!(error.contains("127.0.0.1:23478 is this server itself"), "{error}");
}
