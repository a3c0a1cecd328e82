//! How an allocation goes from one shard to another, when its client has moved there (RFC 8016).
//!
//! The shard that its client comes to asks for it; the one that has it takes it out of all its
//! tables; and the first puts it into its own. Its relay sockets go with it: `net` moves those.

use super::allocations::{Loose, Presence};
use super::announcing::{announce, announce_end};
use super::context::Context;
use super::effects::Outside;
use super::endings::end;
use super::event::EndReason;
use super::mobile_allocations::MobileId;
use super::parts::Parts;
use super::reload::{Removed, removed, withdraw_refused};
use super::types::{AllocationId, Carrier, Client, RelayId, ShardNumber};
use taciturn_stun::ErrorCode;

/// An allocation on its way. Dropped, it gives back all that it holds.
#[derive(Debug)]
pub struct Departed {
    id: MobileId,
    /// Where its client is from now on, as the shard names it that gets it.
    client: Client,
    allocation: Loose,
}

impl Departed {
    /// Its relay sockets on the shard that it has left: IPv4 and IPv6.
    #[must_use]
    pub fn relays(&self) -> [Option<RelayId>; 2] {
        self.allocation.relays().each_ref().map(|relay| relay.as_ref().map(|relay| relay.id))
    }
}

/// Gives an allocation away to shard `to`. `None` if it is not here, or is not to go there.
pub(super) fn depart<O: Outside>(
    cx: &mut Context<'_, O>,
    id: MobileId,
    to: ShardNumber,
    client: Client,
) -> Option<Departed> {
    let Parts { number, rules, allocations, .. } = &mut *cx.parts;
    let (at, expires) = rules.mobile.depart(id, *number, (to, client))?;
    let mut allocation = allocations.remove(at)?;
    announce_end(cx, &mut allocation);
    allocation.set_expires(expires);
    Some(Departed { id, client, allocation })
}

/// Takes in an allocation that another shard has given away, with the numbers that its relay
/// sockets have here. Returns its own number here.
pub(super) fn land<O: Outside>(
    cx: &mut Context<'_, O>,
    departed: Departed,
    sockets: [Option<RelayId>; 2],
) -> AllocationId {
    let Departed { id: mobile, client, mut allocation } = departed;
    let Parts { number, rules, allocations, moves, resumed, statistics, .. } = &mut *cx.parts;
    let parked = moves.take(&client, mobile);
    let presence = match &parked {
        Some(_) if !allocations.has(&client) => Presence::There,
        _ => Presence::Away,
    };
    let lost = allocation.settle(client, presence, sockets);
    let is_whole = lost.is_empty();
    lost.into_iter().for_each(|relay| relay.lease.retire(cx.now.tick));
    allocation.carrier = Carrier::of(client.via, cx.outside.is_secure(client));
    allocation.tenant_slot = statistics.tenants.slot(allocation.username.tenant());
    let id = allocations.insert(allocation).id();
    for request in parked.into_iter().flatten() {
        resumed.resume(request, Ok(None));
    }
    let released = rules.mobile.land(mobile, *number, id);
    if released {
        end(cx, id, EndReason::Released);
    } else if !is_whole {
        end(cx, id, EndReason::Disconnected);
    } else if removed(cx.parts, id) == Some(Removed::Ends) {
        // The configuration was read again while it was on its way.
        end(cx, id, EndReason::CredentialRemoved);
    } else {
        withdraw_refused(cx, id);
        announce(cx, id);
    }
    id
}

/// The allocation does not come to this 5-tuple.
pub(super) fn not_fetched<O>(cx: &mut Context<'_, O>, id: MobileId, client: Client) {
    let Parts { number, rules, moves, resumed, .. } = &mut *cx.parts;
    rules.mobile.cancel(id, *number, client);
    for request in moves.take(&client, id).into_iter().flatten() {
        resumed.resume(request, Err(ErrorCode::ALLOCATION_MISMATCH));
    }
}

/// Ends an allocation that its client has ended on another shard.
pub(super) fn release<O: Outside>(cx: &mut Context<'_, O>, id: MobileId) {
    if let Some(at) = cx.parts.rules.mobile.released(id, cx.parts.number) {
        end(cx, at, EndReason::Released);
    }
}
