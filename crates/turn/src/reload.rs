//! Other rules for a shard that runs.

use std::net::IpAddr;

use super::outside::{EndReason, Outside};
use super::shard::{Rules, Settings, Shard};
use super::types::PeerAddr;
use crate::clock::Now;

/// What of running allocations ended by new rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Permissions whose peer is refused.
    pub permissions: usize,
    /// Channels, likewise.
    pub channels: usize,
    /// TCP connections with peers, likewise.
    pub connections: usize,
    /// Allocations whose user or secret was removed.
    pub allocations: usize,
    /// Such allocations that go on, for the operator wants it so.
    pub kept: usize,
}

impl Withdrawn {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            permissions: self.permissions + other.permissions,
            channels: self.channels + other.channels,
            connections: self.connections + other.connections,
            allocations: self.allocations + other.allocations,
            kept: self.kept + other.kept,
        }
    }
}

impl Shard {
    /// Goes on with other settings and rules. Allocations stay, with what they have, but for two
    /// things. Those whose user or secret was removed end, unless the operator wants it otherwise.
    /// And peers that the new rules refuse are out of reach at once: their permissions, channels and
    /// TCP connections end. Bounds hold for what is asked for from now on.
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
        let mut withdrawn = self.end_removed(now, outside);
        if before.peers == self.rules.peers {
            return withdrawn;
        }
        for index in self.indices() {
            withdrawn = withdrawn.and(self.withdraw_refused(now, index, outside));
        }
        withdrawn
    }

    /// Ends the allocations whose user or secret is not configured any more, or counts them.
    fn end_removed(&mut self, now: Now, outside: &mut impl Outside) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for index in self.indices() {
            if !self.is_removed(index) {
                continue;
            }
            if self.settings.keep_removed {
                withdrawn.kept += 1;
            } else {
                withdrawn.allocations += 1;
                self.end(now.tick, index, EndReason::CredentialRemoved, outside);
            }
        }
        withdrawn
    }

    /// Whether the user or secret that an allocation was made with is not configured any more.
    pub(super) fn is_removed(&self, index: u32) -> bool {
        let origin = self.allocations.get(index as usize).and_then(|a| a.origin.as_ref());
        origin.is_some_and(|origin| !self.rules.authenticator.has(origin))
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
        let (permissions, channels) = (ips.len(), peers.len());
        Withdrawn { permissions, channels, connections, ..Withdrawn::default() }
    }
}
