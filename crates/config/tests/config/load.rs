//! Where values come from, and which of them win.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use taciturn_config::{
    Config, ConfigErrors, DatabaseUrl, Environment, ExternalIp, KernelMode, Loaded, NoteLevel,
    OnRemoval, Place, RecordAddresses, ServerArgs, Stop, Transport,
};
use taciturn_tls::CertSource;
use taciturn_turn::auth::{PasswordAlgorithm, long_term_key};
use taciturn_turn::auth::{SecretHash, StaticKey};

const SECRET: &str = "a secret of some length";

fn load(flags: &[&str], vars: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let args = ServerArgs::parse_from(["taciturn"].iter().chain(flags));
    // Not the state directory of this machine, where a server may have put its secret.
    let elsewhere = [("STATE_DIRECTORY", "/nonexistent")];
    Config::load(&args, &Environment::new([&elsewhere, vars].concat()))
}

fn config(flags: &[&str], vars: &[(&str, &str)]) -> Config {
    load(flags, vars).unwrap_or_else(|errors| panic!("{errors}")).config
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("taciturn.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn warnings(loaded: &Loaded) -> Vec<&str> {
    let warnings = loaded.notes.iter().filter(|note| note.level == NoteLevel::Warning);
    warnings.map(|note| note.text.as_str()).collect()
}

#[test]
fn file_wins_over_default_environment_over_file_flag_over_environment() {
    let dir = tempfile::tempdir().unwrap();
    let secret = ("TACITURN_AUTH_SECRETS", SECRET);
    assert_eq!(config(&[], &[secret]).realm, "taciturn");
    let path = file(dir.path(), "realm = \"of.file\"\nworkers = 3\n");
    let from_file = config(&["--config", &path], &[secret]);
    assert_eq!((from_file.realm.as_str(), from_file.workers.get()), ("of.file", 3));
    assert_eq!(from_file.file, Some(PathBuf::from(&path)));
    let vars = [secret, ("TACITURN_CONFIG", &path), ("TACITURN_REALM", "of.variable")];
    assert_eq!(config(&[], &vars).realm, "of.variable");
    let from_flag = config(&["--realm", "of.flag"], &vars);
    assert_eq!((from_flag.realm.as_str(), from_flag.workers.get()), ("of.flag", 3));
}

#[test]
fn every_key_of_the_issue_is_read() {
    let config = Config::from_toml(
        r#"
realm = "turn.domain.org"
external_ip = ["203.0.113.7/10.0.0.5", "2001:db8::7"]
relay_ports = "50000-50100"
workers = 2
stun_servers = ["stun.domain.org"]
state_dir = "/somewhere"
[[listen]]
transport = "udp"
address = "[::]:3478"
[[listen]]
transport = "auto"
address = "192.0.2.1:443"
name = "front"
cert = "front.pem"
key = "front.key"
proxy_protocol = true
trusted_proxies = ["192.0.2.7/24", "::ffff:172.18.0.2"]
[[listen]]
transport = "udp+dtls"
address = "192.0.2.1:5349"
cert = "calls.pem"
key = "calls.key"
[tls]
cert = "certs/turn.pem"
key = "certs/turn.key"
certbot = "/etc/letsencrypt/live/turn.domain.org"
acme = "/etc/traefik/acme.json"
acme_domains = ["calls.domain.org", "*.domain.org", "calls.domain.org"]
[auth]
users = ["alice:correct: horse", "bob:0x0fb8f3958acf2cb0b8128026c1f18d3a"]
secrets = ["a secret of some length"]
strict_expiry = true
on_removal = "keep"
[peers]
allow = ["127.0.0.0/8", "10.0.0.9"]
deny = ["2001:db8::1/32"]
[limits]
max_lifetime = "30m"
nonce_lifetime = 90
allocations_per_user = 7
allocations_per_second_per_user = 3
connections = 8
connections_per_address = 9
handshakes_per_address = 11
"#,
    )
    .unwrap()
    .config;
    assert_eq!(config.realm, "turn.domain.org");
    let ExternalIp::Given(given) = &config.external_ip else { panic!("no address") };
    let shown: Vec<_> = given.iter().map(|a| format!("{}/{}", a.public, a.local)).collect();
    assert_eq!(shown, ["203.0.113.7/10.0.0.5", "2001:db8::7/2001:db8::7"]);
    assert_eq!(config.relay_ports.to_string(), "50000-50100");
    assert_eq!(config.stun_servers, ["stun.domain.org:3478"]);
    let listen: Vec<_> =
        config.listen.iter().map(|l| (l.name.as_str(), l.transport, l.explicit)).collect();
    let expected = [
        ("udp:3478", Transport::Udp, true),
        ("front", Transport::Auto, true),
        ("udp+dtls:5349", Transport::UdpAndDtls, true),
    ];
    assert_eq!(listen, expected);
    let calls = CertSource::Pem { cert: "calls.pem".into(), key: "calls.key".into() };
    assert_eq!(config.listen[2].cert, Some(calls));
    let front = &config.listen[1];
    let own = CertSource::Pem { cert: "front.pem".into(), key: "front.key".into() };
    assert_eq!((front.cert.as_ref(), front.proxy_protocol), (Some(&own), true));
    let proxies: Vec<_> = front.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["192.0.2.0/24", "172.18.0.2/32"]);
    assert!(!config.listen[0].proxy_protocol && config.listen[0].trusted_proxies.is_empty());
    let acme = |name: &str| CertSource::Acme {
        path: "/etc/traefik/acme.json".into(),
        domain: name.into(),
    };
    assert_eq!(
        config.tls.certificates,
        [
            CertSource::Pem { cert: "certs/turn.pem".into(), key: "certs/turn.key".into() },
            CertSource::Certbot { dir: "/etc/letsencrypt/live/turn.domain.org".into() },
            acme("calls.domain.org"),
            acme("*.domain.org"),
        ]
    );
    let StaticKey::Password(password) = &config.auth.users[0].key else { panic!("no password") };
    assert_eq!(password.as_str(), "correct: horse");
    assert!(matches!(config.auth.users[1].key, StaticKey::Md5(_)));
    assert!(config.auth.strict_expiry);
    assert_eq!(config.auth.on_removal, OnRemoval::Keep);
    let nets: Vec<_> = config.peers.allow.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["127.0.0.0/8", "10.0.0.9/32"]);
    assert_eq!(config.peers.deny[0].to_string(), "2001:db8::/32");
    assert_eq!(config.limits.max_lifetime, Duration::from_secs(1800));
    assert_eq!(config.limits.nonce_lifetime, Duration::from_secs(90));
    assert_eq!(config.limits.allocations_per_user, 7);
    assert_eq!(config.limits.allocations_per_second_per_user, 3);
    assert_eq!((config.limits.connections, config.limits.connections_per_address), (8, 9));
    assert_eq!(config.limits.handshakes_per_address, 11);
}

