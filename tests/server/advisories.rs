//! What has gone wrong in other servers, by the number it was given, as far as bytes and the process
//! are concerned; `crates/turn/src/tests/advisories.rs` has the rest, docs/security.md the table of all.
#![allow(clippy::unwrap_used)]

use testkit::server;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use server::{PATIENCE, Server};
use taciturn_stun::{ChannelData, Frame, MAGIC_COOKIE, Message};

fn configured(more: &str) -> String {
    format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\nworkers = 1\n{more}\n\
         [[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n"
    )
}

/// SQL in the web interface, and a console on TCP that took any password: there is neither. What is
/// asked of a running server is asked through a file that has the rights of one.
#[cfg(target_os = "linux")]
#[test]
fn cve_2018_4056_and_4059_nothing_listens_but_what_is_configured() {
    use std::os::unix::fs::PermissionsExt as _;

    let server = Server::configured(&configured("[admin]\nmetrics = \"off\""));
    let own: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", server.id()))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", server.id())).unwrap();
    let listening: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A"))
        .filter(|fields| own.contains(&format!("socket:[{}]", fields[9])))
        .map(|fields| fields[1].to_owned())
        .collect();
    assert_eq!(listening, [format!("0100007F:{:04X}", server.address.port())]);
    let socket = server.state.path().join("control.sock");
    let mode = std::fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

/// An HTTP parser on the TURN port; in GHSA-m23x-5qf5-988g an answer of it leaked the heap.
#[test]
fn cve_2020_6061_and_6062_http_gets_no_answer_on_the_turn_port() {
    let server = Server::configured(&configured(""));
    for request in [
        "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /",
    ] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        assert!(answer.is_empty(), "{answer:?}");
    }
}

/// One datagram at an odd address ended coturn on ARM64.
#[test]
fn cve_2026_40613_messages_are_read_at_any_alignment() {
    // Binding with an unknown attribute and USERNAME, whose length is odd.
    let mut message = vec![0, 1, 0, 20];
    message.extend(MAGIC_COOKIE);
    message.extend(b"0123456789ab");
    message.extend([0x80, 0x01, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
    message.extend([0, 6, 0, 3, b'a', b'b', b'c', 0]);
    for offset in 0..16 {
        let shifted = [vec![0xAA; offset], message.clone()].concat();
        let read = Message::parse(&shifted[offset..]).unwrap();
        assert_eq!(read.username().unwrap(), Some("abc"));
        let channel = [vec![0xAA; offset], vec![0x40, 1, 0, 3, 7, 8, 9]].concat();
        assert_eq!(ChannelData::parse(&channel[offset..]).unwrap().data, [7, 8, 9]);
    }
}

/// Length and header together went beyond 65535, and the stream lost its rhythm.
#[test]
fn cve_2026_68552_a_length_near_65535_does_not_wrap() {
    for length in [0xFFEC_u16, 0xFFF0, 0xFFF8, 0xFFFC] {
        let mut begun = vec![0, 1];
        begun.extend(length.to_be_bytes());
        begun.extend(MAGIC_COOKIE);
        begun.extend(b"0123456789ab");
        begun.extend([0; 100]);
        match Frame::of(&begun) {
            Frame::Incomplete { needed } => assert_eq!(needed, 20 + usize::from(length)),
            Frame::Foreign => {}
            Frame::Whole { len, .. } => panic!("a message of {len} bytes in {length:#06x}"),
        }
        assert!(Message::parse(&begun).is_err());
    }
    let channel = [[0x40, 1, 0xFF, 0xFF].to_vec(), vec![0; 100]].concat();
    assert!(matches!(Frame::of(&channel), Frame::Incomplete { needed: 65_540 }));
}

/// A secret that everybody knows from an example, no secret at all, one that others can read: none
/// of them starts a server that anybody may use.
#[test]
fn examples_are_no_secrets() {
    for secret in ["", "CHANGE ME", "changeme", "secret", "north"] {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("taciturn.toml");
        let text = configured(&format!("[auth]\nsecrets = [\"{secret}\"]"));
        std::fs::write(&file, text).unwrap();
        let output = server::bare(state.path()).arg("--config").arg(&file).output().unwrap();
        assert!(!output.status.success(), "{secret:?} was taken");
    }
}
