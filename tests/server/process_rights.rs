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

/// A table that grows later holds up a worker for about 20 ms, with all calls on it.
#[test]
fn the_table_of_descriptors_has_room_for_all_relay_ports_from_the_start() {
    let server = Server::configured(
        "external_ip = \"127.0.0.1\"\nrelay_ports = \"20000-21999\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n",
    );
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let open = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let allowed: u64 = open.split_whitespace().next().unwrap().parse().unwrap();
    let size: u64 = status(&server, "FDSize").parse().unwrap();
    assert!(size >= allowed.min(2 * 2000), "{size} of {allowed}");
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

/// What of its rights every thread of a server has left.
fn assert_confined(server: &Server, bounding_set_is_empty: bool) {
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(text.contains(&format!("{set}:\t0000000000000000\n")), "{text}");
        }
        assert!(!bounding_set_is_empty || text.contains("CapBnd:\t0000000000000000\n"), "{text}");
        assert!(text.contains("NoNewPrivs:\t1\n"), "{text}");
        assert!(text.contains("Seccomp:\t2\n"), "{text}");
        threads += 1;
    }
    assert!(threads > 1, "the workers are threads");
}

#[test]
fn started_as_root_without_a_user_it_keeps_no_capability_and_says_that_it_is_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let mut server = Server::start(&[]);
    assert_confined(&server, true);
    assert_eq!(server.log().matches("this server keeps running as root (uid 0)").count(), 1);
}

#[test]
fn started_as_root_with_a_user_it_keeps_no_capability() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let mut server = Server::configured(
        "external_ip = \"127.0.0.1\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [process]\nuser = \"nobody\"\n",
    );
    assert_confined(&server, true);
    assert!(!server.log().contains("keeps running as root"));
}

/// With a capability in its ambient set, as a unit for ports below 1024 gives it.
#[test]
fn started_as_a_user_it_keeps_no_capability_that_it_was_given() {
    if !rustix::process::geteuid().is_root() {
        let server = Server::start(&[]);
        assert_confined(&server, false);
        return;
    }
    let state = tempfile::tempdir_in("/tmp").unwrap();
    std::os::unix::fs::chown(state.path(), Some(65_534), Some(65_534)).unwrap();
    // The user cannot reach the program where it was built.
    let program = state.path().join("taciturn");
    fs::copy(testkit::program::taciturn(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]);
    command.arg(program).args(["--listen", "udp:127.0.0.1:0", "--external-ip", "127.0.0.1"]);
    command.arg("--state-dir").arg(state.path()).env("TACITURN_ADMIN_METRICS", "off");
    let mut server = Server::spawned(command, state);
    assert_confined(&server, false);
    let log = server.log();
    assert!(
        !log.contains("cannot drop capabilities") && !log.contains("keeps running as root"),
        "{log}"
    );
}

#[test]
fn the_filter_of_system_calls_can_be_turned_off() {
    let server = Server::configured(
        "external_ip = \"127.0.0.1\"\n[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [process]\nseccomp = false\n",
    );
    // There may be one from outside: a container's.
    assert_eq!(status(&server, "Seccomp"), own_status("Seccomp"));
    assert_eq!(status(&server, "NoNewPrivs"), "1");
}

fn own_status(name: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

/// In a process of its own, as the filter holds for all threads and for good: this test, run again
/// with a variable that tells it so.
#[test]
fn a_call_that_no_relay_needs_fails_and_the_process_goes_on() {
    const INSIDE: &str = "TEST_WITHIN_THE_FILTER";
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "process_rights::a_call_that_no_relay_needs_fails_and_the_process_goes_on";
        let mut again = std::process::Command::new(this);
        let output =
            again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
        return;
    }
    assert_eq!(
        taciturn::process::filter_system_calls(false).unwrap(),
        taciturn::process::Filtered::Yes
    );
    // What a relay does.
    let threads = std::thread::spawn(|| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    assert!(threads.join().unwrap().set_nonblocking(true).is_ok());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "text").unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "text");
    assert!(nix::sys::prctl::set_timerslack(1000).is_ok());
    let interfaces = if_addrs::get_if_addrs().unwrap();
    assert!(interfaces.iter().all(|interface| interface.index.is_some()), "{interfaces:?}");
    assert!(std::net::ToSocketAddrs::to_socket_addrs("localhost:1").is_ok());
    // And what it does not.
    let refused = |outcome: std::io::Result<()>| {
        assert_eq!(
            outcome.unwrap_err().raw_os_error(),
            Some(rustix::io::Errno::NOSYS.raw_os_error())
        );
    };
    refused(std::process::Command::new("/bin/true").status().map(drop));
    refused(std::os::unix::fs::chroot("/"));
    refused(rustix::process::test_kill_process(rustix::process::getpid()).map_err(Into::into));
    use rustix::net::{AddressFamily, SocketType, socket};
    refused(socket(AddressFamily::VSOCK, SocketType::STREAM, None).map(drop).map_err(Into::into));
    refused(socket(AddressFamily::PACKET, SocketType::RAW, None).map(drop).map_err(Into::into));
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

#[test]
fn tcp_relaying_that_the_sandbox_has_shut_needs_a_restart_and_the_reload_says_so() {
    let configured = |tcp_relay: bool, sandbox: bool| {
        format!(
            "external_ip = \"127.0.0.1\"\n[admin]\nmetrics = \"off\"\n[protocol]\ntcp_relay = {tcp_relay}\n\
             [process]\nsandbox = {sandbox}\n[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n"
        )
    };
    let open = Server::configured(&configured(false, false));
    open.reload(&configured(true, false));
    open.wait_for_log("reload: protocol.tcp_relay: false -> true", 1);
    let shut = Server::configured(&configured(false, true));
    shut.reload(&configured(true, true));
    match shut.has_logged("reload: protocol.tcp_relay: false -> true") {
        true => eprintln!("not shown: this kernel's landlock knows no TCP connections"),
        false => shut.wait_for_log("needs a restart: protocol.tcp_relay: false -> true", 1),
    }
}

#[test]
fn a_configuration_among_files_of_others_is_told_with_the_directory() {
    let state = tempfile::tempdir().unwrap();
    let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    let mut command = server::command(state.path());
    command.arg("--config").arg(file.path()).env("TACITURN_ADMIN_METRICS", "off");
    let mut server = Server::spawned(command, state);
    let log = server.log();
    assert_eq!(log.matches("is in /tmp: the sandbox leaves").count(), 1, "{log}");
}
