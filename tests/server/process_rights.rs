//! What the running server may not do any more.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use testkit::server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use server::Server;

/// A line of /proc/PID/status, without its name.
fn status(server: &Server, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn it_leaves_no_core_dump() {
    let server = Server::start(&[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn started_as_root_it_becomes_the_configured_user_in_all_its_threads() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can become somebody else
    }
    let server = Server::configured(
        "external_ip = \"127.0.0.1\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n[process]\nuser = \"nobody\"\n",
    );
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = nobody.lines().find(|line| line.starts_with("nobody:")).unwrap();
    let uid = nobody.split(':').nth(2).unwrap();
    assert_eq!(status(&server, "Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(status(&server, "CapEff"), "0000000000000000");
    for task in fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(text.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")), "{text}");
    }
}

#[test]
fn an_account_that_does_not_exist_is_refused_before_anything_is_served() {
    let state = tempfile::tempdir().unwrap();
    let mut program = server::command(state.path());
    let output = program.env("TACITURN_PROCESS_USER", "no-such-user").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no user \"no-such-user\""), "{error}");
}

#[test]
fn secrets_are_in_neither_the_arguments_nor_the_log() {
    let secret = "a-secret-that-nobody-may-see-4711";
    let mut server = Server::configured(&format!(
        "external_ip = \"127.0.0.1\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n[auth]\nsecrets = [\"{secret}\"]\n",
    ));
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{file}", server.id())).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(secret), "{file}");
    }
    assert!(!server.announced.contains(secret));
    assert!(!server.log().contains(secret));
}

#[test]
fn a_port_that_only_root_may_have_needs_a_restart_once_root_is_given_up() {
    // Containers may let everybody have any port.
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if !rustix::process::geteuid().is_root() || first.trim() != "1024" {
        return;
    }
    let listening = |address: &str| {
        format!(
            "external_ip = \"127.0.0.1\"\nstate_dir = \"/nonexistent\"\n[auth]\nsecrets = [\"a secret for this test\"]\n\
             [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n{address}\n[process]\nuser = \"nobody\"\n\
             sandbox = false\n[admin]\nsocket = \"off\"\nmetrics = \"off\"\n"
        )
    };
    let server = Server::configured(&listening(""));
    let id = std::process::id().to_be_bytes();
    let more = format!(
        "[[listen]]\ntransport = \"tcp\"\naddress = \"127.{}.{}.{}:443\"",
        64 + (id[1] & 63),
        id[2],
        id[3].max(1)
    );
    server.write_configuration(&listening(&more));
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(server.state.path(), everybody).unwrap();
    let file = server.state.path().join("taciturn.toml");
    std::os::unix::fs::chown(file, Some(65_534), Some(65_534)).unwrap();
    server.signal(rustix::process::Signal::HUP);
    server.wait_for_log("reload refused, nothing is changed: cannot listen on", 1);
    server.wait_for_log("it needs a restart. Ports below 1024", 1);
}