#[test]
fn every_key_is_a_variable() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let config = config(
        &[],
        &[
            ("TACITURN_HOST", "calls.domain.org"),
            ("TACITURN_EXTERNAL_IP", "127.0.0.1, ::1"),
            ("TACITURN_STUN_SERVERS", "stun.domain.org:19302"),
            ("TACITURN_RELAY_PORTS", "50000-50001"),
            ("TACITURN_WORKERS", "4"),
            ("TACITURN_STATE_DIR", "/somewhere"),
            ("TACITURN_LISTEN", "udp:[::]:3478,tcp:0.0.0.0:3478"),
            ("TACITURN_AUTH_USERS", "alice:with, comma\nbob:correct horse\n"),
            ("TACITURN_AUTH_SECRETS", "[\"a secret of some length\", \"an other secret, longer\"]"),
            ("TACITURN_AUTH_SECRET_FILES", secret.to_str().unwrap()),
            ("TACITURN_AUTH_ALLOW_WEAK_CREDENTIALS", "false"),
            ("TACITURN_AUTH_STRICT_EXPIRY", "true"),
            ("TACITURN_AUTH_ON_REMOVAL", "keep"),
            ("TACITURN_TLS_CERT", "a.pem"),
            ("TACITURN_TLS_KEY", "a.key"),
            ("TACITURN_TLS_CERTBOT", "/live/b"),
            ("TACITURN_TLS_ACME", "acme.json"),
            ("TACITURN_TLS_ACME_DOMAINS", "c.domain.org,d.domain.org"),
            ("TACITURN_LIMITS_PEER_CONNECTIONS_PER_ALLOCATION", "3"),
            ("TACITURN_PROTOCOL_TCP_RELAY", "true"),
            ("TACITURN_LIMITS_CONNECTIONS", "6"),
            ("TACITURN_LIMITS_CONNECTIONS_PER_ADDRESS", "5"),
            ("TACITURN_PEERS_ALLOW", "127.0.0.0/8,::1"),
            ("TACITURN_PEERS_DENY", "8.8.8.8"),
            ("TACITURN_LIMITS_ALLOCATIONS_PER_USER", "9"),
            ("TACITURN_LIMITS_PERMISSIONS_PER_ALLOCATION", "8"),
            ("TACITURN_LIMITS_CHANNELS_PER_ALLOCATION", "7"),
            ("TACITURN_LIMITS_MAX_LIFETIME", "20m"),
            ("TACITURN_LIMITS_NONCE_LIFETIME", "600"),
            ("TACITURN_LOG", "debug"),
        ],
    );
    assert_eq!(config.host.as_deref(), Some("calls.domain.org"));
    assert!(matches!(&config.external_ip, ExternalIp::Given(given) if given.len() == 2));
    assert_eq!(config.workers.get(), 4);
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.auth.users.len(), 2);
    assert_eq!(config.auth.secrets.len(), 3);
    assert_eq!(config.auth.secrets[2].secret.expose(), SECRET.as_bytes());
    assert_eq!(config.auth.secrets[2].path.as_deref(), Some(secret.as_path()));
    assert!(config.auth.strict_expiry);
    assert_eq!(config.auth.on_removal, OnRemoval::Keep);
    assert_eq!((config.peers.allow.len(), config.peers.deny.len()), (2, 1));
    let certificates: Vec<_> = config.tls.certificates.iter().map(ToString::to_string).collect();
    let acme = ["acme.json (c.domain.org)", "acme.json (d.domain.org)"];
    assert_eq!(certificates, ["a.pem", "/live/b", acme[0], acme[1]]);
    assert_eq!((config.limits.connections, config.limits.connections_per_address), (6, 5));
    assert_eq!(config.limits.peer_connections_per_allocation, 3);
    assert!(config.protocol.tcp_relay);
    assert_eq!(config.limits.channels_per_allocation, 7);
    assert_eq!(config.limits.nonce_lifetime, Duration::from_secs(600));
    assert_eq!(config.log.level.as_str(), "debug");
}

