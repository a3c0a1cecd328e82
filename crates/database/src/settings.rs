//! Which database, and who this server is to it.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

/// Bytes of the longest password that is read from a file.
const LONGEST_PASSWORD: u64 = 4096;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A PostgreSQL at a host and a port.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
        /// Whether the connection is secured, and the certificate and its name are checked.
        tls: bool,
    },
    /// A PostgreSQL at a socket of this machine.
    Unix(PathBuf),
    /// A file of SQLite.
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "PostgreSQL at {host} port {port}"),
            Self::Unix(path) => write!(f, "PostgreSQL at {}", path.display()),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Which database, what of it, and how often. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// Who this server is to it.
    pub user: String,
    /// The name of the database.
    pub database: String,
    /// The password, if it is in the configuration.
    pub password: Option<Password>,
    /// The file with the password. It is read with each connection.
    pub password_file: Option<PathBuf>,
    /// The certificates of the authorities that the database's certificate may be from.
    pub ca_file: Option<PathBuf>,
    /// The schema of the tables; `None` for the search path of the role.
    pub schema: Option<String>,
    /// The realm whose rows of coturn's tables are read.
    pub realm: String,
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
            place: Place::File(path.to_owned()),
            user: String::new(),
            database: String::new(),
            password: None,
            password_file: None,
            ca_file: None,
            schema: None,
            realm: realm.to_owned(),
            every: Duration::from_secs(60),
        }
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
