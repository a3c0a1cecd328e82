//! `turnctl init` as a program.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use taciturn_config::{Config, Environment, ServerArgs};

fn turnctl(args: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .args(args)
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap()
}

fn init(dir: &Path, args: &[&str]) -> Output {
    let dir = dir.join("etc");
    let fixed = ["init", "--domain", "turn.domain.org", "--dir", dir.to_str().unwrap()];
    turnctl(&[&fixed, args].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn load(dir: &Path) -> Config {
    let config = Some(dir.join("etc/taciturn.toml"));
    let args = ServerArgs { config, ..ServerArgs::default() };
    Config::load(&args, &Environment::default()).unwrap_or_else(|errors| panic!("{errors}")).config
}

#[test]
fn it_writes_what_the_server_takes_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = init(dir.path(), &["--external-ip", "203.0.113.7"]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for words in [
        "written  ",
        "turn.domain.org.  A  203.0.113.7",
        "ufw allow 59000:60100/udp",
        "udp dport '{ 3478, 59000-60100 }' accept",
        "\"turn:turn.domain.org:3478?transport=udp\"",
        "turn_shared_secret_path:",
        "turnctl doctor --config ",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let config = load(dir.path());
    assert_eq!(config.realm, "turn.domain.org");
    assert_eq!(config.auth.secrets.len(), 1);
    let secret = text(config.auth.secrets[0].secret.expose());
    assert!(!told.contains(&secret), "the secret goes to terminals only");
    for file in ["taciturn.toml", "turn_secret"] {
        assert_eq!(fs::metadata(dir.path().join("etc").join(file)).unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn second_run_keeps_everything_and_force_keeps_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    assert!(init(dir.path(), &[]).status.success());
    let file = dir.path().join("etc/taciturn.toml");
    let secret = fs::read(dir.path().join("etc/turn_secret")).unwrap();
    let changed = fs::read_to_string(&file).unwrap().replace("59000-60100", "50000-50500");
    fs::write(&file, &changed).unwrap();

    let again = init(dir.path(), &[]);
    let told = text(&again.stdout);
    assert!(again.status.success());
    assert_eq!(told.matches("kept     ").count(), 2, "{told}");
    assert!(told.contains("ufw allow 50000:50500/udp"), "the file counts: {told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), changed);

    assert!(init(dir.path(), &["--force"]).status.success());
    assert!(fs::read_to_string(&file).unwrap().contains("59000-60100"));
    assert_eq!(fs::read(dir.path().join("etc/turn_secret")).unwrap(), secret);
}

/// Traefik's file with a certificate for `name`.
fn acme_json(dir: &Path, name: &str) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let json = serde_json::json!({ "letsencrypt": { "Account": null, "Certificates": [{
        "domain": { "main": name },
        "certificate": base64(cert.pem()),
        "key": base64(key.serialize_pem()),
        "Store": "default",
    }]}});
    let letsencrypt = dir.join("config/letsencrypt");
    fs::create_dir_all(&letsencrypt).unwrap();
    fs::write(letsencrypt.join("acme.json"), json.to_string()).unwrap();
}

#[test]
fn certificate_of_pangolin_is_used_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let pangolin = dir.path().join("pangolin");
    let args = ["--pangolin", pangolin.to_str().unwrap()];
    let nowhere = init(dir.path(), &args);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("config/letsencrypt/acme.json"));
    assert!(!dir.path().join("etc").exists(), "a mistake leaves nothing behind");

    acme_json(&pangolin, "other.domain.org");
    let without = init(dir.path(), &args);
    assert!(without.status.success());
    assert!(text(&without.stderr).contains("no certificate for turn.domain.org"));
    assert!(load(dir.path()).tls.certificates.is_empty());

    acme_json(&pangolin, "turn.domain.org");
    let with = init(dir.path(), &[&args[..], &["--force"]].concat());
    assert!(with.status.success(), "{}", text(&with.stderr));
    assert_eq!(load(dir.path()).tls.certificates.len(), 1);
    assert!(text(&with.stdout).contains("turns:turn.domain.org:5349?transport=tcp"));
}

#[test]
fn what_is_commented_out_is_a_configuration_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let pangolin = dir.path().join("pangolin");
    acme_json(&pangolin, "other.domain.org");
    assert!(init(dir.path(), &["--pangolin", pangolin.to_str().unwrap()]).status.success());
    let file = dir.path().join("etc/taciturn.toml");
    let on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    let all: String = fs::read_to_string(&file).unwrap().lines().map(on).collect();
    fs::write(&file, all).unwrap();
    let config = load(dir.path());
    assert_eq!(config.listen.len(), 4);
    assert!(config.listen[3].proxy_protocol);
}

#[test]
fn the_steps_fit_into_80_columns() {
    let dir = tempfile::tempdir().unwrap();
    let steps = text(&init(dir.path(), &[]).stdout);
    let place = dir.path().to_str().unwrap();
    let long: Vec<_> =
        steps.lines().filter(|line| line.replace(place, "").chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:?}");
    assert!(
        steps.trim_end().lines().last().unwrap().starts_with("turnctl doctor --config "),
        "{steps}"
    );
}

#[test]
fn names_that_dns_cannot_hold_are_refused() {
    for name in ["turn", "203.0.113.7", "turn:domain.org", "turn.yourdomain.com"] {
        let output = turnctl(&["init", "--domain", name, "--dir", "/nowhere/at/all"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(text(&output.stderr).contains("--domain"), "{name}");
    }
}

#[test]
fn directory_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir = file.path().join("below");
    let output = turnctl(&["init", "--domain", "turn.domain.org", "--dir", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains(dir.to_str().unwrap()) && told.contains("--dir DIR"), "{told}");
}

#[test]
fn the_unit_that_it_asks_for_can_read_the_certificate_of_pangolin() {
    let dir = tempfile::tempdir().unwrap();
    let steps = std::cell::RefCell::new(String::new());
    let unit = |args: &[&str]| {
        let made = init(dir.path(), args);
        assert!(made.status.success());
        *steps.borrow_mut() = text(&made.stdout);
        let config = dir.path().join("etc/taciturn.toml");
        let output = turnctl(&["snippet", "systemd", "--config", config.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(unit(&[]).contains("\nUser=taciturn\n"));
    let etc = dir.path().join("etc");
    assert!(steps.borrow().contains("\nuseradd --system"), "{}", steps.borrow());
    for file in ["taciturn.toml", "turn_secret"] {
        let file = etc.join(file).display().to_string();
        assert!(steps.borrow().contains(&format!("\nchgrp taciturn {file} && chmod 640 {file}\n")));
    }
    let pangolin = dir.path().join("pangolin");
    acme_json(&pangolin, "turn.domain.org");
    let unit = unit(&["--force", "--pangolin", pangolin.to_str().unwrap()]);
    assert!(unit.contains("\nUser=root\n") && !unit.contains("User=taciturn"), "{unit}");
    assert!(!steps.borrow().contains("useradd"), "{}", steps.borrow());
    assert!(unit.contains("\nCapabilityBoundingSet=\n"), "{unit}");
}
