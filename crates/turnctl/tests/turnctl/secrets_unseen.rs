//! No command of either program prints a secret, a password or a token, whether it succeeds or fails: not on standard
//! output or standard error, as text or as JSON, nor in the log at its most detailed. Left out are the commands that
//! exist to print one: init, credentials, page, snippet, homeserver-snippet and import-coturn without a file.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::program::{taciturn, turnctl};
use testkit::server::Server;

const SECRET: &str = "Qz7-secret-of-the-homeserver-31";
const PASSWORD: &str = "Qz7-password-of-alice-31";
const OTHER: &str = "Qz7-wrong-password-31";
const TOKEN: &str = "Qz7_token_of_alice_31";
/// What all of them have in common.
const MARK: &str = "Qz7";

/// All that a program prints.
fn printed(program: &Path, args: &[&str], vars: &[(&str, &str)], dir: &Path) -> String {
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .envs(vars.iter().copied())
        .env("STATE_DIRECTORY", dir)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [out, err] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    format!("{out}{err}")
}

#[track_caller]
fn holds_no_secret(what: &str, text: &str) {
    assert!(!text.contains(MARK), "{what}: {text}");
    let made = taciturn_turn::auth::SharedSecret::new(SECRET);
    // Passwords that are made of the secret: of any username that is printed.
    for word in text.split(|c: char| c.is_whitespace() || "\",;()".contains(c)) {
        if word.contains(':') {
            let password = made.password_for(word.trim_end_matches(':'));
            assert!(!text.contains(password.as_str()), "{what}: the password of {word}: {text}");
        }
    }
}

#[test]
fn the_server_prints_no_secret_when_it_refuses_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taciturn.toml");
    for toml in [
        // A mistake beside, before and within the credentials.
        format!("relam = \"x\"\n[auth]\nsecrets = [\"{SECRET}\"]\nusers = [\"alice:{PASSWORD}\"]"),
        format!("[auth]\nsecrets = \"{SECRET}\nusers = [\"alice:{PASSWORD}\"]"),
        format!("[auth]\nsecrets = [\"{SECRET}\", \"{PASSWORD}\"\nx"),
        format!("[auth]\nsecret = \"{SECRET}\""),
        format!("static-auth-secret = \"{SECRET}\""),
        format!("[auth]\nusers = [\"alice {PASSWORD}\", \":{PASSWORD}\"]"),
        format!("[auth]\nusers = {{ alice = \"{PASSWORD}\" }}"),
        format!("[auth]\nsecrets = [\"${{X:-{SECRET}}}\"]\nusers = [\"alice:${{X:-{PASSWORD}}}\"]"),
        format!("[auth]\nusers = [\"alice:{PASSWORD},bob:{OTHER}\"]\nx = 1"),
        format!("[tls]\nkey = \"-----BEGIN PRIVATE KEY-----{SECRET}\"\ncert = \"x\""),
        format!("auth.secrets = [\"{SECRET}\"]\nexternal_ip = \"X.X.X.X\""),
        format!("auth.secrets = [\"{SECRET}\\u0000\"]\nauth.users = [\"alice:0x{PASSWORD}\"]"),
    ] {
        fs::write(&file, &toml).unwrap();
        let args = ["--config", "taciturn.toml"];
        let text = printed(taciturn(), &args, &[("TACITURN_LOG", "trace")], dir.path());
        assert!(text.contains("error"), "{toml}: {text}");
        holds_no_secret(&toml, &text);
        for command in [
            &["doctor", "--offline"][..],
            &["doctor", "--offline", "--json"],
            &["health"],
            &["check"],
        ] {
            holds_no_secret(
                &toml,
                &printed(turnctl(), &[command, &args].concat(), &[], dir.path()),
            );
        }
    }
    for vars in [
        [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_REALM", "${X}")],
        [("TACITURN_AUTH_USERS", PASSWORD), ("TACITURN_AUTH_SECRET", SECRET)],
        [("TACITURN_AUTH_USERS", "[\"alice:Qz7\""), ("TACITURN_WORKERS", "x")],
    ] {
        holds_no_secret("variables", &printed(taciturn(), &[], &vars, dir.path()));
    }
    let text = printed(taciturn(), &["--user", &format!("alice {PASSWORD}")], &[], dir.path());
    holds_no_secret("--user", &text);
}

