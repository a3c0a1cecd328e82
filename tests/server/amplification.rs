//! How many bytes an answer to a stranger has for those of its request: measured for each kind of answer,
//! and told in docs/security.md.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use testkit::server;
use testkit::shard;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use server::{PATIENCE, Server};
use shard::{PASSWORD, REALM, USER};
use taciturn_stun::{
    AttributeType as T, Class, MAGIC_COOKIE, Message, Method, TransactionId, Writer,
};
use taciturn_turn::auth::long_term_key;
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::recorder::Recorder;
use taciturn_turn::{Client, ClientAddr, NatDiscovery, RelayAddress, Shard, Verdict, Via};

const DOCUMENT: &str = "docs/security.md";

/// Bytes of the headers of IPv4 and UDP, and of IPv6 and UDP.
const HEADERS: [usize; 2] = [28, 48];

/// What an answer has at most for each byte of its request, on the wire: by default, and with NAT discovery.
const MOST: [f64; 2] = [2.0, 2.5];

/// The transaction of a request that is sent behind another one.
const LAST: &[u8; 12] = b"the last one";

/// A request, and its answers over IPv4 and IPv6.
struct Row {
    what: &'static str,
    question: Vec<u8>,
    answers: [Option<Vec<u8>>; 2],
}

fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    bytes.extend(MAGIC_COOKIE);
    bytes.extend(b"amplified...");
    bytes.extend(attributes);
    bytes
}

/// An Allocate request by a key that is right, with what `wish` puts in.
fn signed(wish: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 512];
    let tid = TransactionId(*b"amplified...");
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::ALLOCATE, tid);
    writer.requested_transport(17);
    wish(&mut writer);
    writer.integrity(&long_term_key(USER, REALM, PASSWORD));
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}

/// What a stranger may send, with what it is called.
fn questions() -> Vec<(&'static str, Vec<u8>)> {
    let fingerprinted = |mut bytes: Vec<u8>| {
        bytes[3] += 8;
        let crc = crc32fast::hash(&bytes) ^ 0x5354_554E;
        bytes.extend([0x80, 0x28, 0, 4]);
        bytes.extend(crc.to_be_bytes());
        bytes
    };
    let udp = [0, 0x19, 0, 4, 17, 0, 0, 0];
    let mut wrong_cookie = message(1, &[]);
    wrong_cookie[4] = 0;
    let foreign_nonce = |writer: &mut Writer<'_>| {
        writer.attribute(T::USERNAME, USER.as_bytes());
        writer.attribute(T::REALM, REALM.as_bytes());
        writer.attribute(T::NONCE, b"of another server's");
    };
    let no_user = |writer: &mut Writer<'_>| {
        writer.attribute(T::NONCE, b"of another server's");
    };
    vec![
        ("Binding", message(0x0001, &[])),
        ("Binding with FINGERPRINT", fingerprinted(message(0x0001, &[]))),
        ("Binding with an unknown attribute", message(0x0001, &[0x7F, 1, 0, 0])),
        ("Allocate, bare", message(0x0003, &[])),
        ("Allocate with REQUESTED-TRANSPORT", message(0x0003, &udp)),
        ("Allocate with both", fingerprinted(message(0x0003, &udp))),
        ("Allocate, signed, with a nonce of another server's", signed(foreign_nonce)),
        ("Allocate, signed, without a user", signed(no_user)),
        ("Refresh", message(0x0004, &[])),
        ("CreatePermission", message(0x0008, &[])),
        ("Connect", message(0x000A, &[])),
        ("an unknown method", message(0x0005, &[])),
        ("a Binding indication", message(0x0011, &[])),
        ("a wrong cookie", wrong_cookie),
        ("a wrong length", message(0x0003, &udp)[..24].to_vec()),
        ("RFC 3489, without a cookie", [&[0, 1, 0, 0][..], &[7; 16]].concat()),
        ("ChannelData", vec![0x40, 0, 0, 4, 1, 2, 3, 4]),
        ("other bytes", vec![0xFF; 64]),
    ]
}

/// The answer; none where there is none by the time that a Binding request sent behind it is answered.
fn answered(server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let socket = connected(server);
    socket.send(question).unwrap();
    let mut last = message(0x0001, &[]);
    last[8..].copy_from_slice(LAST);
    // From the same socket, so that it comes to the same worker, behind the question.
    std::thread::sleep(Duration::from_millis(5));
    socket.send(&last).unwrap();
    let mut buffer = [0; 1500];
    let mut answer = None;
    loop {
        let len = socket.recv(&mut buffer).unwrap();
        if &buffer[8..20] == LAST {
            return answer;
        }
        assert!(answer.is_none(), "more than one answer");
        answer = Some(buffer[..len].to_vec());
    }
}

fn connected(server: SocketAddr) -> UdpSocket {
    let from: IpAddr =
        if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Of a server as it is by default.
fn ordinary_rows() -> Vec<Row> {
    let server = Server::configured(&format!(
        "realm = \"{REALM}\"\nexternal_ip = [\"127.0.0.1\", \"::1\"]\nworkers = 1\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\"]\n[admin]\nmetrics = \"off\"\n{}",
        listeners("udp")
    ));
    let [v4, v6] = [server.listeners[0].0, server.listeners[1].0];
    let row = |(what, question): (_, Vec<u8>)| {
        let answers = [v4, v6].map(|server| answered(server, &question));
        Row { what, question, answers }
    };
    questions().into_iter().map(row).collect()
}

fn listeners(transport: &str) -> String {
    ["127.0.0.1:0", "[::1]:0"]
        .map(|at| format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"{at}\"\n"))
        .concat()
}

