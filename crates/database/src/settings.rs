//! Which database, and who this server is to it.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

/// Bytes of the longest password that is read from a file.
const LONGEST_PASSWORD: u64 = 4096;

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL or, at a file, SQLite: tables.
    Sql,
    /// Redis or Valkey: coturn's keys.
    Redis,
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a host and a port.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
        /// Whether the connection is secured, and the certificate and its name are checked.
        tls: bool,
    },
    /// At a socket of this machine.
    Unix(PathBuf),
    /// A file of SQLite.
    File(PathBuf),
}

/// Which database, what of it, and how often. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What it is.
    pub engine: Engine,
    /// Where it is.
    pub place: Place,
    /// Who this server is to it; empty for SQLite, and for a Redis without users.
    pub user: String,
    /// The name of the database; its number for Redis.
    pub database: String,
    /// The password, if it is in the configuration.
    pub password: Option<Password>,
    /// The file with the password. It is read with each connection.
    pub password_file: Option<PathBuf>,
    /// The certificates of the authorities that the database's certificate may be from.
    pub ca_file: Option<PathBuf>,
    /// The schema of the tables; `None` for the search path of the role.
    pub schema: Option<String>,
    /// The server's own realm, whose rows of coturn's tables, or keys, are read.
    pub realm: String,
    /// Other realms whose rows or keys are read: those of tenants.
    pub other_realms: Vec<String>,
    /// How often it is read.
    pub every: Duration,
}

/// A password that no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Settings {
    /// Of a file of SQLite, whose tables are read once a minute at least.
    #[must_use]
    pub fn of_file(path: &Path, realm: &str) -> Self {
        Self {
            engine: Engine::Sql,
            place: Place::File(path.to_owned()),
            user: String::new(),
            database: String::new(),
            password: None,
            password_file: None,
            ca_file: None,
            schema: None,
            realm: realm.to_owned(),
            other_realms: Vec::new(),
            every: Duration::from_secs(60),
        }
    }

    /// The realms, the server's own first: rows name them by these numbers.
    pub(super) fn realms(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.realm).chain(&self.other_realms).map(String::as_str)
    }

    pub(super) fn secret(&self) -> io::Result<Option<Zeroizing<String>>> {
        let Some(path) = &self.password_file else {
            return Ok(self.password.as_ref().map(|password| password.0.clone()));
        };
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("password_file {}: {error}", path.display()))
        };
        let mut text = Zeroizing::new(String::new());
        let file = std::fs::File::open(path).map_err(named)?;
        file.take(LONGEST_PASSWORD).read_to_string(&mut text).map_err(named)?;
        Ok(Some(Zeroizing::new(text.trim().to_owned())))
    }
}

/// What the log calls it.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.engine {
            Engine::Sql => "PostgreSQL",
            Engine::Redis => "Redis",
        };
        match &self.place {
            Place::Tcp { host, port, .. } => write!(f, "{kind} at {host} port {port}"),
            Place::Unix(path) => write!(f, "{kind} at {}", path.display()),
            Place::File(path) => path.display().fmt(f),
        }
    }
}