#[test]
fn peers_are_allowed_with_ports_of_addresses_networks_and_this_server() {
    let read = |text: &str| {
        let toml = format!("peers.allow = [\"{text}\"]\nauth.secrets = [\"{SECRET}\"]");
        let config = Config::from_toml(&toml).unwrap_or_else(|errors| panic!("{errors}")).config;
        config.peers.allow[0].to_string()
    };
    for (text, shown) in [
        ("10.0.0.5", "10.0.0.5/32"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("203.0.113.7:10000", "203.0.113.7:10000"),
        ("203.0.113.7/32:10000", "203.0.113.7:10000"),
        ("203.0.113.7:50000-60000", "203.0.113.7:50000-60000"),
        ("203.0.113.7:5-5", "203.0.113.7:5"),
        ("203.0.113.7:1-65535", "203.0.113.7:1-65535"),
        ("10.1.2.3/8:5000-6000", "10.0.0.0/8:5000-6000"),
        ("[2001:db8::1]:10000", "[2001:db8::1]:10000"),
        ("[2001:db8::/64]:1-2", "[2001:db8::/64]:1-2"),
        ("self", "self"),
        ("self:7882", "self:7882"),
        ("  self:50000 - 60000 ", "self:50000-60000"),
        // An IPv4 address in IPv6 dress is the IPv4 address.
        ("::ffff:10.0.0.5", "10.0.0.5/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("[::ffff:10.0.0.5]:80", "10.0.0.5:80"),
    ] {
        assert_eq!(read(text), shown, "{text}");
        assert_eq!(read(shown), shown, "{shown} is read as it is shown");
    }
    let many = config(
        &["--allow-peer", "self:7882", "--allow-peer", "[2001:db8::1]:1-2"],
        &[("TACITURN_AUTH_SECRETS", SECRET)],
    );
    assert_eq!(many.peers.allow.len(), 2);
    let vars =
        [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_PEERS_ALLOW", "self:7882, 10.0.0.0/8:1")];
    let of_variable = config(&[], &vars).peers;
    let relay = ["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    let policy = of_variable.policy(&relay, relay.to_vec());
    let reaches = |ip: &str, port| policy.port_allowed_by_name(ip.parse().unwrap(), port);
    assert!(reaches("203.0.113.7", 7882) && reaches("2001:db8::7", 7882) && reaches("10.9.9.9", 1));
    assert!(
        !reaches("203.0.113.7", 7883) && !reaches("203.0.113.8", 7882) && !reaches("10.9.9.9", 2)
    );
    // Everything, on some ports: still everything.
    let toml = format!("peers.allow = [\"0.0.0.0/0:53\"]\nauth.secrets = [\"{SECRET}\"]");
    let loaded = Config::from_toml(&toml).unwrap();
    assert!(warnings(&loaded)[0].contains("private networks included, on these ports"));
}

#[test]
fn flags_are_lists_where_they_may_be_repeated() {
    let config = config(
        &[
            "--user",
            "alice:correct horse",
            "--user",
            "bob:correct horse",
            "--listen",
            "udp:127.0.0.1:0",
            "--listen",
            "udp:[::1]:0",
            "--external-ip",
            "127.0.0.1",
            "--external-ip",
            "::1",
            "--allow-peer",
            "127.0.0.0/8",
            "--allow-peer",
            "::1/128",
            "--deny-peer",
            "9.9.9.9",
            "--workers",
            "1",
            "--relay-ports",
            "50000-50010",
            "--state-dir",
            "/somewhere",
            "--cert",
            "a.pem",
            "--key",
            "a.key",
        ],
        &[],
    );
    let pair = CertSource::Pem { cert: "a.pem".into(), key: "a.key".into() };
    assert_eq!(config.tls.certificates, [pair]);
    assert_eq!(config.auth.users.len(), 2);
    assert_eq!(config.listen.len(), 2);
    assert_eq!((config.peers.allow.len(), config.peers.deny.len()), (2, 1));
    assert!(config.auth.secrets.is_empty(), "a secret was made although there are users");
}

/// RFC 8656 sections 5 and 7.2 recommend them; RFC 8489 section 9.2.4 the provider's name as realm.
//= 8489-9.2.4-realm-name, 8656-5-nonce-expires, 8656-7.2-port-range, 8656-7.2-max-lifetime
#[test]
fn defaults_are_those_that_the_rfcs_recommend() {
    let config = config(&["--user", "alice:correct horse"], &[]);
    let ports = config.relay_ports;
    assert_eq!((ports.first(), ports.last()), (59000, 60100), "within 49152 to 65535");
    assert_eq!(config.limits.max_lifetime, Duration::from_secs(3600), "an hour at most");
    assert_eq!(config.limits.nonce_lifetime, Duration::from_secs(3600), "an hour at most");
    let named =
        Config::from_toml("realm = \"turn.domain.org\"\n[auth]\nusers = [\"a:correct horse\"]");
    assert_eq!(named.unwrap().config.realm, "turn.domain.org");
}

#[test]
fn dscp_and_ecn_are_kept_and_the_ttl_is_not_unless_the_file_says_otherwise() {
    let kept = |text: &str| {
        let text = format!("[auth]\nusers = [\"alice:correct horse\"]\n[protocol]\n{text}");
        let protocol = Config::from_toml(&text).unwrap().config.protocol;
        [protocol.keep_dscp, protocol.keep_ecn, protocol.keep_ttl]
    };
    assert_eq!(kept(""), [true, true, false]);
    assert_eq!(kept("keep_dscp = false"), [false, true, false]);
    assert_eq!(kept("keep_ecn = false\nkeep_ttl = true"), [true, false, true]);
}

//= 8489-12-udp-and-tcp
#[test]
fn default_listeners_are_udp_and_tcp_and_with_a_certificate_tls() {
    let secret = ("TACITURN_AUTH_SECRETS", SECRET);
    let names = |loaded: &Loaded| -> Vec<_> {
        loaded.config.listen.iter().map(|l| format!("{}={}", l.name, l.address)).collect()
    };
    let off = load(&[], &[secret]).unwrap();
    assert_eq!(names(&off), ["udp:3478=[::]:3478", "tcp:3478=[::]:3478"]);
    assert_eq!(off.notes[0].level, NoteLevel::Info);
    assert!(off.notes[0].text.starts_with("TLS is off because no certificate"), "{:?}", off.notes);
    let on = load(&["--cert", "a", "--key", "a"], &[secret]).unwrap();
    assert_eq!(names(&on)[2], "tls:5349=[::]:5349");
    assert_eq!((on.config.listen.len(), &*on.notes), (3, &[][..]));
}

#[test]
fn certificate_that_no_listener_uses_is_warned_of() {
    let flags = ["--cert", "a", "--key", "a", "--listen", "tcp:[::]:443"];
    let loaded = load(&flags, &[("TACITURN_AUTH_SECRETS", SECRET)]).unwrap();
    assert!(warnings(&loaded)[0].starts_with("no listener uses the certificate"));
}

#[test]
fn acme_takes_the_host_and_then_the_realm_for_its_domain() {
    let acme = |vars: &[(&str, &str)]| {
        let own = [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_TLS_ACME", "acme.json")];
        config(&[], &[&own, vars].concat()).tls.certificates[0].to_string()
    };
    let realm = ("TACITURN_REALM", "realm.domain.org");
    assert_eq!(acme(&[realm]), "acme.json (realm.domain.org)");
    assert_eq!(acme(&[realm, ("TACITURN_HOST", "h.domain.org")]), "acme.json (h.domain.org)");
}

#[test]
fn listeners_of_a_variable_may_be_toml() {
    let listen = r#"[{transport = "tls", address = "[::]:443", cert = "a", key = "b",
        proxy_protocol = true, trusted_proxies = "10.0.0.1"}, "udp:[::]:3478"]"#;
    let vars = [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_LISTEN", listen)];
    let config = config(&[], &vars);
    assert_eq!(config.listen.len(), 2);
    assert!(config.listen[0].proxy_protocol && config.listen[0].cert.is_some());
    for listen in ["[{transport = \"udp\"}]", "[{transport = udp}]"] {
        let vars = [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_LISTEN", listen)];
        let errors = load(&[], &vars).unwrap_err();
        assert_eq!(errors.problems()[0].place, Place::Variable("TACITURN_LISTEN".into()));
    }
}

#[test]
fn hashes_that_lock_homeservers_out_are_warned_of() {
    let with = |text: &str| {
        let loaded = Config::from_toml(&format!("[auth]\n{text}\n")).unwrap();
        let locks_out = warnings(&loaded).iter().any(|text| text.contains("without \"sha1\""));
        (loaded.config.auth.secret_hashes, locks_out)
    };
    use SecretHash::{Sha1, Sha256, Sha512};
    let secret = "secrets = [\"a secret of some length\"]";
    assert_eq!(with(secret), (vec![Sha1], false));
    let both = "secret_hashes = [\"sha256\", \"sha1\", \"sha256\"]";
    assert_eq!(with(&format!("{secret}\n{both}")), (vec![Sha256, Sha1], false));
    assert_eq!(with(&format!("{secret}\nsecret_hashes = \"sha512\"")), (vec![Sha512], true));
    // Without a secret none is locked out.
    let user = "users = [\"bob:correct horse\"]";
    assert_eq!(with(&format!("{user}\nsecret_hashes = \"sha512\"")), (vec![Sha512], false));
}

#[test]
fn everybody_as_a_proxy_is_warned_of() {
    let toml = "auth.secrets = [\"a secret of some length\"]\n[[listen]]\ntransport = \"tcp\"\n\
                address = \"[::]:1\"\nproxy_protocol = true\ntrusted_proxies = [\"::/0\"]\n";
    let loaded = Config::from_toml(toml).unwrap();
    assert!(warnings(&loaded)[0].contains("can pretend to be any client"), "{:?}", loaded.notes);
}

#[test]
fn empty_variables_are_unset_but_for_credentials() {
    let secret = ("TACITURN_AUTH_SECRETS", SECRET);
    assert_eq!(config(&[], &[secret, ("TACITURN_REALM", "")]).realm, "taciturn");
    let errors = load(&[], &[secret, ("TACITURN_AUTH_USERS", " ")]).unwrap_err();
    assert_eq!(errors.problems()[0].message, "is set but empty");
}

#[test]
fn variables_of_kubernetes_and_docker_links_are_let_pass() {
    config(
        &[],
        &[
            ("TACITURN_AUTH_SECRETS", SECRET),
            ("TACITURN_SERVICE_HOST", "10.1.1.1"),
            ("TACITURN_PORT", "udp://10.1.1.1:3478"),
            ("TACITURN_PORT_3478_UDP_ADDR", "10.1.1.1"),
        ],
    );
}

#[test]
fn without_a_credential_a_secret_is_made_once_and_its_place_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let vars = [("STATE_DIRECTORY", state.to_str().unwrap())];
    let first = load(&[], &vars).unwrap();
    let path = state.join("turn_secret");
    assert_eq!(first.config.state_dir, state);
    let secret = &first.config.auth.secrets[0];
    assert!(secret.generated && secret.path.as_deref() == Some(path.as_path()));
    let told = first.notes.iter().find(|note| note.text.contains(path.to_str().unwrap()));
    assert_eq!(told.map(|note| note.level), Some(NoteLevel::Info), "{:?}", first.notes);
    let second = load(&[], &vars).unwrap();
    assert_eq!(second.config.auth.secrets[0].secret.expose(), secret.secret.expose());
}

#[test]
fn nothing_is_written_while_the_configuration_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    load(&["--realm", ""], &[("STATE_DIRECTORY", state.to_str().unwrap())]).unwrap_err();
    assert!(!state.exists());
}

#[test]
fn systemd_credential_is_one_more_secret() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().to_str().unwrap();
    let path = dir.path().join("turn_secret");
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let config = config(&[], &[("CREDENTIALS_DIRECTORY", credentials)]);
    assert_eq!(config.auth.secrets[0].secret.expose(), SECRET.as_bytes());
    assert!(!config.auth.secrets[0].generated);
}

#[test]
fn systemd_credential_that_cannot_be_reached_is_an_error_and_no_other_secret_is_made() {
    let dir = tempfile::tempdir().unwrap();
    // Root may enter every directory, but no file is one.
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let state = dir.path().join("state");
    let vars = [
        ("CREDENTIALS_DIRECTORY", blocked.to_str().unwrap()),
        ("STATE_DIRECTORY", state.to_str().unwrap()),
    ];
    let error = load(&[], &vars).unwrap_err().to_string();
    assert!(error.contains("systemd credential turn_secret"), "{error}");
    assert!(!state.exists());
}

#[test]
fn weak_credentials_are_let_pass_with_a_warning_where_asked_for() {
    let loaded = load(&["--user", "test:test", "--allow-weak-credentials"], &[]).unwrap();
    assert_eq!(loaded.config.auth.users.len(), 1);
    assert!(warnings(&loaded)[0].contains("user test"), "{:?}", loaded.notes);
}

#[test]
fn config_file_with_credentials_that_everybody_can_read_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &format!("auth.secrets = [\"{SECRET}\"]"));
    assert!(warnings(&load(&["--config", &path], &[]).unwrap()).is_empty());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = load(&["--config", &path], &[]).unwrap();
    let notes = warnings(&loaded);
    assert!(notes[0].contains("chmod o="), "{notes:?}");
}

