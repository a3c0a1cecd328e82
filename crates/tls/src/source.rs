//! Where certificates come from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::acme;
use super::chain::CertifiedChain;
use super::error::{CertError, Place};
use super::files::{self, Stamp};
use super::pem::PemText;

/// The largest PEM file that is read, in bytes; a long chain takes about 20,000.
const MAX_PEM_LEN: u64 = 1024 * 1024;

/// The location of a certificate and its key. `Display` names it for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertSource {
    /// Two PEM files, which may be one and the same.
    Pem {
        /// The chain, the server's certificate first.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A directory of certbot, `/etc/letsencrypt/live/NAME`. Its `fullchain.pem` and `privkey.pem`
    /// are links into `../../archive`, swapped at renewal.
    Certbot {
        /// The directory.
        dir: PathBuf,
    },
    /// Traefik's certificates.
    Acme {
        /// An `acme.json`, or a directory of `acme*.json`.
        path: PathBuf,
        /// The host name to take the certificate of; a wildcard for it is taken as well.
        domain: String,
    },
}

impl CertSource {
    /// Its files, as far as they can be found now.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Pem { cert, key } => vec![cert.clone(), key.clone()],
            Self::Certbot { dir } => certbot_files(dir).into(),
            // A directory that cannot be read now is another state than before: no files.
            Self::Acme { path, .. } => acme::files(path).unwrap_or_default(),
        }
    }

    /// Files with a private key that every user of this machine can read, by their mode and that of the
    /// directories on the way to them.
    pub(super) fn exposed_keys(&self) -> Vec<PathBuf> {
        let keys = match self {
            Self::Pem { key, .. } => vec![key.clone()],
            Self::Certbot { dir } => vec![dir.join("privkey.pem")],
            Self::Acme { path, .. } => acme::files(path).unwrap_or_default(),
        };
        keys.into_iter().filter(|key| files::is_exposed(key)).collect()
    }

    /// The kind of source: `file`, `certbot` or `acme`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pem { .. } => "file",
            Self::Certbot { .. } => "certbot",
            Self::Acme { .. } => "acme",
        }
    }

    /// The state of all its files, without reading them.
    pub(super) fn stamps(&self) -> Vec<(PathBuf, Stamp)> {
        let stamped = |path: PathBuf| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        };
        self.files().into_iter().map(stamped).collect()
    }
}

impl fmt::Display for CertSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { cert, .. } => write!(f, "{}", cert.display()),
            Self::Certbot { dir } => write!(f, "{}", dir.display()),
            Self::Acme { path, domain } => write!(f, "{} ({domain})", path.display()),
        }
    }
}

/// Reads the certificate of `source` with its key and checks that they belong together.
///
/// Blocks on files; call it where that is allowed.
///
/// # Errors
///
/// Whatever keeps the certificate from being served; see [`CertError`].
pub fn load(source: &CertSource) -> Result<CertifiedChain, CertError> {
    match source {
        CertSource::Pem { cert, key } => load_pem(cert, key),
        CertSource::Certbot { dir } => {
            let [cert, key] = certbot_files(dir);
            load_pem(&cert, &key)
        }
        CertSource::Acme { path, domain } => acme::load(path, domain),
    }
}

fn certbot_files(dir: &Path) -> [PathBuf; 2] {
    [dir.join("fullchain.pem"), dir.join("privkey.pem")]
}

fn load_pem(cert: &Path, key: &Path) -> Result<CertifiedChain, CertError> {
    let read = |path: &Path| PemText::parse(&files::read(path, MAX_PEM_LEN)?, Place::file(path));
    let (certs, keys) = (read(cert)?, read(key)?);
    if certs.only_key() && keys.only_certs() {
        return Err(CertError::Swapped { cert: cert.into(), key: key.into() });
    }
    CertifiedChain::new(certs.into_certs()?, keys.into_key()?)
}
