//! `turnctl credentials` as a program.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use taciturn_turn::auth::SharedSecret;

const SECRET: &str = "a secret of some length";

fn turnctl(args: &[&str], vars: &[(&str, &str)]) -> Output {
    Command::new(testkit::program::turnctl())
        .arg("credentials")
        .args(args)
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .envs(vars.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The seconds until the username's expiry.
fn remaining(username: &str) -> u64 {
    let expiry: u64 = username.split_once(':').unwrap().0.parse().unwrap();
    expiry - SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn text_form_names_what_is_what() {
    let vars = [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_REALM", "turn.domain.org")];
    let output = turnctl(&["--user", "@alice:domain.org", "--ttl", "12h"], &vars);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let field = |name: &str| {
        let line = out.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {out}")).trim().to_owned()
    };
    let username = field("Username:");
    assert!(username.ends_with(":@alice:domain.org"), "{username}");
    assert!((43190..=43200).contains(&remaining(&username)));
    assert_eq!(field("Password:"), *SharedSecret::new(SECRET).password_for(&username));
    assert!(field("Expires:").contains("UTC (in 12h;"), "{out}");
    assert_eq!(field("Server:"), "turn:turn.domain.org:3478?transport=udp");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn json_form_is_what_rtcpeerconnection_takes() {
    let vars = [("TACITURN_AUTH_SECRETS", SECRET)];
    let output = turnctl(&["--json", "--host", "turn.domain.org"], &vars);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = &json["iceServers"][0];
    assert_eq!(server["urls"][0], "turn:turn.domain.org:3478?transport=udp");
    assert_eq!(server["urls"][1], "turn:turn.domain.org:3478?transport=tcp");
    let username = server["username"].as_str().unwrap();
    assert!(username.ends_with(":test-user"));
    assert!((3590..=3600).contains(&remaining(username)));
    assert_eq!(server["credential"], *SharedSecret::new(SECRET).password_for(username));
}

#[test]
fn named_secret_file_goes_before_configured_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "the other secret, longer\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let args = ["--json", "--host", "h.org", "--secret-file", path.to_str().unwrap()];
    let output = turnctl(&args, &[("TACITURN_AUTH_SECRETS", SECRET)]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = &json["iceServers"][0];
    let username = server["username"].as_str().unwrap();
    let expected = SharedSecret::new("the other secret, longer").password_for(username);
    assert_eq!(server["credential"], *expected);
}

#[test]
fn mistakes_end_with_status_2_and_say_what_to_write() {
    let secret = ("TACITURN_AUTH_SECRETS", SECRET);
    for (args, var, words) in [
        (&["--ttl", "soon"][..], secret, "--ttl \"soon\": write a number and a unit"),
        (&["--ttl", "0"], secret, "write a number and a unit"),
        (&["--user", ""], secret, "the name is empty"),
        (&["--secret-file", "/nowhere"], secret, "cannot read /nowhere"),
        (&[], ("TACITURN_AUTH_USERS", "alice:correct horse"), "no shared secret is configured"),
        (&[], ("TACITURN_AUTH_SECRETS", "your_secret_here"), "example secrets"),
    ] {
        let output = turnctl(args, &[var]);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(text(&output.stderr).contains(words), "{args:?}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("your_secret_here"));
    }
}
