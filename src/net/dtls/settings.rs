//! A DTLS listener as the configuration has it, and the certificates that it serves now.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::dtls::{DtlsContext, DtlsError};
use crate::net::listener::DtlsUnavailable;
use crate::tls::CertStore;

/// A listener for DTLS; the same for all workers.
pub struct DtlsSettings {
    /// Its name in logs.
    pub name: String,
    /// Where; `[::]` stands for all addresses of both families.
    pub address: SocketAddr,
    store: Arc<CertStore>,
    /// What new connections get.
    served: ArcSwap<DtlsContext>,
    /// The certificates that were last tried, whether they could be used or not.
    tried: Mutex<Vec<u64>>,
}

impl DtlsSettings {
    /// A listener with the certificates of `store`.
    ///
    /// # Errors
    /// When OpenSSL cannot use them.
    pub fn new(
        name: &str,
        address: SocketAddr,
        store: Arc<CertStore>,
    ) -> Result<Self, DtlsUnavailable> {
        let generations = generations(&store);
        let context = context(&store).map_err(|error| {
            DtlsUnavailable(format!(
                "listener \"{name}\": OpenSSL cannot serve its certificate: {error}"
            ))
        })?;
        let served = ArcSwap::from_pointee(context);
        Ok(Self { name: name.to_owned(), address, store, served, tried: Mutex::new(generations) })
    }

    /// Takes up certificates that the store has renewed since; connections that run keep theirs.
    /// Cheap where there is nothing new.
    ///
    /// # Errors
    /// Once for each set of certificates that OpenSSL cannot use: those before stay in use.
    pub fn renew(&self) -> Result<(), DtlsUnavailable> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let generations = generations(&self.store);
        if *tried == generations {
            return Ok(());
        }
        *tried = generations;
        let context = context(&self.store).map_err(|error| {
            DtlsUnavailable(format!(
                "listener \"{}\": OpenSSL cannot serve the new certificate, the one before stays \
                 in use: {error}",
                self.name
            ))
        })?;
        self.served.store(Arc::new(context));
        Ok(())
    }

    /// Whether it serves the certificates of `store`.
    #[must_use]
    pub fn serves(&self, store: &Arc<CertStore>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }

    /// Whether it could serve those of another store.
    ///
    /// # Errors
    /// When OpenSSL cannot use them.
    pub fn check(&self, store: &CertStore) -> Result<(), DtlsUnavailable> {
        let usable = store
            .all()
            .iter()
            .try_for_each(|chain| DtlsContext::new(chain.certs_der(), chain.key_der()).map(drop));
        usable.map_err(|error| {
            DtlsUnavailable(format!(
                "listener \"{}\": OpenSSL cannot serve its certificate: {error}",
                self.name
            ))
        })
    }

    /// What new connections get as of now.
    pub(super) fn served(&self) -> Arc<DtlsContext> {
        self.served.load_full()
    }

    /// Likewise, where that is not what they got `before`.
    pub(super) fn news(&self, before: &Arc<DtlsContext>) -> Option<Arc<DtlsContext>> {
        let served = self.served.load();
        (!Arc::ptr_eq(&served, before)).then(|| Arc::clone(&served))
    }
}

impl fmt::Debug for DtlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, .. } = self;
        f.debug_struct("DtlsSettings")
            .field("name", name)
            .field("address", address)
            .finish_non_exhaustive()
    }
}

fn generations(store: &CertStore) -> Vec<u64> {
    store.all().iter().map(|chain| chain.generation()).collect()
}

/// All certificates of a store: the others by name, the first for everybody else.
fn context(store: &Arc<CertStore>) -> Result<DtlsContext, DtlsError> {
    let chains = store.all();
    let Some((first, others)) = chains.split_first() else { return Err(DtlsError::EmptyChain) };
    let mut contexts = Vec::with_capacity(others.len());
    for chain in others {
        contexts.push((chain.generation(), DtlsContext::new(chain.certs_der(), chain.key_der())?));
    }
    let names = Arc::clone(store);
    let by_name = move |host: &str| {
        let wanted = names.current(Some(host)).generation();
        let found = contexts.iter().find(|(generation, _)| *generation == wanted);
        found.map(|(_, context)| context.clone())
    };
    DtlsContext::with_names(first.certs_der(), first.key_der(), Arc::new(by_name))
}
