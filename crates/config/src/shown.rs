//! Values in words, for the list of what a reload changes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use taciturn_turn::policy::PortRange;

use super::allowed_peer::AllowedPeer;
use super::read::show_duration;

/// A value as a change of it is told.
pub(super) enum Words {
    /// From what to what. Empty: nothing.
    One(String),
    /// What is new in the list, and what is gone.
    Entries(Vec<String>),
    /// How many are new, gone, and otherwise than before: of what must not be shown, by name.
    Secret(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Words {
    /// A list.
    pub(super) fn entries<T: ToString>(items: &[T]) -> Self {
        Self::Entries(items.iter().map(ToString::to_string).collect())
    }

    /// What becomes of `old` with `self`; `None` where they are the same.
    pub(super) fn instead_of(&self, old: &Self) -> Option<String> {
        match (old, self) {
            (Self::One(old), Self::One(new)) => {
                let named = |text: &String| match text.as_str() {
                    "" => "nothing".to_owned(),
                    text => text.to_owned(),
                };
                (old != new).then(|| format!("{} -> {}", named(old), named(new)))
            }
            (Self::Entries(old), Self::Entries(new)) => {
                (old != new).then(|| added_and_removed(old, new))
            }
            (Self::Secret(old), Self::Secret(new)) => counted(old, new),
            // One key is always told in one way.
            _ => None,
        }
    }
}

fn added_and_removed(old: &[String], new: &[String]) -> String {
    let without = |all: &[String], others: &[String]| {
        let rest = all.iter().filter(|text| !others.contains(text)).cloned();
        rest.collect::<Vec<_>>().join(", ")
    };
    let parts = [("added", without(new, old)), ("removed", without(old, new))];
    let parts = parts.iter().filter(|(_, entries)| !entries.is_empty());
    let parts: Vec<_> = parts.map(|(what, entries)| format!("{what} {entries}")).collect();
    match parts.as_slice() {
        [] => "in another order".to_owned(),
        parts => parts.join("; "),
    }
}

fn counted(old: &BTreeMap<Vec<u8>, Vec<u8>>, new: &BTreeMap<Vec<u8>, Vec<u8>>) -> Option<String> {
    let added = new.keys().filter(|name| !old.contains_key(*name)).count();
    let removed = old.keys().filter(|name| !new.contains_key(*name)).count();
    let differs =
        |(name, value): &(&Vec<u8>, &Vec<u8>)| new.get(*name).is_some_and(|other| other != *value);
    let changed = old.iter().filter(differs).count();
    let counts = [(added, "added"), (removed, "removed"), (changed, "changed")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

/// A value that a change can be told of.
pub(super) trait Shown {
    fn words(&self) -> Words;
}

macro_rules! shown_by_display {
    ($($type:ty),*) => {
        $(impl Shown for $type {
            fn words(&self) -> Words {
                Words::One(self.to_string())
            }
        })*
    };
}

shown_by_display!(bool, u32, NonZeroUsize, PortRange, String);

impl Shown for Duration {
    fn words(&self) -> Words {
        Words::One(show_duration(*self))
    }
}

impl Shown for PathBuf {
    fn words(&self) -> Words {
        Words::One(self.display().to_string())
    }
}

impl Shown for Option<String> {
    fn words(&self) -> Words {
        Words::One(self.clone().unwrap_or_default())
    }
}

impl Shown for Option<SocketAddr> {
    fn words(&self) -> Words {
        Words::One(self.map_or_else(|| "off".to_owned(), |at| at.to_string()))
    }
}

impl Shown for Option<PathBuf> {
    fn words(&self) -> Words {
        let path = self.as_ref().map(|path| path.display().to_string());
        Words::One(path.unwrap_or_else(|| "off".to_owned()))
    }
}

impl Shown for Vec<String> {
    fn words(&self) -> Words {
        Words::One(self.join(", "))
    }
}

impl Shown for Vec<AllowedPeer> {
    fn words(&self) -> Words {
        Words::entries(self)
    }
}

impl Shown for Vec<IpNet> {
    fn words(&self) -> Words {
        Words::entries(self)
    }
}
