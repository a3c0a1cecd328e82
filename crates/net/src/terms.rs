//! What a configuration sets for the workers: at the start, and again with each reload.

use std::sync::Arc;
use std::time::Duration;

use super::batch::ip_fields::KeptFields;
use super::limit_names::LimitNames;
use super::shared::Shared;
use taciturn_turn::auth::{Authenticator, NonceKeys};
use taciturn_turn::policy::{
    AnswerLimit, Connections, Each, FailureLimit, HandshakeLimit, PeerPolicy, PortPool, PortRange,
    Quota, RateLimits, Rates, TenantLimits, TenantPeers,
};
use taciturn_turn::{ConnectionIds, Rules, Settings, TenantName, TicketKey};

/// Limits on what is counted over all workers. A reload changes them where they are, so that what is counted
/// goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Allocations of one user at a time.
    pub allocations_per_user: u32,
    /// Allocations of all users at a time; 0 is no limit.
    pub allocations: u32,
    /// Bytes, packets, new peers and new allocations a second.
    pub rates: Rates,
    /// What tenants may have, besides that or in its place.
    pub tenants: Vec<(TenantName, TenantLimits)>,
    /// How long a relay port rests that was used.
    pub port_quarantine: Duration,
    /// Connections of clients at a time, and peer connections of TCP allocations (RFC 6062).
    pub connections: u32,
    /// Connections of clients from one address at a time.
    pub connections_per_address: u32,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
}

/// All that a reload replaces.
#[derive(Debug)]
pub struct Terms {
    /// Bounds and addresses.
    pub settings: Settings,
    /// Credentials.
    pub authenticator: Arc<Authenticator>,
    /// Peers.
    pub peers: PeerPolicy,
    /// Peers of tenants.
    pub tenant_peers: TenantPeers,
    /// Ports that tenants have for themselves.
    pub port_shares: Vec<(TenantName, PortRange)>,
    /// Answers to sources that have proven nothing.
    pub answers: AnswerLimit,
    /// Wrong credentials of one source.
    pub failures: FailureLimit,
    /// Handshakes of TLS and DTLS.
    pub handshakes: HandshakeLimit,
    /// What is counted.
    pub limits: Limits,
    /// What the log calls the limits that clients meet.
    pub limit_names: LimitNames,
    /// How long a worker lets packets gather where they come often and one by one. Zero is not at
    /// all.
    pub wake_delay: Duration,
    /// Which fields of the IP header a relayed datagram keeps.
    pub kept_fields: KeptFields,
}

impl Limits {
    /// Has the limits of tenants hold.
    fn hold_tenants(&self, quota: &Quota, rates: &RateLimits) {
        let rates_of_one = |each: Each| Each { in_all: 0, ..each };
        let Rates { bytes, packets, new_peers, allocations } = self.rates;
        // Calls of a tenant that is not configured any more have what the server's own have.
        let of_removed = TenantLimits {
            allocations_per_user: self.allocations_per_user,
            allocations: 0,
            rates: Rates {
                bytes: rates_of_one(bytes),
                packets: rates_of_one(packets),
                new_peers: rates_of_one(new_peers),
                allocations: rates_of_one(allocations),
            },
        };
        quota.set_tenants(&self.tenants, of_removed);
        rates.set_by_tenants(self.tenants.iter().any(|(_, of)| of.rates.limit_packets()));
    }
}

impl Terms {
    /// For workers that start, with nothing in use: ports out of `range`.
    #[must_use]
    pub fn begin(self, range: PortRange, nonces: NonceKeys, tickets: TicketKey) -> Shared {
        let limits = self.limits;
        let ports = PortPool::new(range, limits.port_quarantine);
        ports.set_shares(&self.port_shares);
        let quota = Quota::new(limits.allocations_per_user, limits.allocations);
        let rates = RateLimits::new(limits.rates);
        limits.hold_tenants(&quota, &rates);
        let rules = Rules {
            authenticator: self.authenticator,
            nonces: Arc::new(nonces),
            peers: Arc::new(self.peers),
            tenant_peers: Arc::new(self.tenant_peers),
            ports: Arc::new(ports),
            quota: Arc::new(quota),
            rates: Arc::new(rates),
            answers: Arc::new(self.answers),
            failures: Arc::new(self.failures),
            connection_ids: Arc::new(ConnectionIds::new(limits.connections as usize)),
            tickets: Arc::new(tickets),
            bans: Arc::default(),
            requests: Arc::default(),
            mobile: Arc::default(),
            alternates: Arc::default(),
            guests: Arc::default(),
            session_ids: None,
        };
        Shared {
            settings: self.settings,
            rules,
            entrances: Arc::default(),
            connections: Arc::new(Connections::new(
                limits.connections,
                limits.connections_per_address,
            )),
            handshakes: Arc::new(self.handshakes),
            failed_logins: Arc::default(),
            usage: None,
            reception: Arc::default(),
            limit_names: self.limit_names,
            wake_delay: self.wake_delay,
            kept_fields: self.kept_fields,
            kernel: None,
        }
    }

    /// For workers that run, in place of `before`: ports, nonce keys, and counts of what is there stay, and
    /// have other limits from now on. So does the relay address, which allocations are on.
    #[must_use]
    pub fn in_place_of(self, before: &Shared) -> Shared {
        let (limits, rules) = (self.limits, &before.rules);
        rules.nonces.set_lifetime(limits.nonce_lifetime);
        rules.quota.set_limits(limits.allocations_per_user, limits.allocations);
        rules.rates.set(limits.rates);
        limits.hold_tenants(&rules.quota, &rules.rates);
        rules.ports.set_shares(&self.port_shares);
        rules.ports.set_quarantine(limits.port_quarantine);
        rules.connection_ids.set_limit(limits.connections as usize);
        before.connections.set_limits(limits.connections, limits.connections_per_address);
        Shared {
            settings: Settings {
                relay_addresses: before.settings.relay_addresses,
                ..self.settings
            },
            rules: Rules {
                authenticator: self.authenticator,
                peers: Arc::new(self.peers),
                tenant_peers: Arc::new(self.tenant_peers),
                // What was spent is given back: only the operator can cause a reload.
                answers: Arc::new(self.answers),
                failures: Arc::new(self.failures),
                ..rules.clone()
            },
            entrances: Arc::clone(&before.entrances),
            connections: Arc::clone(&before.connections),
            // As with answers.
            handshakes: Arc::new(self.handshakes),
            failed_logins: Arc::clone(&before.failed_logins),
            usage: before.usage.clone(),
            reception: Arc::clone(&before.reception),
            limit_names: self.limit_names,
            wake_delay: self.wake_delay,
            kept_fields: self.kept_fields,
            kernel: before.kernel.clone(),
        }
    }
}
