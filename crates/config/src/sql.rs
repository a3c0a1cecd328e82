//! A database that is asked by SQL, as a URL says it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The usual port of PostgreSQL.
const PORT: u16 = 5432;

/// Which PostgreSQL or SQLite, and who this server is to it. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlUrl {
    /// Where it is.
    pub place: SqlPlace,
    /// Who this server is to it; empty for SQLite.
    pub user: String,
    /// The name of the database; empty for SQLite.
    pub database: String,
    /// The password, if the URL has one.
    pub password: Option<Zeroizing<String>>,
    /// Whether TLS is wanted, as far as the URL says so.
    pub(super) secured: Option<bool>,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlPlace {
    /// A PostgreSQL.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The socket of a PostgreSQL on this machine.
    Unix(PathBuf),
    /// A file of SQLite; a relative path begins in `state_dir`.
    File(PathBuf),
}

/// Why a text is no such URL. None of them repeats the text, which may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSqlUrl {
    /// It begins with something else.
    #[error(
        "begin it with postgres:// or sqlite:, as in \"postgres://taciturn@db.internal/coturn\" or \
         \"sqlite:/var/lib/turn/turndb\""
    )]
    Scheme,
    /// It is of a database that is not read.
    #[error(
        "MySQL, MariaDB, MongoDB and Redis are not read. turnctl import-coturn prints the commands that bring what \
         is in them into the configuration; docs/databases.md has more"
    )]
    Unread,
    /// There is no path.
    #[error("write the path of the file: \"sqlite:/var/lib/turn/turndb\"")]
    Path,
    /// There is no user.
    #[error(
        "write the role that this server is, before an @: \"postgres://taciturn@db.internal/coturn\""
    )]
    User,
    /// The host or the port is none.
    #[error(
        "write a host, and a port if it is not 5432: \"postgres://taciturn@db.internal:5432/coturn\""
    )]
    Host,
    /// There is no database.
    #[error("end it with the name of the database: \"postgres://taciturn@db.internal/coturn\"")]
    Database,
    /// What follows the question mark.
    #[error(
        "after the ? only sslmode=disable, sslmode=verify-full and host=/DIRECTORY (of a socket) are known; the \
         password goes before the @ or into password_file"
    )]
    Option,
    /// An escape that is none.
    #[error("a % is followed by two hex digits: write %25 for itself, %40 for @, %3A for a colon")]
    Escape,
}

impl SqlUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadSqlUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = match path.strip_prefix("//") {
                Some(path) if path.starts_with('/') => path,
                Some(_) => return Err(BadSqlUrl::Path),
                None => path,
            };
            return match path {
                "" => Err(BadSqlUrl::Path),
                path => Ok(Self::of_file(Path::new(path))),
            };
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| {
            let unread = ["mysql", "mariadb", "mongodb", "redis"];
            match unread.iter().any(|scheme| text.starts_with(scheme)) {
                true => BadSqlUrl::Unread,
                false => BadSqlUrl::Scheme,
            }
        })?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = rest.rsplit_once('@').ok_or(BadSqlUrl::User)?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (decoded(user)?, Some(decoded(password)?)),
            None => (decoded(login)?, None),
        };
        let (at, database) = rest.split_once('/').ok_or(BadSqlUrl::Database)?;
        let database = decoded(database)?.as_str().to_owned();
        if user.is_empty() {
            return Err(BadSqlUrl::User);
        }
        if database.is_empty() {
            return Err(BadSqlUrl::Database);
        }
        let (mut secured, mut directory) = (None, None);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", "disable")) => secured = Some(false),
                // All of these check the certificate and its name here.
                Some(("sslmode", "require" | "verify-ca" | "verify-full")) => secured = Some(true),
                Some(("host", path)) => directory = Some(decoded(path)?.as_str().to_owned()),
                _ => return Err(BadSqlUrl::Option),
            }
        }
        let (host, port) = host_and_port(at)?;
        let host = directory.unwrap_or(host);
        let place = match host.starts_with('/') {
            true => SqlPlace::Unix(Path::new(&host).join(format!(".s.PGSQL.{port}"))),
            false => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
                if host.is_empty() || !host.chars().all(plain) {
                    return Err(BadSqlUrl::Host);
                }
                SqlPlace::Tcp { host, port }
            }
        };
        let user = user.as_str().to_owned();
        Ok(Self { place, user, database, password, secured })
    }

    /// Of a file of SQLite.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        Self {
            place: SqlPlace::File(path.to_owned()),
            user: String::new(),
            database: String::new(),
            password: None,
            secured: None,
        }
    }

    /// Whether the connection is secured: as the URL says, else wherever it leaves this machine.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        match &self.place {
            SqlPlace::Tcp { host, .. } => self.secured.unwrap_or_else(|| !is_loopback(host)),
            SqlPlace::Unix(_) | SqlPlace::File(_) => false,
        }
    }

    /// Whether it is reached by TCP.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.place, SqlPlace::Tcp { .. })
    }

    /// As it may be shown: without the password.
    pub(super) fn shown(&self) -> String {
        let Self { user, database, .. } = self;
        match &self.place {
            SqlPlace::Tcp { host, port } if host.contains(':') => {
                format!("postgres://{user}@[{host}]:{port}/{database}")
            }
            SqlPlace::Tcp { host, port } => format!("postgres://{user}@{host}:{port}/{database}"),
            SqlPlace::Unix(path) => format!("{} (postgres, {user}, {database})", path.display()),
            SqlPlace::File(path) => format!("sqlite:{}", path.display()),
        }
    }
}

