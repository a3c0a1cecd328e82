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
    /// With these arguments and variables, in this directory.
    With(Box<ServerArgs>, Environment, PathBuf),
    /// By this user, with these arguments. Its variables are out of sight: the server forbids its own user to look at
    /// them, as it forbids core dumps.
    WithArguments(Box<ServerArgs>),
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
        return Some(unseen(process, owner, me));
    };
    if place(&process.join("root"))? != place(root)? {
        return Some(Started::InContainer);
    }
    let Some(environment) = read(&process.join("environ")) else {
        return Some(Started::ByAnother(owner));
    };
    let args = arguments(process)?;
    let environment = Environment::of_other(&environment, owner);
    Some(Started::With(Box::new(args.in_directory(&directory)), environment, directory))
}

fn arguments(process: &Path) -> Option<ServerArgs> {
    let line = String::from_utf8(read(&process.join("cmdline"))?).ok()?;
    ServerArgs::try_parse_from(line.split_terminator('\0')).ok()
}

/// Returns what can be told of a server whose directory is out of sight: its arguments, if it is this user's, is in
/// no container, and its paths need no directory.
fn unseen(process: &Path, owner: u32, me: u32) -> Started {
    if owner != me {
        return Started::ByAnother(owner);
    }
    // One number for each level of process namespaces, from that of the reader on.
    if status(process, "NSpid:").is_some_and(|numbers| numbers.split_ascii_whitespace().count() > 1)
    {
        return Started::InContainer;
    }
    let args = arguments(process).filter(|args| !args.has_relative_path());
    args.map_or(Started::ByAnother(owner), |args| Started::WithArguments(Box::new(args)))
}

