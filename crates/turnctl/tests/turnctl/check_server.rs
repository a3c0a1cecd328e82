//! `turnctl check` against the real server, healthy and with faults: each yields the finding that
//! names it, and no other.
#![allow(clippy::unwrap_used)] // helpers of tests

use testkit::server;

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use server::Server;
use taciturn_turn::policy::PortRange;
use testkit::check::{Checked, check};

const SECRET: &str = "a secret of some length";
const USER: &str = "alice:correct horse battery";

/// A configuration with a listener for UDP on loopback and `more`.
fn configuration(more: &str) -> String {
    format!(
        "realm = \"example.org\"\nexternal_ip = \"127.0.0.1\"\n{more}\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n"
    )
}

fn secret_file(server: &Server, secret: &str) -> String {
    let path = server.state.path().join("secret-of-the-check");
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn server() -> Server {
    Server::configured(&configuration(&format!("auth.secrets = [\"{SECRET}\"]")))
}

fn check_with_secret(server: &Server, secret: &str, more: &[&str]) -> Checked {
    let (uri, file) = (format!("turn:{}", server.address), secret_file(server, secret));
    check(&[&[uri.as_str(), "--secret-file", &file], more].concat(), &[])
}

#[test]
fn a_healthy_server_has_no_finding() {
    let server = server();
    let checked = check_with_secret(&server, SECRET, &["--expect-ports", "59000-60100"]);
    checked.is_healthy();
    for id in ["reachable", "challenge", "login", "relay-port-range", "refresh", "relay-to-relay"] {
        assert!(checked.passed(id), "{id}: {}", checked.printed);
    }
    let verdict = &checked.report["verdicts"][0];
    assert_eq!(verdict["status"], "pass", "{verdict}");
}

/// The statuses of the verdicts, each once.
fn verdicts(checked: &Checked) -> Vec<&str> {
    let lines =
        checked.report["verdicts"].as_array().unwrap_or_else(|| panic!("{}", checked.printed));
    lines.iter().map(|line| line["status"].as_str().unwrap()).collect()
}

#[test]
fn a_bad_uri_beside_a_good_one_ends_every_call() {
    let server = server();
    let bad = server.address.to_string().replace(':', ";");
    for order in [true, false] {
        let (good, bad) = (format!("turn:{}", server.address), format!("turn:{bad}"));
        let uris = if order { [bad.as_str(), &good] } else { [good.as_str(), &bad] };
        let file = secret_file(&server, SECRET);
        let checked = check(&[&uris[..], &["--secret-file", &file]].concat(), &[]);
        checked.fails_with("uri-form");
        assert_eq!(verdicts(&checked), ["fail"], "{}", checked.printed);
    }
    let alone = check(&["turn:127.0.0.1;3478"], &[]);
    alone.fails_with("uri-form");
    assert_eq!(verdicts(&alone), ["fail"], "{}", alone.printed);
}

#[test]
fn a_stun_uri_is_no_relay() {
    let server = server();
    let (stun, file) = (format!("stun:{}", server.address), secret_file(&server, SECRET));
    let checked = check(&[&stun, "--secret-file", &file], &[]);
    assert_eq!(checked.faults(), ["uri-stun"], "{}", checked.printed);
    assert_eq!((checked.code, verdicts(&checked)), (2, vec!["fail"]), "{}", checked.printed);
    assert!(checked.passed("stun") && !checked.passed("login"), "{}", checked.printed);
    let turn = format!("turn:{}", server.address);
    let both = check(&[&stun, &turn, "--secret-file", &file], &[]);
    both.warns_of("uri-stun");
    assert_eq!(verdicts(&both)[0], "pass", "{}", both.printed);
}

#[test]
fn calls_work_over_tcp_where_udp_is_closed() {
    let toml = configuration(&format!("auth.secrets = [\"{SECRET}\"]"));
    let server = Server::configured(&toml.replace("\"udp\"", "\"tcp\""));
    let address = server.listener("tcp");
    let file = secret_file(&server, SECRET);
    let (udp, tcp) = (format!("turn:{address}"), format!("turn:{address}?transport=tcp"));
    let checked = check(&[&udp, &tcp, "--secret-file", &file], &[]);
    checked.fails_with("port-refused");
    let open = &checked.report["verdicts"][0];
    assert_eq!(open["status"], "warn", "{open}");
    assert!(open["text"].as_str().unwrap().contains("calls work over TCP"), "{open}");
    // TLS alone, and it fails: no call works.
    let alone = check(&[&format!("turns:{address}")], &[]);
    alone.fails_with("tls-not-spoken");
    assert_eq!(verdicts(&alone)[0], "fail", "{}", alone.printed);
}

#[test]
fn a_proxy_that_changes_the_client_s_port_is_named() {
    let server = server();
    let front = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (proxy, behind) = (front.local_addr().unwrap(), server.address);
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, client)) = front.recv_from(&mut buffer) {
            // Each datagram leaves by a port of its own, as with nginx and proxy_responses 1.
            let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { continue };
            let (request, front) = (buffer[..len].to_vec(), front.try_clone().unwrap());
            std::thread::spawn(move || {
                socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
                socket.send_to(&request, behind).unwrap();
                let mut answer = [0; 2048];
                if let Ok((len, _)) = socket.recv_from(&mut answer) {
                    let _ = front.send_to(&answer[..len], client);
                }
            });
        }
    });
    let file = secret_file(&server, SECRET);
    let checked = check(&[&format!("turn:{proxy}"), "--secret-file", &file], &[]);
    checked.fails_with("client-port-changes");
    assert!(
        checked
            .words("client-port-changes")
            .contains("something changes the client's port between packets"),
        "{}",
        checked.printed
    );
    assert_eq!(verdicts(&checked)[0], "fail", "{}", checked.printed);
}

