//! What can go wrong, and what a kernel may not have.

use std::io;

/// Why a step of giving up rights has failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No such user or group.
    #[error(
        "there is no {what} \"{name}\" on this system. Create it, for example with: \
             adduser --system --group {name}"
    )]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// The lookup failed.
    #[error("cannot look up \"{name}\": {error}")]
    Lookup {
        /// The user or group.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// Only root can switch to another user.
    #[error(
        "the server cannot switch to the user \"{name}\" because it was started as uid {uid}, not as root. \
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
        /// The step that failed.
        step: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// Whether system calls are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// All threads, and those that they will start.
    Yes,
    /// The kernel has no seccomp, or there is no list for this processor.
    No,
}

pub(super) fn refused<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ProcessError {
    move |error| ProcessError::Refused { step, error: error.into() }
}
