//! Other rules for a shard that runs.

use std::net::IpAddr;

use super::outside::Outside;
use super::shard::{Rules, Settings, Shard};
use super::types::PeerAddr;
use crate::clock::Now;

/// What of running allocations ended because the new rules refuse the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Permissions.
    pub permissions: usize,
    /// Channels.
    pub channels: usize,
    /// TCP connections with peers.
    pub connections: usize,
}

impl Withdrawn {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            permissions: self.permissions + other.permissions,
            channels: self.channels + other.channels,
            connections: self.connections + other.connections,
        }
    }
}

impl Shard {
    /// Goes on with other settings and rules. Allocations stay, with what they have; only peers
    /// that the new rules refuse are out of reach at once: their permissions, channels and TCP
    /// connections end. Bounds hold for what is asked for from now on.
    ///
    /// `rules` must hold the ports, quotas, nonce keys and CONNECTION-IDs of those before, and
    /// `settings` the relay addresses: allocations rely on them.
    pub fn set_rules(
        &mut self,
        now: Now,
        settings: Settings,
        rules: Rules,
        outside: &mut impl Outside,
    ) -> Withdrawn {
        let before = std::mem::replace(&mut self.rules, rules);
        self.settings = settings;
        let mut withdrawn = Withdrawn::default();
        if before.peers == self.rules.peers {
            return withdrawn;
        }
        for index in self.indices() {
            withdrawn = withdrawn.and(self.withdraw_refused(now, index, outside));
        }
        withdrawn
    }

    pub(super) fn withdraw_refused(
        &mut self,
        now: Now,
        index: u32,
        outside: &mut impl Outside,
    ) -> Withdrawn {
        let connections = self.close_refused_connections(index, outside);
        let Some(allocation) = self.allocations.get(index as usize) else {
            return Withdrawn { connections, ..Withdrawn::default() };
        };
        let is_refused = |ip, port| self.peer_refusal(ip, port).is_some();
        let ips: Vec<IpAddr> = allocation.permitted().filter(|ip| is_refused(*ip, None)).collect();
        let peers = allocation.channels().map(|channel| channel.peer);
        // A channel needs more than its permission does: to an own address, a relay port.
        let peers: Vec<PeerAddr> = peers
            .filter(|peer| {
                let (ip, port) = (peer.0.ip(), peer.0.port());
                is_refused(ip, None) || is_refused(ip, Some(port))
            })
            .collect();
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            ips.iter().for_each(|ip| allocation.expire_permission(now.tick, *ip));
            peers.iter().for_each(|peer| allocation.expire_channel(now.tick, *peer));
        }
        self.sweep(now.tick, index, outside);
        Withdrawn { permissions: ips.len(), channels: peers.len(), connections }
    }
}
