//! Which channels another data path may serve (`DataPath`), and what it reports of them.
//!
//! Called after whatever may open or close a channel: ChannelBind, CreatePermission, Refresh, a deadline, a
//! move, a reload, the end of the allocation. Without a data path all of this is compiled away.

use super::allocations::{Allocation, Loose};
use super::channel_route::ChannelRoute;
use super::clock::Tick;
use super::context::Context;
use super::effects::Outside;
use super::parts::Parts;
use super::policy::{Direction, RateLimits};
use super::traffic::Usage;
use super::types::{AllocationId, PeerAddr};
use taciturn_stun::Family;

/// Announces what has changed for the channels of an allocation.
pub(super) fn announce<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId) {
    if !O::IS_THERE {
        return;
    }
    let Parts { settings, rules, allocations, statistics, .. } = &mut *cx.parts;
    let Some(allocation) = allocations.get_mut(id) else { return };
    let is_limited = rules.rates.is_on();
    // What goes to another relayed address of this server is decided packet by packet.
    let is_own = |family, ip| settings.relay_address(family).is_some_and(|own| own.public == ip);
    let may_serve = |peer: PeerAddr| {
        let ip = peer.0.ip();
        !is_limited && !is_own(Family::of(ip), ip)
    };
    let used = allocation.announce(cx.now.tick, may_serve, cx.outside);
    charge(&rules.rates, cx.now.tick, allocation, used);
    allocation.count(used, statistics);
}

/// Announces that all channels of an allocation that leaves its tables are closed.
pub(super) fn announce_end<O: Outside>(cx: &mut Context<'_, O>, allocation: &mut Loose) {
    if !O::IS_THERE {
        return;
    }
    let Parts { rules, statistics, .. } = &mut *cx.parts;
    let used = allocation.announce(cx.now.tick, |_| false, cx.outside);
    charge(&rules.rates, cx.now.tick, allocation, used);
    allocation.count(used, statistics);
}

/// Announces what has changed for all allocations.
pub(super) fn announce_all<O: Outside>(cx: &mut Context<'_, O>) {
    if O::IS_THERE {
        for id in cx.parts.allocations.ids() {
            announce(cx, id);
        }
    }
}

/// Takes a report of another data path. Returns false if there is no such channel (any more).
pub(super) fn channel_used(
    parts: &mut Parts,
    now: Tick,
    route: &ChannelRoute,
    used: Usage,
) -> bool {
    let Parts { rules, allocations, statistics, .. } = parts;
    let Some(mut allocation) = allocations.entry_of(&route.client) else { return false };
    let channel = allocation.udp().and_then(|udp| udp.channels().get(route.channel));
    if channel.is_none_or(|channel| channel.peer != route.peer) {
        return false;
    }
    charge(&rules.rates, now, &allocation, used);
    allocation.count(used, statistics);
    true
}

/// Takes what was relayed out of the rates, if there are any by now.
fn charge(rates: &RateLimits, now: Tick, allocation: &Allocation, used: Usage) {
    if rates.is_on() && !used.is_nothing() {
        let (meter, shared) = (&allocation.meter, allocation.quota.spenders());
        let traffic = used.traffic;
        let to_peers = (traffic.packets_to_peers, traffic.bytes_to_peers);
        let to_client = (traffic.packets_to_client, traffic.bytes_to_client);
        rates.charge(now, Direction::ToPeers, to_peers, meter, shared);
        rates.charge(now, Direction::ToClient, to_client, meter, shared);
    }
}
