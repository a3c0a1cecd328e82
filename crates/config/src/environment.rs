//! The environment of the process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// The environment variables that configuration is read from, and who runs the process. Passed
/// in, so that tests need not touch the process.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub(super) variables: BTreeMap<String, OsString>,
    uid: Option<u32>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { variables: std::env::vars_os().filter_map(named).collect(), uid: own_uid() }
    }

    /// An environment of exactly these variables, and of no particular user.
    #[must_use]
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.into());
        Self { variables: variables.into_iter().map(owned).collect(), uid: None }
    }

    /// The environment of another process of the user `uid`: `NAME=VALUE`, each followed by a zero byte, as in
    /// `/proc/PID/environ`.
    #[must_use]
    pub fn of_other(variables: &[u8], uid: u32) -> Self {
        let named = |entry: &[u8]| {
            let equals = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = entry.split_at_checked(equals)?;
            let value = OsStr::from_bytes(value.get(1..)?).to_owned();
            Some((String::from_utf8(name.to_vec()).ok()?, value))
        };
        let variables = variables.split(|byte| *byte == 0).filter_map(named).collect();
        Self { variables, uid: Some(uid) }
    }

    /// Whether it says which server is meant: by a variable of the configuration, or because systemd has given this
    /// process the state directory of its unit.
    #[must_use]
    pub fn configures_a_server(&self) -> bool {
        let says = |name: &str| name.starts_with("TACITURN_") || name == "STATE_DIRECTORY";
        self.variables.iter().any(|(name, value)| says(name) && !value.is_empty())
    }

    /// Whether this is the environment of a process, and not one of given variables.
    #[must_use]
    pub const fn is_of_a_process(&self) -> bool {
        self.uid.is_some()
    }

    /// The value of `name`, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Whether the process runs as root; `false` where that cannot be told.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == Some(0)
    }
}

/// The user id of this process, where the system has a `/proc`.
pub(super) fn own_uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|metadata| metadata.uid())
}
