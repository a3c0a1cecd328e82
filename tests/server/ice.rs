//! `POST /ice`: an application has credentials made, and a client logs in with them.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testkit::server::{PATIENCE, Server};
use testkit::stream_client::{REALM, StreamClient};
use tokio::net::TcpStream;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const URI: &str = "turn:turn.domain.org:3478?transport=tcp";
const JSON: &str = "Content-Type: application/json";

fn configuration(ice: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n[admin]\nmetrics = \"127.0.0.1:0\"\n\
         [auth]\nsecrets = [\"a secret of the first rank\"]\n[ice]\nuris = [\"{URI}\"]\n{ice}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n"
    )
}

fn on() -> String {
    configuration(&format!("tokens = [\"{TOKEN}\", \"{OTHER}\"]"))
}

/// Status, head in lower case, and body of the answer to a request.
fn ask(server: &Server, start: &str, headers: &[&str], body: &str) -> (u16, String, String) {
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{start} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// As an application does.
fn post(server: &Server, token: &str, body: &str) -> (u16, String, String) {
    ask(server, "POST /ice", &[&bearer(token), JSON], body)
}

fn made(server: &Server, token: &str, body: &str) -> (String, String) {
    let (status, head, text) = post(server, token, body);
    assert_eq!(status, 201, "{head} {text}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert!(!head.contains("access-control-"), "no page of a browser may ask: {head}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let server = &answer["iceServers"][0];
    let text = |name: &str| server[name].as_str().unwrap().to_owned();
    let (username, credential) = (text("username"), text("credential"));
    let expected =
        json!({ "urls": [URI], "username": username.clone(), "credential": credential.clone() });
    assert_eq!(answer, json!({ "iceServers": [expected] }));
    (username, credential)
}

fn metric(server: &Server, name: &str) -> String {
    let (_, _, page) = ask(server, "GET /metrics", &[], "");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

async fn logs_in(server: &Server, username: &str, credential: &str) -> Result<(), u16> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    StreamClient::of_user(stream, username, credential).try_allocate().await.map(drop)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_client_logs_in_with_what_an_application_was_given() {
    let server = Server::configured(&on());
    let (username, credential) =
        made(&server, TOKEN, r#"{"ttl": 600, "user": "@alice:domain.org"}"#);
    let (expires, name) = username.split_once(':').unwrap();
    assert_eq!(name, "@alice:domain.org");
    assert!((now() + 590..=now() + 600).contains(&expires.parse().unwrap()), "{username}");
    assert_eq!(logs_in(&server, &username, &credential).await, Ok(()));
    let other = format!("{}:@alice:domain.org", now() + 90_000);
    assert_eq!(logs_in(&server, &other, &credential).await, Err(401), "it is for this name alone");
    // Another application, with nothing in particular.
    for body in ["", "{}"] {
        let (username, credential) = made(&server, OTHER, body);
        let expires: u64 = username.split_once(':').unwrap().0.parse().unwrap();
        assert!((now() + 86_390..=now() + 86_400).contains(&expires), "{username}");
        assert_eq!(logs_in(&server, &username, &credential).await, Ok(()));
    }
    assert_eq!(metric(&server, "taciturn_ice_credentials_total"), "3");
    for secret in [TOKEN, OTHER, &credential, "first rank"] {
        assert!(!server.has_logged(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn a_token_of_a_tenant_makes_credentials_of_that_tenant() {
    let tenant = format!(
        "[[tenant]]\nname = \"acme\"\nsecrets = [\"a secret of acme, and long\"]\nice.tokens = [\"{OTHER}\"]\n\
         [[tenant]]\nname = \"beta\"\nrealm = \"turn.beta.example\"\nsecrets = [\"a secret of beta, and long\"]\n"
    );
    let server = Server::configured(&(configuration(&format!("tokens = [\"{TOKEN}\"]")) + &tenant));
    let mut clients = Vec::new();
    for (token, tenant) in [(TOKEN, "default"), (OTHER, "acme")] {
        let (username, credential) = made(&server, token, r#"{"user": "alice"}"#);
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut client = StreamClient::of_user(stream, &username, &credential);
        client.try_allocate().await.map(drop).unwrap();
        clients.push(client);
        let allocations = format!("taciturn_tenant_allocations{{tenant=\"{tenant}\"}}");
        assert_eq!(metric(&server, &allocations), "1");
    }
}

#[test]
fn whoever_has_no_token_or_no_request_is_told_what_is_missing() {
    let server = Server::configured(&on());
    for headers in [
        &[][..],
        &[&*bearer("0123456789abcdef0123456789abcdee")],
        &["Authorization: Basic MDEyMzQ1Njc4OWFiY2RlZg=="],
    ] {
        let (status, head, body) = ask(&server, "POST /ice", headers, "{}");
        assert_eq!(status, 401, "{head} {body}");
        assert!(head.contains("www-authenticate: bearer"), "{head}");
        assert!(body.contains("Authorization: Bearer TOKEN"), "{body}");
    }
    let token = bearer(TOKEN);
    for method in ["GET", "PUT", "OPTIONS"] {
        let (status, head, _) = ask(&server, &format!("{method} /ice"), &[&token], "");
        assert_eq!(status, 405, "{head}");
        assert!(head.contains("allow: post"), "{head}");
    }
    let long = format!("{{\"user\": \"{}\"}}", "x".repeat(2000));
    for (kind, body, expected, told) in [
        ("Content-Type: text/plain", "{}", 415, "Content-Type: application/json"),
        ("X-Nothing: 1", "{}", 415, "Content-Type: application/json"),
        (JSON, &long, 413, "1024 bytes"),
        (JSON, "{", 400, "EOF"),
        (JSON, r#"{"ttl": 172801}"#, 400, "ttl: write 1 to 172800 seconds (max_ttl in [ice])"),
        (JSON, r#"{"user": "a\u0000b"}"#, 400, "control character"),
    ] {
        let (status, head, text) = ask(&server, "POST /ice", &[&token, kind], body);
        assert_eq!(status, expected, "{body}: {head} {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert!(error["error"].as_str().unwrap().contains(told), "{text}");
    }
    // A body whose length is not told, and that does not end.
    let chunked = ["Transfer-Encoding: chunked", &token, JSON];
    let at = server.told("metrics on http://").replace("/metrics", "");
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST /ice HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", chunked.join("\r\n"));
    stream.write_all(head.as_bytes()).unwrap();
    // Who has been refused may not read it to its end.
    let _ = stream.write_all(format!("800\r\n{}\r\n", "x".repeat(2048)).as_bytes());
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(metric(&server, "taciturn_ice_credentials_total"), "0");
    assert_eq!(metric(&server, "taciturn_ice_refused_total{reason=\"token\"}"), "3");
    assert_eq!(metric(&server, "taciturn_ice_refused_total{reason=\"request\"}"), "10");
}

#[test]
fn strangers_and_tokens_have_rates_and_a_stranger_takes_nothing_from_a_token() {
    let more = format!("tokens = [\"{TOKEN}\", \"{OTHER}\"]\nrequests_per_second = 1");
    let server = Server::configured(&configuration(&more));
    let guess = || post(&server, "ffffffffffffffffffffffffffffffff", "{}");
    let (mut wrong, mut too_many) = (0, 0);
    while too_many < 20 && wrong < 1000 {
        match guess() {
            (401, ..) => wrong += 1,
            (429, head, _) => {
                assert!(head.contains("retry-after: 1"), "{head}");
                too_many += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(too_many == 20, "{wrong} guesses were answered");
    made(&server, TOKEN, "");
    let mut refused = None;
    for _ in 0..1000 {
        let (status, head, _) = post(&server, TOKEN, "");
        if status == 429 {
            refused = Some(head);
            break;
        }
        assert_eq!(status, 201, "{head}");
    }
    assert!(refused.unwrap().contains("retry-after: 1"));
    made(&server, OTHER, "");
}

#[test]
fn without_a_token_there_is_no_such_page_and_a_reload_turns_it_on_and_off() {
    let server = Server::configured(&configuration(""));
    assert_eq!(post(&server, TOKEN, "").0, 404);
    server.reload(&on());
    made(&server, TOKEN, "");
    server.reload(&configuration(&format!("tokens = [\"{OTHER}\"]")));
    assert_eq!(post(&server, TOKEN, "").0, 401);
    made(&server, OTHER, "");
}
