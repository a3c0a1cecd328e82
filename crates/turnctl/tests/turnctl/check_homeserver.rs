//! `turnctl check --homeserver` against a homeserver that says what the test wants, and a real
//! server behind it: each fault yields the finding that names it, and no other.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use taciturn_turn::auth::SharedSecret;
use testkit::check::{Checked, check};
use testkit::server::Server;

const SECRET: &str = "a secret of some length";
const TOKEN: &str = "syt_the_token_of_alice";
const TURN: &str = "/_matrix/client/v3/voip/turnServer";

/// What the homeserver answers to one path.
struct Page {
    path: &'static str,
    status: u16,
    /// Added to the time of the Date header, in seconds.
    clock: i64,
    body: String,
}

fn turn_server(body: &Value) -> Page {
    Page { path: TURN, status: 200, clock: 0, body: body.to_string() }
}

/// A homeserver on loopback; it lives as long as the test program. Returns its base URL.
fn homeserver(pages: Vec<Page>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<_> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { continue };
            let authorized = head
                .iter()
                .any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}")));
            let page = pages.iter().find(|page| page.path == path);
            let (status, clock, body) = match page {
                Some(page) if page.path != TURN || authorized => {
                    (page.status, page.clock, page.body.clone())
                }
                Some(_) => (401, 0, r#"{"errcode":"M_UNKNOWN_TOKEN"}"#.to_owned()),
                None => (404, 0, r#"{"errcode":"M_UNRECOGNIZED"}"#.to_owned()),
            };
            let now = SystemTime::now();
            let date = match u64::try_from(clock) {
                Ok(ahead) => now + Duration::from_secs(ahead),
                Err(_) => now - Duration::from_secs(clock.unsigned_abs()),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
                 {body}",
                httpdate::fmt_http_date(date),
                body.len()
            );
        }
    });
    base
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An answer as Synapse makes it, at a time `clock` seconds away from now.
fn answer(uris: &[String], secret: &str, ttl: u64, clock: i64) -> Value {
    let expires = now().saturating_add_signed(clock) + ttl;
    let username = format!("{expires}:@alice:example.org");
    let password = SharedSecret::new(secret).password_for(&username);
    json!({ "username": username, "password": *password, "ttl": ttl, "uris": uris })
}

fn turn() -> Server {
    Server::configured(&format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\n[auth]\nsecrets = [\"{SECRET}\"]\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n"
    ))
}

fn uris(server: &Server) -> Vec<String> {
    let uri = |spoken: &str| format!("turn:{}?transport={spoken}", server.listener(spoken));
    vec![uri("udp"), uri("tcp")]
}

fn asked(pages: Vec<Page>) -> Checked {
    // The TURN servers of these tests are on loopback, which no homeserver should hand out.
    check(&["--homeserver", &homeserver(pages)], &[("TURNCTL_TOKEN", TOKEN)])
        .apart_from(&["uri-loopback"])
}

/// With a real server whose answer the test may bend.
fn asked_with(server: &Server, bend: impl FnOnce(&mut Value)) -> Checked {
    let mut body = answer(&uris(server), SECRET, 86400, 0);
    bend(&mut body);
    asked(vec![turn_server(&body)])
}

#[test]
fn a_healthy_homeserver_and_server_have_no_finding() {
    let server = turn();
    let checked = asked_with(&server, |_| ());
    checked.is_healthy();
    for id in ["turn-configured", "username-form", "ttl", "clock", "login"] {
        assert!(checked.passed(id), "{id}: {}", checked.printed);
    }
    for id in ["refresh", "relay-to-relay", "mtu", "quality", "wrong-login", "private-peers"] {
        assert!(checked.passed(id), "{id}: {}", checked.printed);
    }
    assert_eq!(checked.report["targets"].as_array().unwrap().len(), 2);
    assert_eq!(checked.report["measured"][0]["lost"], 0);
}

#[test]
fn nothing_secret_is_printed() {
    let server = turn();
    let mut password = String::new();
    let checked = asked_with(&server, |body| {
        password = body["password"].as_str().unwrap().to_owned();
    });
    checked.is_healthy();
    assert!(!checked.printed.contains(&password) && !checked.printed.contains(TOKEN));
}

#[test]
fn an_empty_answer_means_that_no_turn_is_configured() {
    asked(vec![turn_server(&json!({}))]).fails_with("no-turn-configured");
}

