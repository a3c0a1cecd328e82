//! What expires when its time comes.

use super::allocations::Mobility;
use super::announcing::announce;
use super::context::Context;
use super::effects::Outside;
use super::endings::end;
use super::event::EndReason;
use super::parts::Parts;
use super::peer_connections::{close_all, usage_of};
use super::types::AllocationId;

/// Ends what has expired by now.
pub(super) fn expire<O: Outside>(cx: &mut Context<'_, O>) {
    cx.parts.moves.forget_stale(&cx.parts.rules.mobile, cx.parts.number);
    while let Some(id) = cx.parts.allocations.due(cx.now.tick) {
        look_at(cx, id);
    }
}

/// Ends an allocation, or what of it has expired.
fn look_at<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId) {
    let Parts { rules, allocations, statistics, resumed, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(id) else { return };
    let now = cx.now;
    if let Some(expires) = entry.mobility().and_then(Mobility::expires) {
        // A Refresh that came to another shard.
        entry.extend(expires);
    }
    //= 8656-6-expiry
    if entry.expires() <= now.tick {
        let strict = rules.authenticator.strict_expiry();
        let over = entry.credential_expires.is_some_and(|expires| expires <= now.unix);
        let reason = if strict && over { EndReason::CredentialExpired } else { EndReason::Expired };
        end(cx, id, reason);
        return;
    }
    entry.sweep(now.tick);
    if let Some(tcp) = entry.tcp_mut() {
        let traffic = close_all(|| tcp.take_due(now.tick), resumed, cx.outside);
        entry.count(usage_of(traffic), statistics);
    }
    entry.queue_again();
    announce(cx, id);
}