#[test]
fn a_wrong_secret_is_named() {
    let server = server();
    let checked = check_with_secret(&server, "another secret", &[]);
    checked.fails_with("auth-refused");
    assert!(checked.words("auth-refused").contains("secrets differ"));
}

#[test]
fn a_secret_makes_passwords_with_the_hashes_of_the_server() {
    let toml =
        format!("auth.secrets = [\"{SECRET}\"]\nauth.secret_hashes = [\"sha256\", \"sha512\"]");
    let server = Server::configured(&configuration(&toml));
    for hash in ["sha256", "sha512"] {
        check_with_secret(&server, SECRET, &["--secret-hash", hash]).is_healthy();
    }
    let checked = check_with_secret(&server, SECRET, &[]);
    checked.fails_with("auth-refused");
    assert!(checked.printed.contains("auth.secret_hashes"), "{}", checked.printed);
}

#[test]
fn a_wrong_password_is_named_and_not_printed() {
    let server = Server::start(&["--user", USER]);
    let uri = format!("turn:{}", server.address);
    let vars = [("TURNCTL_PASSWORD", "wrong horse")];
    let checked = check(&[&uri, "--user", "alice"], &vars);
    checked.fails_with("auth-refused");
    assert!(!checked.printed.contains("wrong horse"));
    let right = [("TURNCTL_PASSWORD", "correct horse battery")];
    check(&[&uri, "--user", "alice"], &right).is_healthy();
}

#[test]
fn a_username_that_has_ended_is_named() {
    let server = server();
    let username = "1700000000:@alice:example.org";
    let password = taciturn_turn::auth::SharedSecret::new(SECRET).password_for(username);
    let vars = [("TURNCTL_PASSWORD", password.as_str())];
    let uri = format!("turn:{}", server.address);
    check(&[&uri, "--user", username], &vars).fails_with("credential-expired");
}

#[test]
fn without_credentials_the_rest_is_tested() {
    let server = server();
    let checked = check(&[&format!("turn:{}", server.address)], &[]);
    checked.is_healthy();
    assert!(
        checked.passed("challenge") && checked.passed("wrong-login") && !checked.passed("login")
    );
    assert!(checked.words("login").contains("--secret-file"));
}

#[test]
fn a_private_relayed_address_is_named() {
    let toml = configuration(&format!("auth.secrets = [\"{SECRET}\"]"));
    let server =
        Server::configured(&toml.replace("\"127.0.0.1\"\n", "\"10.20.30.40/127.0.0.1\"\n"));
    let checked = check_with_secret(&server, SECRET, &[]);
    checked.fails_with("relay-private");
    assert!(checked.words("relay-private").contains("10.20.30.40"));
}

#[test]
fn a_relay_port_outside_of_the_expected_range_is_named() {
    let server = server();
    let checked = check_with_secret(&server, SECRET, &["--expect-ports", "50000-50100"]);
    checked.fails_with("relay-port-range");
}

#[test]
fn passwords_of_guides_are_found() {
    let toml = configuration(
        "auth.users = [\"test:test\", \"alice:correct horse battery\"]\n\
         auth.allow_weak_credentials = true",
    );
    let server = Server::configured(&toml);
    let vars = [("TURNCTL_PASSWORD", "correct horse battery")];
    let checked = check(&[&format!("turn:{}", server.address), "--user", "alice"], &vars);
    checked.fails_with("weak-credentials");
    let checked = check(&[&format!("turn:{}", server.address), "--skip-security"], &[]);
    checked.is_healthy();
}