impl std::fmt::Display for SqlUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl std::fmt::Debug for SqlUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqlUrl({self})")
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn host_and_port(text: &str) -> Result<(String, u16), BadSqlUrl> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(BadSqlUrl::Host)?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = match port.ok_or(BadSqlUrl::Host)? {
        "" => PORT,
        port => port.parse().map_err(|_| BadSqlUrl::Host)?,
    };
    Ok((decoded(host)?.as_str().to_owned(), port))
}

/// Takes `%40` and the like apart.
fn decoded(text: &str) -> Result<Zeroizing<String>, BadSqlUrl> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || {
                    let byte = rest.next()?;
                    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
                };
                let (high, low) = (digit(), digit());
                high.zip(low).map(|(high, low)| high << 4 | low).ok_or(BadSqlUrl::Escape)?
            }
            byte => byte,
        });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| BadSqlUrl::Escape)?;
    if text.chars().any(char::is_control) {
        return Err(BadSqlUrl::Escape);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The key `auth.database.schema`: the schema of the tables in PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSchema(String);

impl SqlSchema {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Option<SqlSchema> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "\"coturn\"")?;
        let text = item.text.trim();
        let plain = |c: char| c.is_alphanumeric() || "_$-".contains(c);
        if (1..=63).contains(&text.len()) && text.chars().all(plain) {
            return Some(Some(SqlSchema(text.to_owned())));
        }
        reader.error(
            &item,
            "is no name of a schema",
            "write it without quotes and dots: \"coturn\"",
        );
        None
    }

    fn toml(&self) -> String {
        quoted(self.as_ref().map_or("", SqlSchema::as_str))
    }
}

impl Shown for Option<SqlSchema> {
    fn words(&self) -> Words {
        Words::One(self.as_ref().map(|schema| schema.0.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> SqlPlace {
        SqlPlace::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn urls_are_taken_apart() {
        for (text, place, secured) in [
            ("postgres://turn@db.internal/coturn", tcp("db.internal", 5432), true),
            ("postgresql://turn@10.0.0.5:6000/coturn", tcp("10.0.0.5", 6000), true),
            ("postgres://turn@db/coturn?sslmode=disable", tcp("db", 5432), false),
            ("postgres://turn@127.0.0.1/coturn", tcp("127.0.0.1", 5432), false),
            ("postgres://turn@[::1]:7000/coturn", tcp("::1", 7000), false),
            ("postgres://turn@localhost/coturn?sslmode=require", tcp("localhost", 5432), true),
            (
                "postgres://turn@%2Frun%2Fpostgresql/coturn",
                SqlPlace::Unix("/run/postgresql/.s.PGSQL.5432".into()),
                false,
            ),
            (
                "postgres://turn@:5433/coturn?host=/run/postgresql",
                SqlPlace::Unix("/run/postgresql/.s.PGSQL.5433".into()),
                false,
            ),
        ] {
            let url = SqlUrl::parse(text).unwrap();
            assert_eq!((&url.place, url.is_secured()), (&place, secured), "{text}");
            assert_eq!((url.user.as_str(), url.database.as_str()), ("turn", "coturn"));
            assert!(url.password.is_none());
        }
        for (text, path) in [
            ("sqlite:/var/lib/turn/turndb", "/var/lib/turn/turndb"),
            ("sqlite:///var/lib/turn/turndb", "/var/lib/turn/turndb"),
            ("sqlite:users.db", "users.db"),
        ] {
            assert_eq!(SqlUrl::parse(text).unwrap().place, SqlPlace::File(path.into()), "{text}");
        }
    }

    #[test]
    fn a_password_is_taken_and_never_shown() {
        let url = SqlUrl::parse("postgres://turn:p%40ss:w%2Ford@db/coturn").unwrap();
        assert_eq!(url.password.as_ref().unwrap().as_str(), "p@ss:w/ord");
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("ss:w") && shown.contains("turn@db:5432/coturn"), "{shown}");
    }

    #[test]
    fn what_is_none_is_told_by_kind_and_not_repeated() {
        for (text, error) in [
            ("", BadSqlUrl::Scheme),
            ("db.internal", BadSqlUrl::Scheme),
            ("mysql://turn:secret@db/coturn", BadSqlUrl::Unread),
            ("redis://db", BadSqlUrl::Unread),
            ("sqlite:", BadSqlUrl::Path),
            ("sqlite://users.db", BadSqlUrl::Path),
            ("postgres://db/coturn", BadSqlUrl::User),
            ("postgres://:secret@db/coturn", BadSqlUrl::User),
            ("postgres://turn@/coturn", BadSqlUrl::Host),
            ("postgres://turn@db:x/coturn", BadSqlUrl::Host),
            ("postgres://turn@[::1/coturn", BadSqlUrl::Host),
            ("postgres://turn@d b/coturn", BadSqlUrl::Host),
            ("postgres://turn@db", BadSqlUrl::Database),
            ("postgres://turn@db/", BadSqlUrl::Database),
            ("postgres://turn@db/coturn?password=secret", BadSqlUrl::Option),
            ("postgres://turn@db/coturn?sslmode=prefer", BadSqlUrl::Option),
            ("postgres://turn:%zz@db/coturn", BadSqlUrl::Escape),
            ("postgres://turn:%0a@db/coturn", BadSqlUrl::Escape),
            ("postgres://turn:%f@db/coturn", BadSqlUrl::Escape),
        ] {
            assert_eq!(SqlUrl::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
