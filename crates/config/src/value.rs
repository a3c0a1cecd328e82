//! Types that a key of the table may have: how each is read, what bounds it, and how it is written.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::allowed_peer::AllowedPeer;
use super::key::Kind;
use super::networks::{allowed_peers, networks};
use super::read::{Reader, show_duration};

/// The type of a key.
pub(super) trait Value: Sized {
    /// What the table says after `in`; `()` where it says nothing.
    type Bounds;

    /// What the key takes.
    fn kind(bounds: &Self::Bounds) -> Kind;

    /// Reads the key. `None` where it is not set, or is wrong, which has been reported then.
    fn read(reader: &mut Reader<'_>, key: &'static str, bounds: &Self::Bounds) -> Option<Self>;

    /// The value as TOML.
    fn toml(&self) -> String;
}

impl Value for bool {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Boolean
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.boolean(key)
    }

    fn toml(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    type Bounds = RangeInclusive<Self>;

    fn kind(bounds: &Self::Bounds) -> Kind {
        Kind::Count { least: *bounds.start(), most: *bounds.end() }
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, bounds: &Self::Bounds) -> Option<Self> {
        reader.integer(key, *bounds.start(), *bounds.end())
    }

    fn toml(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    type Bounds = RangeInclusive<Self>;

    fn kind(bounds: &Self::Bounds) -> Kind {
        Kind::Duration { least: *bounds.start(), most: *bounds.end() }
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, bounds: &Self::Bounds) -> Option<Self> {
        reader.duration(key, *bounds.start(), *bounds.end())
    }

    fn toml(&self) -> String {
        quoted(show_duration(*self))
    }
}

impl Value for Vec<IpNet> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::List
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.settings.contains_key(key).then(|| networks(reader, key))
    }

    fn toml(&self) -> String {
        let items: Vec<_> = self.iter().map(quoted).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Value for Vec<AllowedPeer> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::List
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.settings.contains_key(key).then(|| allowed_peers(reader, key))
    }

    fn toml(&self) -> String {
        let items: Vec<_> = self.iter().map(quoted).collect();
        format!("[{}]", items.join(", "))
    }
}

/// An address with a port, or `off`.
impl Value for Option<SocketAddr> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let help = "an address and a port, like \"127.0.0.1:9641\", or \"off\"";
        let item = reader.text(key, help)?;
        let text = item.text.trim();
        if is_off(text) {
            return Some(None);
        }
        let address = text.parse().ok();
        if address.is_none() {
            let message = format!("\"{text}\" is no address with a port");
            reader.error(&item, message, &format!("write {help}"));
        }
        address.map(Some)
    }

    fn toml(&self) -> String {
        self.map_or_else(|| quoted("off"), quoted)
    }
}

/// A path, or `off`.
impl Value for Option<PathBuf> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "a path, or \"off\"")?;
        let text = item.text.trim();
        Some((!is_off(text)).then(|| PathBuf::from(text)))
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map_or_else(|| "off".into(), |path| path.to_string_lossy()))
    }
}

fn is_off(text: &str) -> bool {
    ["", "off"].contains(&text)
}

/// As a string of TOML; for values that have neither quotes nor control characters.
pub(super) fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}
