//! The settings and tables that all workers share.

use std::sync::Arc;
use std::time::Duration;

use super::limit_names::LimitNames;
use taciturn_turn::policy::{Connections, HandshakeLimit};
use taciturn_turn::{Rules, Settings};

/// The settings, rules and tables that all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Bounds and addresses.
    pub settings: Settings,
    /// Credentials, peers, ports, quotas.
    pub rules: Rules,
    /// TCP, TLS and DTLS connections.
    pub connections: Arc<Connections>,
    /// Handshakes of TLS and DTLS.
    pub handshakes: Arc<HandshakeLimit>,
    /// What the log calls the limits that clients meet.
    pub limit_names: LimitNames,
    /// How long a worker waits for more packets before it wakes up, while they arrive often and one by one.
    /// With zero it does not wait.
    pub wake_delay: Duration,
}

impl Shared {
    /// Takes the place of `before` while the server runs: its own rules and bounds, and the other's
    /// ports, nonce keys, and counts of what is there.
    #[must_use]
    pub fn in_place_of(self, before: &Self) -> Self {
        let (new, old) = (&self.rules, &before.rules);
        old.nonces.follow(&new.nonces);
        old.quota.follow(&new.quota);
        old.rates.follow(&new.rates);
        old.ports.follow(&new.ports);
        old.connection_ids.follow(&new.connection_ids);
        before.connections.follow(&self.connections);
        Self {
            settings: Settings {
                relay_addresses: before.settings.relay_addresses,
                ..self.settings
            },
            rules: Rules {
                authenticator: self.rules.authenticator,
                peers: self.rules.peers,
                nonces: Arc::clone(&old.nonces),
                ports: Arc::clone(&old.ports),
                quota: Arc::clone(&old.quota),
                rates: Arc::clone(&old.rates),
                connection_ids: Arc::clone(&old.connection_ids),
                tickets: Arc::clone(&old.tickets),
                mobile: Arc::clone(&old.mobile),
                // What was spent is given back: only the operator can cause a reload.
                answers: self.rules.answers,
                failures: self.rules.failures,
            },
            connections: Arc::clone(&before.connections),
            // As with answers.
            handshakes: self.handshakes,
            limit_names: self.limit_names,
            wake_delay: self.wake_delay,
        }
    }
}