#[test]
fn peers_that_only_the_server_should_reach_are_found() {
    let toml = configuration(&format!(
        "auth.secrets = [\"{SECRET}\"]\npeers.allow = [\"169.254.169.254\"]"
    ));
    let server = Server::configured(&toml);
    let checked = check_with_secret(&server, SECRET, &[]);
    checked.fails_with("private-peers");
    assert!(checked.words("private-peers").contains("169.254.169.254 (cloud metadata)"));
}

#[test]
fn a_quota_that_is_too_small_for_browsers_is_a_warning() {
    let toml =
        configuration(&format!("auth.secrets = [\"{SECRET}\"]\nlimits.allocations_per_user = 1"));
    let server = Server::configured(&toml);
    check_with_secret(&server, SECRET, &[]).warns_of("quota-low");
}

/// A socket whose port is no relay port of a server of these tests: those may be peers.
fn socket_beside_the_relay_ports() -> UdpSocket {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if !PortRange::DEFAULT.contains(socket.local_addr().unwrap().port()) {
            return socket;
        }
    }
}

#[test]
fn an_echo_that_the_relay_does_not_reach_is_named() {
    let echo = socket_beside_the_relay_ports();
    let address = echo.local_addr().unwrap().to_string();
    // The server does not relay to its own machine: what is not relayed by it is out of reach.
    let server = server();
    let checked = check_with_secret(&server, SECRET, &["--echo", &address]);
    checked.fails_with("echo-own-address");
    let line = format!("peers.allow = [\\\"self:{}\\\"]", echo.local_addr().unwrap().port());
    assert!(checked.words("echo-own-address").contains(&line), "{}", checked.printed);
    let nowhere = check_with_secret(&server, SECRET, &["--echo", "no-such-host.invalid:3478"]);
    nowhere.fails_with("echo-name");
}

/// A program that the kernel calls `name`, with a UDP socket on `address`: the server under another name.
fn program_called(name: &str, address: &str) -> Server {
    let state = tempfile::tempdir().unwrap();
    let program = state.path().join(name);
    std::os::unix::fs::symlink(testkit::program::taciturn(), &program).unwrap();
    let mut command = std::process::Command::new(program);
    command.env("STATE_DIRECTORY", state.path());
    command.args(["--listen", &format!("udp:{address}:0"), "--external-ip", address]);
    Server::spawned(command, state)
}

#[test]
fn a_media_server_on_the_same_machine_that_is_refused_is_named_with_its_port() {
    // An address that no other test relays on.
    const OWN: &str = "127.0.0.77";
    let media = program_called("go2rtc", OWN);
    let port = media.address.port();
    let toml = |allow: &str| {
        configuration(&format!("auth.secrets = [\"{SECRET}\"]\npeers.allow = [{allow}]"))
            .replace("external_ip = \"127.0.0.1\"", &format!("external_ip = \"{OWN}\""))
    };
    let server = Server::configured(&toml(""));
    // Nobody outside reaches that address, which is said as well.
    let check =
        |server: &Server| check_with_secret(server, SECRET, &[]).apart_from(&["relay-private"]);
    let checked = check(&server);
    checked.warns_of("media-server-refused");
    let words = checked.words("media-server-refused");
    let line = format!("peers.allow = [\\\"self:{port}\\\"]");
    assert!(words.contains("go2rtc") && words.contains(&line), "{words}");
    let server = Server::configured(&toml(&format!("\"self:{port}\"")));
    let checked = check(&server);
    checked.is_healthy();
    assert!(checked.passed("media-server"), "{}", checked.printed);
}

#[test]
fn closed_silent_and_foreign_ports_are_told_apart() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&[&format!("turn:{closed}")], &[]).fails_with("port-refused");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&[&format!("turn:{closed}?transport=tcp")], &[]).fails_with("port-refused");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri = format!("turn:{}", silent.local_addr().unwrap());
    check(&[&uri], &[]).fails_with("port-silent");
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in foreign.incoming() {
            let _ = stream.unwrap().write_all(b"\x05\x00 hello\r\n\r\n from somebody else\r\n");
        }
    });
    check(&[&format!("turn:{address}?transport=tcp")], &[]).fails_with("not-turn");
    check(&[&format!("turns:{address}")], &[]).fails_with("tls-not-spoken");
}

#[test]
fn a_name_that_leads_nowhere_is_named() {
    check(&["turn:no-such-host.invalid"], &[]).fails_with("dns-missing");
}

