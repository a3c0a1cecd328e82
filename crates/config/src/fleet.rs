//! Where the servers of a fleet meet, as a URL says it, and names in it.

use std::fmt;
use std::path::PathBuf;

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The usual ports: of a Valkey or Redis, and of a sentinel.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The most sentinels that are named.
const MOST_SENTINELS: usize = 16;

/// Where a Valkey or Redis is, and who this server is to it: the key `fleet.url`.
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
    /// Wherever sentinels say that the master is.
    Sentinel {
        /// Where they listen: hosts and ports, 16 at most.
        sentinels: Vec<(String, u16)>,
        /// The name that they know the master by.
        master: String,
        /// Whether connections are secured: those to the sentinels, and those to the master.
        tls: bool,
    },
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadUrl {
    /// It begins with something else.
    #[error(
        "begin it with redis:// (plain), rediss:// (TLS) or unix:///: \"rediss://taciturn@valkey.internal:6380/0\"; \
         with Sentinel, with redis+sentinel:// or rediss+sentinel:// (TLS)"
    )]
    Scheme,
    /// It has a password.
    #[error("write the password into a file, and the path of that as password_file")]
    Password,
    /// The host or the port is none.
    #[error("write a host, and a port if it is not 6379: \"redis://valkey.internal:6379\"")]
    Host,
    /// There are no sentinels, one of them is none, or there is no name of a master.
    #[error(
        "write the sentinels, with ports if these are not 26379, and the name that they know the master by: \
         \"redis+sentinel://taciturn@s1.internal,s2.internal,s3.internal/mymaster\""
    )]
    Sentinels,
    /// There are too many.
    #[error("name {MOST_SENTINELS} sentinels at most: three or five are usual")]
    TooManySentinels,
    /// What follows the host is no database.
    #[error(
        "end it with the number of a database, or without one: \"redis://valkey.internal/0\", with Sentinel \"/mymaster/0\""
    )]
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
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        let (tls, with_sentinel) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            // Both are in use.
            "redis+sentinel" | "redis-sentinel" => (false, true),
            "rediss+sentinel" | "rediss-sentinel" => (true, true),
            _ => return Err(BadUrl::Scheme),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(BadUrl::Password),
            Some((user, rest)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), rest),
            None => (None, rest),
        };
        let (at, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (place, database) = if with_sentinel {
            let (master, database) = path.split_once('/').unwrap_or((path, ""));
            (sentinels(at, master, tls)?, database)
        } else {
            let (host, port) = host_and_port(at, PORT).ok_or(BadUrl::Host)?;
            (FleetPlace::Tcp { host: host.to_owned(), port, tls }, path)
        };
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| BadUrl::Database)?,
        };
        Ok(Self { place, user, database, written })
    }
}

fn sentinels(at: &str, master: &str, tls: bool) -> Result<FleetPlace, BadUrl> {
    let sentinels = at.split(',').map(|at| {
        let (host, port) = host_and_port(at, SENTINEL_PORT).ok_or(BadUrl::Sentinels)?;
        Ok((host.to_owned(), port))
    });
    let sentinels: Vec<_> = sentinels.take(MOST_SENTINELS + 1).collect::<Result<_, _>>()?;
    if sentinels.len() > MOST_SENTINELS {
        return Err(BadUrl::TooManySentinels);
    }
    if !is_name(master) {
        return Err(BadUrl::Sentinels);
    }
    Ok(FleetPlace::Sentinel { sentinels, master: master.to_owned(), tls })
}

/// Whether a node, the prefix of all keys, or a master may be named so.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

fn host_and_port(text: &str, usual: u16) -> Option<(&str, u16)> {
    let is_host = |host: &&str| {
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => usual,
            None => return None,
        };
        return Some((host, port)).filter(|(host, _)| is_host(host));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, usual),
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

/// A name in a fleet: of a node, of a user of sentinels, or what all keys begin with.
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
        if is_name(text) {
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

    fn by(sentinels: &[(&str, u16)], master: &str, tls: bool) -> FleetPlace {
        let sentinels = sentinels.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        FleetPlace::Sentinel { sentinels, master: master.to_owned(), tls }
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
            ("redis+sentinel://s1/mymaster", by(&[("s1", 26379)], "mymaster", false), None, 0),
            (
                "rediss-sentinel://taciturn@s1,10.0.0.2:5000,[2001:db8::3],[::4]:1/my.master/7",
                by(
                    &[("s1", 26379), ("10.0.0.2", 5000), ("2001:db8::3", 26379), ("::4", 1)],
                    "my.master",
                    true,
                ),
                Some("taciturn"),
                7,
            ),
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
            ("sentinel://host/mymaster", BadUrl::Scheme),
            ("redis+sentinel://user:password@host/mymaster", BadUrl::Password),
            ("redis+sentinel://host,user:password@host/mymaster", BadUrl::Password),
            ("redis+sentinel://host", BadUrl::Sentinels),
            ("redis+sentinel://host/", BadUrl::Sentinels),
            ("redis+sentinel://host/my master", BadUrl::Sentinels),
            ("redis+sentinel:///mymaster", BadUrl::Sentinels),
            ("redis+sentinel://host,/mymaster", BadUrl::Sentinels),
            ("redis+sentinel://host:port/mymaster", BadUrl::Sentinels),
            ("redis+sentinel://host/mymaster/db", BadUrl::Database),
            ("redis+sentinel://host/mymaster/0/1", BadUrl::Database),
            (
                "redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/mymaster",
                BadUrl::TooManySentinels,
            ),
        ] {
            assert_eq!(FleetUrl::parse(text), Err(error), "{text}");
        }
    }
}
