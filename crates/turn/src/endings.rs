//! How allocations end, wholly or in part.

use super::allocations::{Loose, Mobility, Relay};
use super::announcing::{announce, announce_end};
use super::clock::Tick;
use super::context::Context;
use super::effects::Outside;
use super::event::{EndReason, Event};
use super::parts::Parts;
use super::peer_connections::{close_all, usage_of};
use super::types::AllocationId;
use taciturn_stun::Family;

/// Takes an allocation out of every table, closes what it has, and says so.
pub(super) fn end<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId, reason: EndReason) {
    let Some(mut allocation) = cx.parts.allocations.remove(id) else { return };
    let relayed = allocation.relayed();
    if let Some(guest) = &allocation.guest {
        guest.note_end(allocation.carrier, allocation.traffic);
    }
    close_all_of(cx, &mut allocation);
    // An allocation that was never granted ends without a word.
    if let Some(relayed) = relayed.filter(|_| allocation.granted.lifetime > 0) {
        let record = allocation.record(cx.now.tick, Some(reason)).map(Box::new);
        cx.outside.event(Event::Ended {
            client: allocation.client(),
            user: &allocation.username,
            relayed,
            traffic: allocation.traffic,
            lived: cx.now.tick.since(allocation.since),
            reason,
            record,
        });
    }
}

/// Closes all that an allocation has which is in no table any more.
pub(super) fn close_all_of<O: Outside>(cx: &mut Context<'_, O>, allocation: &mut Loose) {
    announce_end(cx, allocation);
    let Parts { statistics, resumed, .. } = &mut *cx.parts;
    if let Some(tcp) = allocation.tcp_mut() {
        let traffic = close_all(|| tcp.take(|_| true), resumed, cx.outside);
        allocation.count(usage_of(traffic), statistics);
    }
    for relay in allocation.take_relays().into_iter().flatten() {
        close_relay(cx, relay, allocation);
    }
    forget_move_of(cx.parts, allocation);
}

/// Takes a relay away from an allocation and closes it.
//= 8656-8.1-one-family
pub(super) fn detach<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId, family: Family) {
    let Parts { allocations, statistics, resumed, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(id) else { return };
    let is_tcp = entry.tcp().is_some();
    if let Some(tcp) = entry.tcp_mut() {
        // RFC 6062 section 5.5: with the relayed address of a family, its peer connections end.
        let next = || tcp.take(|known| Family::of(known.peer.0.ip()) == family);
        let traffic = close_all(next, resumed, cx.outside);
        entry.count(usage_of(traffic), statistics);
    }
    if let Some(relay) = entry.detach(family) {
        close(relay, is_tcp, cx.now.tick, cx.outside);
    }
    announce(cx, id);
}

fn close_relay<O: Outside>(cx: &mut Context<'_, O>, relay: Relay, of: &Loose) {
    close(relay, of.tcp().is_some(), cx.now.tick, cx.outside);
}

/// Closes a relay socket; its port rests.
fn close(relay: Relay, is_tcp: bool, now: Tick, outside: &mut impl Outside) {
    match is_tcp {
        true => outside.close_tcp_relay(relay.id),
        false => outside.close_relay(relay.id),
    }
    relay.lease.retire(now);
}

/// The 5-tuple that an allocation was about to move to has nothing to wait for when it ends.
fn forget_move_of(parts: &mut Parts, allocation: &Loose) {
    let Some(mobile) = allocation.mobility().map(Mobility::id) else { return };
    if let Some((shard, client)) = parts.rules.mobile.destination(mobile)
        && shard == parts.number
    {
        parts.moves.take(&client, mobile);
    }
}
