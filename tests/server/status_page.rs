//! The status page, as browsers and other programs ask for it.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::io::{Read as _, Write as _};
use std::process::Command;

use serde_json::Value;
use taciturn_stun::{AttributeType, Message, Method};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER, channel};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}\"'&";

fn configuration(admin: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 2\n\
         [admin]\nmetrics = \"127.0.0.1:0\"\n{admin}\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

/// Head and body of the answer to a request with these headers.
fn http(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> (String, String) {
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!("{line} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Status of the answer to a GET from this machine.
fn status(server: &Server, path: &str, headers: &[(&str, &str)]) -> u16 {
    let (head, _) = http(server, &format!("GET {path}"), headers, "");
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

const HOST: (&str, &str) = ("Host", "127.0.0.1:9641");

fn overview(server: &Server, headers: &[(&str, &str)]) -> Value {
    // The state is looked up once a second at most.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (head, body) = http(server, "GET /api/overview", headers, "");
    assert!(head.starts_with("http/1.1 200"), "{head} {body}");
    serde_json::from_str(&body).unwrap()
}

fn turnctl(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut turnctl = Command::new(testkit::program::turnctl());
    turnctl.args(arguments).arg("--socket").arg(server.state.path().join("control.sock"));
    let output = turnctl.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn token(server: &Server) -> String {
    let (code, text) = turnctl(server, &["page", "--for", "1h"]);
    assert_eq!(code, 0, "{text}");
    let (address, token) = text.lines().next().unwrap().split_once("/#token=").unwrap();
    assert_eq!(address, server.told("status page on ").trim_end_matches('/'));
    token.to_owned()
}

#[test]
fn the_files_come_with_headers_that_let_nothing_else_in() {
    let server = Server::configured(&configuration(""));
    for (path, kind) in
        [("/", "text/html"), ("/page.css", "text/css"), ("/status.js", "text/javascript")]
    {
        let (head, body) = http(&server, &format!("GET {path}"), &[HOST], "");
        assert!(head.starts_with("http/1.1 200"), "{path} {head}");
        assert!(!body.is_empty());
        for wanted in [
            &format!("content-type: {kind}; charset=utf-8")[..],
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(wanted), "{path}: no {wanted:?} in {head}");
        }
    }
    for path in ["/status.html", "/api", "/api/", "//", "/../Cargo.toml", "/%2e%2e/etc/passwd"] {
        assert_eq!(status(&server, path, &[HOST]), 404, "{path}");
    }
    let (head, body) = http(&server, "POST /", &[HOST], "x");
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head} {body}");
}

#[tokio::test]
async fn what_is_shown_is_what_happened() {
    let server = Server::configured(&configuration(""));
    let mut caller = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    caller.allocate().await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.bind(channel(), peer.local_addr().unwrap()).await;
    caller.send(channel(), &[1; 700]).await;
    timeout(PATIENCE, peer.recv(&mut [0; 1000])).await.unwrap().unwrap();
    let refused = caller
        .ask(Method::CREATE_PERMISSION, |writer| {
            writer.address(AttributeType::XOR_PEER_ADDRESS, "10.0.0.1:9".parse().unwrap());
        })
        .await;
    assert_eq!(Message::parse(&refused).unwrap().error_code(), Some(403));
    for _ in 0..2 {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut stranger = StreamClient::of_user(stream, HOSTILE, "guessed");
        assert_eq!(stranger.try_allocate().await, Err(401));
    }
    let shown = overview(&server, &[HOST]);
    assert_eq!(shown["may_act"], false);
    assert_eq!(shown["status"]["allocations"], 1);
    let session = &shown["sessions"][0];
    assert_eq!((&session["user"], &session["bytes_to_peers"]), (&USER.into(), &700.into()));
    let failed = &shown["failed_logins"];
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!((&failed[0]["user"], &failed[0]["times"]), (&HOSTILE.into(), &2.into()));
    assert_eq!(failed[0]["reason"], "unknown user");
    assert_eq!(shown["refused_peers"], serde_json::json!([{ "rule": "private", "times": 1 }]));
    assert_eq!(shown["doctor"], Value::Null);
    let (head, body) = http(&server, "GET /api/history", &[HOST], "");
    assert!(head.starts_with("http/1.1 200") && head.contains("cache-control: no-store"), "{head}");
    assert!(serde_json::from_str::<Value>(&body).unwrap().is_array());
}

#[tokio::test]
async fn a_session_is_ended_with_a_token_and_not_without() {
    let server = Server::configured(&configuration(""));
    let mut caller = StreamClient::new(TcpStream::connect(server.address).await.unwrap());
    caller.allocate().await;
    let body = format!("{{\"client\":\"{}\"}}", caller.mapped().await);
    let token = token(&server);
    let end = |headers: &[(&str, &str)], body: &str| {
        let (head, body) = http(&server, "POST /api/kick", headers, body);
        (head.split(' ').nth(1).unwrap().to_owned(), body)
    };
    assert_eq!(end(&[HOST], &body).0, "401");
    let wrong = "0".repeat(32);
    assert_eq!(end(&[HOST, ("Taciturn-Token", &wrong)], &body).0, "401");
    let with_token = ("Taciturn-Token", token.as_str());
    let evil = ("Origin", "http://evil.example");
    assert_eq!(end(&[HOST, with_token, evil], &body).0, "403");
    for not_one in ["", "{}", "{\"client\":\"alice\"}", &"x".repeat(5000)] {
        assert_eq!(end(&[HOST, with_token], not_one).0, "400", "{not_one}");
    }
    assert_eq!(overview(&server, &[HOST, with_token])["may_act"], true);
    assert_eq!(overview(&server, &[HOST])["sessions"].as_array().unwrap().len(), 1);
    let own = ("Origin", "http://127.0.0.1:9641");
    let site = ("Sec-Fetch-Site", "same-origin");
    assert_eq!(end(&[HOST, with_token, own, site], &body), ("200".into(), "{\"kicked\":1}".into()));
    server.wait_for_log("ended by the operator, on the status page", 1);
    assert_eq!(overview(&server, &[HOST])["sessions"], serde_json::json!([]));
    assert_eq!(status(&server, "/api/kick", &[HOST, with_token]), 405);
}

#[test]
fn a_test_link_is_made_with_a_token_and_not_without() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reached =
        configuration("").replace("127.0.0.1:0\"\ntransport", &format!("{free}\"\ntransport"));
    // Nobody can be told of "any free port".
    for (toml, made) in [(reached, true), (configuration(""), false)] {
        let server = Server::configured(&toml);
        let token = token(&server);
        let make = |headers: &[(&str, &str)]| {
            let (head, body) = http(&server, "POST /api/link", headers, "");
            let body = serde_json::from_str::<Value>(&body).unwrap();
            (head.split(' ').nth(1).unwrap().to_owned(), body)
        };
        assert_eq!(make(&[HOST]).0, "401");
        let with_token = ("Taciturn-Token", token.as_str());
        assert_eq!(make(&[HOST, with_token, ("Origin", "http://evil.example")]).0, "403");
        assert_eq!(status(&server, "/api/link", &[HOST, with_token]), 405);
        let (code, body) = make(&[HOST, with_token]);
        if made {
            let url = body["url"].as_str().unwrap();
            assert!(url.starts_with(&format!("http://{REALM}:{}/test/", free.port())), "{url}");
            assert_eq!(code, "200");
            server.wait_for_log("test link made, on the status page", 1);
            assert_eq!(server.logged("/test/"), 0, "the log has no link");
        } else {
            let error = body["error"].as_str().unwrap();
            assert!(error.contains("add one with transport = "), "{error}");
            assert_eq!(code, "409");
        }
    }
}

#[test]
fn others_than_programs_of_this_machine_need_a_token() {
    let server = Server::configured(&configuration(""));
    let token = token(&server);
    let with_token = ("Taciturn-Token", token.as_str());
    for path in ["/api/overview", "/api/history"] {
        assert_eq!(status(&server, path, &[HOST]), 200);
        assert_eq!(status(&server, path, &[("Host", "localhost:8080")]), 200, "through ssh -L");
        // DNS rebinding: the name of another site that leads to this machine.
        let evil = ("Host", "evil.example:9641");
        assert_eq!(status(&server, path, &[evil]), 401);
        for proxy in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
            assert_eq!(status(&server, path, &[HOST, (proxy, "192.0.2.1")]), 401, "{proxy}");
        }
        assert_eq!(status(&server, path, &[HOST, ("Sec-Fetch-Site", "cross-site")]), 403);
        // Published by a proxy that ends TLS.
        let published = [
            ("Host", "status.example.org"),
            ("Origin", "https://status.example.org"),
            ("X-Forwarded-For", "192.0.2.1"),
            with_token,
        ];
        assert_eq!(status(&server, path, &published), 200);
        assert_eq!(status(&server, path, &published[..3]), 401);
    }
    // What names nobody is there for everybody, as before.
    assert_eq!(status(&server, "/metrics", &[("Host", "evil.example")]), 200);
}

#[test]
fn the_page_can_ask_everybody_for_a_token_or_be_off() {
    let server = Server::configured(&configuration("page = \"token\""));
    assert_eq!(status(&server, "/", &[HOST]), 200);
    assert_eq!(status(&server, "/api/overview", &[HOST]), 401);
    let token = token(&server);
    assert_eq!(overview(&server, &[HOST, ("Taciturn-Token", &token)])["may_act"], true);
    let server = Server::configured(&configuration("page = \"off\""));
    for path in ["/", "/status.js", "/api/overview"] {
        assert_eq!(status(&server, path, &[HOST]), 404, "{path}");
    }
    assert_eq!(status(&server, "/live", &[HOST]), 200);
    let (code, text) = turnctl(&server, &["page"]);
    assert!(code == 1 && text.contains("there is no status page"), "{text}");
}

#[test]
fn a_token_is_printed_and_not_logged() {
    let mut server = Server::configured(&configuration("[log]\nlevel = \"debug\""));
    let token = token(&server);
    let (code, text) = turnctl(&server, &["page", "--for", "1s"]);
    assert!(code == 1 && text.contains("1m to 30d"), "{text}");
    let (_, json) = turnctl(&server, &["page", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let page = &json["result"]["page"];
    assert_eq!(page["token"].as_str().unwrap().len(), 32);
    let until = page["expires_at"].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(until.abs_diff(now.as_secs() + 12 * 3600) < 60, "{until}");
    let log = server.log();
    assert!(log.contains("token for the status page, for 3600 s"), "{log}");
    assert!(!log.contains(&token) && !log.contains(page["token"].as_str().unwrap()));
}

#[test]
fn the_report_of_doctor_is_shown() {
    let server = Server::configured(&configuration(""));
    let mut doctor = Command::new(testkit::program::turnctl());
    doctor.args(["doctor", "--offline", "--state-dir"]).arg(server.state.path());
    doctor.arg("--config").arg(server.state.path().join("taciturn.toml"));
    let output = doctor.env("STATE_DIRECTORY", server.state.path()).output().unwrap();
    assert!(!output.stdout.is_empty());
    let shown = overview(&server, &[HOST]);
    let findings = shown["doctor"]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["id"] == "config"), "{findings:?}");
    assert!(shown["doctor"]["at"].as_u64().unwrap() > 1_700_000_000);
}
