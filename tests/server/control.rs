//! turnctl and a server that runs.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

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

/// Runs turnctl against a server; returns its exit code, and all that it prints.
fn turnctl(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut turnctl = Command::new(testkit::program::turnctl());
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
    assert_eq!(first["protocol"], 1);
    let (code, text) = turnctl(&server, &["status"]);
    assert!(code == 0 && text.contains("ready\n  allocations      1\n"), "{text}");
    let (_, text) = turnctl(&server, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["result"]["status"]["bytes_to_peers"], 700);
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
    assert_eq!((code, text.as_str()), (0, "draining: 1 allocations left\n"));
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
    assert_eq!(told, (0, "draining: 0 allocations left\n".to_owned()));
    assert!(server.wait().success());
}

#[test]
fn without_a_server_it_says_where_it_looked() {
    let nowhere = tempfile::tempdir().unwrap();
    let path = nowhere.path().join("control.sock");
    let mut turnctl = Command::new(testkit::program::turnctl());
    let output = turnctl.args(["status", "--socket"]).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(path.to_str().unwrap()) && text.contains("no server"), "{text}");
}

/// Sends this to the control socket, and closes that direction; returns what the server answers.
fn said_to(server: &Server, request: &[u8]) -> String {
    use std::io::{Read as _, Write as _};
    let path = server.state.path().join("control.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    // The server may have answered and closed before it has read all of it.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn what_is_not_a_request_is_told_so_by_kind_and_costs_nothing() {
    let server = Server::configured(&configuration(""));
    let whole = "{\"protocol\":1,\"version\":\"0\",\"command\":\"status\"}";
    for (request, kind) in [
        ("nonsense\n", "malformed"),
        ("", "malformed"),
        (&whole[..20], "malformed"),
        (whole, "malformed"),
        ("{\"protocol\":1,\"version\":\"0\",\"command\":\"explode\"}\n", "malformed"),
        (&"a".repeat(70_000), "too-long"),
        ("{\"protocol\":1,\"version\":\"0\",\"command\":\"kick\"}\n", "invalid-argument"),
        (
            "{\"protocol\":1,\"version\":\"0\",\"command\":\"log-level\",\"filter\":\"inof\"}\n",
            "invalid-argument",
        ),
        ("{\"protocol\":2,\"version\":\"9.9\",\"command\":\"explode\"}\n", "protocol-mismatch"),
        ("{\"command\":\"status\"}\n", "protocol-mismatch"),
    ] {
        let answer = said_to(&server, request.as_bytes());
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["ok"], &answer["protocol"]), (&false.into(), &1.into()), "{answer}");
        assert_eq!(answer["error"]["kind"], kind, "{request}: {answer}");
    }
    assert!(said_to(&server, format!("{whole}\n").as_bytes()).contains("\"ok\":true"));
    assert_eq!(turnctl(&server, &["status"]).0, 0);
}

/// Runs turnctl against a server that reads a request, and answers with this.
fn answered_by(answer: &str, arguments: &[&str]) -> (i32, String) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(arguments).arg("--socket").arg(&path);
    turnctl.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = turnctl.spawn().unwrap();
    let (mut stream, _) = socket.accept().unwrap();
    let mut request = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    drop(stream);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn a_server_of_another_version_is_named_with_what_to_do() {
    let later = "{\"protocol\":2,\"version\":\"9.9.0\",\"outcome\":\"fine\"}\n";
    let (code, text) = answered_by(later, &["status"]);
    let ours = env!("CARGO_PKG_VERSION");
    let told = format!(
        "error: turnctl {ours} uses protocol 1, this server 9.9.0 uses protocol 2; use the \
         turnctl of the server's version\n"
    );
    assert_eq!((code, text), (1, told));
}