#[test]
fn addresses_nobody_can_reach_are_warned_of() {
    for (ip, words) in [
        ("127.0.0.1", "this machine only"),
        ("203.0.113.7", "documentation"),
        ("10.0.0.5", "external_ip = \"PUBLIC/10.0.0.5\""),
    ] {
        let vars = [("TACITURN_AUTH_SECRETS", SECRET), ("TACITURN_EXTERNAL_IP", ip)];
        let loaded = load(&[], &vars).unwrap();
        let notes = warnings(&loaded);
        assert!(notes.len() == 1 && notes[0].contains(words), "{notes:?}");
    }
}

#[test]
fn unreadable_files_are_named_with_the_flag_or_variable_that_named_them() {
    let errors = load(&["--config", "/nowhere/t.toml"], &[]).unwrap_err();
    assert_eq!(errors.problems()[0].place, Place::Flag("--config"));
    assert!(errors.problems()[0].message.starts_with("cannot read /nowhere/t.toml: No such file"));
    let errors = load(&[], &[("TACITURN_CONFIG", "/nowhere/t.toml")]).unwrap_err();
    assert_eq!(errors.problems()[0].place, Place::Variable("TACITURN_CONFIG".into()));
}

#[test]
fn users_flag_says_that_it_is_visible_and_the_help_has_an_example() {
    use clap::CommandFactory as _;
    let help = ServerArgs::command().render_long_help().to_string();
    assert!(help.contains("`ps`") && help.contains("Examples:"), "{help}");
}