#[test]
fn the_software_of_the_homeserver_decides_what_to_set() {
    let version = |name: &str| Page {
        path: "/_matrix/federation/v1/version",
        status: 200,
        clock: 0,
        body: json!({ "server": { "name": name } }).to_string(),
    };
    let missing = |name| {
        let refused = r#"{"errcode":"M_NOT_FOUND"}"#.to_owned();
        let turn = Page { path: TURN, status: 404, clock: 0, body: refused };
        let checked = asked(vec![turn, version(name)]);
        checked.fails_with("no-turn-configured");
        checked.words("no-turn-configured")
    };
    assert!(missing("Dendrite").contains("turn_user_lifetime that is not empty"));
    assert!(missing("continuwuity").contains("turn_secret_file"));
    assert!(missing("Synapse").contains("homeserver.yaml"));
}

#[test]
fn milliseconds_that_were_meant_as_seconds_are_named() {
    let server = turn();
    let checked = asked_with(&server, |body| *body = answer(&uris(&server), SECRET, 3, 0));
    checked.fails_with("ttl-milliseconds");
    assert!(checked.words("ttl-milliseconds").contains("turn_user_lifetime: 24h"));
}

#[test]
fn a_short_lifetime_is_a_warning() {
    let server = turn();
    let checked = asked_with(&server, |body| *body = answer(&uris(&server), SECRET, 300, 0));
    checked.warns_of("ttl-short");
}

#[test]
fn a_homeserver_two_hours_behind_gives_out_what_has_ended() {
    let server = turn();
    let body = answer(&uris(&server), SECRET, 3600, -7200);
    let page = Page { clock: -7200, ..turn_server(&body) };
    let checked = asked(vec![page]);
    checked.fails_with("clock-skew");
    // A few seconds may pass on the way.
    let words = checked.words("clock-skew");
    assert!(
        words.contains("2h behind") || words.contains(" 720") && words.contains("s behind"),
        "{}",
        checked.printed
    );
}

#[test]
fn a_homeserver_two_hours_ahead_is_a_warning_while_calls_work() {
    let server = turn();
    let body = answer(&uris(&server), SECRET, 3600, 7200);
    let page = Page { clock: 7200, ..turn_server(&body) };
    asked(vec![page]).warns_of("clock-skew");
}

#[test]
fn a_secret_that_differs_is_named() {
    let server = turn();
    let checked =
        asked_with(&server, |body| *body = answer(&uris(&server), "another secret", 86400, 0));
    checked.fails_with("auth-refused");
    assert!(checked.words("auth-refused").contains("secrets differ"), "{}", checked.printed);
}

#[test]
fn one_credential_for_all_is_a_warning() {
    let server = Server::start(&["--user", "alice:correct horse battery"]);
    let body = json!({
        "username": "alice", "password": "correct horse battery", "ttl": 86400,
        "uris": [format!("turn:{}?transport=udp", server.address)],
    });
    asked(vec![turn_server(&body)]).warns_of("static-credentials");
}

#[test]
fn uris_that_break_browsers_are_named() {
    let server = turn();
    let good = uris(&server);
    for bad in [
        "turn://turn.example.org:3478",
        "turn:turn.example.org:3478?transport=tls",
        "turn:alice@turn.example.org",
        "stun:turn.example.org?transport=udp",
    ] {
        let checked = asked_with(&server, |body| body["uris"] = json!([good[0], bad]));
        checked.fails_with("uri-form");
        assert!(checked.words("uri-form").contains(bad), "{}", checked.printed);
    }
    let twice = [good[0].clone(), good[0].clone()];
    asked_with(&server, |body| body["uris"] = json!(twice)).warns_of("uri-duplicate");
}

#[test]
fn refusals_of_the_homeserver_are_told_apart() {
    let refused = |status, errcode: &str| {
        let body = json!({ "errcode": errcode }).to_string();
        asked(vec![Page { path: TURN, status, clock: 0, body }])
    };
    refused(403, "M_FORBIDDEN").fails_with("turn-forbidden");
    refused(429, "M_LIMIT_EXCEEDED").fails_with("homeserver-busy");
    refused(500, "M_UNKNOWN").fails_with("homeserver-error");
    refused(404, "M_UNRECOGNIZED").fails_with("homeserver-path");
    let wrong = [("TURNCTL_TOKEN", "another")];
    let base = homeserver(vec![turn_server(&json!({}))]);
    check(&["--homeserver", &base], &wrong).fails_with("token-refused");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = format!("http://{nobody}");
    check(&["--homeserver", &base], &wrong).fails_with("homeserver-unreachable");
    let page =
        |status, body: &str| asked(vec![Page { path: TURN, status, clock: 0, body: body.into() }]);
    for (status, body, words) in [
        (200, "<html>Welcome</html>", "web page"),
        (404, "<html>Not found</html>", "web page"),
        (200, "", "is empty"),
        (200, "ok", "no JSON"),
        (200, "[]", "another shape"),
        (200, "\"turn:h.org\"", "another shape"),
    ] {
        let checked = page(status, body);
        checked.fails_with("homeserver-path");
        assert!(
            checked.words("homeserver-path").contains(words),
            "{status} {body}: {}",
            checked.printed
        );
    }
    for status in [502, 503, 504] {
        page(status, "<html>Bad Gateway</html>").fails_with("homeserver-down");
    }
    page(308, "").fails_with("homeserver-redirect");
}