/// A root authority, one below it, and a server whose certificate the test makes.
struct Tls {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    intermediate: String,
}

impl Tls {
    fn new() -> Self {
        Self::named("the tests")
    }

    fn named(name: &str) -> Self {
        let authority = |kind: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, format!("{kind} of {name}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root_key = KeyPair::generate().unwrap();
        let root = authority("Root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority("Root"), root_key);
        let key = KeyPair::generate().unwrap();
        let below = authority("Authority");
        let intermediate = below.signed_by(&key, &root_issuer).unwrap().pem();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), root.pem()).unwrap();
        Self { directory, issuer: Issuer::new(authority("Authority"), key), intermediate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A server with a certificate for `name`, bent by the test, and with the chain or without.
    fn server(&self, name: &str, bend: impl FnOnce(&mut CertificateParams), chain: bool) -> Server {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        bend(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().pem();
        let chain = if chain { self.intermediate.as_str() } else { "" };
        std::fs::write(self.path("cert.pem"), format!("{leaf}{chain}")).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        tls_server(self.directory.path())
    }

    fn check(&self, server: &Server) -> Checked {
        let uri = format!("turns:{}", server.listener("tls"));
        let (ca, file) = (self.path("ca.pem"), secret_file(server, SECRET));
        check(&[&uri, "--ca", ca.to_str().unwrap(), "--secret-file", &file], &[])
    }
}

fn tls_server(directory: &Path) -> Server {
    let toml = format!(
        "auth.secrets = [\"{SECRET}\"]\ntls.cert = \"{0}/cert.pem\"\ntls.key = \"{0}/key.pem\"\n\
         [[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n",
        directory.display()
    );
    Server::configured(&configuration(&toml))
}

#[test]
fn a_good_certificate_has_no_finding() {
    let tls = Tls::new();
    let server = tls.server("127.0.0.1", |_| (), true);
    let checked = tls.check(&server);
    checked.is_healthy();
    assert!(checked.passed("tls-certificate") && checked.passed("relay-to-relay"));
}

#[test]
fn a_certificate_that_has_ended_is_named() {
    let tls = Tls::new();
    let ended = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2023, 1, 1);
        params.not_after = date_time_ymd(2024, 1, 1);
    };
    let checked = tls.check(&tls.server("127.0.0.1", ended, true));
    checked.fails_with("tls-expired");
    assert!(checked.words("tls-expired").contains("2024-01-01"));
}

#[test]
fn a_certificate_without_its_chain_is_named() {
    let tls = Tls::new();
    let checked = tls.check(&tls.server("127.0.0.1", |_| (), false));
    checked.fails_with("tls-chain-incomplete");
    assert!(checked.words("tls-chain-incomplete").contains("fullchain.pem"));
}

#[test]
fn a_certificate_for_another_name_is_named() {
    let tls = Tls::new();
    let checked = tls.check(&tls.server("turn.example.org", |_| (), true));
    checked.fails_with("tls-name");
    assert!(checked.words("tls-name").contains("turn.example.org"));
}

#[test]
fn a_certificate_of_an_unknown_authority_is_named() {
    let (tls, other) = (Tls::new(), Tls::named("others"));
    let server = tls.server("127.0.0.1", |_| (), true);
    other.check(&server).fails_with("tls-unknown-ca");
}

#[test]
fn a_certificate_that_signs_itself_is_named() {
    let tls = Tls::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(tls.path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(tls.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    tls.check(&tls_server(tls.directory.path())).fails_with("tls-self-signed");
}

#[test]
fn a_certificate_as_openssl_makes_it_by_default_is_named() {
    let tls = Tls::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(tls.path("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(tls.path("key.pem"), key.serialize_pem()).unwrap();
    let checked = tls.check(&tls_server(tls.directory.path()));
    checked.fails_with("tls-self-signed");
    assert!(!checked.printed.contains("CaUsed"), "{}", checked.printed);
}

#[test]
fn the_certificate_of_a_homeserver_is_checked_as_well() {
    let tls = Tls::new();
    let server = tls.server("127.0.0.1", |_| (), true);
    let (url, ca) = (format!("https://{}", server.listener("tls")), tls.path("ca.pem"));
    let vars = [("TURNCTL_TOKEN", "a token")];
    check(&["--homeserver", &url], &vars).fails_with("homeserver-tls");
    // Trusted, and no homeserver.
    let trusted = check(&["--homeserver", &url, "--ca", ca.to_str().unwrap()], &vars);
    trusted.fails_with("homeserver-unreachable");
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let tls = Tls::new();
    let soon = |params: &mut CertificateParams| {
        let week = std::time::Duration::from_secs(7 * 86400);
        params.not_after = (std::time::SystemTime::now() + week).into();
    };
    tls.check(&tls.server("127.0.0.1", soon, true)).warns_of("tls-expires-soon");
}

#[test]
fn tls_on_a_port_without_it_is_named() {
    let toml = configuration(&format!("auth.secrets = [\"{SECRET}\"]"));
    let toml = format!("{toml}[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n");
    let server = Server::configured(&toml);
    check(&[&format!("turns:{}", server.listener("tcp"))], &[]).fails_with("tls-not-spoken");
}

#[test]
fn a_configuration_describes_what_to_test() {
    // Within the relay ports the server would refuse it.
    let free = |_| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = (0..100).map(free).find(|port| !(59000..=60100).contains(port)).unwrap();
    let toml = configuration(&format!("auth.secrets = [\"{SECRET}\"]"));
    let toml = toml.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let server = Server::configured(&toml);
    let file = server.state.path().join("taciturn.toml");
    let checked = check(&["--config", file.to_str().unwrap(), "--host", "127.0.0.1"], &[]);
    checked.is_healthy();
    assert!(checked.passed("relay-port-range"), "{}", checked.printed);
}

#[test]
fn a_tenant_is_tested_with_its_own_secret() {
    // Within the relay ports the server would refuse it.
    let free = |_| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = (0..100).map(free).find(|port| !(59000..=60100).contains(port)).unwrap();
    let toml = configuration("auth.secrets = [\"the secret of the server\"]");
    let toml = toml.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let toml = format!("{toml}[[tenant]]\nname = \"acme\"\nsecrets = [\"{SECRET}\"]\n");
    let server = Server::configured(&toml);
    // What is not the tenant's is of no use.
    let file = server.state.path().join("other.toml");
    std::fs::write(&file, toml.replace("the secret of the server", "a secret of nobody")).unwrap();
    let check = |more: &[&str]| {
        let args = [&["--config", file.to_str().unwrap(), "--host", "127.0.0.1"], more].concat();
        check(&args, &[])
    };
    check(&["--tenant", "acme"]).is_healthy();
    assert_ne!(check(&[]).code, 0);
    let nobody = check(&["--tenant", "beta"]);
    assert!(nobody.code == 2 && nobody.printed.contains("there are: acme"), "{}", nobody.printed);
}

#[test]
fn the_time_is_bounded() {
    let toml = configuration(&format!("auth.secrets = [\"{SECRET}\"]"));
    let tcp = "[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n";
    let server = Server::configured(&format!("{toml}{tcp}"));
    let uri = format!("turn:{}?transport=tcp", server.listener("tcp"));
    let started = std::time::Instant::now();
    let checked = check_with_secret(&server, SECRET, &[&uri, "--timeout", "1s"]);
    checked.warns_of("out-of-time");
    assert!(started.elapsed() < server::PATIENCE);
}

#[test]
fn mistakes_in_the_arguments_say_what_to_write() {
    let told = |args: &[&str]| {
        let checked = check(args, &[]);
        assert_eq!(checked.code, 2);
        checked.printed
    };
    assert!(told(&[]).contains("nothing to test: pass a URI"));
    assert!(told(&["turn:h.org", "--user", "alice"]).contains("TURNCTL_PASSWORD"));
    assert!(told(&["--homeserver", "h.org"]).contains("--token-file"));
    assert!(told(&["turn:h.org", "--expect-ports", "5"]).contains("59000-60100"));
    assert!(told(&["turn:h.org", "--timeout", "soon"]).contains("write a number and a unit"));
    assert!(told(&["turn:h.org", "--echo", "h.org"]).contains("HOST:PORT"));
    assert!(told(&["turn:h.org", "--secret-file", "/nowhere"]).contains("/nowhere: No such file"));
}

#[test]
fn text_is_for_people() {
    let server = server();
    let output = std::process::Command::new(testkit::program::turnctl())
        .args(["check", &format!("turn:{}", server.address), "--secret-file"])
        .arg(secret_file(&server, "another secret"))
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("  FAIL  the server refuses the login"), "{text}");
    assert!(
        text.contains("[auth-refused]\n        why: ") && text.contains("        fix: "),
        "{text}"
    );
    assert!(text.contains("\nVerdict\n  FAIL  open network (UDP): "), "{text}");
    assert!(!text.contains('\x1b'), "no terminal, no colours");
    assert!(output.stderr.is_empty(), "no terminal, no progress");
}
