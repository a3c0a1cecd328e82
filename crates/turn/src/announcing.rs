//! Which channels another data path may serve (`DataPath`), and what it reports of them.
//!
//! Called after whatever may open or close a channel: ChannelBind, CreatePermission, Refresh, a deadline, a
//! move, a reload, the end of the allocation. Without a data path none of this is computed.

use super::allocations::{Allocation, Loose};
use super::channel_route::ChannelRoute;
use super::clock::Tick;
use super::context::Context;
use super::effects::Outside;
use super::parts::Parts;
use super::policy::{Direction, RateLimits};
use super::traffic::Usage;
use super::types::AllocationId;

/// Announces what has changed for the channels of an allocation.
pub(super) fn announce<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId) {
    if !cx.outside.is_there() {
        return;
    }
    let Parts { settings, rules, allocations, statistics, .. } = &mut *cx.parts;
    let Some(allocation) = allocations.get_mut(id) else { return };
    let is_limited = rules.rates.is_on();
    // What a guest sends and gets is decided packet by packet as well.
    let may_serve = !is_limited && allocation.guest.is_none();
    let own = |family| settings.relay_address(family);
    let used = allocation.announce(cx.now.tick, may_serve, own, cx.outside);
    charge(&rules.rates, cx.now.tick, allocation, used);
    allocation.count(used, statistics);
}

/// Announces that all channels of an allocation that leaves its tables are closed.
pub(super) fn announce_end<O: Outside>(cx: &mut Context<'_, O>, allocation: &mut Loose) {
    if !cx.outside.is_there() {
        return;
    }
    let Parts { rules, statistics, .. } = &mut *cx.parts;
    let used = allocation.announce(cx.now.tick, false, |_| None, cx.outside);
    charge(&rules.rates, cx.now.tick, allocation, used);
    allocation.count(used, statistics);
}

/// Announces what has changed for all allocations.
pub(super) fn announce_all<O: Outside>(cx: &mut Context<'_, O>) {
    if cx.outside.is_there() {
        for id in cx.parts.allocations.ids() {
            announce(cx, id);
        }
    }
}

/// Announces all channels as to a data path that has heard of none.
pub(super) fn announce_anew<O: Outside>(cx: &mut Context<'_, O>) {
    for id in cx.parts.allocations.ids() {
        if let Some(allocation) = cx.parts.allocations.get_mut(id) {
            allocation.forget_announced();
        }
    }
    announce_all(cx);
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
