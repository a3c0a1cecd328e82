//! From the configuration to what the workers share.

use std::sync::Arc;
use std::time::Duration;

use taciturn::admin::LIMIT_NAMES;
use taciturn_config::{Config, OnRemoval};
use taciturn_net::Shared;
use taciturn_net::external::External;
use taciturn_turn::auth::{Authenticator, NonceKeys};
use taciturn_turn::policy::{
    AnswerLimit, Connections, FailureLimit, HandshakeLimit, PeerPolicy, PortPool, Quota, RateLimits,
};
use taciturn_turn::{ConnectionIds, Rules, Settings, TicketKey};

use super::failure::Failure;

/// A key for the tickets of mobility, as long as the process lives.
pub(super) fn ticket_key() -> Result<TicketKey, Failure> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(|error| format!("no randomness: {error}"))?;
    Ok(TicketKey::new(key))
}

/// Settings and rules of this configuration, with nothing in use yet.
pub(super) fn share(
    config: &Config,
    external: &External,
    nonces: NonceKeys,
    tickets: TicketKey,
) -> Shared {
    let limits = &config.limits;
    let secrets = config.auth.secrets.iter().map(|secret| secret.secret.clone()).collect();
    let authenticator =
        Authenticator::new(&config.realm, &config.auth.users, secrets, config.auth.strict_expiry);
    let exempt = [HandshakeLimit::loopback().to_vec(), limits.unverified_exempt.clone()].concat();
    Shared {
        settings: Settings {
            relay_addresses: external.addresses,
            max_lifetime: limits.max_lifetime,
            max_permissions: limits.permissions_per_allocation as usize,
            max_channels: limits.channels_per_allocation as usize,
            rfc5766_channels: config.protocol.rfc5766_channels,
            tcp_relay: config.protocol.tcp_relay,
            max_peer_connections: limits.peer_connections_per_allocation as usize,
            ports_reserved_percent: limits.ports_reserved_percent,
            rfc8489_over_udp: config.protocol.rfc8489_over_udp,
            redirect: config.redirect.clone(),
            icmp_errors: config.protocol.icmp_errors,
            nat_discovery: config.nat_discovery.clone(),
            rfc3489: config.protocol.rfc3489,
            mobility: config.protocol.mobility,
            software: config.protocol.software,
            keep_removed: config.auth.on_removal == OnRemoval::Keep,
        },
        rules: Rules {
            authenticator: Arc::new(authenticator),
            nonces: Arc::new(nonces),
            peers: Arc::new(peers(config, external)),
            ports: Arc::new(PortPool::new(config.relay_ports, limits.port_quarantine)),
            quota: Arc::new(Quota::new(limits.allocations_per_user, limits.allocations)),
            rates: Arc::new(RateLimits::new(limits.rates())),
            answers: Arc::new(AnswerLimit::new(
                limits.unverified_answers_per_address,
                limits.unverified_answers,
                limits.unverified_exempt.clone(),
            )),
            failures: Arc::new(FailureLimit::new(limits.failures_per_address)),
            // Each is of use with a connection of a client's.
            connection_ids: Arc::new(ConnectionIds::new(limits.connections as usize)),
            tickets: Arc::new(tickets),
            mobile: Arc::default(),
        },
        connections: Arc::new(Connections::new(limits.connections, limits.connections_per_address)),
        handshakes: Arc::new(HandshakeLimit::new(limits.handshakes_per_address, exempt)),
        limit_names: LIMIT_NAMES,
        wake_delay: Duration::from_micros(config.tuning.wake_delay_us.into()),
    }
}

/// The peer rules of a configuration, on a host with these addresses.
pub(super) fn peers(config: &Config, external: &External) -> PeerPolicy {
    let allow = config.peers.allow.clone();
    PeerPolicy::new(allow, config.peers.deny.clone(), external.own.clone())
}
