//! What the table of keys says of a key.

use std::time::Duration;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A file or directory; shown in errors unless it plainly is something else.
    Path,
    /// `true` or `false`.
    Boolean,
    /// A whole number from `least` to `most`.
    Count {
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// A duration from `least` to `most`.
    Duration {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// A list of strings; a single string is taken as a list of one.
    List,
    /// As `List`, but nothing of it may be shown and no comma splits it in the environment.
    SecretList,
    /// `[[listen]]`.
    Listeners,
    /// `[[tenant]]`.
    Tenants,
    /// Keys of another section, as a table.
    Table,
}

/// What a reload does with a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// The running server takes it up.
    Applied,
    /// The running server keeps the old value, for this reason.
    Restart(&'static str),
}

impl OnReload {
    /// Whether the running server cannot take the value up.
    #[must_use]
    pub const fn needs_restart(self) -> bool {
        matches!(self, Self::Restart(_))
    }
}

/// What the value is that config/taciturn.toml shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The default.
    Default,
    /// One of many, where there is no default, or where it follows from something else.
    Example,
    /// One of many, of a key that has to be there.
    Required,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Key {
    /// `relay_ports`, `limits.connections`, `listen.address`.
    pub path: &'static str,
    /// The last part of `path`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The value in config/taciturn.toml, as TOML.
    pub value: String,
    /// What that value is.
    pub shows: Shows,
    /// What a reload does with it.
    pub on_reload: OnReload,
    /// The option of coturn that is the same.
    pub coturn: Option<&'static str>,
    /// What it means, line by line. Empty: the key before it explains both.
    pub help: &'static [&'static str],
}

/// A section of the file.
#[derive(Clone, Debug)]
pub struct Section {
    /// `limits`; `top` for the keys before the first section.
    pub name: &'static str,
    /// What it is about, line by line.
    pub help: &'static [&'static str],
    /// Its keys, in the order of the file.
    pub keys: Vec<Key>,
}
