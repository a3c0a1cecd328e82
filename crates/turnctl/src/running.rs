//! The servers that run on this machine, and what they were started with: from `/proc`.

use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use rustix::process::geteuid;
use taciturn_config::{Config, Environment, ServerArgs};

/// The name of the server's process.
const NAME: &str = "taciturn";

/// The longest command line or environment that is read. A program gets at most 2 MiB of both.
const LONGEST: u64 = 2 * 1024 * 1024;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct RunningServer {
    /// Its process.
    pub(crate) pid: u32,
    /// What it was started with.
    pub(crate) started: Started,
}

/// What a server was started with.
#[derive(Debug)]
pub(crate) enum Started {
    /// With these arguments and variables.
    With(Box<ServerArgs>, Environment),
    /// It runs as another user, who alone may see that, or whose word does not count here.
    ByAnother(u32),
    /// In a container: its paths are not those of this machine.
    InContainer,
}

/// User ids of people who log in; services have others (login.defs, systemd).
const PEOPLE: RangeInclusive<u32> = 1000..=60_000;

/// Returns whether what a server of the user `owner` was started with counts for the user `me`. Anybody can start a
/// program of this name, and root must not take its configuration, or tell its secret, for that of the service.
fn counts(me: u32, owner: u32) -> bool {
    owner == me || !PEOPLE.contains(&owner)
}

/// Returns the servers that run on this machine, as the user of this process may see them.
pub(crate) fn here() -> Vec<RunningServer> {
    servers(Path::new("/"), geteuid().as_raw())
}

/// Returns the servers that run on the machine whose file system is below `root`, as the user `me` may see them.
fn servers(root: &Path, me: u32) -> Vec<RunningServer> {
    let processes = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let mut found: Vec<_> = processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let started = started(root, &entry.path(), me)?;
            Some(RunningServer { pid, started })
        })
        .collect();
    found.sort_by_key(|server| server.pid);
    found
}

/// Returns what a process was started with; `None` if it is no server, or has ended.
fn started(root: &Path, process: &Path, me: u32) -> Option<Started> {
    let name = fs::read_to_string(process.join("comm")).ok()?;
    if name.trim_end() != NAME {
        return None;
    }
    let owner = owner(process)?;
    if !counts(me, owner) {
        return Some(Started::ByAnother(owner));
    }
    let Ok(directory) = fs::read_link(process.join("cwd")) else {
        return Some(Started::ByAnother(owner));
    };
    if place(&process.join("root"))? != place(root)? {
        return Some(Started::InContainer);
    }
    let Some(environment) = read(&process.join("environ")) else {
        return Some(Started::ByAnother(owner));
    };
    let line = read(&process.join("cmdline"))?;
    let line = String::from_utf8(line).ok()?;
    let args = ServerArgs::try_parse_from(line.split_terminator('\0')).ok()?;
    let environment = Environment::of_other(&environment, owner);
    Some(Started::With(Box::new(args.in_directory(&directory)), environment))
}

