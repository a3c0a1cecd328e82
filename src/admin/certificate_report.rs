//! The certificates that a running server serves, as its operator sees them.

use std::sync::Arc;
use std::time::SystemTime;

use super::certificates::Certificates;
use super::unix_time::unix;
use taciturn_config::Config;
use taciturn_control::Certificate;
use taciturn_tls::{CertStore, CertifiedChain, Report};

const DAY_SECONDS: i64 = 86400;

/// Every certificate store, and who serves it.
#[derive(Debug)]
pub struct CertificateReport {
    /// The name that clients ask for, if known.
    host: Option<String>,
    /// The names of the listeners, and what they serve.
    stores: Vec<(Vec<String>, Arc<CertStore>)>,
}

impl CertificateReport {
    /// The certificates that a server with this configuration serves; `host` is the name that clients ask for.
    #[must_use]
    pub fn new(config: &Config, certificates: &Certificates, host: Option<String>) -> Self {
        let listeners = |store: &Arc<CertStore>| -> Vec<String> {
            let secure = config.listen.iter().filter(|listen| listen.transport.is_secure());
            let serves = secure.filter(|listen| {
                certificates.store(listen).is_ok_and(|served| Arc::ptr_eq(&served, store))
            });
            serves.map(|listen| listen.name.clone()).collect()
        };
        let stores = certificates.all().map(|store| (listeners(store), Arc::clone(store)));
        Self { host, stores: stores.collect() }
    }

    /// All of them.
    pub(super) fn chains(&self) -> Vec<Arc<CertifiedChain>> {
        self.stores.iter().flat_map(|(_, store)| store.all()).collect()
    }

    /// All that is known of each, at the time `now`.
    pub(super) fn describe(&self, now: SystemTime) -> Vec<Certificate> {
        let expected: Vec<&str> = self.host.as_deref().into_iter().collect();
        let mut described = Vec::new();
        for (listeners, store) in &self.stores {
            let findings = store.findings(now, &expected);
            for Report { source, chain, since, failure } in store.reports() {
                let of_it = findings.iter().filter(|finding| finding.source == source);
                let left_seconds = unix(chain.not_after()).saturating_sub(unix(now));
                described.push(Certificate {
                    names: chain.names().to_vec(),
                    issuer: chain.issuer().to_owned(),
                    listeners: listeners.clone(),
                    source: source.kind().to_owned(),
                    path: source.to_string(),
                    begins_at: unix(chain.not_before()),
                    expires_at: unix(chain.not_after()),
                    days_left: left_seconds.div_euclid(DAY_SECONDS),
                    expired: left_seconds < 0,
                    in_use_since: unix(since),
                    renewal_failure: failure,
                    warnings: of_it.map(|finding| finding.warning.to_string()).collect(),
                });
            }
        }
        described
    }
}
