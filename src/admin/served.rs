//! The certificates that a running server serves, as its operator sees them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Certificates;
use taciturn_config::Config;
use taciturn_tls::{CertStore, CertifiedChain, Report};

/// Seconds of a day.
const DAY: i64 = 86400;

/// Every certificate store, and who serves it.
#[derive(Debug)]
pub struct Served {
    /// The name that clients ask for, where it is known.
    host: Option<String>,
    /// The names of the listeners, and what they serve.
    stores: Vec<(Vec<String>, Arc<CertStore>)>,
}

impl Served {
    /// What a server with this configuration serves; `host` is the name that clients ask for.
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
    pub(super) fn told(&self, now: SystemTime) -> Vec<Value> {
        let expected: Vec<&str> = self.host.as_deref().into_iter().collect();
        let mut told = Vec::new();
        for (listeners, store) in &self.stores {
            let findings = store.findings(now, &expected);
            for Report { source, chain, since, failure } in store.reports() {
                let of_it = findings.iter().filter(|finding| finding.source == source);
                let warnings: Vec<_> = of_it.map(|finding| finding.warning.to_string()).collect();
                let left = unix(chain.not_after()) - unix(now);
                told.push(json!({
                    "names": chain.names(),
                    "issuer": chain.issuer(),
                    "listeners": listeners,
                    "source": source.kind(),
                    "path": source.to_string(),
                    "begins": unix(chain.not_before()),
                    "expires": unix(chain.not_after()),
                    "days_left": left.div_euclid(DAY),
                    "expired": left < 0,
                    "in_use_since": unix(since),
                    "renewal_failure": failure,
                    "warnings": warnings,
                }));
            }
        }
        told
    }
}

/// Seconds since 1970; a certificate may have begun before.
fn unix(time: SystemTime) -> i64 {
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}
