//! Test links on the listeners of the relay: who has one is served, and nobody else learns that there are any.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use taciturn_stun::{AttributeType, Message, Method};
use testkit::certificates::{Authority, HOST};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server with a listener for TCP and TLS, and its certificate's authority.
struct Rig {
    server: Server,
    authority: Authority,
    at: SocketAddr,
    _certificate: tempfile::TempDir,
}

/// A port that is free now. A link names the port of its listener, so that has to have one.
fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Rig {
    fn new() -> Self {
        Self::with("auto", "")
    }

    fn with(transport: &str, more: &str) -> Self {
        let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.issue().write_pair(directory.path());
        let at = |name: &str| directory.path().join(name).display().to_string();
        let port = free_port();
        let tls = match transport {
            "tcp" => String::new(),
            _ => format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", at("cert.pem"), at("key.pem")),
        };
        let server = Server::configured(&format!(
            "realm = \"{REALM}\"\nhost = \"{HOST}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n\
             [admin]\nmetrics = \"127.0.0.1:0\"\n{tls}\
             [auth]\nusers = [\"{USER}:{PASSWORD}\"]\nsecrets = [\"the secret of the homeserver\"]\n\
             [peers]\nallow = [\"127.0.0.0/8\"]\n{more}\n\
             [[listen]]\naddress = \"127.0.0.1:{port}\"\ntransport = \"{transport}\"\n"
        ));
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        Self { server, authority, at, _certificate: directory }
    }

    fn turnctl(&self, arguments: &[&str]) -> (i32, String) {
        let mut turnctl = Command::new(testkit::program::turnctl());
        let socket = self.server.state.path().join("control.sock");
        turnctl.args(arguments).arg("--socket").arg(socket);
        let output = turnctl.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// Makes a link; its path, with both slashes.
    fn link(&self, arguments: &[&str]) -> String {
        let (code, text) = self.turnctl(&[&["test-link", "--no-wait"], arguments].concat());
        assert_eq!(code, 0, "{text}");
        let url = text.lines().next().unwrap();
        url[url.find("/test/").unwrap()..].to_owned()
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// All that comes back for these bytes over TCP, and over TLS.
    async fn answers(&self, request: &[u8]) -> [Vec<u8>; 2] {
        let over_tls = self.authority.connect(self.tcp().await).await.unwrap();
        [ask(self.tcp().await, request).await, ask(over_tls, request).await]
    }

    /// The answer to a request of the page.
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.request("POST", path, PAGE, &body.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = ask(self.tcp().await, request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

/// What a browser sends with a request of the page.
const PAGE: &str = "Host: turn.example.org\r\nOrigin: http://turn.example.org\r\nContent-Type: application/json\r\n";

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap() {
        Ok(_) => {}
        // Closed with something unread, or without TLS's goodbye.
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A guest's connection: it has logged in with what `begin` gave.
async fn guest(rig: &Rig, begun: &Value) -> StreamClient<TcpStream> {
    let (name, password) =
        (begun["username"].as_str().unwrap(), begun["credential"].as_str().unwrap());
    StreamClient::of_user(rig.tcp().await, name, password)
}

#[tokio::test]
async fn without_a_link_nothing_is_answered() {
    let rig = Rig::new();
    for request in [get("/"), get("/test/0123456789012345678901/"), b"GET ".to_vec()] {
        assert_eq!(rig.answers(&request).await, [b"", b""]);
    }
}

#[tokio::test]
async fn with_a_link_whoever_has_another_address_gets_no_byte() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let head = |line: String| {
        [line.as_bytes(), b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat()
    };
    let short = &path[..path.len() - 2];
    for request in [
        get("/"),
        get("/test/"),
        get("/test/0123456789012345678901/"),
        get(&path.replace("/test/", "/tests/")),
        get(&path[5..]),
        get(short),
        head(format!("HEAD {path}")),
        head(format!("OPTIONS {path}")),
        head(format!("get {path}")),
        head(format!("GET http://{HOST}{path}")),
        b"GET /test/".to_vec(),
        b"GET ".to_vec(),
        b"POST /\r\n\r\n".to_vec(),
        b"G\r\n\r\n\r\n\r\n\r\n\r\n\r\n".to_vec(),
        b"\x00\x00GET /".to_vec(),
    ] {
        assert_eq!(
            rig.answers(&request).await,
            [b"", b""],
            "{}",
            String::from_utf8_lossy(&request)
        );
    }
    for answer in rig.answers(&get(&path)).await {
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("<!doctype html>"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_connection_with_a_link_cannot_ask_for_anything_else_afterwards() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let mut stream = rig.tcp().await;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = vec![0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, b"HTTP/1.1 200");
    let rest = String::from_utf8(ask(stream, &get("/metrics")).await).unwrap();
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
}

/// A link on it is read there, and on the listeners of the relay as ever; no client is told of it.
#[tokio::test]
async fn the_address_of_web_is_for_links_alone() {
    for (transport, scheme) in [("auto", "https"), ("tcp", "http")] {
        let port = free_port();
        let rig = Rig::with(transport, &format!("[web]\nlisten = \"127.0.0.1:{port}\""));
        let own = SocketAddr::from(([127, 0, 0, 1], port));
        let closed = ask(TcpStream::connect(own).await.unwrap(), &get("/test/x/")).await;
        assert_eq!(closed, b"");
        let (code, text) = rig.turnctl(&["test-link", "--no-wait"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with(&format!("{scheme}://{HOST}:{port}/test/")), "{text}");
        assert!(text.contains("[web]"), "{text}");
        let url = text.lines().next().unwrap();
        let path = &url[url.find("/test/").unwrap()..];
        let connect = || async { TcpStream::connect(own).await.unwrap() };
        let mut answers =
            vec![ask(connect().await, &get(path)).await, ask(rig.tcp().await, &get(path)).await];
        if scheme == "https" {
            let secure = rig.authority.connect(connect().await).await.unwrap();
            answers.push(ask(secure, &get(path)).await);
        }
        for answer in answers {
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
        let begun = rig.post(&format!("{path}begin"), &json!({})).await.1;
        let uris = begun["uris"].to_string();
        assert!(uris.contains(&rig.at.port().to_string()), "{uris}");
        assert!(!uris.contains(&port.to_string()), "{uris}");
    }
}

#[tokio::test]
async fn calls_are_served_as_ever_while_a_link_is_out() {
    let rig = Rig::new();
    rig.link(&[]);
    let mut plain = StreamClient::new(rig.tcp().await);
    plain.allocate().await;
    let mut secure = StreamClient::new(rig.authority.connect(rig.tcp().await).await.unwrap());
    secure.allocate().await;
    // In crumbs, and silent at first.
    let mut slow = StreamClient::new(rig.authority.connect(rig.tcp().await).await.unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    slow.allocate().await;
}

#[tokio::test]
async fn the_page_comes_with_headers_that_let_nothing_else_in() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    for (name, kind) in
        [("", "text/html"), ("test.js", "text/javascript"), ("page.css", "text/css")]
    {
        let [answer, _] = rig.answers(&get(&format!("{path}{name}"))).await;
        let head = String::from_utf8(answer).unwrap().to_lowercase();
        for wanted in [
            &format!("content-type: {kind}; charset=utf-8")[..],
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(wanted), "{name}: no {wanted:?} in {head}");
        }
    }
    let token = path.trim_matches('/').trim_start_matches("test/");
    let [answer, _] = rig.answers(&get(path.trim_end_matches('/'))).await;
    let head = String::from_utf8(answer).unwrap();
    assert!(head.contains("308") && head.contains(&format!("location: {token}/\r\n")), "{head}");
    for (method, name, status) in [
        ("GET", "none.js", 404),
        ("GET", "..%2f..%2fmetrics", 404),
        ("GET", "begin", 405),
        ("POST", "", 405),
        ("DELETE", "report", 400),
    ] {
        if method == "DELETE" {
            // Not even as much is answered.
            let request = format!("DELETE {path}{name} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(ask(rig.tcp().await, request.as_bytes()).await, b"");
            continue;
        }
        let (answered, _) = rig.request(method, &format!("{path}{name}"), PAGE, "").await;
        assert_eq!(answered, status, "{method} {name}");
    }
}

#[tokio::test]
async fn only_the_page_itself_may_ask_and_only_for_what_there_is() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let begin = format!("{path}begin");
    for headers in [
        "Host: turn.example.org\r\nContent-Type: application/json\r\n",
        "Host: turn.example.org\r\nOrigin: http://evil.example\r\nContent-Type: application/json\r\n",
        "Host: turn.example.org\r\nOrigin: null\r\nContent-Type: application/json\r\n",
        "Host: turn.example.org\r\nOrigin: http://turn.example.org\r\nContent-Type: text/plain\r\n",
    ] {
        let (status, _) = rig.request("POST", &begin, headers, "{}").await;
        assert_eq!(status, 403, "{headers}");
    }
    let long = "x".repeat(8193);
    let (status, _) = rig.request("POST", &format!("{path}report"), PAGE, &long).await;
    assert_eq!(status, 413);
    for body in ["", "[]", "{\"id\":1}", "\u{0}", "{\"id\":\"x\",\"uris\":{}}"] {
        let (status, _) = rig.request("POST", &format!("{path}report"), PAGE, body).await;
        assert_eq!(status, 400, "{body}");
    }
    let (status, answer) = rig.post(&format!("{path}report"), &json!({ "id": "0000000000" })).await;
    assert_eq!((status, answer), (404, json!({ "error": "unknown" })));
}

#[tokio::test]
async fn a_guest_tests_and_both_ends_are_joined() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let (status, begun) = rig.post(&format!("{path}begin"), &json!({})).await;
    assert_eq!(
        (status, &begun["lifetime"], &begun["people"]),
        (200, &json!(600), &json!(2)),
        "{begun}"
    );
    let uris = begun["uris"].clone();
    let port = rig.at.port();
    let (tcp, tls) =
        (format!("turn:{HOST}:{port}?transport=tcp"), format!("turns:{HOST}:{port}?transport=tcp"));
    assert_eq!(uris, json!([tcp, tls]));

    let (mut one, mut two) = (guest(&rig, &begun).await, guest(&rig, &begun).await);
    let (a, b) = (one.allocate().await, two.allocate().await);
    one.bind(channel(), b).await;
    two.bind(channel(), a).await;
    for _ in 0..3 {
        one.send(channel(), &[7; 100]).await;
        assert_eq!(two.receive(channel()).await, [7; 100]);
    }
    // Whatever users may: the operator allows this network.
    let refused = one
        .ask(Method::CREATE_PERMISSION, |writer| {
            writer.address(AttributeType::XOR_PEER_ADDRESS, "127.0.0.9:9".parse().unwrap());
        })
        .await;
    assert_eq!(Message::parse(&refused).unwrap().error_code(), Some(403));

    let report = json!({ "id": begun["id"], "language": "ru", "pair": null, "uris": [
        { "uri": tcp, "candidate_ms": 12.5, "relayed": a, "code": 701, "sent": 50, "received": 50, "rtt_ms": 3.2 },
        { "uri": tls, "candidate_ms": null, "text": "<b>\u{202e}" },
        { "uri": "turn:somebody.else", "candidate_ms": 1, "sent": 1, "received": 1 },
    ]});
    let (status, outcome) = rig.post(&format!("{path}report"), &report).await;
    assert_eq!(
        (status, &outcome["verdict"], &outcome["advice"]),
        (200, &json!("ok"), &json!(["tls-blocked"]))
    );
    assert_eq!(
        outcome["uris"],
        json!([{ "uri": tcp, "verdict": "ok" }, { "uri": tls, "verdict": "tls-blocked" }])
    );
    let seen = &outcome["seen"];
    assert_eq!((&seen["allocations"], &seen["transports"]), (&json!(2), &json!(["tcp"])));
    assert_eq!((&seen["to_peers"], &seen["from_peers"]), (&json!(3), &json!(3)));

    let (code, text) = rig.turnctl(&["test-link", "--results", "--json"]);
    assert_eq!(code, 0, "{text}");
    let kept: Value = serde_json::from_str(text.trim()).unwrap();
    let kept = &kept["report"];
    assert_eq!(
        (&kept["verdict"], &kept["id"], &kept["person"]),
        (&json!("ok"), &begun["id"], &json!(1))
    );
    assert_eq!(kept["uris"][0]["relayed"], json!(a));
    assert_eq!(kept["uris"][1]["text"], json!("<b> "));
    let (_, words) = rig.turnctl(&["test-link", "--results"]);
    assert!(words.contains("ok: calls work from there"), "{words}");
    let metrics = rig.server.told("metrics on http://").replace("/metrics", "");
    let stream = TcpStream::connect(metrics).await.unwrap();
    let overview =
        ask(stream, b"GET /api/overview HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
    let overview = String::from_utf8(overview).unwrap();
    let (_, body) = overview.split_once("\r\n\r\n").unwrap();
    let overview: Value = serde_json::from_str(body).unwrap();
    assert_eq!(&overview["tests"][0], kept);
}

#[tokio::test]
async fn turnctl_shows_each_result_as_it_comes_in_and_leaves_the_link() {
    let rig = Rig::new();
    let mut turnctl = Command::new(testkit::program::turnctl());
    let socket = rig.server.state.path().join("control.sock");
    turnctl.args(["test-link", "--socket"]).arg(socket).stdout(Stdio::piped());
    let mut waiting = turnctl.spawn().unwrap();
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.next().unwrap();
    assert!(lines.any(|line| line.starts_with("Waiting for results")));
    let path = &url[url.find("/test/").unwrap()..];
    let (_, begun) = rig.post(&format!("{path}begin"), &json!({})).await;
    let good = json!({ "uri": begun["uris"][0], "candidate_ms": 1, "sent": 50, "received": 50 });
    let report = json!({ "id": begun["id"], "language": "en", "uris": [good] });
    rig.post(&format!("{path}report"), &report).await;
    assert!(lines.any(|line| line == "  ok: calls work from there"));
    let pid = Pid::from_child(&waiting);
    kill_process(pid, Signal::INT).unwrap();
    assert!(lines.any(|line| line.starts_with("The link stays valid until")));
    assert!(waiting.wait().unwrap().success());
    assert_eq!(rig.post(&format!("{path}begin"), &json!({})).await.0, 200);
}

#[tokio::test]
async fn two_people_find_each_other() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let signal = format!("{path}signal");
    let begin = async || rig.post(&format!("{path}begin"), &json!({})).await.1["id"].clone();
    let (one, two) = (begin().await, begin().await);
    let ask = async |id: &Value, data: Value, after: u32| {
        rig.post(&signal, &json!({ "id": id, "data": data, "after": after })).await
    };
    assert_eq!(ask(&one, Value::Null, 0).await, (200, json!({ "peer": null, "messages": [] })));
    let (_, found) = ask(&two, json!({ "offer": "v=0" }), 0).await;
    assert_eq!(found, json!({ "peer": one, "messages": [] }));
    let (_, offered) = ask(&one, json!({ "answer": 1 }), 0).await;
    assert_eq!(
        offered,
        json!({ "peer": two, "messages": [{ "n": 1, "data": { "offer": "v=0" } }] })
    );
    let (status, _) = ask(&one, json!("x".repeat(5000)), 1).await;
    assert_eq!(status, 413);
    let (status, _) = ask(&json!("0000000000"), Value::Null, 0).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_link_ends_by_use_and_at_a_word() {
    let rig = Rig::new();
    let path = rig.link(&["--people", "1"]);
    let begin = format!("{path}begin");
    for _ in 0..5 {
        assert_eq!(rig.post(&begin, &json!({})).await.0, 200);
    }
    assert_eq!(rig.post(&begin, &json!({})).await, (410, json!({ "error": "ended" })));
    let (_, text) = rig.turnctl(&["test-link", "--end"]);
    assert_eq!(text, "1 links ended\n");
    assert_eq!(rig.answers(&get(&path)).await, [b"", b""]);
}

#[tokio::test]
async fn a_secret_that_was_changed_is_told() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let (_, begun) = rig.post(&format!("{path}begin"), &json!({})).await;
    let file = rig.server.state.path().join("taciturn.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("the secret of the homeserver", "another secret, a new one"),
    )
    .unwrap();
    let (code, said) = rig.turnctl(&["reload"]);
    assert_eq!(code, 0, "{said}");
    let uri = &begun["uris"][0];
    let good = json!({ "uri": uri, "candidate_ms": 1, "sent": 50, "received": 50 });
    let report = json!({ "id": begun["id"], "uris": [good] });
    let (_, outcome) = rig.post(&format!("{path}report"), &report).await;
    assert_eq!(outcome["verdict"], "secret-changed", "{outcome}");
    // The guest itself has another password, which is still good.
    guest(&rig, &begun).await.allocate().await;
}

#[tokio::test]
async fn a_certificate_that_a_device_refuses_is_told() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let (_, begun) = rig.post(&format!("{path}begin"), &json!({})).await;
    let stream = std::net::TcpStream::connect(rig.at).unwrap();
    let device = SslConnector::builder(SslMethod::tls_client()).unwrap().build();
    assert!(device.connect(HOST, stream).is_err(), "it knows public authorities alone");
    let report = json!({ "id": begun["id"], "uris": [{ "uri": begun["uris"][1] }] });
    // The alert may still be on its way.
    for _ in 0..50 {
        let (_, outcome) = rig.post(&format!("{path}report"), &report).await;
        if outcome["uris"][0]["verdict"] == "cert-untrusted" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server has not seen it");
}

#[tokio::test]
async fn a_server_that_drains_says_so() {
    let rig = Rig::new();
    let path = rig.link(&[]);
    let (_, begun) = rig.post(&format!("{path}begin"), &json!({})).await;
    // Something that it waits for.
    let mut call = StreamClient::new(rig.tcp().await);
    call.allocate().await;
    assert_eq!(rig.turnctl(&["drain"]).0, 0);
    assert_eq!(guest(&rig, &begun).await.try_allocate().await, Err(508));
    let report = json!({ "id": begun["id"], "uris": [{ "uri": begun["uris"][0], "code": 508 }] });
    let (_, outcome) = rig.post(&format!("{path}report"), &report).await;
    assert_eq!(outcome["verdict"], "draining", "{outcome}");
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told() {
    let rig = Rig::with("auto", "[limits]\nallocations = 1\n");
    let path = rig.link(&[]);
    let (_, begun) = rig.post(&format!("{path}begin"), &json!({})).await;
    let mut call = StreamClient::new(rig.tcp().await);
    call.allocate().await;
    assert_eq!(guest(&rig, &begun).await.try_allocate().await, Err(508));
    let report = json!({ "id": begun["id"], "uris": [{ "uri": begun["uris"][0], "code": 508 }] });
    let (_, outcome) = rig.post(&format!("{path}report"), &report).await;
    assert_eq!(outcome["verdict"], "quota", "{outcome}");
}

#[test]
fn a_link_without_a_certificate_is_one_without_tls() {
    let rig = Rig::with("tcp", "");
    let (code, text) = rig.turnctl(&["test-link", "--no-wait"]);
    let address = format!("http://{HOST}:{}/test/", rig.at.port());
    assert!(code == 0 && text.starts_with(&address) && text.contains("without TLS"), "{text}");
    let rig = Rig::new();
    let (_, text) = rig.turnctl(&["test-link", "--no-wait", "--url", "https://calls.example.org"]);
    assert!(text.starts_with("https://calls.example.org/test/"), "{text}");
}

#[test]
fn what_no_link_can_be_is_refused_with_the_reason() {
    let rig = Rig::new();
    for (arguments, reason) in [
        (&["--for", "59s"][..], "valid for 1m to 7d"),
        (&["--for", "8d"], "valid for 1m to 7d"),
        (&["--people", "0"], "1 to 4 people"),
        (&["--people", "5"], "1 to 4 people"),
    ] {
        let (code, text) = rig.turnctl(&[&["test-link", "--no-wait"], arguments].concat());
        assert!(code != 0 && text.contains(reason), "{text}");
    }
    for _ in 0..8 {
        rig.link(&[]);
    }
    let (code, text) = rig.turnctl(&["test-link", "--no-wait"]);
    assert!(code != 0 && text.contains("8 links are out already"), "{text}");
    let server = Server::start(&[]);
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(["test-link", "--socket"]).arg(server.state.path().join("control.sock"));
    let output = turnctl.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("listener"), "{text}");
}
