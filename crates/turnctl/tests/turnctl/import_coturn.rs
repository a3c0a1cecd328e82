//! `turnctl import-coturn` as a program, and the translations that it makes, held against files
//! in `tests/golden/coturn`. `UPDATE_GOLDEN=1` rewrites them.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::prelude::*;
use taciturn_config::coturn::Outcome;
use taciturn_config::{
    Config, Environment, ExternalIp, NoteLevel, ServerArgs, Translation, Transport,
};

fn golden(name: &str) -> PathBuf {
    testkit::program::repository().join("tests/golden/coturn").join(name)
}

fn hold(name: &str, actual: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name} differs; UPDATE_GOLDEN=1 rewrites it");
}

fn turnctl(args: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .arg("import-coturn")
        .args(args)
        .current_dir(golden(""))
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn config(toml: &str) -> Config {
    Config::from_toml(toml).unwrap_or_else(|errors| panic!("{errors}\n{toml}")).config
}

fn shown(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn imported(name: &str, args: &[&str]) -> (String, String) {
    let output = turnctl(&[&[format!("{name}.conf").as_str()], args].concat());
    let (toml, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    hold(&format!("{name}.toml"), &toml);
    hold(&format!("{name}.txt"), &told);
    (toml, told)
}

#[test]
fn guides_configuration_is_taken_over_with_its_weak_user_on_demand_only() {
    let refused = turnctl(&["article.conf"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stdout.is_empty());
    let told = text(&refused.stderr);
    assert!(told.contains("auth.users[0] (user test)"), "{told}");
    assert!(told.contains("--allow-weak-credentials"), "{told}");

    let (toml, told) = imported("article", &["--allow-weak-credentials"]);
    assert!(told.contains("anyone may use this relay"), "{told}");
    let config = config(&toml);
    assert_eq!(config.realm, "turn.domain.org");
    assert_eq!(config.relay_ports.to_string(), "59000-60100");
    assert_eq!(config.external_ip, ExternalIp::Auto);
    assert_eq!(config.auth.users[0].name, "test");
    let listen: Vec<_> =
        config.listen.iter().map(|listen| (listen.transport, listen.address.to_string())).collect();
    assert_eq!(
        listen,
        [
            (Transport::UdpAndDtls, "0.0.0.0:3478".to_owned()),
            (Transport::UdpAndDtls, "0.0.0.0:5349".to_owned()),
            (Transport::Auto, "0.0.0.0:3478".to_owned()),
            (Transport::Auto, "0.0.0.0:5349".to_owned()),
        ]
    );
}

#[test]
fn synapses_configuration_is_taken_over() {
    let (toml, _) = imported("synapse", &[]);
    let config = config(&toml);
    assert_eq!(config.auth.secrets[0].secret.expose(), b"b5c3Tn2VfE8rYqPpKx0aWmZLsUoHdJgN");
    // What a built-in rule denies is left out, unless it holds an address of the server itself.
    assert_eq!(shown(&config.peers.deny), ["10.0.0.0/8", "192.0.2.0/24"]);
    assert_eq!(shown(&config.peers.allow), ["10.0.0.1/32"]);
    assert_eq!(config.limits.allocations_per_user, 12);
    let ExternalIp::Given(given) = config.external_ip else { panic!("no address") };
    let shown: Vec<_> = given.iter().map(|a| format!("{}/{}", a.public, a.local)).collect();
    assert_eq!(shown, ["192.0.2.10/10.0.0.1", "2001:db8::10/2001:db8::10"]);
}

#[test]
fn every_trap_is_stepped_over() {
    let (toml, told) = imported("everything", &[]);
    for secret in
        ["quoted and", "second-secret", "ignored-beside", "geheim", "q1Wq1W", "$5$", "oops"]
    {
        assert!(!told.contains(secret), "{secret} is shown");
    }
    let config = config(&toml);
    let secrets: Vec<_> =
        config.auth.secrets.iter().map(|secret| text(secret.secret.expose())).collect();
    assert_eq!(secrets, ["quoted and # kept; as it is", "second-secret-of-some-length"]);
    assert!(config.auth.users.is_empty());
    assert_eq!(config.realm, "turn.domain.org");
    assert_eq!(config.workers.get(), 1);
    assert_eq!(config.limits.nonce_lifetime.as_secs(), 86400);
    assert_eq!(config.limits.max_lifetime.as_secs(), 600);
    assert!(config.protocol.rfc5766_channels);
    assert!(config.listen.iter().any(|listen| listen.proxy_protocol));
    assert_eq!(config.peers.allow.len(), 1);
    assert!(config.peers.deny.iter().any(|net| net.to_string() == "9.9.9.0/24"));
}

/// A file of SQLite with users of these realms, each with another key.
fn users_of(realms: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("turndb");
    let users = taciturn_database::UsersFile::open(&path, true).unwrap().unwrap();
    for (n, realm) in realms.iter().enumerate() {
        users.add(realm, "alice", &format!("00112233445566778899aabbccddee{n:02x}")).unwrap();
    }
    (dir, path)
}

#[test]
fn realms_of_a_database_become_tenants_and_the_rest_is_for_the_operator_to_decide() {
    let (_dir, db) = users_of(&["turn.example.org", "turn.beta.example", "gamma"]);
    let db = db.to_str().unwrap();
    let (toml, told) = imported("realms", &["--db", db]);
    assert!(!told.contains("001122"), "a key is shown");
    let config = config(&toml);
    assert_eq!((config.realm.as_str(), config.auth.users.len()), ("turn.example.org", 1));
    let tenants: Vec<_> =
        config.tenants.iter().map(|one| (one.name.to_string(), &one.realm[..])).collect();
    let beta = "turn.beta.example";
    assert_eq!(tenants, [("gamma".to_owned(), "gamma"), (beta.to_owned(), beta)]);

    // With another realm for its own, and without any.
    let other = turnctl(&["realms.conf", "--db", db, "--realm", "gamma"]);
    assert!(text(&other.stdout).contains("\nrealm = \"gamma\""), "{}", text(&other.stderr));
    let none = turnctl(&["--db", db]);
    assert_eq!((none.status.code(), none.stdout.len()), (Some(2), 0));
    let told = text(&none.stderr);
    assert!(told.contains("\"gamma\", \"turn.beta.example\", \"turn.example.org\""), "{told}");
    assert!(told.contains("--realm gamma"), "{told}");
    // A realm that nobody is in leaves the tenants alone.
    let empty = turnctl(&["realms.conf", "--db", db, "--realm", "elsewhere"]);
    assert!(empty.status.success(), "{}", text(&empty.stderr));
    assert!(text(&empty.stdout).contains("only tenants are served"));
}

#[test]
fn the_import_says_how_its_databases_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnserver.conf");
    for (line, words) in [
        ("userdb=/srv/turn/turndb", &["SQLite", "--db /srv/turn/turndb"][..]),
        ("", &["SQLite", "--db /var/lib/turn/turndb"]),
        (
            "psql-userdb=\"host=h user=u password=geheim\"",
            &["--db -, which reads postgres://ROLE:"],
        ),
        ("mysql-userdb=\"host=h password=geheim\"", &["MySQL", "-h HOST -u USER"]),
    ] {
        fs::write(&file, format!("lt-cred-mech\nrealm=r\n{line}\n")).unwrap();
        let output = turnctl(&[file.to_str().unwrap()]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(words.iter().all(|words| told.contains(words)), "{line}: {told}");
        assert!(!told.contains("geheim"), "{told}");
    }
    // Once it is copied, there is nothing more to do.
    let (_dir, db) = users_of(&["r"]);
    fs::write(&file, format!("lt-cred-mech\nrealm=r\nuserdb={}\n", db.display())).unwrap();
    let output = turnctl(&[file.to_str().unwrap(), "--db", db.to_str().unwrap()]);
    let told = text(&output.stderr);
    assert!(output.status.success() && told.contains("what it holds now is copied"), "{told}");
    assert!(!told.contains("sqlite3 "), "{told}");
}

#[test]
fn output_file_is_private_and_never_replaced_by_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("taciturn.toml");
    let args = ["synapse.conf", "-o", out.to_str().unwrap()];
    let first = turnctl(&args);
    assert!(first.status.success() && first.stdout.is_empty(), "{}", text(&first.stderr));
    assert!(text(&first.stderr).contains("Written to"));
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
    let second = turnctl(&args);
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second.stderr).contains("--force"));
    assert!(turnctl(&[&args[..], &["--force"]].concat()).status.success());
}

#[test]
fn lines_that_cannot_be_taken_over_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnserver.conf");
    for (line, words) in [
        ("stun-only", "line 2, stun-only"),
        ("no-udp-relay", "line 2, no-udp-relay"),
        ("CA-file=/etc/ca.pem", "line 2, CA-file"),
        ("no-tcp # not now\nno-udp", "nothing is left to listen on"),
        ("no-tls=maybe", "neither on nor off"),
        ("listening-port=70000", "is no port"),
        ("min-port=60000\nmax-port=50000", "lines 2 and 3, "),
        ("denied-peer-ip=10.0.0.0-x", "is no address"),
        ("user=alice", "it is not NAME:PASSWORD"),
        ("cert=/etc/turn.pem", "without its key"),
        ("listening-port=50000\nmin-port=49152", "lies within relay_ports"),
        ("static-auth-secret=[your secret key here]", "it holds a placeholder"),
    ] {
        fs::write(&file, format!("static-auth-secret=some-secret-of-length\n{line}\n")).unwrap();
        let output = turnctl(&[file.to_str().unwrap()]);
        let told = text(&output.stderr);
        let told_of_lines = told.replace(", min-port", ", ").replace(", max-port", ", ");
        assert_eq!(output.status.code(), Some(2), "{line}: {told}");
        assert!(output.stdout.is_empty(), "{line}");
        let words = words.replace("lines 2 and 3, ", "line 2, ");
        assert!(told_of_lines.contains(&words) || told.contains(&words), "{line}: {told}");
    }
    let missing = turnctl(&["/nowhere.conf"]);
    assert!(text(&missing.stderr).contains("cannot read /nowhere.conf"));
}

