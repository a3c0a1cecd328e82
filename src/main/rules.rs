//! From the configuration to what the workers share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use taciturn::admin::LIMIT_NAMES;
use taciturn_config::{Config, OnRemoval, Tenant};
use taciturn_net::external::External;
use taciturn_net::{KeptFields, Limits, Terms};
use taciturn_turn::auth::{Authenticator, SharedSecret, StaticUser, TenantCredentials, TenantRows};
use taciturn_turn::policy::{
    AnswerLimit, FailureLimit, HandshakeLimit, PeerPolicy, PortRange, TenantLimits, TenantPeers,
};
use taciturn_turn::{Settings, TenantName, TicketKey};

use super::failure::Failure;

/// A key for the tickets of mobility, as long as the process lives.
pub(super) fn ticket_key() -> Result<TicketKey, Failure> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(|error| format!("no randomness: {error}"))?;
    Ok(TicketKey::new(key))
}

/// Users and secrets beside those of the configuration: what a database holds.
#[derive(Default)]
pub(super) struct Extra {
    /// Of the server's own realm.
    pub(super) own: Credentials,
    /// Of tenants that have a realm of their own.
    pub(super) tenants: Vec<OfTenant>,
}

/// Users and secrets.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) users: Vec<StaticUser>,
    pub(super) secrets: Vec<SharedSecret>,
}

/// Whose users and secrets, by name and realm: a reload may give the tenant another realm, or remove it.
#[cfg_attr(not(feature = "sql"), allow(dead_code))] // without databases there are none
pub(super) struct OfTenant {
    pub(super) name: TenantName,
    pub(super) realm: String,
    pub(super) found: Credentials,
}

impl OfTenant {
    fn rows(&self) -> TenantRows<'_> {
        let Self { name, realm, found: Credentials { users, secrets } } = self;
        TenantRows { name, realm, users, secrets }
    }
}

/// Who may, by the configuration and beside it.
pub(super) fn authenticator(config: &Config, extra: &Extra) -> Authenticator {
    let auth = &config.auth;
    let secrets = auth.secrets.iter().map(|secret| secret.secret.clone()).collect();
    let is_there = |of: &&OfTenant| {
        config.tenants.iter().any(|tenant| tenant.name == of.name && tenant.realm == of.realm)
    };
    Authenticator::new(&config.realm, &auth.users, secrets, auth.strict_expiry)
        .with_hashes(auth.secret_hashes.clone())
        .with_tenants(&config.tenants.iter().map(credentials).collect::<Vec<_>>())
        .with_rows(&extra.own.users, &extra.own.secrets)
        .with_rows_of_tenants(
            &extra.tenants.iter().filter(is_there).map(OfTenant::rows).collect::<Vec<_>>(),
        )
}

/// What this configuration sets for the workers.
pub(super) fn terms(config: &Config, external: &External, extra: &Extra) -> Terms {
    let limits = &config.limits;
    let exempt = [HandshakeLimit::loopback().to_vec(), limits.unverified_exempt.clone()].concat();
    Terms {
        settings: settings(config, external),
        authenticator: Arc::new(authenticator(config, extra)),
        peers: peers(config, external),
        tenant_peers: tenant_peers(config, external),
        port_shares: config.tenants.iter().filter_map(port_share).collect(),
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
            tenants: config.tenants.iter().map(tenant_limits).collect(),
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
        keep_removed_rows: config.database.on_removal == OnRemoval::Keep,
    }
}

fn credentials(tenant: &Tenant) -> TenantCredentials {
    let Tenant { name, realm, server_names, users, secrets, .. } = tenant;
    TenantCredentials {
        name: name.clone(),
        realm: realm.clone(),
        server_names: server_names.clone(),
        users: users.clone(),
        secrets: secrets.iter().map(|secret| secret.secret.clone()).collect(),
    }
}

fn tenant_limits(tenant: &Tenant) -> (TenantName, TenantLimits) {
    let limits = TenantLimits {
        allocations_per_user: tenant.limits.allocations_per_user,
        allocations: tenant.limits.allocations,
        rates: tenant.limits.rates(),
    };
    (tenant.name.clone(), limits)
}

fn port_share(tenant: &Tenant) -> Option<(TenantName, PortRange)> {
    Some((tenant.name.clone(), tenant.relay_ports?))
}

/// The peer rules of the tenants of a configuration, on a host with these addresses.
pub(super) fn tenant_peers(config: &Config, external: &External) -> TenantPeers {
    let server = peers(config, external);
    let relay = relay_addresses(external);
    let of = |tenant: &Tenant| (tenant.name.clone(), tenant.peers.of_tenant(&server, &relay));
    TenantPeers::new(config.tenants.iter().map(of))
}

/// The addresses that the server relays on, as clients know them and as they are bound.
fn relay_addresses(external: &External) -> Vec<IpAddr> {
    let relay = external.addresses.iter().flatten();
    relay.flat_map(|address| [address.public, address.local]).collect()
}

/// The peer rules of a configuration, on a host with these addresses.
pub(super) fn peers(config: &Config, external: &External) -> PeerPolicy {
    config.peers.policy(&relay_addresses(external), external.own.clone())
}
