//! Every request and every line of an answer, as it is on the wire. A field that is renamed here
//! is renamed for every `turnctl` there is: [`PROTOCOL`] has to change with it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use serde_json::Value;

use super::codec::{AnswerError, decode_line, encode_request};
use super::*;

const VERSION: &str = "0.2.0";

/// Every request, beside what it is on the wire after `protocol` and `version`.
fn requests() -> Vec<(Request, &'static str)> {
    let user = Some("@alice:example.org".to_owned());
    let client = Some("[2001:db8::1]:49152".parse().unwrap());
    vec![
        (Request::Status, r#""command":"status""#),
        (Request::Sessions { user: None, tenant: None }, r#""command":"sessions""#),
        (
            Request::Sessions { user: user.clone(), tenant: None },
            r#""command":"sessions","user":"@alice:example.org""#,
        ),
        (
            Request::Kick { user: user.clone(), client, tenant: None, fleet: false },
            r#""command":"kick","user":"@alice:example.org","client":"[2001:db8::1]:49152""#,
        ),
        (
            Request::Kick { user, client: None, tenant: None, fleet: true },
            r#""command":"kick","user":"@alice:example.org","fleet":true"#,
        ),
        (Request::Fleet, r#""command":"fleet""#),
        (
            Request::AskFleet { sessions: false, user: None, tenant: None },
            r#""command":"ask-fleet""#,
        ),
        (
            Request::AskFleet {
                sessions: true,
                user: Some("bob".into()),
                tenant: Some("acme".into()),
            },
            r#""command":"ask-fleet","sessions":true,"user":"bob","tenant":"acme""#,
        ),
        (
            Request::Ban { whom: banned(), for_seconds: Some(86_400) },
            r#""command":"ban","kind":"user","value":"@alice:example.org","for_seconds":86400"#,
        ),
        (
            Request::Ban { whom: banned(), for_seconds: None },
            r#""command":"ban","kind":"user","value":"@alice:example.org""#,
        ),
        (
            Request::Unban { whom: banned() },
            r#""command":"unban","kind":"user","value":"@alice:example.org""#,
        ),
        (Request::Bans, r#""command":"bans""#),
        (Request::Reload, r#""command":"reload""#),
        (Request::Drain { timeout_seconds: None }, r#""command":"drain""#),
        (
            Request::Drain { timeout_seconds: Some(3600) },
            r#""command":"drain","timeout_seconds":3600"#,
        ),
        (Request::CancelDrain, r#""command":"cancel-drain""#),
        (Request::LogLevel { filter: None, for_seconds: None }, r#""command":"log-level""#),
        (
            Request::LogLevel { filter: Some("debug".into()), for_seconds: Some(600) },
            r#""command":"log-level","filter":"debug","for_seconds":600"#,
        ),
        (Request::Certs, r#""command":"certs""#),
        (Request::HandOver, r#""command":"hand-over""#),
        (
            Request::TestLink { for_seconds: 3600, people: 2 },
            r#""command":"test-link","for_seconds":3600,"people":2"#,
        ),
        (
            Request::TestReports { link: Some(7), after: 3 },
            r#""command":"test-reports","link":7,"after":3"#,
        ),
        (Request::TestReports { link: None, after: 0 }, r#""command":"test-reports","after":0"#),
        (Request::EndTestLinks, r#""command":"end-test-links""#),
        (Request::Page { for_seconds: 3600 }, r#""command":"page","for_seconds":3600"#),
        (
            Request::DoctorReport { findings: vec![finding("all", "open it"), finding("", "")] },
            r#""command":"doctor-report","findings":[{"id":"relay-ports","status":"warn","title":"closed","why":"all","fix":"open it"},{"id":"relay-ports","status":"warn","title":"closed"}]"#,
        ),
    ]
}

fn banned() -> Banned {
    Banned { kind: "user".into(), value: "@alice:example.org".into() }
}

fn finding(why: &str, fix: &str) -> DoctorFinding {
    DoctorFinding {
        id: "relay-ports".into(),
        status: "warn".into(),
        title: "closed".into(),
        why: why.into(),
        fix: fix.into(),
    }
}

fn page_token() -> PageToken {
    PageToken {
        address: "http://127.0.0.1:9641/".into(),
        token: "0123456789abcdef".into(),
        expires_at: 1_800_000_000,
    }
}

fn test_link() -> TestLink {
    TestLink {
        number: 7,
        address: "https://turn.example.org:5349/".into(),
        path: "test/0123456789abcdefghijkl/".into(),
        served_on: "tls".into(),
        ends_at: 1_800_000_000,
        people: 2,
    }
}

fn test_report() -> TestReport {
    TestReport {
        link: 7,
        revision: 3,
        id: "0123456789".into(),
        person: 1,
        at: 1_700_000_000,
        address: "198.51.100.7".into(),
        language: "ru".into(),
        verdict: "ok".into(),
        advice: vec!["slow".into()],
        uris: vec![TestedUri {
            uri: "turn:turn.example.org".into(),
            verdict: "ok".into(),
            candidate_ms: Some(120),
            address: Some("198.51.100.7".into()),
            relayed: Some("203.0.113.7:59000".into()),
            code: None,
            text: String::new(),
            sent: 50,
            received: 49,
            rtt_ms: Some(24),
        }],
        pair: Some(TestedPair {
            with: "abcdefghij".into(),
            connected: true,
            sent: 5,
            received: 5,
            rtt_ms: None,
        }),
        seen: TestSeen { requests: 4, allocations: 2, ..TestSeen::default() },
    }
}

#[test]
fn no_log_line_shows_a_token() {
    assert!(!format!("{:?}", Answer::Page(page_token())).contains("abcdef"));
    assert!(!format!("{:?}", Answer::TestLink(test_link())).contains("abcdef"));
}

fn traffic() -> Traffic {
    Traffic {
        bytes_to_peers: 1000,
        bytes_to_clients: 2000,
        packets_to_peers: 10,
        packets_to_clients: 20,
    }
}

fn session() -> Session {
    Session {
        node: None,
        client: "192.0.2.1:49152".into(),
        transport: "tcp".into(),
        user: "1800000000:@alice:example.org".into(),
        tenant: None,
        relayed_addresses: vec!["203.0.113.1:59000".into(), "[2001:db8::1]:59000".into()],
        permissions: 2,
        channels: 1,
        kernel_channels: Some(1),
        traffic: traffic(),
        age_seconds: 90,
        expires_in_seconds: 510,
    }
}

fn status() -> Status {
    Status {
        version: "0.2.0".into(),
        started_at: 1_700_000_000,
        ready: true,
        workers: 4,
        allocations: 3,
        users: 2,
        connections: 1,
        relay_ports: 1101,
        relay_ports_used: PortsUsed { ipv4: 3, ipv6: 0 },
        traffic: traffic(),
        last_reload: ReloadOutcome { succeeded: true, finished_at: 1_700_000_100 },
        certificates: vec![CertificateSummary {
            names: vec!["turn.example.org".into()],
            expires_at: 1_800_000_000,
        }],
        tenants: Vec::new(),
        closing_listeners: vec![ClosingListener {
            name: "old".into(),
            address: "192.0.2.1:3478".into(),
            transport: "udp".into(),
            clients: 5,
        }],
        carried_over: Some(CarriedOver {
            from_version: "0.1.0".into(),
            allocations: 12,
            stayed: 1,
            ended: 2,
        }),
        records: Some(RecordsState { waiting: 3, dropped: 1, trouble: Some("why".into()) }),
        kernel_relay: Some(KernelRelay {
            attached: vec!["eth0 (tcx)".into()],
            trouble: None,
            channels: 2,
            room: 16_384,
            refused_channels: 0,
            relayed_packets: 700,
            other_packets: vec![PacketCount { reason: "ttl".into(), packets: 3 }],
        }),
    }
}

fn certificate() -> Certificate {
    Certificate {
        names: vec!["turn.example.org".into()],
        issuer: "CN=R11".into(),
        listeners: vec!["calls".into()],
        source: "certbot".into(),
        path: "/etc/letsencrypt/live/turn".into(),
        begins_at: -1,
        expires_at: 1_800_000_000,
        days_left: 60,
        expired: false,
        in_use_since: 1_700_000_000,
        renewal_failure: Some("the key is encrypted".into()),
        warnings: vec!["the certificate is self-signed".into()],
    }
}

fn last(outcome: Result<Answer, Error>) -> Line {
    Line::Last { version: VERSION.into(), outcome }
}

/// Every line of an answer, beside what it is on the wire after `protocol`.
fn lines() -> Vec<(Line, String)> {
    let good = |result: &str| format!(r#""version":"0.2.0","ok":true,"result":{{{result}}}"#);
    let bad = |kind: &str| {
        format!(r#""version":"0.2.0","ok":false,"error":{{"kind":"{kind}","text":"why"}}"#)
    };
    let traffic = r#""bytes_to_peers":1000,"bytes_to_clients":2000,"packets_to_peers":10,"packets_to_clients":20"#;
    let mut lines = vec![
        (
            Line::Session(session()),
            format!(
                r#""session":{{"client":"192.0.2.1:49152","transport":"tcp","user":"1800000000:@alice:example.org","relayed_addresses":["203.0.113.1:59000","[2001:db8::1]:59000"],"permissions":2,"channels":1,"kernel_channels":1,{traffic},"age_seconds":90,"expires_in_seconds":510}}"#
            ),
        ),
        (
            last(Ok(Answer::Status(Box::new(status())))),
            good(&format!(
                r#""status":{{"version":"0.2.0","started_at":1700000000,"ready":true,"workers":4,"allocations":3,"users":2,"connections":1,"relay_ports":1101,"relay_ports_used":{{"ipv4":3,"ipv6":0}},{traffic},"last_reload":{{"succeeded":true,"finished_at":1700000100}},"certificates":[{{"names":["turn.example.org"],"expires_at":1800000000}}],"closing_listeners":[{{"name":"old","address":"192.0.2.1:3478","transport":"udp","clients":5}}],"carried_over":{{"from_version":"0.1.0","allocations":12,"stayed":1,"ended":2}},"records":{{"waiting":3,"dropped":1,"trouble":"why"}},"kernel_relay":{{"attached":["eth0 (tcx)"],"channels":2,"room":16384,"refused_channels":0,"relayed_packets":700,"other_packets":[{{"reason":"ttl","packets":3}}]}}}}"#
            )),
        ),
        (last(Ok(Answer::Sessions(7))), good(r#""sessions":7"#)),
        (last(Ok(Answer::Kicked(2))), good(r#""kicked":2"#)),
        (
            Line::Session(Session { node: Some("fra1".into()), ..session() }),
            format!(
                r#""session":{{"node":"fra1","client":"192.0.2.1:49152","transport":"tcp","user":"1800000000:@alice:example.org","relayed_addresses":["203.0.113.1:59000","[2001:db8::1]:59000"],"permissions":2,"channels":1,"kernel_channels":1,{traffic},"age_seconds":90,"expires_in_seconds":510}}"#
            ),
        ),
        (
            last(Ok(Answer::FleetStatus(Box::new(FleetStatus {
                node: "fra1".into(),
                answered: vec![NodeStatus {
                    node: "fra1".into(),
                    tenant: Some("acme".into()),
                    version: "0.2.0".into(),
                    started_at: 1_700_000_000,
                    ready: true,
                    allocations: 3,
                    users: 2,
                    connections: 1,
                    relay_ports: 1101,
                    relay_ports_used: PortsUsed { ipv4: 3, ipv6: 0 },
                    traffic: self::traffic(),
                    sessions_left_out: 4,
                }],
                silent: vec!["fra2".into()],
                unreadable: vec!["fra3".into()],
                trouble: Some("gone".into()),
            })))),
            good(&format!(
                r#""fleet_status":{{"node":"fra1","answered":[{{"node":"fra1","tenant":"acme","version":"0.2.0","started_at":1700000000,"ready":true,"allocations":3,"users":2,"connections":1,"relay_ports":1101,"relay_ports_used":{{"ipv4":3,"ipv6":0}},{traffic},"sessions_left_out":4}}],"silent":["fra2"],"unreadable":["fra3"],"trouble":"gone"}}"#
            )),
        ),
        (
            last(Ok(Answer::Fleet(Box::new(FleetReport {
                node: "fra1".into(),
                trouble: Some("gone".into()),
                master: Some("10.9.0.2 port 6379".into()),
                name_taken: false,
                nodes: vec![FleetNode {
                    node: "fra2".into(),
                    version: "0.2.0".into(),
                    listeners: vec!["udp 203.0.113.7:3478".into()],
                    relays: vec!["203.0.113.7".into()],
                    ready: true,
                    allocations: 3,
                    ports_free: 1098,
                    realm: "example.org".into(),
                    credentials: "ab12".into(),
                    clock_offset_seconds: -1,
                }],
            })))),
            good(
                r#""fleet":{"node":"fra1","trouble":"gone","master":"10.9.0.2 port 6379","name_taken":false,"nodes":[{"node":"fra2","version":"0.2.0","listeners":["udp 203.0.113.7:3478"],"relays":["203.0.113.7"],"ready":true,"allocations":3,"ports_free":1098,"realm":"example.org","credentials":"ab12","clock_offset_seconds":-1}]}"#,
            ),
        ),
        (
            last(Ok(Answer::Bans(vec![
                Ban { kind: "user".into(), value: "bob".into(), begins_at: 5, ends_at: None },
                Ban {
                    kind: "network".into(),
                    value: "::/48".into(),
                    begins_at: 5,
                    ends_at: Some(9),
                },
            ]))),
            good(
                r#""bans":[{"kind":"user","value":"bob","begins_at":5},{"kind":"network","value":"::/48","begins_at":5,"ends_at":9}]"#,
            ),
        ),
        (
            last(Ok(Answer::Page(page_token()))),
            good(
                r#""page":{"address":"http://127.0.0.1:9641/","token":"0123456789abcdef","expires_at":1800000000}"#,
            ),
        ),
        (
            last(Ok(Answer::TestLink(test_link()))),
            good(
                r#""test_link":{"number":7,"address":"https://turn.example.org:5349/","path":"test/0123456789abcdefghijkl/","served_on":"tls","ends_at":1800000000,"people":2}"#,
            ),
        ),
        (
            last(Ok(Answer::TestReports(vec![test_report()]))),
            good(
                r#""test_reports":[{"link":7,"revision":3,"id":"0123456789","person":1,"at":1700000000,"address":"198.51.100.7","language":"ru","verdict":"ok","advice":["slow"],"uris":[{"uri":"turn:turn.example.org","verdict":"ok","candidate_ms":120,"address":"198.51.100.7","relayed":"203.0.113.7:59000","code":null,"text":"","sent":50,"received":49,"rtt_ms":24}],"pair":{"with":"abcdefghij","connected":true,"sent":5,"received":5,"rtt_ms":null},"seen":{"requests":4,"refused":0,"allocations":2,"from_peers":0,"to_peers":0,"outside":0,"address":null,"transports":[]}}]"#,
            ),
        ),
        (last(Ok(Answer::HandOver(1))), good(r#""hand_over":1"#)),
        (last(Ok(Answer::Messages(vec!["no change".into()]))), good(r#""messages":["no change"]"#)),
        (
            last(Ok(Answer::Certificates(vec![certificate()]))),
            good(
                r#""certificates":[{"names":["turn.example.org"],"issuer":"CN=R11","listeners":["calls"],"source":"certbot","path":"/etc/letsencrypt/live/turn","begins_at":-1,"expires_at":1800000000,"days_left":60,"expired":false,"in_use_since":1700000000,"renewal_failure":"the key is encrypted","warnings":["the certificate is self-signed"]}]"#,
            ),
        ),
    ];
    for (kind, name) in [
        (ErrorKind::ProtocolMismatch, "protocol-mismatch"),
        (ErrorKind::Malformed, "malformed"),
        (ErrorKind::TooLong, "too-long"),
        (ErrorKind::InvalidArgument, "invalid-argument"),
        (ErrorKind::NotPermitted, "not-permitted"),
        (ErrorKind::NotPossible, "not-possible"),
        (ErrorKind::ConfigurationRefused, "configuration-refused"),
        (ErrorKind::Stopping, "stopping"),
        (ErrorKind::Internal, "internal"),
    ] {
        lines.push((last(Err(Error::new(kind, "why"))), bad(name)));
    }
    lines
}

fn kind(line: &[u8]) -> ErrorKind {
    decode_request(line, VERSION).unwrap_err().kind
}

#[test]
fn every_request_is_on_the_wire_as_it_always_was_and_comes_back() {
    for (request, fields) in requests() {
        let line = format!("{{\"protocol\":1,\"version\":\"0.2.0\",{fields}}}\n");
        assert_eq!(encode_request(&request, VERSION).unwrap(), line);
        let read = whole_line(line.as_bytes(), LONGEST_REQUEST).unwrap();
        assert_eq!(decode_request(read, VERSION), Ok(request));
    }
}

#[test]
fn every_line_of_an_answer_is_on_the_wire_as_it_always_was_and_comes_back() {
    for (line, fields) in lines() {
        let text = format!("{{\"protocol\":1,{fields}}}\n");
        assert_eq!(encode_line(line.clone()).unwrap(), text);
        let read = whole_line(text.as_bytes(), LONGEST_LINE).unwrap();
        assert_eq!(decode_line(read, VERSION).unwrap(), line);
    }
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    /// Adds a field to every object, but not to those whose field names their variant.
    fn grow(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_result = fields.len() == 1;
                fields.values_mut().for_each(grow);
                if !is_result {
                    fields.insert("of_a_later_release".into(), Value::Bool(true));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(grow),
            _ => {}
        }
    }
    for (request, _) in requests() {
        let mut value = serde_json::from_str(&encode_request(&request, VERSION).unwrap()).unwrap();
        grow(&mut value);
        assert_eq!(decode_request(value.to_string().as_bytes(), VERSION), Ok(request));
    }
    for (line, _) in lines() {
        let mut value = serde_json::from_str(&encode_line(line.clone()).unwrap()).unwrap();
        grow(&mut value);
        assert_eq!(decode_line(value.to_string().as_bytes(), VERSION).unwrap(), line);
    }
    let later = br#"{"protocol":1,"version":"1","ok":false,"error":{"kind":"new","text":"why"}}"#;
    let unknown = last(Err(Error::new(ErrorKind::Unknown, "why")));
    let Line::Last { outcome, .. } = decode_line(later, VERSION).unwrap() else { panic!() };
    assert_eq!(last(outcome), unknown);
}

#[test]
fn another_version_of_the_protocol_is_refused_by_both_sides_in_the_same_words() {
    let told = "turnctl 0.3.0 uses protocol 2, this server 0.2.0 uses protocol 1; use the \
                turnctl of the server's version";
    let request = br#"{"protocol":2,"version":"0.3.0","command":"explode","with":[]}"#;
    let refused = decode_request(request, "0.2.0").unwrap_err();
    assert_eq!((refused.kind, refused.text.as_str()), (ErrorKind::ProtocolMismatch, told));
    // The same, from the side of a turnctl that speaks 1 and meets a server that speaks 2.
    let answer = br#"{"protocol":2,"version":"0.3.0","outcome":"fine"}"#;
    let Err(AnswerError::Mismatch(mismatch)) = decode_line(answer, "0.2.0") else { panic!() };
    assert_eq!(
        mismatch.to_string(),
        "turnctl 0.2.0 uses protocol 1, this server 0.3.0 uses protocol 2; use the turnctl \
         of the server's version"
    );
    // One that does not say what it speaks.
    let refused = decode_request(br#"{"command":"status"}"#, "0.2.0").unwrap_err();
    assert_eq!(refused.kind, ErrorKind::ProtocolMismatch);
    assert!(refused.text.starts_with("turnctl uses an unknown protocol"), "{refused}");
}

#[test]
fn what_is_not_a_request_is_malformed_and_never_a_panic() {
    for garbage in [
        &b""[..],
        b"nonsense",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{",
        br#"{"protocol":"one"}"#,
        br#"{"protocol":1,"version":"1"}"#,
        br#"{"protocol":1,"version":"1","command":"explode"}"#,
        br#"{"protocol":1,"version":"1","command":"kick","client":"alice"}"#,
        br#"{"protocol":1,"version":"1","command":"drain","timeout_seconds":-1}"#,
    ] {
        assert_eq!(kind(garbage), ErrorKind::Malformed, "{}", String::from_utf8_lossy(garbage));
    }
    for garbage in [&br#"{"protocol":1}"#[..], br#"{"protocol":1,"ok":true}"#, b"[]"] {
        let refused = decode_line(garbage, VERSION);
        assert!(matches!(refused, Err(AnswerError::Malformed(_))), "{refused:?}");
    }
}

#[test]
fn a_line_is_whole_or_closed_or_cut_off_or_too_long() {
    assert_eq!(whole_line(b"{}\n", 8), Ok(&b"{}"[..]));
    assert_eq!(whole_line(b"", 8), Err(LineError::Closed));
    assert_eq!(whole_line(b"{\"com", 8), Err(LineError::CutOff));
    assert_eq!(whole_line(b"{\"comman", 8), Err(LineError::TooLong(8)));
    assert_eq!(whole_line(b"{\"comma\n", 8), Ok(&b"{\"comma"[..]), "the line feed is within it");
    let kinds = [LineError::Closed, LineError::CutOff, LineError::TooLong(8)];
    let kinds = kinds.map(|error| Error::from(error).kind);
    assert_eq!(kinds, [ErrorKind::Malformed, ErrorKind::Malformed, ErrorKind::TooLong]);
}

/// The line that a client receives from a server that answers with `answer` and closes.
fn received(answer: &'static [u8]) -> Vec<Result<Line, ClientError>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
        stream.write_all(answer).unwrap();
        request
    });
    let mut connection = Connection::open(&path, Duration::from_secs(30), VERSION).unwrap();
    connection.send(&Request::Status).unwrap();
    let request = server.join().unwrap();
    assert_eq!(request, encode_request(&Request::Status, VERSION).unwrap());
    let mut received = Vec::new();
    loop {
        let line = connection.receive().map(|received| received.line);
        let more = matches!(line, Ok(Line::Session(_)));
        received.push(line);
        if !more {
            return received;
        }
    }
}

#[test]
fn a_connection_gives_line_by_line_what_the_server_sends_and_names_what_is_wrong() {
    let lines = received(
        b"{\"protocol\":1,\"version\":\"0.2.0\",\"ok\":true,\"result\":{\"kicked\":2}}\nmore",
    );
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].as_ref().unwrap(), &last(Ok(Answer::Kicked(2))));
    let closed = received(b"");
    assert!(matches!(closed[..], [Err(ClientError::Line(LineError::Closed))]), "{closed:?}");
    let cut = received(b"{\"protocol\":1,\"ok\":");
    assert!(matches!(cut[..], [Err(ClientError::Line(LineError::CutOff))]), "{cut:?}");
    let later = received(b"{\"protocol\":9}\n");
    assert!(matches!(later[..], [Err(ClientError::Mismatch(_))]), "{later:?}");
    let garbage = received(b"HTTP/1.1 400 Bad Request\n");
    assert!(matches!(garbage[..], [Err(ClientError::Malformed(_))]), "{garbage:?}");
}

/// What comes after the answer belongs to the hand-over, and descriptors may come with its first byte.
#[test]
fn a_connection_is_given_on_after_its_answer_and_not_with_bytes_that_were_read() {
    let answer = encode_line(last(Ok(Answer::HandOver(1)))).unwrap();
    for (more, is_given) in [("", true), ("x", false)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let socket = UnixListener::bind(&path).unwrap();
        let mut connection = Connection::open(&path, Duration::from_secs(30), VERSION).unwrap();
        let (mut server, _) = socket.accept().unwrap();
        server.write_all(format!("{answer}{more}").as_bytes()).unwrap();
        assert_eq!(connection.receive().unwrap().line, last(Ok(Answer::HandOver(1))));
        let stream = connection.into_stream();
        assert_eq!(stream.is_ok(), is_given, "{stream:?}");
        if let Ok(mut stream) = stream {
            stream.write_all(b"begin").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
        }
    }
}
