//! All certificates of a server: those of `[tls]`, and those of single listeners.

use std::sync::Arc;
use std::time::SystemTime;

use taciturn_config::{Change, Config, Listen};
use taciturn_net::{DtlsSettings, DtlsUnavailable};
use taciturn_tls::{CertError, CertSource, CertStore, ReloadOutcome, Warning};

/// Why the certificates of a configuration cannot be used, in words.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of `[tls]`.
    #[error(transparent)]
    General(#[from] CertError),
    /// That of a listener.
    #[error("listener \"{name}\": {error}")]
    Single {
        /// The listener.
        name: String,
        /// Why.
        error: Box<CertError>,
    },
    /// A listener has none.
    #[error("listener \"{name}\": {transport} needs a certificate")]
    Missing {
        /// The listener.
        name: String,
        /// Its transport.
        transport: &'static str,
    },
    /// OpenSSL does not take one.
    #[error(transparent)]
    Dtls(#[from] DtlsUnavailable),
}

impl CertificateError {
    /// Whether an error of this kind, given by the system, is the cause.
    #[must_use]
    pub fn is_caused_by(&self, kind: std::io::ErrorKind) -> bool {
        match self {
            Self::General(error) => error.is_caused_by(kind),
            Self::Single { error, .. } => error.is_caused_by(kind),
            Self::Missing { .. } | Self::Dtls(_) => false,
        }
    }
}

/// The certificates of `[tls]`, and those of single listeners.
#[derive(Debug)]
pub struct Certificates {
    general: Option<Arc<CertStore>>,
    /// By the name of the listener.
    single: Vec<(String, Arc<CertStore>)>,
}

/// Certificates that were read and checked, and wait to be used.
#[derive(Debug)]
pub struct Successors {
    /// All of them, as the new configuration has them: stores that stay, and new ones.
    certificates: Certificates,
    /// The store in use, its sources, and the key that configures it.
    pairs: Vec<(Arc<CertStore>, CertStore, &'static str)>,
}

/// The state of the certificates that were in use before a reload.
#[derive(Clone, Debug, Default)]
pub struct Renewed {
    /// The ones with another content. No key of the configuration need be another one for that.
    pub changes: Vec<Change>,
    /// The locations of the others.
    pub unchanged: Vec<String>,
}

impl Certificates {
    /// Reads them all: a certificate that cannot be used is an error now, not when a call needs it.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn open(config: &Config) -> Result<Self, CertificateError> {
        let general = match config.tls.certificates.as_slice() {
            [] => None,
            sources => Some(Arc::new(CertStore::open(sources.to_vec())?)),
        };
        let mut single = Vec::new();
        for (name, source) in own_sources(config) {
            let store = CertStore::open(vec![source.clone()]).map_err(|error| {
                CertificateError::Single { name: name.to_owned(), error: error.into() }
            })?;
            single.push((name.to_owned(), Arc::new(store)));
        }
        Ok(Self { general, single })
    }

    /// Those that a listener serves.
    ///
    /// # Errors
    /// When there are none for it.
    pub fn store(&self, listen: &Listen) -> Result<Arc<CertStore>, CertificateError> {
        let own = self.single.iter().find(|(name, _)| *name == listen.name);
        let store = own.map(|(_, store)| store).or(self.general.as_ref());
        store.map(Arc::clone).ok_or_else(|| CertificateError::Missing {
            name: listen.name.clone(),
            transport: listen.transport.name(),
        })
    }

    /// Reads those of another configuration, and sees whether the `dtls` listeners that serve some
    /// of these can serve them. Nothing is in use yet.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn successors<'a>(
        &self,
        config: &Config,
        dtls: impl Iterator<Item = &'a Arc<DtlsSettings>>,
    ) -> Result<Successors, CertificateError> {
        let mut pairs = Vec::new();
        let mut next = |known: Option<&Arc<CertStore>>, key, sources| match known {
            Some(store) => {
                pairs.push((Arc::clone(store), store.successor(sources)?, key));
                Ok(Arc::clone(store))
            }
            None => CertStore::open(sources).map(Arc::new),
        };
        let general = match &config.tls.certificates[..] {
            [] => None,
            sources => Some(next(self.general.as_ref(), "tls", sources.to_vec())?),
        };
        let mut single = Vec::new();
        for (name, source) in own_sources(config) {
            let known = self.single.iter().find(|(known, _)| known == name);
            let store = next(known.map(|(_, store)| store), "listen.cert", vec![source.clone()]);
            let store = store.map_err(|error| CertificateError::Single {
                name: name.to_owned(),
                error: error.into(),
            })?;
            single.push((name.to_owned(), store));
        }
        for settings in dtls {
            for (_, successor, _) in pairs.iter().filter(|(store, ..)| settings.serves(store)) {
                settings.check(successor)?;
            }
        }
        Ok(Successors { certificates: Self { general, single }, pairs })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<CertStore>> {
        self.general.iter().chain(self.single.iter().map(|(_, store)| store))
    }

    /// Says in the log what clients will not like; `host` is the name they ask for.
    pub fn warn(&self, host: Option<&str>) {
        let expected: Vec<&str> = host.into_iter().collect();
        for store in self.all() {
            for finding in store.findings(SystemTime::now(), &expected) {
                match finding.warning {
                    Warning::NotServed { .. } => tracing::error!("{finding}"),
                    _ => tracing::warn!("{finding}"),
                }
            }
        }
    }

    /// Loads renewed files, and logs it.
    pub fn poll(&self) {
        for outcome in self.all().flat_map(|store| store.poll()) {
            match outcome {
                ReloadOutcome::Kept { .. } | ReloadOutcome::LeftOut { .. } => {
                    tracing::error!("{outcome}")
                }
                _ => tracing::info!("{outcome}"),
            }
        }
    }
}

impl Successors {
    /// The stores as they will be. Those that stay have not taken over yet.
    #[must_use]
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// New connections get them from now on; those that run keep what they began with.
    #[must_use]
    pub fn take_over(self) -> (Certificates, Renewed) {
        let mut renewed = Renewed::default();
        for (store, successor, key) in self.pairs {
            for outcome in store.take_over(&successor) {
                if let ReloadOutcome::Unchanged { source } = outcome {
                    renewed.unchanged.push(source.to_string());
                } else {
                    let what = outcome.to_string();
                    renewed.changes.push(Change { key, what, needs_restart: false });
                }
            }
        }
        (self.certificates, renewed)
    }
}

/// Listeners with a certificate of their own.
fn own_sources(config: &Config) -> impl Iterator<Item = (&str, &CertSource)> {
    config.listen.iter().filter_map(|listen| Some((listen.name.as_str(), listen.cert.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_that_was_denied_is_known_by_its_kind_and_not_by_words() {
        let unreadable = |kind: std::io::ErrorKind| CertError::Unreadable {
            path: "/srv/Permission denied".into(),
            error: kind.into(),
            access: None,
        };
        let single = |error: CertError| CertificateError::Single {
            name: "calls".to_owned(),
            error: error.into(),
        };
        let denied = std::io::ErrorKind::PermissionDenied;
        let missing = std::io::ErrorKind::NotFound;
        assert!(
            CertificateError::from(unreadable(denied))
                .is_caused_by(std::io::ErrorKind::PermissionDenied)
        );
        assert!(single(unreadable(denied)).is_caused_by(std::io::ErrorKind::PermissionDenied));
        assert!(
            !CertificateError::from(unreadable(missing))
                .is_caused_by(std::io::ErrorKind::PermissionDenied)
        );
        assert!(!single(unreadable(missing)).is_caused_by(std::io::ErrorKind::PermissionDenied));
        assert!(
            !CertificateError::from(CertError::NoSources)
                .is_caused_by(std::io::ErrorKind::PermissionDenied)
        );
    }
}
