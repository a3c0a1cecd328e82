//! The environment of the process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

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
