//! The process itself: whom it runs as, what it may still open, and that it leaves no copy of its
//! memory behind.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, geteuid, initgroups, setgid, setuid};

/// The newest rights of landlock that are asked for; an older kernel grants what it knows.
const RIGHTS: ABI = ABI::V5;

/// What programs read besides their own files: names, the time zone, their own process.
const COMMON: &[&str] = &[
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/proc",
    "/dev/null",
];

/// Why a step of giving up rights has failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No such user or group.
    #[error(
        "there is no {what} \"{name}\" on this system. Make it, for example with: \
             adduser --system --group {name}"
    )]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// The system could not say.
    #[error("cannot look up \"{name}\": {error}")]
    Lookup {
        /// The user or group.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// Only root can become somebody else.
    #[error(
        "the server is to run as \"{name}\", and was not started as root (but as uid {uid}). \
             Start it as root, or as {name} and without process.user"
    )]
    NotRoot {
        /// The account wanted.
        name: String,
        /// Ours.
        uid: u32,
    },
    /// A system call was refused.
    #[error("cannot {step}: {error}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// Why not.
        error: io::Error,
    },
}

fn refused(step: &'static str) -> impl FnOnce(nix::Error) -> ProcessError {
    move |error| ProcessError::Refused { step, error: error.into() }
}

/// Keeps secrets out of core dumps, and other processes of the same user out of this one's memory.
///
/// # Errors
/// When the system refuses; nothing else is wrong then.
pub fn forbid_core_dumps() -> Result<(), ProcessError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused("forbid core dumps"))?;
    // A core_pattern that names a program does not ask for the limit.
    prctl::set_dumpable(false).map_err(refused("forbid core dumps"))
}

/// An account to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// Looks up `USER` or `USER:GROUP`; without a group it is the user's own.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub fn find(wanted: &str) -> Result<Self, ProcessError> {
        let (user, group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (wanted, None),
        };
        let found = User::from_name(user).map_err(lookup(user))?;
        let found = found.ok_or_else(|| unknown("user", user))?;
        let gid = match group {
            None => found.gid,
            Some(group) => {
                let found = Group::from_name(group).map_err(lookup(group))?;
                found.ok_or_else(|| unknown("group", group))?.gid
            }
        };
        Ok(Self { name: found.name, uid: found.uid, gid })
    }

    /// Becomes it, for good, with all its groups. Nothing to do where the process runs as it
    /// already.
    ///
    /// # Errors
    /// When the process is not root's, or a system call is refused. It must not go on then.
    pub fn assume(&self) -> Result<(), ProcessError> {
        let ours = geteuid();
        if ours == self.uid {
            return Ok(());
        }
        if !ours.is_root() {
            return Err(ProcessError::NotRoot { name: self.name.clone(), uid: ours.as_raw() });
        }
        let name = CString::new(self.name.as_str()).map_err(|_| unknown("user", &self.name))?;
        initgroups(&name, self.gid).map_err(refused("take the groups of the user"))?;
        setgid(self.gid).map_err(refused("take the group"))?;
        setuid(self.uid).map_err(refused("take the user"))?;
        // The way back must be closed.
        match setuid(Uid::from_raw(0)) {
            Ok(()) if !self.uid.is_root() => Err(ProcessError::Refused {
                step: "give up root",
                error: io::Error::other("root could be taken back"),
            }),
            _ => Ok(()),
        }
    }

    /// Hands over a file or directory of root's, so that it can still be used afterwards.
    ///
    /// # Errors
    /// When it is root's and cannot be handed over.
    pub fn take_over(&self, path: &Path) -> Result<(), ProcessError> {
        use std::os::unix::fs::MetadataExt as _;
        let is_roots = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == 0);
        if !is_roots || !geteuid().is_root() {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
            .map_err(|error| ProcessError::Refused { step: "hand over the state directory", error })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn unknown(what: &'static str, name: &str) -> ProcessError {
    ProcessError::Unknown { what, name: name.to_owned() }
}

fn lookup(name: &str) -> impl FnOnce(nix::Error) -> ProcessError {
    let name = name.to_owned();
    move |error| ProcessError::Lookup { name, error: error.into() }
}

/// What the process will need to open after its start. Everything else on the file system is shut
/// for it by landlock, also for root, and it can start no program.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// Files and directories to read. The directory of a file is opened as well: renewed files come
    /// by another inode.
    pub read: Vec<PathBuf>,
    /// Directories to write to.
    pub write: Vec<PathBuf>,
}

/// How much of a sandbox the kernel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandboxed {
    /// All that was asked for.
    Fully,
    /// What an older kernel knows of it.
    Partly,
    /// Nothing: the kernel has no landlock, or it is off.
    Not,
}

impl Sandbox {
    /// Shuts the file system for this thread and all that it will start. There is no way back.
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
            .create()
            .map_err(failed)?;
        let readable =
            COMMON.iter().map(PathBuf::from).chain(self.read.iter().flat_map(|path| homes(path)));
        let rights = readable.map(|path| (path, read));
        let write = all & !AccessFs::Execute;
        for (path, rights) in rights.chain(self.write.iter().cloned().map(|path| (path, write))) {
            // What is not there cannot be opened, and needs no rule.
            let Ok(opened) = PathFd::new(&path) else { continue };
            let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(RIGHTS) };
            rules = rules.add_rule(PathBeneath::new(opened, rights)).map_err(failed)?;
        }
        let status = rules.restrict_self().map_err(failed)?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced => Sandboxed::Fully,
            RulesetStatus::PartiallyEnforced => Sandboxed::Partly,
            RulesetStatus::NotEnforced => Sandboxed::Not,
        })
    }
}

/// The directories that a file is reached by: its own, and the one that its links lead to.
fn homes(path: &Path) -> Vec<PathBuf> {
    let home = |path: &Path| match path.is_dir() {
        true => path.to_owned(),
        false => path.parent().map_or_else(|| path.to_owned(), Path::to_owned),
    };
    let mut homes = vec![home(path)];
    homes.extend(path.canonicalize().ok().map(|target| home(&target)));
    homes
}

/// Those of `paths` that cannot be read, and why.
#[must_use]
pub fn unreadable<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<(PathBuf, io::Error)> {
    let failed =
        |path: &Path| std::fs::File::open(path).err().map(|error| (path.to_owned(), error));
    paths.into_iter().filter_map(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_account_is_named_with_what_to_do() {
        let error = Account::find("no-such-user").unwrap_err().to_string();
        assert!(error.contains("no user \"no-such-user\"") && error.contains("adduser"), "{error}");
        let error = Account::find("root:no-such-group").unwrap_err().to_string();
        assert!(error.contains("no group \"no-such-group\""), "{error}");
    }

    #[test]
    fn the_own_account_needs_no_change() {
        let name = User::from_uid(geteuid()).unwrap().unwrap().name;
        assert_eq!(Account::find(&name).unwrap().assume().map_err(|e| e.to_string()), Ok(()));
    }

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
        let sandbox = Sandbox { read: vec![inside.path().join("file")], write: Vec::new() };
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
}