/// The user that a process runs as. Not the owner of its directory, which is root for whoever forbids core dumps.
fn owner(process: &Path) -> Option<u32> {
    status(process, "Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What the status of a process says under this name.
fn status(process: &Path, name: &str) -> Option<String> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(ToOwned::to_owned)
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
    fn control_socket(&self, mine: &Environment) -> Option<PathBuf> {
        let (args, env, directory) = match &self.started {
            Started::With(args, env, directory) => (args, env, directory.as_path()),
            Started::WithArguments(args) => (args, mine, Path::new("")),
            Started::ByAnother(_) | Started::InContainer => return None,
        };
        // A relative path in its file begins in its directory.
        Some(directory.join(Config::inspect(args, env).ok()?.config.admin.socket?))
    }

    /// Returns a line on it, without its credentials.
    fn described(&self) -> String {
        let pid = self.pid;
        match &self.started {
            Started::With(..) | Started::WithArguments(_) => {
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

/// Moves to the directory of the one server that runs, where relative paths in its configuration begin.
pub(crate) fn enter_directory(servers: &[RunningServer]) {
    if let [RunningServer { started: Started::With(_, _, directory), .. }] = servers {
        enter(directory);
    }
}

/// Moves to a directory. Nothing that turnctl was given may be relative from here on.
pub(crate) fn enter(directory: &Path) {
    // If it cannot be entered, what is missing is named.
    let _ = std::env::set_current_dir(directory);
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

/// Returns the control socket of the one server that runs. `mine` is the environment of this process.
pub(crate) fn control_socket(
    servers: &[RunningServer],
    mine: &Environment,
) -> Result<PathBuf, NotOne> {
    let with_socket = |server: &RunningServer| {
        let path = server.control_socket(mine).filter(|path| path.exists())?;
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

/// The one server that runs, and what it was started with.
#[derive(Debug)]
pub(crate) struct Only {
    /// Its process.
    pub(crate) pid: u32,
    /// Its arguments.
    pub(crate) args: ServerArgs,
    /// Its environment; that of this process where its own is out of sight.
    pub(crate) env: Environment,
    /// Its directory, if it can be seen; so can its environment then.
    pub(crate) directory: Option<PathBuf>,
}

/// Returns the one server that runs, with what it was started with. `mine` is the environment of this process.
///
/// # Errors
/// With the processes of all, where several run, or none.
pub(crate) fn only(servers: Vec<RunningServer>, mine: &Environment) -> Result<Only, Vec<u32>> {
    let mut readable: Vec<_> = servers
        .into_iter()
        .filter_map(|RunningServer { pid, started }| {
            let (args, env, directory) = match started {
                Started::With(args, env, directory) => (args, env, Some(directory)),
                Started::WithArguments(args) => (args, mine.clone(), None),
                Started::ByAnother(_) | Started::InContainer => return None,
            };
            Some(Only { pid, args: *args, env, directory })
        })
        .collect();
    match (readable.pop(), readable.is_empty()) {
        (Some(one), true) => Ok(one),
        (last, _) => Err(readable.into_iter().chain(last).map(|server| server.pid).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The user of the server and of turnctl.
    const ME: u32 = 0;

    fn nothing() -> Environment {
        Environment::new([] as [(&str, &str); 0])
    }

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

        /// Another program in place of the process.
        fn runs_again(&self, pid: u32, name: &str, line: &[&str]) {
            fs::remove_dir_all(self.0.path().join(format!("proc/{pid}"))).unwrap();
            self.runs(pid, name, line, "");
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
        assert_eq!(control_socket(&machine.servers(), &nothing()), Ok(state.join("control.sock")));
        fs::write(machine.0.path().join("a.toml"), "[admin]\nsocket = \"flags/control.sock\"\n")
            .unwrap();
        machine.runs_again(7, "taciturn", &["taciturn", "--config", "a.toml"]);
        assert_eq!(control_socket(&machine.servers(), &nothing()), Ok(state.join("control.sock")));
        let machine = Machine::new();
        let state = machine.state("variables");
        let variables = format!("PATH=/bin\0TACITURN_STATE_DIR={}\0", state.display());
        machine.runs(7, "taciturn", &["taciturn"], &variables);
        assert_eq!(control_socket(&machine.servers(), &nothing()), Ok(state.join("control.sock")));
    }

    #[test]
    fn of_several_servers_none_is_taken_and_all_are_named() {
        let machine = Machine::new();
        for (pid, name) in [(7, "one"), (11, "two")] {
            machine.state(name);
            machine.runs(pid, "taciturn", &["taciturn", "--state-dir", name], "");
        }
        let Err(NotOne::Several(text)) = control_socket(&machine.servers(), &nothing()) else {
            panic!()
        };
        assert!(text.contains("one/control.sock  (process 7)"), "{text}");
        assert!(text.contains("two/control.sock  (process 11)"), "{text}");
        assert_eq!(only(machine.servers(), &nothing()).unwrap_err(), [7, 11]);
    }

    #[test]
    fn a_server_in_a_container_is_named_and_not_taken_for_one_of_this_machine() {
        let (machine, container) = (Machine::new(), Machine::new());
        machine.state("flags");
        machine.runs(7, "taciturn", &["taciturn", "--state-dir", "flags"], "");
        let root = machine.0.path().join("proc/7/root");
        fs::remove_file(&root).unwrap();
        symlink(container.0.path(), &root).unwrap();
        let Err(NotOne::NotFound(text)) = control_socket(&machine.servers(), &nothing()) else {
            panic!()
        };
        assert!(text.contains("docker exec"), "{text}");
        assert!(only(machine.servers(), &nothing()).is_err());
    }

    #[test]
    fn a_server_of_another_user_is_named_with_what_to_do() {
        let machine = Machine::new();
        machine.runs(7, "taciturn", &["taciturn"], "");
        fs::remove_file(machine.0.path().join("proc/7/cwd")).unwrap();
        fs::write(machine.0.path().join("proc/7/status"), "Uid:\t999\t999\t999\t999\n").unwrap();
        let Err(NotOne::NotFound(text)) = control_socket(&machine.servers(), &nothing()) else {
            panic!()
        };
        assert!(text.contains("sudo"), "{text}");
    }

    /// As the kernel shows a server of one's own that is not root's.
    #[test]
    fn what_a_server_of_ones_own_was_started_with_is_taken_from_its_command_line() {
        let machine = Machine::new();
        let state = machine.state("flags");
        let hidden = |arguments: &[&str]| {
            let _ = fs::remove_dir_all(machine.0.path().join("proc"));
            machine.runs(7, "taciturn", arguments, "");
            let process = machine.0.path().join("proc/7");
            for name in ["cwd", "root", "environ"] {
                fs::remove_file(process.join(name)).unwrap();
            }
            process
        };
        let process = hidden(&["taciturn", "--state-dir", state.to_str().unwrap()]);
        assert_eq!(control_socket(&machine.servers(), &nothing()), Ok(state.join("control.sock")));
        let one = only(machine.servers(), &nothing()).unwrap();
        assert!(
            one.pid == 7 && one.args.state_dir == Some(state) && one.directory.is_none(),
            "{one:?}"
        );
        let status = format!("Uid:\t{ME}\t{ME}\t{ME}\t{ME}\nNSpid:\t7\t1\n");
        fs::write(process.join("status"), status).unwrap();
        assert!(matches!(
            &machine.servers()[..],
            [RunningServer { started: Started::InContainer, .. }]
        ));
        // Nobody knows where it begins.
        hidden(&["taciturn", "--state-dir", "flags"]);
        assert!(only(machine.servers(), &nothing()).is_err());
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
        let Err(NotOne::NotFound(text)) = control_socket(&machine.servers(), &nothing()) else {
            panic!()
        };
        assert!(text.contains("sudo -u '#1000'"), "{text}");
        assert!(only(machine.servers(), &nothing()).is_err());
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
        let Err(NotOne::NotFound(text)) = control_socket(&servers, &nothing()) else { panic!() };
        assert!(!text.contains("kept-for-myself"), "{text}");
    }

    #[test]
    fn without_a_server_none_is_found() {
        let machine = Machine::new();
        machine.runs(8, "turnserver", &["turnserver"], "");
        assert_eq!(control_socket(&machine.servers(), &nothing()), Err(NotOne::NoServer));
    }
}
