//! What is different between a configuration and the one in whose place it comes.

use std::fmt;

use super::key::OnReload;
use super::shown::{Shown, Words};

/// A key whose value is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As in the file: `limits.max_lifetime`.
    pub key: &'static str,
    /// From what to what; for secrets how many.
    pub what: String,
    /// Whether a running server cannot take it up.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, what, needs_restart } = self;
        write!(f, "{}{key}: {what}", if *needs_restart { "needs a restart: " } else { "" })
    }
}

/// Changes while they are collected.
#[derive(Default)]
pub(super) struct Changes(pub(super) Vec<Change>);

impl Changes {
    /// Lists the key if its value is another one, and puts the old value back if the new one needs
    /// a restart.
    pub(super) fn take_up<T: Shown + Clone>(
        &mut self,
        key: &'static str,
        on_reload: OnReload,
        old: &T,
        new: &mut T,
    ) {
        self.list(key, on_reload, &old.words(), &new.words());
        if on_reload.needs_restart() {
            new.clone_from(old);
        }
    }

    /// Lists the key if its value is another one.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        on_reload: OnReload,
        old: &Words,
        new: &Words,
    ) {
        if let Some(what) = new.instead_of(old) {
            self.0.push(Change { key, what, needs_restart: on_reload.needs_restart() });
        }
    }
}