#[test]
fn no_command_prints_a_secret() {
    let mut server = Server::configured(&format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\n[log]\nlevel = \"trace\"\n[auth]\n\
         secrets = [\"{SECRET}\"]\nusers = [\"alice:{PASSWORD}\"]\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n"
    ));
    let state = server.state.path().to_owned();
    let write = |name: &str, text: &str| {
        fs::write(state.join(name), text).unwrap();
        state.join(name).to_str().unwrap().to_owned()
    };
    let (right, wrong) = (write("right", SECRET), write("wrong", OTHER));
    let coturn = write(
        "coturn.conf",
        &format!(
            "use-auth-secret\nstatic-auth-secret={SECRET}\nuser=bob:{PASSWORD}\ncli-password={OTHER}\nbad line\n"
        ),
    );
    let uri = format!("turn:{}", server.address);
    let socket = state.join("control.sock").to_str().unwrap().to_owned();
    let password = [("TURNCTL_PASSWORD", PASSWORD), ("TURNCTL_TOKEN", TOKEN)];
    let guess = [("TURNCTL_PASSWORD", OTHER), ("TURNCTL_TOKEN", TOKEN)];
    for (args, vars) in [
        (vec!["check", &uri, "--secret-file", &right], &[][..]),
        (vec!["check", &uri, "--secret-file", &right, "--json"], &[]),
        (vec!["check", &uri, "--secret-file", &wrong], &[]),
        (vec!["check", &uri, "--user", "alice"], &password[..]),
        (vec!["check", &uri, "--user", "alice"], &guess),
        (vec!["check", &uri, "--user", "alice", "--password", OTHER], &[]),
        (vec!["check", &uri, "--user", "alice", "--password", OTHER, "--timeout", "x"], &[]),
        (vec!["check", "turn:h;1", "--secret-file", &right], &[]),
        (vec!["check", "--homeserver", "http://127.0.0.1:1"], &password),
        (vec!["check", "--homeserver", "http://127.0.0.1:1", "--token", TOKEN], &[]),
        (vec!["bench", &uri, "--secret-file", &wrong, "--clients", "x"], &[]),
        (vec!["import-coturn", &coturn, "-o", "imported.toml"], &[]),
        (vec!["status", "--socket", &socket], &[]),
        (vec!["status", "--socket", &socket, "--json"], &[]),
        (vec!["sessions", "--socket", &socket, "--json"], &[]),
        (vec!["log-level", "--socket", &socket], &[]),
        (vec!["certs", "--socket", &socket], &[]),
        (vec!["reload", "--socket", &socket], &[]),
        (vec!["kick", "--socket", &socket, "--user", "nobody"], &[]),
        (vec!["status", "--socket", "/nowhere"], &[]),
    ] {
        // What a user types as an argument may come back in an error about that argument, and in nothing else.
        let text = printed(turnctl(), &args, vars, &state);
        assert!(!text.is_empty() || args[0] == "certs", "{args:?} prints nothing");
        holds_no_secret(&args.join(" "), &text);
    }
    // A reload that is refused names the mistake.
    server.write_configuration(&format!(
        "relam = 1\n[auth]\nsecrets = [\"{SECRET}\"]\nusers = [\"alice:{PASSWORD}\"]"
    ));
    holds_no_secret("reload", &printed(turnctl(), &["reload", "--socket", &socket], &[], &state));
    holds_no_secret("the log", &server.log());
}

#[test]
fn debug_texts_hold_no_secret() {
    let toml = format!("[auth]\nsecrets = [\"{SECRET}\"]\nusers = [\"alice:{PASSWORD}\"]");
    let loaded = taciturn_config::Config::from_toml(&toml).unwrap();
    holds_no_secret("Config", &format!("{loaded:?}"));
    let errors = taciturn_config::Config::from_toml(&format!("x = 1\n{toml}")).unwrap_err();
    holds_no_secret("ConfigErrors", &format!("{errors:?}"));
}