//= 8489-14.3-username-configured, 8489-14.9-realm
#[test]
fn names_passwords_and_realm_are_prepared_as_opaque_strings() {
    // RFC 8489 sections 9.2.2 and 14.9, RFC 8265 section 4.2: NFC, and plain spaces.
    let toml =
        "realm = \"re\u{301}seau\"\n[auth]\nusers = [\"ju\u{308}rgen:correct\u{a0}horse\"]\n";
    let config = Config::from_toml(toml).unwrap().config;
    assert_eq!(config.realm, "r\u{e9}seau");
    let user = &config.auth.users[0];
    assert_eq!(user.name, "j\u{fc}rgen");
    let key = user.long_term_key(PasswordAlgorithm::Md5, &config.realm).unwrap();
    let same = long_term_key("j\u{fc}rgen", "r\u{e9}seau", "correct horse");
    assert_eq!(key.bytes(), same.bytes());
}

#[test]
fn an_md5_key_tells_that_sha256_is_not_offered() {
    let toml = "[auth]\nusers = [\"bob:0x0fb8f3958acf2cb0b8128026c1f18d3a\"]\n";
    let notes = Config::from_toml(toml).unwrap().notes;
    assert!(notes.iter().any(|note| note.text.contains("user bob")), "{notes:?}");
    let toml = "[auth]\nusers = [\"bob:correct horse\"]\n";
    let notes = Config::from_toml(toml).unwrap().notes;
    assert!(!notes.iter().any(|note| note.text.contains("SHA-256")), "{notes:?}");
}

