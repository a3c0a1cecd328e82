//! `turnctl doctor` as a program: its form, its exit status, and what it sees of real sockets.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn turnctl(args: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .args(["doctor", "--offline"])
        .args(args)
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap()
}

fn report(args: &[&str]) -> (Option<i32>, Value) {
    let output = turnctl(&[args, &["--json"]].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

fn finding<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    let sections = report["sections"].as_array().unwrap().iter();
    let mut findings = sections.flat_map(|section| section["findings"].as_array().unwrap());
    findings.find(|finding| finding["id"] == id)
}

fn config(dir: &tempfile::TempDir, port: u16, more: &str) -> PathBuf {
    let path = dir.path().join("taciturn.toml");
    let toml = format!(
        "listen = [\"udp:127.0.0.1:{port}\"]\n{more}\n[auth]\nsecrets = [\"a secret of some length\"]\n"
    );
    fs::write(&path, toml).unwrap();
    path
}

#[test]
fn server_that_does_not_run_and_a_port_that_others_have_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    // Taken here for as long as the test runs; relay ports as far away as can be.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let path = config(&dir, port, "relay_ports = \"2000-2300\"");
    let args = ["--config", path.to_str().unwrap()];
    let (code, taken) = report(&args);
    assert_eq!(code, Some(2));
    let found = finding(&taken, "port-taken").unwrap();
    assert!(found["title"].as_str().unwrap().contains(&format!("{}/udp", port)), "{found}");
    assert!(found["title"].as_str().unwrap().contains(&std::process::id().to_string()), "{found}");
    // Below the ports that the kernel gives away, so that no other test has it.
    config(&dir, 2999, "relay_ports = \"2000-2300\"");
    let (code, stopped) = report(&args);
    assert_eq!(code, Some(2));
    assert!(finding(&stopped, "not-running").is_some(), "{stopped:#}");
}

#[test]
fn wrong_configuration_is_the_only_finding() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(&dir, 3479, "relam = \"a secret\"");
    let (code, json) = report(&["--config", path.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    let found = finding(&json, "config").unwrap();
    assert!(
        found["title"].as_str().unwrap().contains("taciturn.toml:2:1: relam: there is no such key")
    );
    assert_eq!(found["fix"], "did you mean \"realm\"?");
    assert!(finding(&json, "not-examined").is_some());
}

#[test]
fn text_has_why_and_fix_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path =
        config(&dir, 3479, "relay_ports = \"2000-2050\"\nexternal_ip = \"10.0.0.9/127.0.0.1\"");
    let output = turnctl(&["--config", path.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "WARN  51 relay ports are few [few-relay-ports]",
        "FAIL  relaying on 10.0.0.9 (bound to 127.0.0.1), which is not public [external-private]",
        "why: ",
        "external_ip = \"PUBLIC/PRIVATE\"",
        "Firewall of this machine",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("a secret of some length"));
}