/// The user that a process runs as. Not the owner of its directory, which is root for whoever forbids core dumps.
fn owner(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Device and inode.
fn place(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl RunningServer {
    /// Returns the path of its control socket, if it has one and its configuration can be read.
    fn control_socket(&self) -> Option<PathBuf> {
        let Started::With(args, env) = &self.started else { return None };
        Config::inspect(args, env).ok()?.config.admin.socket
    }

    /// Returns a line on it, without its credentials.
    fn described(&self) -> String {
        let pid = self.pid;
        match &self.started {
            Started::With(..) => {
                format!("\n  process {pid}: it has none, or its configuration has changed")
            }
            Started::ByAnother(user) => {
                format!(
                    "\n  process {pid}: it runs as the user with uid {user}. Use sudo, or for a user who logs in: sudo -u '#{user}'"
                )
            }
            Started::InContainer => format!(
                "\n  process {pid}: it runs in a container. Run turnctl there: docker exec NAME turnctl status"
            ),
        }
    }
}

/// Why there is not exactly one control socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOne {
    /// No server runs here that anybody sees.
    NoServer,
    /// Lines on the servers whose socket is not found.
    NotFound(String),
    /// Lines with the sockets of several servers.
    Several(String),
}

/// Returns the control socket of the one server that runs.
pub(crate) fn control_socket(servers: &[RunningServer]) -> Result<PathBuf, NotOne> {
    let with_socket = |server: &RunningServer| {
        let path = server.control_socket().filter(|path| path.exists())?;
        Some((server.pid, path))
    };
    let sockets: Vec<_> = servers.iter().filter_map(with_socket).collect();
    match &sockets[..] {
        [(_, path)] => Ok(path.clone()),
        [] if servers.is_empty() => Err(NotOne::NoServer),
        [] => Err(NotOne::NotFound(servers.iter().map(RunningServer::described).collect())),
        several => Err(NotOne::Several(
            several
                .iter()
                .map(|(pid, path)| format!("\n  --socket {}  (process {pid})", path.display()))
                .collect(),
        )),
    }
}

/// Returns the one server that runs, with what it was started with.
pub(crate) fn only(servers: Vec<RunningServer>) -> Option<(u32, ServerArgs, Environment)> {
    let mut readable = servers.into_iter().filter_map(|server| match server.started {
        Started::With(args, env) => Some((server.pid, *args, env)),
        Started::ByAnother(_) | Started::InContainer => None,
    });
    let one = readable.next()?;
    readable.next().is_none().then_some(one)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The user of the server and of turnctl.
    const ME: u32 = 0;

    /// A machine of the test's own.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn runs(&self, pid: u32, name: &str, line: &[&str], environment: &str) {
            let process = self.0.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            fs::write(
                process.join("cmdline"),
                line.iter().map(|word| format!("{word}\0")).collect::<String>(),
            )
            .unwrap();
            fs::write(process.join("environ"), environment).unwrap();
            fs::write(process.join("status"), format!("Uid:\t{ME}\t{ME}\t{ME}\t{ME}\n")).unwrap();
            symlink(self.0.path(), process.join("cwd")).unwrap();
            symlink(self.0.path(), process.join("root")).unwrap();
        }

        fn servers(&self) -> Vec<RunningServer> {
            servers(self.0.path(), ME)
        }

        /// A state directory with a secret and a control socket.
        fn state(&self, name: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("turn_secret"), "a-secret-of-the-test-that-is-long-enough\n")
                .unwrap();
            fs::write(path.join("control.sock"), "").unwrap();
            path
        }
    }

    #[test]
    fn the_socket_of_a_server_with_flags_or_variables_is_found() {
        let machine = Machine::new();
        let state = machine.state("flags");
        machine.runs(7, "taciturn", &["/usr/bin/taciturn", "--state-dir", "flags"], "");
        machine.runs(8, "turnserver", &["turnserver"], "");
        assert_eq!(control_socket(&machine.servers()), Ok(state.join("control.sock")));
        let machine = Machine::new();
        let state = machine.state("variables");
        let variables = format!("PATH=/bin\0TACITURN_STATE_DIR={}\0", state.display());
        machine.runs(7, "taciturn", &["taciturn"], &variables);
        assert_eq!(control_socket(&machine.servers()), Ok(state.join("control.sock")));
    }

    #[test]
    fn of_several_servers_none_is_taken_and_all_are_named() {
        let machine = Machine::new();
        for (pid, name) in [(7, "one"), (11, "two")] {
            machine.state(name);
            machine.runs(pid, "taciturn", &["taciturn", "--state-dir", name], "");
        }
        let Err(NotOne::Several(text)) = control_socket(&machine.servers()) else { panic!() };
        assert!(text.contains("one/control.sock  (process 7)"), "{text}");
        assert!(text.contains("two/control.sock  (process 11)"), "{text}");
        assert!(only(machine.servers()).is_none());
    }

    #[test]
    fn a_server_in_a_container_is_named_and_not_taken_for_one_of_this_machine() {
        let (machine, container) = (Machine::new(), Machine::new());
        machine.state("flags");
        machine.runs(7, "taciturn", &["taciturn", "--state-dir", "flags"], "");
        let root = machine.0.path().join("proc/7/root");
        fs::remove_file(&root).unwrap();
        symlink(container.0.path(), &root).unwrap();
        let Err(NotOne::NotFound(text)) = control_socket(&machine.servers()) else { panic!() };
        assert!(text.contains("docker exec"), "{text}");
        assert!(only(machine.servers()).is_none());
    }

    #[test]
    fn a_server_of_another_user_is_named_with_what_to_do() {
        let machine = Machine::new();
        machine.runs(7, "taciturn", &["taciturn"], "");
        fs::remove_file(machine.0.path().join("proc/7/cwd")).unwrap();
        let Err(NotOne::NotFound(text)) = control_socket(&machine.servers()) else { panic!() };
        assert!(text.contains("sudo"), "{text}");
    }

    #[test]
    fn a_server_that_a_person_has_started_is_not_taken_for_that_of_the_service() {
        assert!(counts(0, 0) && counts(1000, 1000) && counts(0, 999) && counts(0, 65_534));
        assert!(!counts(0, 1000) && !counts(1000, 1001));
        let machine = Machine::new();
        machine.state("flags");
        machine.runs(7, "taciturn", &["taciturn", "--state-dir", "flags"], "");
        fs::write(machine.0.path().join("proc/7/status"), "Uid:\t1000\t1000\t1000\t1000\n")
            .unwrap();
        let Err(NotOne::NotFound(text)) = control_socket(&machine.servers()) else { panic!() };
        assert!(text.contains("sudo -u '#1000'"), "{text}");
        assert!(only(machine.servers()).is_none());
    }

    #[test]
    fn what_is_said_of_a_server_has_no_credentials_in_it() {
        let machine = Machine::new();
        machine.runs(
            7,
            "taciturn",
            &["taciturn", "--state-dir", "none", "--user", "alice:kept-for-myself"],
            "",
        );
        let servers = machine.servers();
        let Err(NotOne::NotFound(text)) = control_socket(&servers) else { panic!() };
        assert!(!text.contains("kept-for-myself"), "{text}");
    }

    #[test]
    fn without_a_server_none_is_found() {
        let machine = Machine::new();
        machine.runs(8, "turnserver", &["turnserver"], "");
        assert_eq!(control_socket(&machine.servers()), Err(NotOne::NoServer));
    }
}