#[test]
fn answers_of_a_wrong_shape_are_told_apart_and_never_shown() {
    let server = turn();
    for (uris_of, ttl, id, words) in [
        (json!("turn:h.org:3478"), json!(86400), "uris-no-list", "turn_uris must be a list"),
        (json!({ "0": "turn:h.org" }), json!(86400), "uris-no-list", "turn_uris must be a list"),
        (json!([1, 2]), json!(86400), "uris-no-list", "turn_uris must be a list"),
        (json!([]), json!(86400), "no-turn-configured", "list of URIs is empty"),
        (json!(null), json!(86400), "no-turn-configured", "has no uris"),
    ] {
        let mut password = String::new();
        let checked = asked_with(&server, |body| {
            password = body["password"].as_str().unwrap().to_owned();
            body["uris"] = uris_of.clone();
            body["ttl"] = ttl.clone();
        });
        checked.fails_with(id);
        assert!(checked.words(id).contains(words), "{}", checked.printed);
        assert!(!checked.printed.contains(&password), "{}", checked.printed);
        assert_eq!(checked.report["verdicts"][0]["status"], "fail", "{}", checked.printed);
    }
    for ttl in [json!(null), json!("86400"), json!(1.5), json!(-1)] {
        let checked = asked_with(&server, |body| body["ttl"] = ttl.clone());
        checked.warns_of("ttl-missing");
        assert!(!checked.printed.contains("good for 0 s"), "{}", checked.printed);
    }
    let checked = asked_with(&server, |body| {
        body.as_object_mut().unwrap().remove("username");
    });
    checked.fails_with("answer-incomplete");
    assert_eq!(checked.report["verdicts"][0]["status"], "fail", "{}", checked.printed);
}

#[test]
fn a_homeserver_that_sends_clients_to_themselves_fails() {
    let server = turn();
    let port = server.listener("udp").port();
    for host in ["localhost", "127.0.0.1"] {
        let mut body = answer(&[format!("turn:{host}:{port}")], SECRET, 86400, 0);
        body["ttl"] = json!(86400);
        let base = homeserver(vec![turn_server(&body)]);
        let checked = check(&["--homeserver", &base], &[("TURNCTL_TOKEN", TOKEN)]);
        assert_eq!(checked.code, 2, "{}", checked.printed);
        assert!(checked.faults().contains(&"uri-loopback"), "{}", checked.printed);
        assert_eq!(checked.report["verdicts"][0]["status"], "fail", "{}", checked.printed);
    }
}

#[test]
fn well_known_leads_to_the_homeserver() {
    let server = turn();
    let base = homeserver(vec![turn_server(&answer(&uris(&server), SECRET, 86400, 0))]);
    let known = json!({ "m.homeserver": { "base_url": format!("{base}/") } }).to_string();
    let page = Page { path: "/.well-known/matrix/client", status: 200, clock: 0, body: known };
    let checked = asked(vec![page]);
    checked.is_healthy();
    assert!(checked.words("homeserver").contains(&base));
    assert!(checked.words("no-livekit").contains("Element X"));
}

#[test]
fn an_empty_list_of_transports_keeps_element_x_from_livekit_that_well_known_names() {
    const LIST: &str = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports";
    let livekit = "https://rtc.example.org/livekit/jwt";
    let foci = json!({ "org.matrix.msc4143.rtc_foci": [{ "type": "livekit", "livekit_service_url": livekit }] });
    let page = |path, body: &str| Page { path, status: 200, clock: 0, body: body.to_owned() };
    let server = turn();
    let answer = || turn_server(&answer(&uris(&server), SECRET, 86400, 0));
    let known = || page("/.well-known/matrix/client", &foci.to_string());
    let checked = asked(vec![answer(), known(), page(LIST, "{}")]);
    assert_eq!(checked.faults(), ["rtc-transports-empty"], "{}", checked.printed);
    assert!(checked.printed.contains(&format!("livekit_service_url: {livekit}")));
    let list = json!({ "rtc_transports": [{ "type": "livekit", "livekit_service_url": livekit }] });
    for pages in [vec![answer(), known()], vec![answer(), page(LIST, &list.to_string())]] {
        let checked = asked(pages);
        checked.is_healthy();
        assert!(checked.words("rtc-transports").contains(livekit), "{}", checked.printed);
    }
}