#[test]
fn what_a_signal_does_is_read_and_anything_else_is_told_what_there_is() {
    let stop = |toml: &str| Config::from_toml(toml).map(|loaded| loaded.config.process.stop);
    assert_eq!(stop("").unwrap(), Stop::Now);
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(stop("[process]\nstop = \"drain:1h\"\n").unwrap(), Stop::Drain(hour));
    let errors = stop("[process]\nstop = \"later\"\n").unwrap_err().to_string();
    assert!(errors.contains("process.stop: \"later\" is no way to stop"), "{errors}");
    assert!(errors.contains("write \"now\", \"drain\" or \"drain:1h\""), "{errors}");
}

#[test]
fn a_database_is_named_by_a_url_whose_password_nothing_shows() {
    let sql = |toml: &str| Config::from_toml(&format!("[auth.database]\n{toml}\n"));
    let read =
        sql("url = \"postgres://turn:kept-for-myself@[::1]/coturn\"\nevery = \"1m\"").unwrap();
    let url = read.config.database.url.clone().unwrap();
    let DatabaseUrl::Sql(url) = url else { panic!("{url}") };
    assert_eq!(url.password.as_ref().unwrap().as_str(), "kept-for-myself");
    assert!(!format!("{:?} {url}", read.config.database).contains("kept-for-myself"));
    let other = sql("url = \"postgres://turn:another-one@[::1]/coturn\"\nevery = \"1m\"").unwrap();
    let (_, changes) = other.config.in_place_of(&read.config);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert!(change.needs_restart && change.what == "1 changed", "{change}");
    let file = sql("url = \"sqlite:users.db\"").unwrap().config;
    assert_eq!(file.database.url.unwrap().file(), Some(file.state_dir.join("users.db").as_path()));
    let redis =
        sql("url = \"redis://turn@redis.internal/2\"").unwrap().config.database.url.unwrap();
    assert!(matches!(redis, DatabaseUrl::Redis(url) if url.database == 2));
    for (toml, told) in [
        ("url = \"postgres://turn:kept-for-myself@db/coturn\"", "auth.database.ca_file: is needed"),
        (
            "url = \"postgres://turn:kept-for-myself@\"",
            "auth.database.url: is no URL of a database",
        ),
        ("url = \"mysql://turn:kept-for-myself@db/coturn\"", "turnctl import-coturn"),
        ("url = \"postgres://turn@db/coturn?password=kept-for-myself\"", "password_file"),
        ("url = \"postgres://turn:kept-for-myself@db/coturn", "invalid"),
        (
            "url = \"postgres://turn:kept-for-myself@localhost/coturn\"\npassword_file = \"/x\"",
            "is there beside a password in the URL",
        ),
        ("url = \"sqlite:/x\"\nschema = \"coturn\"", "auth.database.schema: is for PostgreSQL"),
        ("url = \"redis://turn:kept-for-myself@db\"", "password_file"),
        ("url = \"rediss://turn@db\"", "auth.database.ca_file: is needed for rediss://"),
        ("url = \"redis://db\"\nschema = \"coturn\"", "Redis has no schemas"),
        ("url = \"sqlite:/x\"\nurl_file = \"/nowhere\"", "is there beside url"),
        ("url_file = \"/nowhere/at/all\"", "auth.database.url_file: cannot read /nowhere/at/all"),
        ("schema = \"a;b\"", "auth.database.schema: is no name"),
        ("every = \"0s\"", "auth.database.every: must be from 1s to 1h"),
        ("uri = \"sqlite:/x\"", "auth.database.uri: there is no such key"),
    ] {
        let errors = sql(toml).unwrap_err().to_string();
        assert!(errors.contains(told) && !errors.contains("kept-for-myself"), "{toml}: {errors}");
    }
}

#[test]
fn the_kernel_relays_where_that_is_wanted_and_by_interfaces_that_can_be() {
    let relay = |toml: &str| Config::from_toml(&format!("[kernel_relay]\n{toml}\n"));
    let usual = relay("").unwrap().config.kernel_relay;
    assert_eq!((usual.mode, usual.channels), (KernelMode::Off, 16_384));
    assert_eq!(usual.pins.unwrap().to_str(), Some("/sys/fs/bpf/taciturn"));
    let read = relay("mode = \"tc\"\ninterfaces = [\"eth0\", \"ens3.7\"]\npins = \"off\"").unwrap();
    let read = read.config.kernel_relay;
    assert_eq!((read.mode, read.pins), (KernelMode::Tc, None));
    let names: Vec<_> = read.interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["eth0", "ens3.7"]);
    for (toml, told) in [
        ("mode = \"xdp\"", "kernel_relay.mode: \"xdp\" is no mode"),
        ("interfaces = [\"../eth0\"]", "\"../eth0\" is no name of an interface"),
        ("interfaces = [\"a-name-of-16-char\"]", "is no name of an interface"),
        ("channels = 0", "kernel_relay.channels"),
    ] {
        let errors = relay(toml).unwrap_err().to_string();
        assert!(errors.contains(told), "{errors}");
    }
}

