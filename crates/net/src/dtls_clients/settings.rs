//! A DTLS listener as the configuration has it, and the certificates that it serves now.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::dtls::{DtlsContext, DtlsError};
use crate::listener::error::DtlsUnavailable;
use taciturn_tls::{CertSource, CertStore, CertifiedChain, Report, best_fit};

/// A listener for DTLS; the same for all workers.
pub struct DtlsSettings {
    /// Its name in logs.
    pub name: String,
    /// Where; `[::]` stands for all addresses of both families.
    pub address: SocketAddr,
    store: Arc<CertStore>,
    /// What new connections get.
    served: ArcSwap<DtlsContext>,
    sources: Mutex<Sources>,
}

/// What is served of each source, in their order, the one for everybody else first.
struct Sources {
    /// The certificates that were last looked at, whether they could be used or not.
    seen: Vec<u64>,
    good: Vec<Good>,
}

/// The last certificate of a source that OpenSSL has taken.
#[derive(Clone)]
struct Good {
    source: CertSource,
    chain: Arc<CertifiedChain>,
    context: DtlsContext,
}

impl Good {
    fn new(source: &CertSource, chain: &Arc<CertifiedChain>) -> Result<Self, DtlsError> {
        let context = DtlsContext::new(chain.certs_der(), chain.key_der())?;
        Ok(Self { source: source.clone(), chain: Arc::clone(chain), context })
    }
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
        let good = all_good(name, &store)?;
        let context = context(&good).map_err(|error| {
            DtlsUnavailable(format!("listener \"{name}\": OpenSSL cannot be set up: {error}"))
        })?;
        let seen = good.iter().map(|good| good.chain.generation()).collect();
        let served = ArcSwap::from_pointee(context);
        let sources = Mutex::new(Sources { seen, good });
        Ok(Self { name: name.to_owned(), address, store, served, sources })
    }

    /// Takes up certificates that the store has renewed since; connections that run keep theirs.
    /// Cheap where there is nothing new.
    ///
    /// Returns which of them OpenSSL does not take, once for each: the last good one of that source
    /// stays in use, and so its names are served as before.
    #[must_use]
    pub fn renew(&self) -> Vec<DtlsUnavailable> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let Sources { seen, good } = &mut *sources;
        let reports = self.store.reports();
        let generations: Vec<_> = reports.iter().map(|report| report.chain.generation()).collect();
        if *seen == generations {
            return Vec::new();
        }
        let mut refused = Vec::new();
        let mut next: Vec<Good> = Vec::with_capacity(reports.len());
        for Report { source, chain, .. } in &reports {
            let name = source.to_string();
            let before = good.iter().find(|good| good.source.to_string() == name);
            // What was looked at before is in use, or was refused.
            if let Some(before) = before.filter(|_| seen.contains(&chain.generation())) {
                next.push(before.clone());
                continue;
            }
            match Good::new(source, chain) {
                Ok(good) => next.push(good),
                Err(error) => {
                    let stays = match before {
                        Some(_) => "the last good one stays in use",
                        None => "its names are served another one",
                    };
                    refused.push(DtlsUnavailable(format!(
                        "listener \"{}\": OpenSSL cannot serve the new certificate of {source}, {stays}: \
                         {error}",
                        self.name
                    )));
                    next.extend(before.cloned());
                }
            }
        }
        *seen = generations;
        match context(&next) {
            Ok(context) => {
                *good = next;
                self.served.store(Arc::new(context));
            }
            Err(error) => refused.push(DtlsUnavailable(format!(
                "listener \"{}\": the certificates before stay in use: {error}",
                self.name
            ))),
        }
        refused
    }

    /// Returns true if it serves the certificates of `store`.
    #[must_use]
    pub fn serves(&self, store: &Arc<CertStore>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }

    /// Whether it could serve those of another store.
    ///
    /// # Errors
    /// When OpenSSL cannot use them.
    pub fn check(&self, store: &CertStore) -> Result<(), DtlsUnavailable> {
        all_good(&self.name, store).map(drop)
    }

    /// Returns what new connections get as of now.
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

/// All certificates of a store, if OpenSSL takes each.
fn all_good(name: &str, store: &CertStore) -> Result<Vec<Good>, DtlsUnavailable> {
    let good = |Report { source, chain, .. }: &Report| {
        Good::new(source, chain).map_err(|error| {
            DtlsUnavailable(format!(
                "listener \"{name}\": OpenSSL cannot serve the certificate of {source}: {error}"
            ))
        })
    };
    store.reports().iter().map(good).collect()
}

/// All certificates: the others by name, the first for everybody else.
fn context(all: &[Good]) -> Result<DtlsContext, DtlsError> {
    let Some((first, others)) = all.split_first() else { return Err(DtlsError::EmptyChain) };
    let (chain, first, others) = (Arc::clone(&first.chain), first.clone(), others.to_vec());
    let by_name = move |host: &str| {
        let best = best_fit(&first, &others, |good| &good.chain, host);
        (!std::ptr::eq(best, &raw const first)).then(|| best.context.clone())
    };
    DtlsContext::with_names(chain.certs_der(), chain.key_der(), Arc::new(by_name))
}