#[test]
fn every_option_alone_is_judged_and_gives_a_configuration_or_an_error() {
    let names = include_str!("../../../../tests/fixtures/coturn-options.txt");
    for name in names.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        for value in ["", "1", "0", "off", "10.0.0.1", "stdout", "a:correct-horse-battery"] {
            let translation = Translation::of(&format!("{name}={value}\n"));
            let outcome = &translation.settings[0].outcome;
            assert!(!matches!(outcome, Outcome::Unknown(_)), "{name}");
            if let Outcome::Error(text) = outcome {
                assert!(!text.contains("not handled"), "{name}: {text}");
            } else if let Err(errors) = translation.check(Path::new("turnserver.conf")) {
                let weak = errors.problems().iter().all(|problem| problem.key.starts_with("auth."));
                assert!(weak, "{name}={value}: {errors}\n{}", translation.toml.as_str());
            }
        }
    }
}

#[test]
fn server_starts_from_coturns_file_and_says_what_is_lost() {
    let args = |name: &str| ServerArgs {
        coturn_config: Some(golden(name)),
        relay_ports: Some("59000-59100".into()),
        ..ServerArgs::default()
    };
    let loaded = Config::load(&args("everything.conf"), &Environment::default()).unwrap();
    assert_eq!(loaded.config.relay_ports.to_string(), "59000-59100", "flags win");
    let told: Vec<_> = loaded.notes.iter().map(|note| (note.level, note.text.as_str())).collect();
    let has = |level, words: &str| told.iter().any(|(l, text)| *l == level && text.contains(words));
    assert!(has(NoteLevel::Warning, "everything.conf, line 29, userdb: "), "{told:#?}");
    assert!(has(NoteLevel::Warning, "(not supported)"), "{told:#?}");
    assert!(has(NoteLevel::Info, "turnctl import-coturn"), "{told:#?}");

    let errors = Config::load(&args("article.conf"), &Environment::default()).unwrap_err();
    let told = errors.to_string();
    assert!(told.contains("article.conf, translated:"), "{told}");
    assert!(!told.contains("test:test"), "{told}");
    let weak = ServerArgs { allow_weak_credentials: true, ..args("article.conf") };
    assert!(Config::load(&weak, &Environment::default()).is_ok());

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnserver.conf");
    fs::write(&file, "stun-only\n").unwrap();
    let args = ServerArgs { coturn_config: Some(file), ..ServerArgs::default() };
    let told = Config::load(&args, &Environment::default()).unwrap_err().to_string();
    assert!(told.contains("line 1, stun-only"), "{told}");
}

