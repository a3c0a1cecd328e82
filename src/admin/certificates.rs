//! All certificates of a server: those of `[tls]`, and those of single listeners.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{Config, Listen};
use crate::net::{DtlsSettings, DtlsUnavailable};
use crate::tls::{CertError, CertSource, CertStore, ReloadOutcome};

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
        /// What is spoken there.
        transport: &'static str,
    },
    /// OpenSSL does not take one.
    #[error(transparent)]
    Dtls(#[from] DtlsUnavailable),
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
    /// The store in use, and what is to be in it.
    pairs: Vec<(Arc<CertStore>, CertStore)>,
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

    /// Reads those of another configuration with the same listeners, and sees whether the `dtls`
    /// listeners can serve them. Nothing is in use yet.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn successors(
        &self,
        config: &Config,
        dtls: &[Arc<DtlsSettings>],
    ) -> Result<Successors, CertificateError> {
        let mut pairs = Vec::new();
        if let (Some(store), sources @ [_, ..]) = (&self.general, &config.tls.certificates[..]) {
            pairs.push((Arc::clone(store), store.successor(sources.to_vec())?));
        }
        for (name, source) in own_sources(config) {
            let Some((_, store)) = self.single.iter().find(|(known, _)| known == name) else {
                continue;
            };
            let successor = store.successor(vec![source.clone()]).map_err(|error| {
                CertificateError::Single { name: name.to_owned(), error: error.into() }
            })?;
            pairs.push((Arc::clone(store), successor));
        }
        for (store, successor) in &pairs {
            for settings in dtls.iter().filter(|settings| settings.serves(store)) {
                settings.check(successor)?;
            }
        }
        Ok(Successors { pairs })
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
                tracing::warn!("{finding}");
            }
        }
    }

    /// Picks up renewed files, and says so in the log.
    pub fn poll(&self) {
        for outcome in self.all().flat_map(|store| store.poll()) {
            match outcome {
                ReloadOutcome::Kept { .. } => tracing::error!("{outcome}"),
                _ => tracing::info!("{outcome}"),
            }
        }
    }
}

impl Successors {
    /// New connections get them from now on; those that run keep what they began with.
    pub fn take_over(self) {
        for (store, successor) in self.pairs {
            store.take_over(&successor);
        }
    }
}

/// Listeners with a certificate of their own.
fn own_sources(config: &Config) -> impl Iterator<Item = (&str, &CertSource)> {
    config.listen.iter().filter_map(|listen| Some((listen.name.as_str(), listen.cert.as_ref()?)))
}
