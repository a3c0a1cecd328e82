//! The database of users and secrets, as a URL says it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::fleet::{BadUrl, FleetPlace, FleetUrl};
use super::key::Kind;
use super::read::{Item, Reader};
use super::shown::{Shown, Words};
use super::sql::{BadSqlUrl, SqlPlace, SqlUrl};
use super::value::{Value, quoted};

/// The key `auth.database.url`. `Debug` and `Display` show no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A PostgreSQL or SQLite.
    Sql(SqlUrl),
    /// A Redis or Valkey.
    Redis(RedisUrl),
}

/// A Redis or Valkey that has users and secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// Where it listens.
    pub place: RedisPlace,
    /// The user of its access list.
    pub user: Option<String>,
    /// The number of the database.
    pub database: u16,
    written: String,
}

/// Where a Redis or Valkey listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
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

/// Why a text is no such URL. None of them repeats the text, which may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadDatabaseUrl {
    /// It begins with something else.
    #[error(
        "begin it with postgres:// or sqlite:, or for Redis and Valkey with redis:// (plain), rediss:// (TLS) or unix:///, \
         as in \"postgres://taciturn@db.internal/coturn\" or \"redis://taciturn@127.0.0.1:6379/0\""
    )]
    Scheme,
    /// It is of a database that is not read.
    #[error(
        "MySQL, MariaDB and MongoDB are not read. turnctl import-coturn prints the commands that bring what is in them \
         into the configuration; docs/databases.md has more"
    )]
    Unread,
    /// Sentinels say where it is.
    #[error(
        "sentinels are asked for [fleet] alone. Write redis:// or rediss:// and a name that leads to the master"
    )]
    Sentinel,
    /// It is no URL of a PostgreSQL or SQLite.
    #[error(transparent)]
    Sql(#[from] BadSqlUrl),
    /// It is no URL of a Redis.
    #[error(transparent)]
    Redis(#[from] BadUrl),
}

impl DatabaseUrl {
    fn parse(text: &str) -> Result<Self, BadDatabaseUrl> {
        let begins = |schemes: &[&str]| schemes.iter().any(|scheme| text.starts_with(scheme));
        if begins(&["redis://", "rediss://", "unix://"]) {
            return Ok(Self::Redis(RedisUrl::parse(text)?));
        }
        if begins(&["redis+sentinel:", "redis-sentinel:", "rediss+sentinel:", "rediss-sentinel:"]) {
            return Err(BadDatabaseUrl::Sentinel);
        }
        if begins(&["mysql", "mariadb", "mongodb"]) {
            return Err(BadDatabaseUrl::Unread);
        }
        match SqlUrl::parse(text) {
            Ok(url) => Ok(Self::Sql(url)),
            Err(BadSqlUrl::Scheme | BadSqlUrl::Unread) => Err(BadDatabaseUrl::Scheme),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the connection is secured: as the URL says, else, for PostgreSQL, wherever it leaves this machine.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        match self {
            Self::Sql(url) => url.is_secured(),
            Self::Redis(url) => matches!(url.place, RedisPlace::Tcp { tls: true, .. }),
        }
    }

    /// Whether it is reached by TCP.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        match self {
            Self::Sql(url) => url.is_remote(),
            Self::Redis(url) => !matches!(url.place, RedisPlace::Unix(_)),
        }
    }

    /// The file of SQLite, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sql(SqlUrl { place: SqlPlace::File(path), .. }) => Some(path),
            Self::Sql(_) | Self::Redis(_) => None,
        }
    }

    pub(super) fn of_item(reader: &mut Reader<'_>, item: &Item) -> Option<Self> {
        match Self::parse(item.text.trim()) {
            Ok(url) => Some(url),
            // What was written may have a password in it.
            Err(error) => {
                reader.error(item, "is no URL of a database that is read", &error.to_string());
                None
            }
        }
    }
}

impl RedisUrl {
    fn parse(text: &str) -> Result<Self, BadDatabaseUrl> {
        let FleetUrl { place, user, database, .. } = FleetUrl::parse(text)?;
        let place = match place {
            FleetPlace::Tcp { host, port, tls } => RedisPlace::Tcp { host, port, tls },
            FleetPlace::Unix(path) => RedisPlace::Unix(path),
            FleetPlace::Sentinel { .. } => return Err(BadDatabaseUrl::Sentinel),
        };
        Ok(Self { place, user, database, written: text.to_owned() })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(url) => url.fmt(f),
            Self::Redis(url) => f.write_str(&url.written),
        }
    }
}

impl Value for Option<DatabaseUrl> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "\"postgres://taciturn@db.internal/coturn\"")?;
        DatabaseUrl::of_item(reader, &item).map(Some)
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}

impl Shown for Option<DatabaseUrl> {
    fn words(&self) -> Words {
        let named = |url: &DatabaseUrl| match url {
            DatabaseUrl::Sql(url) => {
                let password = url.password.as_ref().map(|password| password.as_bytes().to_vec());
                let secured =
                    url.secured.map_or("", |secured| if secured { " tls" } else { " plain" });
                ((url.to_string() + secured).into_bytes(), password.unwrap_or_default())
            }
            DatabaseUrl::Redis(url) => (url.written.clone().into_bytes(), Vec::new()),
        };
        Words::Secret(self.iter().map(named).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_kind_of_database_it_is_of() {
        for (text, is_remote, is_secured) in [
            ("redis://127.0.0.1", true, false),
            ("redis://taciturn@redis.internal:7000/2", true, false),
            ("rediss://taciturn@redis.internal:6380/0", true, true),
            ("unix:///run/redis/redis.sock", false, false),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert!(matches!(url, DatabaseUrl::Redis(_)), "{text}");
            assert_eq!(
                (url.is_remote(), url.is_secured(), url.file()),
                (is_remote, is_secured, None)
            );
            assert_eq!(url.to_string(), text);
        }
        let file = DatabaseUrl::parse("sqlite:/var/lib/turn/turndb").unwrap();
        assert_eq!(file.file(), Some(Path::new("/var/lib/turn/turndb")));
        let postgres = DatabaseUrl::parse("postgres://turn:secret@db/coturn").unwrap();
        assert!(postgres.is_secured() && postgres.is_remote() && postgres.file().is_none());
        assert!(
            !format!("{postgres} {postgres:?} {}", Some(postgres.clone()).toml())
                .contains("secret")
        );
    }

    #[test]
    fn what_is_none_is_told_by_kind_and_not_repeated() {
        for (text, error) in [
            ("", BadDatabaseUrl::Scheme),
            ("db.internal", BadDatabaseUrl::Scheme),
            ("redis:127.0.0.1", BadDatabaseUrl::Scheme),
            ("mysql://turn:secret@db/coturn", BadDatabaseUrl::Unread),
            ("redis://turn:secret@db", BadDatabaseUrl::Redis(BadUrl::Password)),
            ("redis+sentinel://turn:secret@s1/mymaster", BadDatabaseUrl::Sentinel),
            ("rediss-sentinel://s1,s2/mymaster", BadDatabaseUrl::Sentinel),
            ("rediss://db/coturn", BadDatabaseUrl::Redis(BadUrl::Database)),
            ("postgres://turn:secret@db", BadDatabaseUrl::Sql(BadSqlUrl::Database)),
        ] {
            assert_eq!(DatabaseUrl::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
