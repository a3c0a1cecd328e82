//! docs/security.md is true: its tests exist, its figures are measured, no advisory is left out.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use regex::Regex;
use taciturn_stun::MAGIC_COOKIE;
use testkit::server::{PATIENCE, Server};

const DOCUMENT: &str = "docs/security.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join(DOCUMENT)).unwrap()
}

/// The rows of every table between the marks of `name`, without their headings.
fn rows(document: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let mut rows = Vec::new();
    for part in document.split(&begin).skip(1) {
        let (table, _) = part.split_once(&end).expect("the mark that ends it");
        let lines = table.lines().filter(|line| line.starts_with('|'));
        rows.extend(lines.skip(2).map(str::to_owned));
    }
    rows
}

/// Whether `file` has a test of that name: of Rust, or a case of a stage.
fn has_test(file: &Path, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
    if file.extension().is_none_or(|end| end != "rs") {
        return text.lines().any(|line| line.split_whitespace().next() == Some(name));
    }
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let function = Regex::new(&format!(r"^(async )?fn {name}\(")).unwrap();
    let at = lines.iter().position(|line| function.is_match(line));
    at.is_some_and(|at| {
        let above = lines[..at].iter().rev();
        let mut attributes =
            above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_promise_and_every_advisory_names_tests_that_exist() {
    let document = document();
    let link = Regex::new(r"\[([a-z0-9_-]+)\]\(\.\./([^)]+)\)").unwrap();
    let mut faults = Vec::new();
    let mut named = 0;
    for table in ["promises", "advisories"] {
        let rows = rows(&document, table);
        assert!(rows.len() > 20, "{table}: {} rows", rows.len());
        for row in rows {
            let held_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let links: Vec<_> = link.captures_iter(held_by).collect();
            if links.is_empty() {
                faults.push(format!("no test: {row}"));
            }
            for link in links {
                named += 1;
                if !has_test(Path::new(&link[2]), &link[1]) {
                    faults.push(format!("there is no {} in {}", &link[1], &link[2]));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(named > 60, "{named}");
    assert!(
        !has_test(Path::new("tests/repository/security.rs"), "rows"),
        "what is no test is taken for one"
    );
    assert!(!has_test(Path::new("stages/attacks/run"), "no-such-case"));
}

/// Every number that docs/conformance.toml has, and every test that is named after one.
#[test]
fn no_advisory_is_left_out() {
    let document = rows(&document(), "advisories").join("\n");
    let table = fs::read_to_string(root().join("docs/conformance.toml")).unwrap();
    let ids = Regex::new(r"CVE-\d{4}-\d+|GHSA-[a-z0-9-]{14}").unwrap();
    let mut wanted: BTreeSet<String> =
        ids.find_iter(&table).map(|id| id.as_str().to_owned()).collect();
    let test = Regex::new(r"fn cve_(\d{4})_(\d+)_").unwrap();
    for file in [
        "tests/server/advisories.rs",
        "crates/net/tests/dtls/records.rs",
        "crates/turn/src/tests/advisories.rs",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        wanted.extend(test.captures_iter(&text).map(|id| format!("CVE-{}-{}", &id[1], &id[2])));
    }
    assert!(wanted.len() > 14, "{wanted:?}");
    let missing: Vec<_> = wanted.iter().filter(|id| !document.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{DOCUMENT} has no row for {missing:?}");
}

// --- Amplification ------------------------------------------------------------------------

fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((attributes.len() as u16).to_be_bytes());
    bytes.extend(MAGIC_COOKIE);
    bytes.extend(b"amplified...");
    bytes.extend(attributes);
    bytes
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
    vec![
        ("Binding", message(0x0001, &[])),
        ("Binding with FINGERPRINT", fingerprinted(message(0x0001, &[]))),
        ("Binding with an unknown attribute", message(0x0001, &[0x7F, 1, 0, 0])),
        ("Allocate, bare", message(0x0003, &[])),
        ("Allocate with REQUESTED-TRANSPORT", message(0x0003, &udp)),
        ("Allocate with both", fingerprinted(message(0x0003, &udp))),
        ("Refresh", message(0x0004, &[])),
        ("CreatePermission", message(0x0008, &[])),
        ("an unknown method", message(0x0005, &[])),
        ("a Binding indication", message(0x0011, &[])),
        ("a wrong cookie", wrong_cookie),
        ("a wrong length", message(0x0003, &udp)[..24].to_vec()),
        ("RFC 3489, without a cookie", [&[0, 1, 0, 0][..], &[7; 16]].concat()),
        ("ChannelData", vec![0x40, 0, 0, 4, 1, 2, 3, 4]),
        ("other bytes", vec![0xFF; 64]),
    ]
}

/// The length of the answer; 0 where there is none by the time that a Binding request sent behind it
/// is answered.
fn answered(server: SocketAddr, question: &[u8]) -> usize {
    let from: IpAddr =
        if server.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() };
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(question).unwrap();
    let mut last = message(0x0001, &[]);
    last[8..].copy_from_slice(b"the last one");
    // From the same socket, so that it comes to the same worker, behind the question.
    std::thread::sleep(Duration::from_millis(5));
    socket.send(&last).unwrap();
    let mut buffer = [0; 1500];
    let mut len = 0;
    loop {
        let got = socket.recv(&mut buffer).unwrap();
        if &buffer[8..20] == b"the last one" {
            return len;
        }
        assert_eq!(len, 0, "more than one answer");
        len = got;
    }
}

#[test]
fn amplification_is_what_the_document_says() {
    let server = Server::configured(
        "realm = \"example.org\"\nexternal_ip = [\"127.0.0.1\", \"::1\"]\nworkers = 1\n\
         [admin]\nmetrics = \"off\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"[::1]:0\"\n",
    );
    let [v4, v6] = [server.listeners[0].0, server.listeners[1].0];
    let mut measured = "| Asked | In | Out, IPv4 | Out/in | Out, IPv6 | Out/in |\n\
                        |---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (what, question) in questions() {
        let [out, out_v6] = [v4, v6].map(|server| answered(server, &question));
        let factor = |out: usize| match out {
            0 => "-".to_owned(),
            _ => format!("{:.2}", out as f64 / question.len() as f64),
        };
        let (x, y) = (factor(out), factor(out_v6));
        writeln!(measured, "| {what} | {} | {out} | {x} | {out_v6} | {y} |", question.len())
            .unwrap();
        let most = if question.len() < 28 { 3.2 } else { 2.6 };
        assert!(out.max(out_v6) as f64 <= most * question.len() as f64, "{what}: {out} {out_v6}");
    }
    let document = document();
    let (front, rest) = document.split_once("<!-- amplification -->\n").unwrap();
    let (told, back) = rest.split_once("<!-- end of amplification -->").unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text =
            format!("{front}<!-- amplification -->\n{measured}<!-- end of amplification -->{back}");
        fs::write(root().join(DOCUMENT), text).unwrap();
        return;
    }
    assert_eq!(told, measured, "UPDATE_GOLDEN=1 writes it anew");
}
