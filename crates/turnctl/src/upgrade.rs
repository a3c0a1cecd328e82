//! `turnctl upgrade`: what to type so that another version takes the place of a running server, and calls go on.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;

use super::error::CtlError;
use super::running::{self, RunningServer, Started};

const WAYS: &str = "\
Example:
  turnctl upgrade && turnctl status

How it is done depends on how the server was started:

  systemd        sudo apt install ./taciturn_VERSION_ARCH.deb, or with a program of your own:
                 sudo systemctl restart taciturn
                 The unit needs FileDescriptorStoreMax=8; the package's has it. systemctl stop ends the calls.
  Docker         with network_mode: host, command: [\"--take-over\"] and no container_name:
    Compose      old=$(docker compose ps -q taciturn)
                 docker compose up -d --no-recreate --scale taciturn=2 taciturn
                 docker rm --force $old
  by hand        taciturn --take-over, with the other arguments as before, and as the same user

Clients on UDP and TCP go on. Those on TLS stay in the old process with --take-over, until they end or an hour
has passed; with systemd they are closed, and come back. docs/upgrade.md has the details.";

/// The arguments of `upgrade`.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = WAYS)]
pub struct UpgradeArgs {}

/// Prints what to type for the servers that run here.
pub(super) fn run(out: &mut dyn Write) -> Result<(), CtlError> {
    Ok(print(&running::here(), Path::new("/proc"), out)?)
}

fn print(servers: &[RunningServer], proc: &Path, out: &mut dyn Write) -> io::Result<()> {
    if servers.is_empty() {
        return writeln!(out, "No server runs here.\n\n{WAYS}");
    }
    for server in servers {
        let pid = server.pid;
        match (&server.started, service_of(pid, proc)) {
            (Started::InContainer, _) => writeln!(
                out,
                "process {pid} runs in a container. With Docker Compose: turnctl upgrade --help"
            ),
            (_, Some(service)) => {
                writeln!(
                    out,
                    "process {pid} runs as {service}:\n  sudo systemctl restart {service}"
                )
            }
            _ => writeln!(
                out,
                "process {pid} was started by hand. As its user, with the arguments that it has:\n  \
                 taciturn --take-over"
            ),
        }?;
    }
    writeln!(out, "Calls go on. turnctl upgrade --help says which do not.")
}

/// The service of systemd that a process belongs to, from its control group.
fn service_of(pid: u32, proc: &Path) -> Option<String> {
    let groups = fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    // A shell of somebody who has logged in belongs to a service as well.
    (!unit.starts_with("user@") && !path.contains(".scope")).then(|| unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed for a server by hand whose control group is this.
    fn printed(cgroup: &str, started: Started) -> String {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("77")).unwrap();
        fs::write(proc.path().join("77/cgroup"), cgroup).unwrap();
        let mut out = Vec::new();
        print(&[RunningServer { pid: 77, started }], proc.path(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_service_is_restarted_by_its_name() {
        let text = printed("0::/system.slice/turn.service\n", Started::ByAnother(990));
        assert!(text.contains("sudo systemctl restart turn.service\n"), "{text}");
    }

    #[test]
    fn a_server_of_a_shell_is_taken_over_from() {
        let shell = "0::/user.slice/user-1000.slice/session-3.scope\n";
        let of_user = "0::/user.slice/user@1000.service/app.slice/term.scope\n";
        for cgroup in [shell, of_user, "0::/\n", "1:name=systemd:/old\n"] {
            let text = printed(cgroup, Started::ByAnother(1000));
            assert!(text.contains("  taciturn --take-over\n"), "{cgroup}: {text}");
        }
    }

    #[test]
    fn a_container_is_said_to_be_one_and_without_a_server_all_ways_are_told() {
        let text = printed("0::/system.slice/docker-77.scope\n", Started::InContainer);
        assert!(text.contains("runs in a container"), "{text}");
        let mut out = Vec::new();
        print(&[], Path::new("/nowhere"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            ["systemctl restart", "--scale taciturn=2", "--take-over"]
                .iter()
                .all(|way| text.contains(way))
        );
    }
}
