//! What tenants have, for the operator and the metrics.

use super::answers::traffic;
use super::server_handle::ServerHandle;
use taciturn_control::{PortsUsed, TenantStatus};
use taciturn_net::Snapshot;
use taciturn_stun::Family;
use taciturn_turn::policy::TenantUse;
use taciturn_turn::{TenantName, Traffic};

/// What each tenant has, the default one first; nothing where none is configured. A tenant that was removed is among
/// them for as long as it has allocations or has spent of its limits, so their number is bounded by the
/// configuration.
pub(super) fn tenants(server: &ServerHandle, now: &Snapshot) -> Vec<TenantStatus> {
    let uses = server.quota.tenants();
    if uses.is_empty() {
        return Vec::new();
    }
    let shares = [Family::V4, Family::V6].map(|family| server.ports.shares(family));
    let relayed = |tenant: &TenantName| {
        let known = now.statistics.tenants.iter().find(|(name, _)| *name == tenant);
        known.map_or_else(Traffic::default, |(_, relayed)| relayed)
    };
    let mut all = vec![of_default(server, now, &uses)];
    for TenantUse { tenant, allocations, users } in &uses {
        let own = |family: usize| {
            let share = shares[family].iter().find(|(name, ..)| name == tenant);
            share.map_or((0, 0), |(_, size, used)| (u64::from(*size), u64::from(*used)))
        };
        let ((relay_ports, ipv4), (_, ipv6)) = (own(0), own(1));
        all.push(TenantStatus {
            name: tenant.to_string(),
            allocations: u64::from(*allocations),
            users: u64::from(*users),
            relay_ports,
            relay_ports_used: PortsUsed { ipv4, ipv6 },
            traffic: traffic(relayed(tenant)),
        });
    }
    all
}

/// What one tenant has; nothing if there is none of this name.
pub(super) fn of_tenant(
    server: &ServerHandle,
    now: &Snapshot,
    tenant: &TenantName,
) -> TenantStatus {
    let name = tenant.to_string();
    let known = tenants(server, now).into_iter().find(|known| known.name == name);
    known.unwrap_or_else(|| match tenant.name() {
        // Where none is configured, all is the default one's.
        None => of_default(server, now, &[]),
        Some(_) => TenantStatus { name, ..TenantStatus::default() },
    })
}

/// Whether there is a tenant of this name.
pub(super) fn is_known(server: &ServerHandle, tenant: &TenantName) -> bool {
    tenant.name().is_none() || server.quota.tenants().iter().any(|known| known.tenant == *tenant)
}

/// What the users of no tenant have: what is left.
fn of_default(server: &ServerHandle, now: &Snapshot, uses: &[TenantUse]) -> TenantStatus {
    let of_tenants = |of: fn(&TenantUse) -> u32| uses.iter().map(of).map(u64::from).sum::<u64>();
    let mut left = Traffic::default();
    now.statistics.relayed.iter().for_each(|relayed| left.add(*relayed));
    for (_, relayed) in now.statistics.tenants.iter() {
        left.bytes_to_peers = left.bytes_to_peers.saturating_sub(relayed.bytes_to_peers);
        left.bytes_to_client = left.bytes_to_client.saturating_sub(relayed.bytes_to_client);
        left.packets_to_peers = left.packets_to_peers.saturating_sub(relayed.packets_to_peers);
        left.packets_to_client = left.packets_to_client.saturating_sub(relayed.packets_to_client);
    }
    TenantStatus {
        name: TenantName::DEFAULT.to_owned(),
        // Both are counted at moments of their own.
        allocations: (now.allocations as u64).saturating_sub(of_tenants(|of| of.allocations)),
        users: (server.quota.users() as u64).saturating_sub(of_tenants(|of| of.users)),
        relay_ports: 0,
        relay_ports_used: PortsUsed::default(),
        traffic: traffic(left),
    }
}