/// Of a server that speaks DTLS: what a first ClientHello gets. None without the feature.
fn dtls_row() -> Option<Row> {
    if !cfg!(feature = "dtls") {
        return None;
    }
    let certificate = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| certificate.path().join(name));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = Server::configured(&format!(
        "realm = \"{REALM}\"\nexternal_ip = [\"127.0.0.1\", \"::1\"]\nworkers = 1\n\
         [tls]\ncert = \"{}\"\nkey = \"{}\"\n[admin]\nmetrics = \"off\"\n{}",
        cert.display(),
        key.display(),
        listeners("dtls")
    ));
    let question = client_hello();
    let answers = [server.listeners[0].0, server.listeners[1].0].map(|server| {
        let socket = connected(server);
        socket.send(&question).unwrap();
        let mut buffer = [0; 1500];
        let len = socket.recv(&mut buffer).unwrap();
        Some(buffer[..len].to_vec())
    });
    Some(Row { what: "a ClientHello of DTLS", question, answers })
}

/// As short as one can be (RFC 6347 section 4.2.1): one cipher suite, no extension.
fn client_hello() -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend([7; 32]);
    body.extend([0, 0, 0, 2, 0xC0, 0x2B, 1, 0]);
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut handshake = vec![1];
    handshake.extend(&length[1..]);
    handshake.extend([0; 5]);
    handshake.extend(&length[1..]);
    handshake.extend(body);
    let mut record = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend(u16::try_from(handshake.len()).unwrap().to_be_bytes());
    record.extend(handshake);
    record
}

/// With `protocol.nat_discovery`. It takes two addresses of each family and two ports, so there is no
/// socket here.
fn nat_discovery_rows() -> [Row; 2] {
    let own: [[IpAddr; 2]; 2] = [
        [[203, 0, 113, 1], [203, 0, 113, 2]].map(IpAddr::from),
        [[0x2001, 0xDB8, 0, 0, 0, 0, 0, 1], [0x2001, 0xDB8, 0, 0, 0, 0, 0, 2]].map(IpAddr::from),
    ];
    let mut settings = shard::settings(own[0][0]);
    let addresses = own.map(|pair| Some(pair.map(RelayAddress::plain)));
    settings.nat_discovery = Some(NatDiscovery { addresses, ports: [3478, 3479] });
    let mut shard = Shard::new(settings, shard::rules(1, own[0][0], Vec::new()));
    let mut outside = Recorder::default();
    outside.port = Some(3478);
    let now = Now { tick: Tick(1_000), unix: 1_700_000_000 };
    let padding = [&[0, 0x26, 0x03, 0xE8][..], &[0; 1000]].concat();
    [
        ("Binding, with NAT discovery", message(0x0001, &[])),
        ("Binding with 1000 bytes of PADDING, with NAT discovery", message(0x0001, &padding)),
    ]
    .map(|(what, question)| {
        let answers = own.map(|[local, _]| {
            let remote = match local {
                IpAddr::V4(_) => SocketAddr::from(([198, 51, 100, 9], 50_000)),
                IpAddr::V6(_) => SocketAddr::from(([0x2001, 0xDB8, 9, 0, 0, 0, 0, 9], 50_000)),
            };
            let client = Client { remote: ClientAddr(remote), local, via: Via::Udp(0) };
            let mut reply = [0; 2048];
            match shard.from_client(now, client, &question, &mut reply, &mut outside) {
                Verdict::Reply(len) => Some(reply[..len].to_vec()),
                other => panic!("{other:?}"),
            }
        });
        Row { what, question, answers }
    })
}

/// The kind of an answer: an error by its number.
fn kind(answer: &Option<Vec<u8>>) -> String {
    match answer.as_deref() {
        None => "-".to_owned(),
        Some([22, ..]) => "HelloVerifyRequest".to_owned(),
        Some(bytes) => match Message::parse(bytes).unwrap().error_code() {
            Some(code) => code.to_string(),
            None => "success".to_owned(),
        },
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = "| Asked | Answer | In, IPv4 | Out | Out/in | In, IPv6 | Out | Out/in |\n\
                     |---|---|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for Row { what, question, answers } in rows {
        assert_eq!(kind(&answers[0]), kind(&answers[1]), "{what}");
        write!(table, "| {what} | {} |", kind(&answers[0])).unwrap();
        for (answer, headers) in answers.iter().zip(HEADERS) {
            let asked = question.len() + headers;
            match answer {
                None => write!(table, " {asked} | 0 | - |").unwrap(),
                Some(answer) => {
                    let out = answer.len() + headers;
                    let factor = out as f64 / asked as f64;
                    let most = MOST[usize::from(what.ends_with("NAT discovery"))];
                    assert!(factor <= most, "{what}: {out} bytes for {asked}");
                    write!(table, " {asked} | {out} | {factor:.2} |").unwrap();
                }
            }
        }
        table.push('\n');
    }
    table
}

#[test]
fn amplification_is_what_the_document_says() {
    let mut rows = ordinary_rows();
    rows.extend(dtls_row());
    rows.extend(nat_discovery_rows());
    let measured = table(&rows);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = fs::read_to_string(&path).unwrap();
    let (front, rest) = document.split_once("<!-- amplification -->\n").unwrap();
    let (told, back) = rest.split_once("<!-- end of amplification -->").unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text =
            format!("{front}<!-- amplification -->\n{measured}<!-- end of amplification -->{back}");
        fs::write(path, text).unwrap();
        return;
    }
    // Without DTLS all but its row.
    let told: Vec<_> = told
        .lines()
        .filter(|line| cfg!(feature = "dtls") || !line.contains("ClientHello of DTLS"))
        .collect();
    assert_eq!(told.join("\n") + "\n", measured, "UPDATE_GOLDEN=1 rewrites it");
}
