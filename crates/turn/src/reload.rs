//! Other rules for a shard that runs.

use std::sync::Arc;

use super::announcing::{announce, announce_all};
use super::context::Context;
use super::effects::Outside;
use super::endings::end;
use super::event::EndReason;
use super::parts::Parts;
use super::peer_check::{check_peer_of, check_tcp_peer};
use super::peer_connections::{close_all, usage_of};
use super::rules::Rules;
use super::settings::Settings;
use super::types::{AllocationId, PeerAddr};

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
    /// Such allocations that go on, because the operator wants it so.
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

/// Goes on with other settings and rules.
pub(super) fn set_rules<O: Outside>(
    cx: &mut Context<'_, O>,
    settings: Settings,
    rules: Rules,
) -> Withdrawn {
    let before = std::mem::replace(&mut cx.parts.rules, rules);
    cx.parts.settings = settings;
    let mut withdrawn = end_removed(cx);
    let rules = &cx.parts.rules;
    if before.peers != rules.peers || before.tenant_peers != rules.tenant_peers {
        for id in cx.parts.allocations.ids() {
            withdrawn = withdrawn.and(withdraw_refused(cx, id));
        }
    }
    // Limits of packets or bytes a second may have come or gone.
    announce_all(cx);
    withdrawn
}

/// Ends the allocations whose user or secret is not configured any more, or counts them.
fn end_removed<O: Outside>(cx: &mut Context<'_, O>) -> Withdrawn {
    let mut withdrawn = Withdrawn::default();
    for id in cx.parts.allocations.ids() {
        match removed(cx.parts, id) {
            None => {}
            Some(Removed::GoesOn) => withdrawn.kept += 1,
            Some(Removed::Ends) => {
                withdrawn.allocations += 1;
                end(cx, id, EndReason::CredentialRemoved);
            }
        }
    }
    withdrawn
}

/// What becomes of an allocation whose user or secret was removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// It ends.
    Ends,
    /// The operator wants it so.
    GoesOn,
}

/// Whether the user or secret that an allocation was made with is not there any more, and what follows.
pub(super) fn removed(parts: &Parts, id: AllocationId) -> Option<Removed> {
    let origin = parts.allocations.get(id)?.origin.as_ref()?;
    if parts.rules.authenticator.has(origin) {
        return None;
    }
    let keeps = match origin.is_of_database() {
        true => parts.settings.keep_removed_rows,
        false => parts.settings.keep_removed,
    };
    Some(if keeps { Removed::GoesOn } else { Removed::Ends })
}

/// Has the peer rules of now hold for an allocation: ends its permissions, channels and TCP connections whose peers
/// they refuse.
pub(super) fn withdraw_refused<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId) -> Withdrawn {
    let mut withdrawn = Withdrawn::default();
    let Parts { settings, rules, allocations, statistics, resumed, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(id) else { return withdrawn };
    entry.peers = rules.peers_of(entry.username.tenant());
    let peers = entry.peers.clone().unwrap_or_else(|| Arc::clone(&rules.peers));
    if let Some(tcp) = entry.tcp_mut() {
        let is_refused = |peer: PeerAddr| check_tcp_peer(settings, rules, &peers, peer.0).is_err();
        let next = || {
            let refused = tcp.take(|known| is_refused(known.peer));
            withdrawn.connections += usize::from(refused.is_some());
            refused
        };
        let traffic = close_all(next, resumed, cx.outside);
        entry.count(usage_of(traffic), statistics);
    }
    let judge = |ip, port| check_peer_of(&entry, settings, rules, ip, port);
    let addresses = entry.permissions().addresses();
    let judged: Vec<_> = addresses.map(|ip| (ip, judge(ip, None))).collect();
    let peers = entry.udp().into_iter().flat_map(|udp| udp.channels().iter());
    // A channel needs more than its permission does: a port that the rules let through.
    let peers: Vec<PeerAddr> = peers
        .map(|channel| channel.peer)
        .filter(|peer| judge(peer.0.ip(), Some(peer.0.port())).is_err())
        .collect();
    let now = cx.now.tick;
    for (ip, judged) in judged {
        match judged {
            Ok(reach) => entry.limit_permission(ip, reach),
            Err(_) => {
                entry.expire_permission(now, ip);
                withdrawn.permissions += 1;
            }
        }
    }
    peers.iter().for_each(|peer| entry.expire_channel(now, *peer));
    entry.sweep(now);
    withdrawn.channels = peers.len();
    announce(cx, id);
    withdrawn
}