/// A line that is half right, or noise.
fn line() -> impl Strategy<Value = String> {
    let names =
        include_str!("../../../../tests/fixtures/coturn-options.txt").lines().collect::<Vec<_>>();
    let value = prop_oneof![
        "\\PC{0,40}",
        Just("10.0.0.0-10.255.255.255".to_owned()),
        Just("::ffff:1.2.3.4-::".to_owned()),
        Just("203.0.113.7/10.0.0.5".to_owned()),
        Just("\"quoted\" # behind".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("name:0x00112233445566778899aabbccddeeff".to_owned()),
    ];
    let separator = prop_oneof![Just("="), Just(" "), Just("\t= "), Just("")];
    let setting = (prop::sample::select(names), separator, value)
        .prop_map(|(name, separator, value)| format!("{name}{separator}{value}"));
    prop_oneof![4 => setting, 1 => "\\PC{0,80}", 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_file_holds_the_translation_is_toml_and_every_line_is_told(
        lines in prop::collection::vec(line(), 0..12)
    ) {
        let translation = Translation::of(&lines.join("\n"));
        let parsed = translation.toml.parse::<toml::Table>();
        prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed, translation.toml.as_str());
        let summary = translation.summary();
        let head = format!("{} settings", translation.settings.len());
        prop_assert!(summary.starts_with(&head));
        let _ = translation.check(Path::new("turnserver.conf"));
    }
}
