//! What a shard and its rules have, for another process.

use super::announcing::announce_end;
use super::clock::Tick;
use super::context::Context;
use super::effects::Outside;
use super::parts::Parts;
use super::rules::Rules;
use super::snapshot::records::{ShardRecord, SharedRecord};
use super::snapshot::wire::Record;
use super::snapshot::{ShardSnapshot, SharedSnapshot};
use super::types::{AllocationId, Client};
use taciturn_stun::Family;

impl Rules {
    /// What of it another process has to know: the keys of nonces and tickets, ports that rest or are
    /// reserved, and what users have spent. What is configured is not in it.
    #[must_use]
    pub fn snapshot(&self, now: Tick) -> SharedSnapshot {
        let Self {
            // Configured.
            authenticator: _,
            peers: _,
            tenant_peers: _,
            // Kept by the operator's side, which knows their ends.
            bans: _,
            nonces,
            ports,
            quota,
            rates,
            // What strangers have spent: their budgets begin anew.
            answers: _,
            failures: _,
            requests: _,
            // Goes with the peer connections that have them.
            connection_ids: _,
            tickets,
            mobile,
            // None goes to another process.
            guests: _,
            // Told by other servers.
            alternates: _,
            // Each process has numbers of its own.
            session_ids: _,
        } = self;
        SharedSnapshot(SharedRecord {
            nonces: nonces.snapshot(now),
            ticket_key: tickets.snapshot(),
            last_mobile: mobile.last(),
            ports: ports.snapshot(now),
            spent: quota.spent(now),
            spent_in_all: rates.all().spent(now),
            spent_by_tenants: quota.spent_by_tenants(now),
        })
    }
}

/// What a shard has of the clients that go to another process.
pub(super) fn snapshot(parts: &Parts, now: Tick, goes: impl Fn(&Client) -> bool) -> ShardSnapshot {
    let Parts {
        number: _,
        // The other process has its own.
        settings: _,
        rules: _,
        intake,
        allocations,
        moves,
        ended,
        // Nothing is left in it between two calls.
        resumed: _,
        // Counters of the metrics begin anew.
        statistics: _,
        // Random ones.
        tids: _,
    } = parts;
    ShardSnapshot(ShardRecord {
        intake: Record(intake.snapshot()),
        allocations: allocations.snapshot(now, &goes).map(Record).collect(),
        moves: moves.snapshot().filter(|expected| goes(&expected.client)).map(Record).collect(),
        ended: ended.snapshot(now).filter(|request| goes(&request.client)).map(Record).collect(),
    })
}

/// The relay ports of the clients that do not go to another process.
pub(super) fn left(parts: &Parts, goes: impl Fn(&Client) -> bool) -> Vec<(Family, u16)> {
    let stay = parts.allocations.iter().filter(|allocation| !goes(&allocation.client()));
    let relays =
        stay.flat_map(|allocation| [Family::V4, Family::V6].map(|family| allocation.relay(family)));
    relays.flatten().map(|relay| (relay.lease.family(), relay.lease.port())).collect()
}

/// Takes the allocations out that another process has from now on. This process closes what it has of
/// them, and says nothing: they go on.
pub(super) fn forget<O: Outside>(cx: &mut Context<'_, O>, goes: impl Fn(&Client) -> bool) -> usize {
    let goes = |id: &AllocationId| {
        cx.parts.allocations.get(*id).is_some_and(|allocation| goes(&allocation.client()))
    };
    let gone: Vec<_> = cx.parts.allocations.ids().into_iter().filter(goes).collect();
    for id in &gone {
        forget_one(cx, *id);
    }
    gone.len()
}

fn forget_one<O: Outside>(cx: &mut Context<'_, O>, id: AllocationId) {
    let Some(mut allocation) = cx.parts.allocations.remove(id) else { return };
    announce_end(cx, &mut allocation);
    let is_tcp = allocation.tcp().is_some();
    // Connect requests that wait here are answered there.
    while let Some(connection) = allocation.tcp_mut().and_then(|tcp| tcp.take(|_| true)) {
        let traffic = cx.outside.close_peer(connection.ticket.id());
        cx.parts.statistics.add_relayed(allocation.counted_as(), traffic);
    }
    for relay in allocation.take_relays().into_iter().flatten() {
        match is_tcp {
            true => cx.outside.close_tcp_relay(relay.id),
            false => cx.outside.close_relay(relay.id),
        }
    }
}
