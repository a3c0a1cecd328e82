//! From the configuration to what the workers share.

use std::sync::Arc;
use std::time::Duration;

use taciturn::admin::LIMIT_NAMES;
use taciturn_config::{Config, OnRemoval};
use taciturn_net::external::External;
use taciturn_net::{KeptFields, Limits, Terms};
use taciturn_turn::auth::{Authenticator, SharedSecret, StaticUser};
use taciturn_turn::policy::{AnswerLimit, FailureLimit, HandshakeLimit, PeerPolicy};
use taciturn_turn::{Settings, TicketKey};

use super::failure::Failure;

/// A key for the tickets of mobility, as long as the process lives.
pub(super) fn ticket_key() -> Result<TicketKey, Failure> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(|error| format!("no randomness: {error}"))?;
    Ok(TicketKey::new(key))
}

/// Users and secrets of the server's realm beside those of the configuration: what a database holds.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) users: Vec<StaticUser>,
    pub(super) secrets: Vec<SharedSecret>,
}

/// Who may, by the configuration and beside it.
pub(super) fn authenticator(config: &Config, extra: &Extra) -> Authenticator {
    let auth = &config.auth;
    let secrets = auth.secrets.iter().map(|secret| secret.secret.clone()).collect();
    Authenticator::new(&config.realm, &auth.users, secrets, auth.strict_expiry)
        .with_rows(&extra.users, &extra.secrets)
        .with_hashes(auth.secret_hashes.clone())
}

/// What this configuration sets for the workers.
pub(super) fn terms(config: &Config, external: &External, extra: &Extra) -> Terms {
    let limits = &config.limits;
    let exempt = [HandshakeLimit::loopback().to_vec(), limits.unverified_exempt.clone()].concat();
    Terms {
        settings: settings(config, external),
        authenticator: Arc::new(authenticator(config, extra)),
        peers: peers(config, external),
        answers: AnswerLimit::new(
            limits.unverified_answers_per_address,
            limits.unverified_answers,
            limits.unverified_exempt.clone(),
        ),
        failures: FailureLimit::new(limits.failures_per_address),
        handshakes: HandshakeLimit::new(limits.handshakes_per_address, exempt),
        limits: Limits {
            allocations_per_user: limits.allocations_per_user,
            allocations: limits.allocations,
            rates: limits.rates(),
            port_quarantine: limits.port_quarantine,
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            nonce_lifetime: limits.nonce_lifetime,
        },
        limit_names: LIMIT_NAMES,
        wake_delay: Duration::from_micros(config.tuning.wake_delay_us.into()),
        kept_fields: kept_fields(config),
    }
}

fn kept_fields(config: &Config) -> KeptFields {
    let protocol = &config.protocol;
    KeptFields { dscp: protocol.keep_dscp, ecn: protocol.keep_ecn, ttl: protocol.keep_ttl }
}

fn settings(config: &Config, external: &External) -> Settings {
    let (limits, protocol) = (&config.limits, &config.protocol);
    Settings {
        relay_addresses: external.addresses,
        max_lifetime: limits.max_lifetime,
        max_permissions: limits.permissions_per_allocation as usize,
        max_channels: limits.channels_per_allocation as usize,
        rfc5766_channels: protocol.rfc5766_channels,
        tcp_relay: protocol.tcp_relay,
        max_peer_connections: limits.peer_connections_per_allocation as usize,
        ports_reserved_percent: limits.ports_reserved_percent,
        rfc8489_over_udp: protocol.rfc8489_over_udp,
        redirect: config.redirect.clone(),
        icmp_errors: protocol.icmp_errors,
        nat_discovery: config.nat_discovery.clone(),
        rfc3489: protocol.rfc3489,
        mobility: protocol.mobility,
        software: protocol.software,
        keep_removed: config.auth.on_removal == OnRemoval::Keep,
        keep_removed_rows: config.sql.on_removal == OnRemoval::Keep,
    }
}

/// The peer rules of a configuration, on a host with these addresses.
pub(super) fn peers(config: &Config, external: &External) -> PeerPolicy {
    let relay = external.addresses.iter().flatten();
    let relay: Vec<_> = relay.flat_map(|address| [address.public, address.local]).collect();
    config.peers.policy(&relay, external.own.clone())
}