#[test]
fn an_answer_that_is_cut_off_or_to_another_question_is_an_error() {
    let (code, text) = answered_by("{\"protocol\":1,\"ok\":tr", &["status"]);
    assert!(code == 1 && text.contains("closed in the middle of it"), "{text}");
    let kicked = "{\"protocol\":1,\"version\":\"0\",\"ok\":true,\"result\":{\"kicked\":1}}\n";
    let (code, text) = answered_by(kicked, &["status"]);
    assert!(code == 1 && text.contains("does not understand the server's answer"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_measures_and_prints_a_plain_table() {
    let server = Server::configured(&configuration(""));
    let mut caller = client(&server).await;
    let relayed = caller.allocate().await;
    let mut quiet = client(&server).await;
    quiet.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.bind(channel(), peer.local_addr().unwrap()).await;
    let at = caller.mapped().await.to_string();
    std::thread::scope(|threads| {
        let top = threads.spawn(|| turnctl(&server, &["top", "--interval", "2s"]));
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            while !top.is_finished() {
                runtime.block_on(caller.send(channel(), &[1; 500]));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let (code, text) = top.join().unwrap();
        assert!(code == 0 && !text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("2 sessions, 1 users, relay ports 2/1101 IPv4"), "{text}");
        assert!(lines[1].starts_with("to peers") && lines[1].contains("kbit/s"), "{text}");
        assert!(lines[3].starts_with("USER") && lines.len() == 6, "{text}");
        // The one that sends comes first.
        for wanted in [USER, &at, "tcp", &relayed.to_string(), "kbit/s"] {
            assert!(lines[4].contains(wanted), "no {wanted} in {text}");
        }
        assert!(lines[5].contains("0 bit/s"), "{text}");
    });
    let (_, text) = turnctl(&server, &["top", "--once", "--interval", "1s", "--user", "nobody"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert_eq!(turnctl(&server, &["top", "--interval", "0"]).0, 2);
}

#[tokio::test]
async fn the_log_level_is_shown_and_changed_for_a_time_or_for_good() {
    let server = Server::configured(&configuration(""));
    let level = |arguments: &[&str]| turnctl(&server, &[&["log-level"], arguments].concat());
    assert_eq!(level(&[]), (0, "info\n".to_owned()));
    client(&server).await.allocate().await;
    assert!(!server.has_logged("allocation made"));
    assert_eq!(level(&["debug"]), (0, "debug (configured: info)\n".to_owned()));
    client(&server).await.allocate().await;
    server.wait_for_log("allocation made", 1);
    let (code, text) = level(&["info,taciturn_net=debug", "--for", "1s"]);
    assert_eq!((code, &text[..]), (0, "info,taciturn_net=debug (for 1s, then info)\n"));
    server.wait_for_log("log level: info again", 1);
    assert_eq!(level(&[]).1, "info\n");
    let (code, text) = level(&["inof"]);
    assert!(code == 2 && text.contains("did you mean \"info\"?"), "{text}");
    assert_eq!(level(&["--for", "1m"]).0, 2, "of what?");
    // The file has the last word when it changes, and not before.
    assert_eq!(level(&["debug"]).0, 0);
    assert_eq!(turnctl(&server, &["reload"]), (0, "no change\n".to_owned()));
    assert_eq!(level(&[]).1, "debug (configured: info)\n");
    server.write_configuration(&configuration("[log]\nlevel = \"warn\""));
    assert_eq!(turnctl(&server, &["reload"]), (0, "log.level: info -> warn\n".to_owned()));
    assert_eq!(level(&[]).1, "warn\n");
}

#[test]
fn certificates_are_shown_and_one_that_ends_soon_is_an_exit_code() {
    let state = tempfile::tempdir().unwrap();
    let write = |days: u64| {
        let mut params = rcgen::CertificateParams::new(["turn.example.org".to_owned()]).unwrap();
        let span = std::time::Duration::from_secs(days * 86400 + 3600);
        params.not_after = (std::time::SystemTime::now() + span).into();
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        std::fs::write(state.path().join("cert.pem"), made.pem()).unwrap();
        std::fs::write(state.path().join("key.pem"), key.serialize_pem()).unwrap();
    };
    write(60);
    let dir = state.path().display();
    let tls = format!(
        "[tls]\ncert = \"{dir}/cert.pem\"\nkey = \"{dir}/key.pem\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\nname = \"calls\"\n"
    );
    let server = Server::configured(&configuration(&tls));
    let (code, text) = turnctl(&server, &["certs"]);
    assert_eq!(code, 0, "{text}");
    let path = format!("  source       file, {dir}/cert.pem\n");
    for wanted in [
        "turn.example.org\n",
        "  listeners    calls\n",
        "  issuer       CN=",
        ", 60 days left\n",
        &path,
        "  renewal      ok",
        "  warning      the certificate is self-signed",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in {text}");
    }
    write(13);
    assert_eq!(turnctl(&server, &["reload"]).0, 0);
    let (code, text) = turnctl(&server, &["certs", "--json"]);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let certificate = &first["result"]["certificates"][0];
    assert_eq!((code, certificate["days_left"].as_i64()), (1, Some(13)), "{text}");
    std::fs::write(state.path().join("key.pem"), "no key").unwrap();
    server.wait_for_log("the last valid one", 1);
    let (code, text) = turnctl(&server, &["certs"]);
    assert!(code == 1 && text.contains("renewal      FAILED, this one stays in use:"), "{text}");
    // Listeners that are gone serve nothing.
    server.write_configuration(&configuration(""));
    assert_eq!(turnctl(&server, &["reload"]).0, 0);
    let (code, text) = turnctl(&server, &["certs"]);
    assert!(code == 0 && text.starts_with("no certificates"), "{text}");
}

/// The names of all fields in it.
fn names(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                names(value, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_name_in_the_json_is_in_the_documents() {
    let state = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    std::fs::write(state.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(state.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let dir = state.path().display();
    let server = Server::configured(&configuration(&format!(
        "[tls]\ncert = \"{dir}/cert.pem\"\nkey = \"{dir}/key.pem\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n"
    )));
    let tcp = TcpStream::connect(server.listener("tcp")).await.unwrap();
    let mut caller = StreamClient::new(tcp);
    caller.allocate().await;
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let document = std::fs::read_to_string(document).unwrap();
    for arguments in [
        &["status"][..],
        &["sessions"],
        &["certs"],
        &["page"],
        &["log-level"],
        &["reload"],
        &["kick", "--user", USER],
        &["drain", "--cancel"],
    ] {
        let (_, text) = turnctl(&server, &[arguments, &["--json"]].concat());
        let mut found = Vec::new();
        for line in text.lines() {
            names(&serde_json::from_str(line).unwrap(), &mut found);
        }
        assert!(found.contains(&"result".to_owned()), "{text}");
        for name in found {
            assert!(document.contains(&format!("`{name}`")), "docs/metrics.md has no `{name}`");
        }
    }
}

#[tokio::test]
async fn a_drain_can_be_cancelled() {
    let server = Server::configured(&configuration(""));
    assert_eq!(turnctl(&server, &["drain", "--cancel"]).1, "the server was not draining\n");
    let mut caller = client(&server).await;
    caller.allocate().await;
    assert_eq!(turnctl(&server, &["drain", "--timeout", "1h"]).0, 0);
    assert_eq!(client(&server).await.try_allocate().await, Err(508));
    let (code, text) = turnctl(&server, &["drain", "--cancel"]);
    let told = "draining cancelled: the server creates new allocations again\n";
    assert_eq!((code, text.as_str()), (0, told));
    client(&server).await.allocate().await;
    drop(caller);
    // Its last call ends, and it goes on.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(turnctl(&server, &["status"]).1.contains(", ready\n"));
    assert_eq!(turnctl(&server, &["drain", "--cancel", "--timeout", "1s"]).0, 2);
}

/// What a server with 1500 sessions says: `status` and `sessions` in turn, twice.
#[test]
fn top_takes_more_sessions_than_a_server_tells_in_one_go() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        for sample in 1..=2_u64 {
            for _ in 0..2 {
                let (mut stream, _) = socket.accept().unwrap();
                let mut request = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
                let mut answer = String::new();
                if request.contains("status") {
                    answer.push_str(&format!(
                        "{{\"protocol\":1,\"version\":\"0\",\"ok\":true,\"result\":{{\"status\":{{\
                         \"version\":\"0\",\"started_at\":1,\"ready\":true,\"workers\":1,\
                         \"allocations\":1500,\"users\":9,\"connections\":0,\"relay_ports\":2000,\
                         \"relay_ports_used\":{{\"ipv4\":1500,\"ipv6\":0}},\"bytes_to_peers\":{0},\
                         \"bytes_to_clients\":{0},\"packets_to_peers\":{0},\"packets_to_clients\":{0},\
                         \"last_reload\":{{\"succeeded\":true,\"finished_at\":1}},\
                         \"certificates\":[],\"closing_listeners\":[]}}}}}}\n",
                        sample * 1_000_000
                    ));
                } else {
                    for n in 0..1500 {
                        answer.push_str(&format!(
                            "{{\"protocol\":1,\"session\":{{\"client\":\"192.0.2.1:{n}\",\
                             \"transport\":\"udp\",\"user\":\"u{n}\",\"relayed_addresses\":[],\
                             \"permissions\":1,\"channels\":0,\"age_seconds\":90,\
                             \"expires_in_seconds\":510,\"bytes_to_peers\":{0},\
                             \"bytes_to_clients\":0,\"packets_to_peers\":{0},\
                             \"packets_to_clients\":0}}}}\n",
                            sample * n
                        ));
                    }
                    answer.push_str(
                        "{\"protocol\":1,\"version\":\"0\",\"ok\":true,\"result\":{\"sessions\":1500}}\n",
                    );
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(["top", "--once", "--interval", "1s", "--socket"]).arg(&path);
    let text = String::from_utf8(turnctl.output().unwrap().stdout).unwrap();
    server.join().unwrap();
    assert_eq!(text.lines().count(), 1504);
    let first = text.lines().nth(4).unwrap();
    assert!(first.starts_with("u1499 ") && first.contains("kbit/s"), "{first}");
}

/// What a process gets that asks for the server's sockets: the kind of the error. It runs as `uid` if that is given.
fn asks_to_take_over(server: &Server, uid: Option<u32>) -> String {
    let path = server.state.path().join("control.sock");
    let asking = std::thread::spawn(move || {
        if let Some(uid) = uid.map(rustix::process::Uid::from_raw) {
            // Of this thread alone.
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream
            .write_all(b"{\"protocol\":1,\"version\":\"1\",\"command\":\"hand-over\"}\n")
            .unwrap();
        let mut answer = String::new();
        std::io::BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()
    });
    let answer = asking.join().unwrap();
    answer["error"]["kind"].as_str().unwrap_or("may take over").to_owned()
}

/// Whoever is let in by the group of the socket, or by a mode that somebody gave it, may not have the keys.
#[test]
fn a_process_of_another_user_may_not_take_over() {
    let server = Server::configured(&configuration(""));
    assert_eq!(asks_to_take_over(&server, None), "may take over");
    server.wait_for_log("request=\"hand over\"", 1);
    server.wait_for_log("not handed over, this process goes on", 1);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(server.state.path(), 0o755);
    mode(&server.state.path().join("control.sock"), 0o666);
    assert_eq!(asks_to_take_over(&server, Some(65534)), "not-permitted");
}
