//! Where the servers of a fleet meet, as a URL says it, and names in it.

use std::fmt;
use std::path::PathBuf;

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The usual port.
const PORT: u16 = 6379;

/// Where a Valkey or Redis is, and who this server is to it: the key `fleet.url`, and a kind of `auth.database.url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetUrl {
    /// Where it listens.
    pub place: FleetPlace,
    /// The user of its access list.
    pub user: Option<String>,
    /// The number of the database.
    pub database: u16,
    written: String,
}

/// Where a Valkey or Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetPlace {
    /// A host and a port.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
        /// Whether the connection is secured.
        tls: bool,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadUrl {
    /// It begins with something else.
    #[error(
        "begin it with redis:// (plain), rediss:// (TLS) or unix:///: \"rediss://taciturn@valkey.internal:6380/0\""
    )]
    Scheme,
    /// It has a password.
    #[error("write the password into a file, and the path of that as password_file")]
    Password,
    /// The host or the port is none.
    #[error("write a host, and a port if it is not 6379: \"redis://valkey.internal:6379\"")]
    Host,
    /// What follows the host is no database.
    #[error("end it with the number of a database, or without one: \"redis://valkey.internal/0\"")]
    Database,
}

impl FleetUrl {
    pub(super) fn parse(text: &str) -> Result<Self, BadUrl> {
        let written = text.to_owned();
        if let Some(path) = text.strip_prefix("unix://") {
            let place = match path.starts_with('/') {
                true => FleetPlace::Unix(path.into()),
                false => return Err(BadUrl::Scheme),
            };
            return Ok(Self { place, user: None, database: 0, written });
        }
        let (rest, tls) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(BadUrl::Scheme),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(BadUrl::Password),
            Some((user, rest)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), rest),
            None => (None, rest),
        };
        let (at, database) = match rest.split_once('/') {
            Some((at, "")) => (at, 0),
            Some((at, database)) => (at, database.parse().map_err(|_| BadUrl::Database)?),
            None => (rest, 0),
        };
        let (host, port) = host_and_port(at).ok_or(BadUrl::Host)?;
        let place = FleetPlace::Tcp { host: host.to_owned(), port, tls };
        Ok(Self { place, user, database, written })
    }
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let is_host = |host: &&str| {
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => PORT,
            None => return None,
        };
        return Some((host, port)).filter(|(host, _)| is_host(host));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, PORT),
    };
    Some((host, port)).filter(|(host, _)| is_host(host))
}

impl fmt::Display for FleetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Value for Option<FleetUrl> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "\"redis://valkey.internal:6379\"")?;
        match FleetUrl::parse(item.text.trim()) {
            Ok(url) => Some(Some(url)),
            // What was written may have a password in it.
            Err(error @ BadUrl::Password) => {
                reader.error(&item, "has a password", &error.to_string());
                None
            }
            Err(error) => {
                reader.error(&item, "is no URL of a Valkey or Redis", &error.to_string());
                None
            }
        }
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map_or("", |url| &url.written))
    }
}

impl Shown for Option<FleetUrl> {
    fn words(&self) -> Words {
        Words::One(self.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}

/// A name in a fleet: of a node, or what all keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetName(String);

impl FleetName {
    /// What all keys begin with by default.
    pub(super) fn usual() -> Self {
        Self("turn".to_owned())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(reader: &mut Reader<'_>, key: &'static str) -> Option<Self> {
        let item = reader.text(key, "\"fra1\"")?;
        let text = item.text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if (1..=64).contains(&text.len()) && text.chars().all(plain) {
            return Some(Self(text.to_owned()));
        }
        let help = "write 1 to 64 letters, digits, dots, dashes and underscores";
        reader.error(&item, format!("\"{text}\" is no name"), help);
        None
    }
}

impl Value for FleetName {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        Self::of(reader, key)
    }

    fn toml(&self) -> String {
        quoted(&self.0)
    }
}

impl Value for Option<FleetName> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        FleetName::of(reader, key).map(Some)
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map_or("", FleetName::as_str))
    }
}

impl Shown for FleetName {
    fn words(&self) -> Words {
        Words::One(self.0.clone())
    }
}

impl Shown for Option<FleetName> {
    fn words(&self) -> Words {
        Words::One(self.as_ref().map(|name| name.0.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, tls: bool) -> FleetPlace {
        FleetPlace::Tcp { host: host.to_owned(), port, tls }
    }

    #[test]
    fn urls_are_taken_apart() {
        for (text, place, user, database) in [
            ("redis://127.0.0.1", tcp("127.0.0.1", 6379, false), None, 0),
            ("redis://[2001:db8::1]:7000/3", tcp("2001:db8::1", 7000, false), None, 3),
            (
                "rediss://taciturn@valkey.internal:6380/0",
                tcp("valkey.internal", 6380, true),
                Some("taciturn"),
                0,
            ),
            ("redis://@valkey/", tcp("valkey", 6379, false), None, 0),
            ("unix:///run/valkey.sock", FleetPlace::Unix("/run/valkey.sock".into()), None, 0),
        ] {
            let address = FleetUrl::parse(text).unwrap();
            assert_eq!((address.place.clone(), address.user.as_deref()), (place, user), "{text}");
            assert_eq!((address.database, address.to_string().as_str()), (database, text));
        }
    }

    #[test]
    fn what_is_none_is_told_by_kind() {
        for (text, error) in [
            ("", BadUrl::Scheme),
            ("valkey:6379", BadUrl::Scheme),
            ("unix://run/x", BadUrl::Scheme),
            ("redis://user:password@host", BadUrl::Password),
            ("redis://:password@host", BadUrl::Password),
            ("redis://", BadUrl::Host),
            ("redis://host:port", BadUrl::Host),
            ("redis://ho st", BadUrl::Host),
            ("redis://[::1]x", BadUrl::Host),
            ("redis://host/db", BadUrl::Database),
            ("redis://host/70000", BadUrl::Database),
        ] {
            assert_eq!(FleetUrl::parse(text), Err(error), "{text}");
        }
    }
}
