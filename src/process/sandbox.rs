//! What the process may still open, by landlock.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::error::ProcessError;

/// The newest rights to files that are asked for; an older kernel grants what it knows. Not those of
/// UDP ports, which come later: a relay binds any and sends to any.
const RIGHTS: ABI = ABI::V9;

/// Files that every program may need: name resolution, the time zone, `/proc`.
const COMMON: &[&str] = &[
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/proc",
    "/dev/null",
];

/// Directories with files of others. Files of a server should not be directly in them.
const SHARED: &[&str] =
    &["/", "/boot", "/dev", "/etc", "/home", "/root", "/tmp", "/usr", "/var", "/var/lib"];

/// Paths that the process will open after its start. Access to everything else on the file system is denied
/// for it by landlock, also for root. It can start no program, and from Linux 6.12 on reach no abstract
/// socket and signal no process of others.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// Files and directories to read. The directory of a file is opened, with all that is below it:
    /// renewed files come by another inode.
    pub read: Vec<PathBuf>,
    /// Directories to write to.
    pub write: Vec<PathBuf>,
    /// Unix sockets to connect to. Their directories are opened for that alone: a socket that is made anew is another
    /// file.
    pub sockets: Vec<PathBuf>,
    /// Whether it will connect to others by TCP. From Linux 6.7 on it cannot otherwise.
    pub connects: bool,
}

/// How much of a sandbox the kernel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandboxed {
    /// Only the given paths can be opened.
    Entered {
        /// TCP connections to other hosts are denied as well.
        connections_shut: bool,
    },
    /// Nothing: the kernel has no landlock, or it is off.
    Not,
}

impl Sandbox {
    /// Restricts the file system for this thread and all threads that it will start. This is irreversible.
    ///
    /// # Errors
    /// When the kernel knows landlock and refuses all the same.
    pub fn enter(&self) -> Result<Sandboxed, ProcessError> {
        let failed = |error: landlock::RulesetError| ProcessError::Refused {
            step: "enter the sandbox",
            error: io::Error::other(error),
        };
        let (read, all) = (AccessFs::ReadFile | AccessFs::ReadDir, AccessFs::from_all(RIGHTS));
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)
            .map_err(failed)?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)
            .map_err(failed)?;
        if !self.connects {
            // Without a rule that allows any. Binding stays: a reload may add listeners.
            rules = rules.handle_access(AccessNet::ConnectTcp).map_err(failed)?;
        }
        let mut rules = rules.create().map_err(failed)?;
        let readable =
            COMMON.iter().map(PathBuf::from).chain(self.read.iter().flat_map(|path| homes(path)));
        let rights = readable.map(|path| (path, read));
        let write = all & !AccessFs::Execute;
        let write = self.write.iter().cloned().map(|path| (path, write));
        let connect = BitFlags::from(AccessFs::ResolveUnix);
        let sockets = self.sockets.iter().flat_map(|path| homes(path));
        let sockets = sockets.map(|path| (path, connect));
        for (path, rights) in rights.chain(write).chain(sockets) {
            // What is not there cannot be opened, and needs no rule.
            let Ok(opened) = PathFd::new(&path) else { continue };
            let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(RIGHTS) };
            rules = rules.add_rule(PathBeneath::new(opened, rights)).map_err(failed)?;
        }
        let status = rules.restrict_self().map_err(failed)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Ok(Sandboxed::Not);
        }
        let knows_ports = matches!(
            status.landlock,
            LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V4
        );
        Ok(Sandboxed::Entered { connections_shut: knows_ports && !self.connects })
    }
}

/// The directories that a file is reached by: its own, and the one that its links lead to.
fn homes(path: &Path) -> Vec<PathBuf> {
    let home = |path: &Path| match path.is_dir() {
        true => path.to_owned(),
        false => match path.parent() {
            None => path.to_owned(),
            // A bare name is in the working directory.
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
        },
    };
    let mut homes = vec![home(path)];
    homes.extend(path.canonicalize().ok().map(|target| home(&target)));
    homes
}

/// The directory that is opened for a configured file although others keep their files there too: `/`,
/// `/etc`, `/root`, `/home/NAME` and the like. `None` for a directory of its own.
#[must_use]
pub fn shared_directory(path: &Path) -> Option<PathBuf> {
    let is_shared = |dir: &PathBuf| {
        SHARED.iter().any(|shared| dir == Path::new(shared))
            || dir.parent() == Some(Path::new("/home"))
    };
    let absolute = |dir: PathBuf| dir.canonicalize().unwrap_or(dir);
    homes(path).into_iter().map(absolute).find(is_shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_reached_by_both_its_directories() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("archive");
        std::fs::create_dir(&real).unwrap();
        std::fs::create_dir(dir.path().join("live")).unwrap();
        std::fs::write(real.join("key1.pem"), "").unwrap();
        let link = dir.path().join("live/key.pem");
        std::os::unix::fs::symlink("../archive/key1.pem", &link).unwrap();
        let found = homes(&link);
        assert!(found.contains(&dir.path().join("live")));
        assert!(found.contains(&real.canonicalize().unwrap()));
    }

    /// In a thread of its own: the sandbox has no way out, and holds for the thread that enters it.
    #[test]
    fn the_sandbox_opens_what_was_named_and_nothing_else() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&inside, &outside] {
            std::fs::write(dir.path().join("file"), "text").unwrap();
        }
        let read = vec![inside.path().join("file")];
        let sandbox = Sandbox { read, ..Sandbox::default() };
        let (inside, outside) = (inside.path().to_owned(), outside.path().to_owned());
        std::thread::spawn(move || {
            let sandboxed = sandbox.enter().unwrap();
            assert!(std::fs::read(inside.join("file")).is_ok());
            if sandboxed == Sandboxed::Not {
                return; // nothing to show on a kernel without landlock
            }
            assert!(std::fs::read(outside.join("file")).is_err());
            assert!(std::fs::write(inside.join("new"), "").is_err(), "to read is not to write");
            assert!(std::process::Command::new("/bin/true").status().is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn directories_of_others_are_told_from_those_of_the_server() {
        let shared = |path: &str| shared_directory(Path::new(path));
        assert_eq!(shared("/etc/taciturn.toml"), Some("/etc".into()));
        assert_eq!(shared("/taciturn.toml"), Some("/".into()));
        assert_eq!(shared("/root/turn.toml"), Some("/root".into()));
        assert_eq!(shared("/home/alice/turn.toml"), Some("/home/alice".into()));
        for own in ["/etc/taciturn/taciturn.toml", "/home/alice/turn/turn.toml", "/opt/turn/a.pem"]
        {
            assert_eq!(shared(own), None, "{own}");
        }
    }

    /// A link from a directory of the server's own into a shared one opens the latter as well.
    #[test]
    fn the_directory_that_a_link_leads_to_counts_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("names");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert_eq!(shared_directory(&link), Some("/etc".into()));
    }

    #[test]
    fn a_sandbox_without_tcp_relaying_connects_to_nobody() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for connects in [false, true] {
            std::thread::spawn(move || {
                let entered = Sandbox { connects, ..Sandbox::default() }.enter().unwrap();
                let shut = entered == Sandboxed::Entered { connections_shut: true };
                assert!(!(connects && shut));
                assert_eq!(std::net::TcpStream::connect(address).is_err(), shut, "{entered:?}");
                assert!(std::net::TcpListener::bind("127.0.0.1:0").is_ok(), "it may listen");
                let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                assert!(udp.send_to(b"data", address).is_ok(), "it may send");
            })
            .join()
            .unwrap();
        }
    }
}
