//! `turnctl homeserver-snippet` as a program: what it prints where, and how it ends.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use yaml_rust2::{Yaml, YamlLoader};

/// A state directory as a server leaves it.
fn state_with_secret() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turn_secret");
    std::fs::write(&path, "gBtcqamV3MUy49YE7OWCVBWYi1Gf33xc\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

fn turnctl(state: &Path, args: &[&str], vars: &[(&str, &str)]) -> Output {
    Command::new(testkit::program::turnctl())
        .arg("homeserver-snippet")
        .args(args)
        .env_clear()
        .env("STATE_DIRECTORY", state)
        .envs(vars.iter().copied())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn yaml(output: &Output) -> Yaml {
    assert!(output.status.success(), "{}", stderr(output));
    YamlLoader::load_from_str(std::str::from_utf8(&output.stdout).unwrap()).unwrap().remove(0)
}

fn uris(yaml: &Yaml) -> Vec<&str> {
    yaml["turn_uris"].as_vec().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect()
}

#[test]
fn without_configuration_it_prints_the_secret_the_server_has_made() {
    let dir = state_with_secret();
    let first = yaml(&turnctl(dir.path(), &["--host", "turn.domain.org"], &[]));
    assert_eq!(
        uris(&first),
        ["turn:turn.domain.org:3478?transport=udp", "turn:turn.domain.org:3478?transport=tcp"]
    );
    let kept = std::fs::read_to_string(dir.path().join("turn_secret")).unwrap();
    assert_eq!(first["turn_shared_secret"].as_str(), Some(kept.trim()));
    assert_eq!(first["turn_user_lifetime"].as_str(), Some("24h"));
    assert_eq!(first["turn_allow_guests"].as_bool(), Some(false));
    let second = yaml(&turnctl(dir.path(), &["--host", "turn.domain.org"], &[]));
    assert_eq!(first, second);
}

#[test]
fn without_the_servers_secret_it_makes_none_and_says_where_it_looked() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    for args in [&[][..], &["--state-dir", state.to_str().unwrap()]] {
        let output = turnctl(&state, args, &[]);
        assert_eq!(output.status.code(), Some(2));
        let told = stderr(&output);
        assert!(told.contains(state.join("turn_secret").to_str().unwrap()), "{told}");
        assert!(told.contains("--state-dir DIR"), "{told}");
        assert!(!state.exists(), "turnctl made something");
    }
    let other = state_with_secret();
    let args = ["--state-dir", other.path().to_str().unwrap(), "--host", "h.org"];
    let yaml = yaml(&turnctl(&state, &args, &[]));
    assert_eq!(yaml["turn_shared_secret"].as_str(), Some("gBtcqamV3MUy49YE7OWCVBWYi1Gf33xc"));
}

#[test]
fn ports_and_transports_are_the_configured_ones() {
    let dir = tempfile::tempdir().unwrap();
    let vars = [
        ("TACITURN_REALM", "turn.domain.org"),
        ("TACITURN_LISTEN", "tls:[::]:443,udp:[::]:3479,tcp:[::]:3480"),
        ("TACITURN_AUTH_SECRETS", "00000000001234567890"),
        ("TACITURN_TLS_CERT", "turn.pem"),
        ("TACITURN_TLS_KEY", "turn.key"),
    ];
    let yaml = yaml(&turnctl(dir.path(), &[], &vars));
    assert_eq!(
        uris(&yaml),
        [
            "turn:turn.domain.org:3479?transport=udp",
            "turn:turn.domain.org:3480?transport=tcp",
            "turns:turn.domain.org:443?transport=tcp",
        ]
    );
    assert_eq!(yaml["turn_shared_secret"].as_str(), Some("00000000001234567890"));
}

#[test]
fn secret_can_be_named_by_its_path() {
    let dir = state_with_secret();
    let args = ["--host", "2001:db8::1", "--secret-path", "/data/turn secret"];
    let yaml = yaml(&turnctl(dir.path(), &args, &[]));
    assert_eq!(uris(&yaml)[0], "turn:[2001:db8::1]:3478?transport=udp");
    assert_eq!(yaml["turn_shared_secret_path"].as_str(), Some("/data/turn secret"));
    assert!(yaml["turn_shared_secret"].is_badvalue());
}

#[test]
fn article_block_warns_of_ways_that_are_closed_on_standard_error_only() {
    let dir = tempfile::tempdir().unwrap();
    let vars = [("TACITURN_REALM", "turn.domain.org"), ("TACITURN_AUTH_USERS", "test:test")];
    let weak = ("TACITURN_AUTH_ALLOW_WEAK_CREDENTIALS", "true");
    let args = ["--static", "test", "--article"];
    let output = turnctl(dir.path(), &args, &[vars[0], vars[1], weak]);
    let yaml = yaml(&output);
    assert_eq!(uris(&yaml).len(), 4);
    assert_eq!(uris(&yaml)[0], "turns:turn.domain.org:5349?transport=tcp");
    assert_eq!(yaml["turn_username"].as_str(), Some("test"));
    assert_eq!(yaml["turn_allow_guests"].as_bool(), Some(true));
    let told = stderr(&output);
    assert!(told.contains("warning: auth.users[0] (user test)"), "{told}");
    assert_eq!(told.matches("no listener serves").count(), 2, "{told}");
}

#[test]
fn mistakes_end_with_status_2_and_an_empty_standard_output() {
    let dir = state_with_secret();
    for (args, vars, words) in [
        (&["--nonsense"][..], &[][..], "--nonsense"),
        (&["--config", "/nowhere.toml"], &[], "cannot read /nowhere.toml"),
        (&["--host", "turn:domain.org:3478"], &[], "write a DNS name"),
        (&["--static", "eve"], &[], "no user \"eve\" is configured; there is: none"),
        (&[], &[("TACITURN_RELM", "x")], "did you mean TACITURN_REALM?"),
        (&[], &[("TACITURN_AUTH_USERS", "alice:correct horse")], "--static alice"),
    ] {
        let output = turnctl(dir.path(), args, vars);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
    }
}
