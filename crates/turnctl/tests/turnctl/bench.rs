//! `turnctl bench` against the real server.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::process::{Command, Output};

use serde_json::Value;
use testkit::server::Server;

const PASSWORD: &str = "correct horse battery";

fn server(peers: &str) -> Server {
    Server::configured(&format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [auth]\nusers = [\"alice:{PASSWORD}\"]\n[peers]\nallow = [{peers}]\n"
    ))
}

fn bench(server: &Server, more: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .args(["bench", &format!("turn:{}", server.address), "--user", "alice", "--flows", "3"])
        .args(more)
        .env("TURNCTL_PASSWORD", PASSWORD)
        .output()
        .unwrap()
}

fn measured(server: &Server, more: &[&str]) -> Value {
    let pid = server.id().to_string();
    let output = bench(server, &[more, &["--seconds", "0.5", "--json", "--pid", &pid]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(figures: &Value, key: &str) -> f64 {
    figures[key].as_f64().unwrap_or_else(|| panic!("{key} in {figures}"))
}

#[test]
fn packets_pass_in_every_direction() {
    let server = server("\"127.0.0.0/8\"");
    for more in [
        &["--direction", "both"][..],
        &["--direction", "up", "--spread"],
        &["--direction", "down", "--burst", "10", "--size", "1200"],
        &["--closed-loop", "--burst", "3"],
        &["--relayed-peers", "--direction", "both"],
    ] {
        let figures = measured(&server, more);
        assert!(number(&figures, "sent") > 0.0, "{figures}");
        assert!(number(&figures, "relayed") > 0.0, "{figures}");
        assert!(number(&figures, "latency_p50_us") > 0.0, "{figures}");
        let order = ["latency_p50_us", "latency_p90_us", "latency_p99_us", "latency_max_us"];
        assert!(order.map(|key| number(&figures, key)).is_sorted(), "{figures}");
        assert!(number(&figures, "server_memory_kb") > 500.0, "{figures}");
    }
}

#[test]
fn allocations_are_made_counted_and_ended() {
    let server = server("");
    let figures = measured(&server, &["--allocations", "20"]);
    assert_eq!(figures["count"], 20);
    assert!(number(&figures, "made_per_second") > 0.0, "{figures}");
    assert!(number(&figures, "server_cpu_us_each") > 0.0, "{figures}");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let server = server("");
    for (more, code, words) in [
        (&["--size", "15"][..], 2, "--size 15: write a number from 16 to 1400"),
        (&["--rate", "NaN"], 2, "--rate NaN"),
        (&["--seconds", "3600"], 2, "from 0.1 to 240"),
        (&["--rate", "90000", "--burst", "64"], 2, "lower --flows, --burst or --rate"),
        (&["--idle", "5"], 2, "?transport=tcp"),
        (&["--pid", "4294967295"], 2, "no such process"),
        // A server does not relay to its own machine unless it is allowed to.
        (&[], 1, "use --relayed-peers"),
    ] {
        let output = bench(&server, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {said}");
        assert!(said.contains(words), "{more:?}: {said}");
        assert!(!said.contains(PASSWORD));
    }
}

#[test]
fn without_a_login_it_says_that_one_is_asked_for() {
    let server = server("");
    let output = Command::new(testkit::program::turnctl())
        .args(["bench", &format!("turn:{}", server.address), "--flows", "1"])
        .env_remove("TURNCTL_PASSWORD")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the server requires credentials: pass --user NAME"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}
