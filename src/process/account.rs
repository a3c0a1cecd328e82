//! The account that the server runs as.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid, initgroups, setgid, setuid};

use super::error::{ProcessError, refused};

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
    /// If there is no such user or group.
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

    /// Its number.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Switches to it permanently, with all its groups. Does nothing if the process runs as it
    /// already.
    ///
    /// # Errors
    /// If the process is not root, or a system call fails. The process must not continue then.
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
}
