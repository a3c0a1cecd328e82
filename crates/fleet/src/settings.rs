//! Which board, and who this server is to it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Where a board listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
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
    /// Wherever Sentinel says that it is.
    Sentinel(Sentinels),
}

/// Who knows which of several servers is the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinels {
    /// Hosts and ports. They are asked in turn.
    pub at: Vec<(String, u16)>,
    /// The name that they know the master by.
    pub master: String,
    /// Whether connections are secured: those to the sentinels, and those to the master.
    pub tls: bool,
    /// Who this server is to the sentinels.
    pub user: Option<String>,
    /// The file with the password for the sentinels.
    pub password_file: Option<PathBuf>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host} port {port}"),
            Self::Unix(path) => path.display().fmt(f),
            Self::Sentinel(sentinels) => write!(f, "the master {}", sentinels.master),
        }
    }
}

/// Which board, and what this server is there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// Who this server is to it.
    pub user: Option<String>,
    /// The number of the database.
    pub database: u16,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// The certificates of the authorities that the board's certificate may be from.
    pub ca_file: Option<PathBuf>,
    /// What all keys begin with.
    pub prefix: String,
    /// The name of this node.
    pub node: String,
}

impl Settings {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    pub(super) fn login(&self) -> io::Result<Login> {
        let password = password("password_file", self.password_file.as_deref())?;
        Ok(Login { user: self.user.clone(), password, database: self.database })
    }
}

impl Sentinels {
    pub(super) fn login(&self) -> io::Result<Login> {
        let password = password("sentinel_password_file", self.password_file.as_deref())?;
        Ok(Login { user: self.user.clone(), password, database: 0 })
    }
}

/// Who this server is to another.
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) database: u16,
}

/// The password in the file that this key names.
fn password(key: &str, path: Option<&Path>) -> io::Result<Option<Zeroizing<String>>> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        io::Error::new(error.kind(), format!("{key} {}: {error}", path.display()))
    })?;
    let text = Zeroizing::new(text);
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}