#[test]
fn a_fleet_is_met_by_a_url_without_a_password_in_it() {
    let fleet = |toml: &str| Config::from_toml(&format!("[fleet]\n{toml}\n"));
    let read = fleet("url = \"redis://taciturn@valkey\"\nnode = \"fra1\"").unwrap().config.fleet;
    assert_eq!(read.url.unwrap().user.as_deref(), Some("taciturn"));
    assert_eq!((read.node.unwrap().as_str(), read.prefix.as_str()), ("fra1", "turn"));
    for (toml, told) in [
        ("url = \"redis://taciturn:kept-for-myself@valkey\"", "fleet.url: has a password"),
        ("url = \"redis://taciturn:kept-for-myself@valkey", "invalid"),
        ("url = \"valkey:6379\"", "fleet.url: is no URL of a Valkey or Redis"),
        ("url = \"rediss://valkey\"", "fleet.ca_file: is needed for rediss://"),
        ("node = \"fra 1\"", "fleet.node: \"fra 1\" is no name"),
        (
            "url = \"redis+sentinel://taciturn:kept-for-myself@s1,s2/mymaster\"",
            "fleet.url: has a password",
        ),
        ("url = \"redis+sentinel://s1,s2\"", "the name that they know the master by"),
        ("url = \"rediss+sentinel://s1/mymaster\"", "is needed for rediss+sentinel://"),
        (
            "url = \"redis://valkey\"\nsentinel_user = \"a\"",
            "fleet.sentinel_user: is for Sentinel, and url names none",
        ),
        ("sentinel_password_file = \"/x\"", "fleet.sentinel_password_file: is for Sentinel"),
    ] {
        let errors = fleet(toml).unwrap_err().to_string();
        assert!(errors.contains(told) && !errors.contains("kept-for-myself"), "{errors}");
    }
}

#[test]
fn records_go_to_one_place_which_has_what_it_needs() {
    let records = |toml: &str| Config::from_toml(&format!("[records]\n{toml}\n"));
    let read = records("").unwrap().config.records;
    assert_eq!((read.file, read.url, read.stream, read.keep), (None, None, None, 8));
    let read = records("url = \"http://[2001:db8::1]:8080/usage?a=b\"\naddresses = \"network\"");
    let read = read.unwrap().config.records;
    let url = read.url.unwrap();
    assert_eq!(
        (url.host.as_str(), url.port, url.path.as_str()),
        ("2001:db8::1", 8080, "/usage?a=b")
    );
    assert_eq!((read.addresses, read.every), (RecordAddresses::Network, Duration::from_secs(3600)));
    for (toml, told) in [
        ("url = \"https://billing\"", "records.ca_file: is needed for https://"),
        ("url = \"billing:80\"", "records.url: is no address of HTTP"),
        ("url = \"https://me:kept-for-myself@billing/\"", "token_file"),
        ("file = \"/x/y\"\nurl = \"http://billing\"", "records.url: is one place too many"),
        ("stream = \"records\"", "records.stream: needs a fleet"),
        ("addresses = \"some\"", "records.addresses: \"some\" is no such word"),
        ("every = \"0s\"", "records.every"),
        ("keep = 0", "records.keep"),
    ] {
        let errors = records(toml).unwrap_err().to_string();
        assert!(errors.contains(told) && !errors.contains("kept-for-myself"), "{errors}");
    }
    let toml = "[fleet]\nurl = \"redis://valkey\"\n[records]\nstream = \"usage\"\n";
    let read = Config::from_toml(toml).unwrap().config.records;
    assert_eq!(read.stream.unwrap().as_str(), "usage");
}

#[test]
fn tenants_have_what_their_sections_say_and_otherwise_what_the_server_has() {
    let toml = r#"
        realm = "turn.domain.org"
        [limits]
        allocations_per_user = 7
        bytes_per_second_per_user = 500000
        bytes_per_second = 9000000
        [peers]
        allow = ["10.0.0.0/24"]
        [[tenant]]
        name = "acme"
        secrets = ["a secret of acme, and long"]
        users = ["alice:correct horse"]
        relay_ports = "59000-59299"
        limits.allocations = 200
        limits.allocations_per_user = 4
        limits.bytes_per_second = 20_000_000
        peers.allow = ["10.1.2.0/24"]
        [[tenant]]
        name = "beta"
        realm = "Turn.Beta.example"
        users = ["alice:correct horse"]
    "#;
    let config = Config::from_toml(toml).unwrap().config;
    let [acme, beta] = &config.tenants[..] else { panic!("{:?}", config.tenants) };
    assert_eq!((acme.name.to_string(), acme.realm.as_str()), ("acme".into(), "turn.domain.org"));
    assert_eq!((acme.users.len(), acme.secrets.len(), acme.server_names.len()), (1, 1, 0));
    assert_eq!(acme.relay_ports.unwrap().to_string(), "59000-59299");
    assert_eq!((acme.peers.allow.len(), beta.peers.allow.len()), (1, 0));
    assert_eq!((acme.limits.allocations, acme.limits.allocations_per_user), (200, 4));
    assert_eq!(acme.limits.bytes_per_second, 20_000_000);
    assert_eq!(acme.limits.bytes_per_second_per_user, 500_000);
    // Nothing of the server's own is the tenant's in all: it holds for all of them together.
    assert_eq!((beta.limits.allocations_per_user, beta.limits.bytes_per_second), (7, 0));
    assert_eq!(
        (beta.realm.as_str(), &beta.server_names[..]),
        ("Turn.Beta.example", &["turn.beta.example".to_owned()][..])
    );
    // Somebody may log in, so no secret is made.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taciturn.toml");
    fs::write(&file, toml).unwrap();
    let args = ServerArgs {
        config: Some(file),
        state_dir: Some(dir.path().join("state")),
        ..ServerArgs::default()
    };
    let loaded = Config::load(&args, &Environment::default()).unwrap();
    assert!(loaded.config.auth.secrets.is_empty() && !dir.path().join("state").exists());
}

