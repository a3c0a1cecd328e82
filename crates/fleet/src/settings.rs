//! Which board, and who this server is to it.

use std::fmt;
use std::io;
use std::path::PathBuf;

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
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host} port {port}"),
            Self::Unix(path) => path.display().fmt(f),
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

    pub(super) fn password(&self) -> io::Result<Option<Zeroizing<String>>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            io::Error::new(error.kind(), format!("password_file {}: {error}", path.display()))
        })?;
        Ok(Some(Zeroizing::new(text.trim().to_owned())))
    }
}
