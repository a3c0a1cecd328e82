//! `turnctl health`, as a container's health check runs it.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use rustix::process::Signal;
use testkit::server::Server;

/// Runs `turnctl health` with these arguments; returns its exit code and all it wrote.
fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(testkit::program::turnctl());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TACITURN_") {
            command.env_remove(name);
        }
    }
    let output = command.arg("health").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A server with these listeners, each a section but for its address, and a certificate.
fn serving(listeners: &[&str]) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut toml = "external_ip = \"127.0.0.1\"\nworkers = 1\n".to_owned();
    for listener in listeners {
        toml.push_str(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{listener}\n"));
    }
    let [cert, key] = [cert, key].map(|path| path.display().to_string());
    toml.push_str(&format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n"));
    Server::configured(&toml)
}

#[test]
fn a_server_that_lives_is_healthy_on_each_transport() {
    let server = serving(&["transport = \"udp\"", "transport = \"tcp\"", "transport = \"tls\""]);
    for transport in ["udp", "tcp", "tls"] {
        let target = format!("{transport}:{}", server.listener(transport));
        let (code, text) = health(&[&target]);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("answers, and sees us as 127.0.0.1:"), "{text}");
    }
}

#[test]
fn the_listener_is_found_in_the_configuration_and_nothing_is_written() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("taciturn.toml"), dir.path().join("state"));
    // The kernel may have drawn a port from the usual relay range.
    let toml = format!(
        "listen = [\"udp:{}\"]\nrelay_ports = \"1024-1030\"\nstate_dir = {state:?}\n",
        server.address
    );
    std::fs::write(&file, toml).unwrap();
    let (code, text) = health(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with(&format!("{}/udp answers", server.address)), "{text}");
    assert!(!state.exists(), "a health check makes no secret");
}

#[test]
fn a_port_for_proxies_only_is_healthy_when_it_closes_for_us() {
    let proxied = "proxy_protocol = true\ntrusted_proxies =";
    for transport in ["tcp", "tls"] {
        for (trusted, words) in [("10.0.0.0/8", "as it should"), ("127.0.0.0/8", "answers")] {
            let listener = format!("transport = \"{transport}\"\n{proxied} [\"{trusted}\"]");
            let server = serving(&[&listener]);
            let address = server.listener(transport);
            let file = server.state.path().join("health.toml");
            let toml = format!(
                "[[listen]]\naddress = \"{address}\"\n{listener}\n[tls]\ncert = \"a\"\nkey = \
                 \"b\"\n"
            );
            std::fs::write(&file, toml).unwrap();
            let (code, text) = health(&["--config", file.to_str().unwrap()]);
            assert_eq!(code, Some(0), "{text}");
            assert!(text.contains(words), "{transport} {trusted}: {text}");
        }
    }
}

#[test]
fn a_server_that_is_gone_hangs_or_speaks_nonsense_is_not_healthy() {
    // Nobody reads these sockets: a server whose workers are stuck.
    let (udp, tcp) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let ask = |transport: &str, address: SocketAddr| health(&[&format!("{transport}:{address}")]);
    for (transport, address) in
        [("udp", udp.local_addr().unwrap()), ("tls", tcp.local_addr().unwrap())]
    {
        let (code, text) = ask(transport, address);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("does not answer: nothing within 3s"), "{text}");
    }
    let mut server = Server::start(&[]);
    let address = server.address;
    server.signal(Signal::TERM);
    server.wait();
    let (code, text) = ask("udp", address);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn a_mistake_in_the_question_is_no_illness() {
    let (code, text) = health(&["udp:127.0.0.1"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("like udp:127.0.0.1:3478"), "{text}");
    let (code, text) = health(&["--config", "/nowhere/taciturn.toml"]);
    assert_eq!(code, Some(2), "{text}");
}