#[test]
fn tenants_come_from_the_environment_as_well() {
    let value = r#"[{name = "acme", secrets = ["a secret of acme, and long"], limits = {allocations = 3}}]"#;
    let with = |value| {
        Config::inspect(&ServerArgs::default(), &Environment::new([("TACITURN_TENANT", value)]))
    };
    assert_eq!(with(value).unwrap().config.tenants[0].limits.allocations, 3);
    let error = with("acme").unwrap_err().to_string();
    assert!(
        error.contains("TACITURN_TENANT") && error.contains("not a TOML list of tables"),
        "{error}"
    );
}

#[test]
fn credentials_for_applications_take_tokens_and_lives() {
    let ice = |toml: &str| Config::from_toml(toml).map(|loaded| loaded.config.ice);
    let off = ice("").unwrap();
    assert!(off.tokens.is_empty() && off.uris.is_empty());
    let day = Duration::from_secs(86_400);
    assert_eq!((off.ttl, off.max_ttl, off.requests_per_second), (day, 2 * day, 20));
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let toml = format!(
        "[auth]\nsecrets = [\"a secret of the first rank\"]\n[ice]\ntokens = \"{TOKEN}\"\nttl = \"1h\"\n\
         uris = [\"turn:turn.domain.org:3478?transport=udp\", \"stun:[2001:db8::1]:3478\"]\n"
    );
    let on = ice(&toml).unwrap();
    assert_eq!(on.tokens[0].secret.expose(), TOKEN.as_bytes());
    assert_eq!((on.ttl, on.uris.len()), (Duration::from_secs(3600), 2));
    assert!(!format!("{on:?}").contains(TOKEN), "no token is printed");
}

#[test]
fn credentials_for_applications_do_not_start_without_what_they_need() {
    let token = "0123456789abcdef0123456789abcdef";
    let on = format!("[ice]\ntokens = [\"{token}\"]\n");
    for (toml, told) in [
        (
            format!("[auth]\nusers = [\"alice:correct horse\"]\n{on}"),
            "ice.tokens: is set, but there is no shared secret",
        ),
        (
            format!("[admin]\nmetrics = \"off\"\n{on}"),
            "ice.tokens: is set, but POST /ice has no address",
        ),
        (
            format!(
                "{on}[[listen]]\ntransport = \"dtls\"\naddress = \"[::]:5349\"\n[tls]\ncertbot = \"/etc/x\"\n"
            ),
            "no listener is one that clients reach directly",
        ),
        (
            format!("[auth]\nsecrets = [\"{token}\"]\n{on}"),
            "ice.tokens: has a shared secret itself",
        ),
        (
            "[ice]\ntokens = [\"0123456789abcdef\"]\n".to_owned(),
            "ice.tokens[0]: is shorter than 32 characters",
        ),
        (
            "[ice]\ntoken_files = [\"/nowhere/at/all\"]\n".to_owned(),
            "ice.token_files[0]: cannot read /nowhere/at/all",
        ),
        (
            format!("[[tenant]]\nname = \"acme\"\nusers = [\"alice:correct horse\"]\nice.tokens = [\"{token}\"]\n"),
            "tenant \"acme\" has a token in ice and no shared secret",
        ),
        (
            format!(
                "{on}[[tenant]]\nname = \"acme\"\nsecrets = [\"a secret of acme, and long\"]\nice.tokens = [\"{token}\"]\n"
            ),
            "one token is there twice",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nsecrets = [\"a secret of acme, and long\"]\nice.ttl = \"1h\"\n".to_owned(),
            "tenant[0].ice.ttl: is for all applications",
        ),
        (
            "[[tenant]]\nname = \"acme\"\nsecrets = [\"a secret of acme, and long\"]\nice.tokens = [\"short\"]\n".to_owned(),
            "tenant[0].ice.tokens[0]: is shorter than 32 characters",
        ),
        (format!("{on}ttl = \"3d\"\n"), "ice.ttl: is longer than max_ttl, which is 2d"),
        (format!("{on}max_ttl = \"90d\"\n"), "ice.max_ttl: must be from 1m to 30d"),
        (
            format!("{on}requests_per_second = 0\n"),
            "ice.requests_per_second: must be a whole number from 1",
        ),
        (
            format!("{on}uris = [\"https://turn.domain.org\"]\n"),
            "ice.uris[0]: \"https://turn.domain.org\" is no URI",
        ),
        (format!("{on}uris = [\"turn:a b\"]\n"), "ice.uris[0]: \"turn:a b\" is no URI"),
    ] {
        let errors = Config::from_toml(&toml).unwrap_err().to_string();
        assert!(errors.contains(told), "{told}: {errors}");
        assert!(!errors.contains(token), "{errors}");
    }
    let notes =
        Config::from_toml(&format!("[admin]\nmetrics = \"0.0.0.0:9641\"\n{on}")).unwrap().notes;
    assert!(notes.iter().any(|note| note.text.contains("travel without TLS")), "{notes:?}");
}
