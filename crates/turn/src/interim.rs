//! Records of sessions that go on: what they have used until now.

use std::time::Duration;

use super::allocations::Allocation;
use super::context::Context;
use super::effects::{Outside, PeerConnections};
use super::event::UsageRecord;
use super::parts::Parts;
use super::peer_connections::usage_of;
use super::types::{AllocationId, ConnectionId};

/// How many places of its table a shard looks at in one go, so that packets do not wait.
const PLACES: usize = 256;

/// Makes a record of each session whose last record is at least so old. Returns some, and the place to go on from;
/// `None` after the last.
pub(super) fn records<O: Outside>(
    cx: &mut Context<'_, O>,
    every: Duration,
    from: usize,
) -> (Vec<UsageRecord>, Option<usize>) {
    let now = cx.now.tick;
    let (mut due, mut next) = (Vec::new(), None);
    for (looked_at, (place, id, allocation)) in cx.parts.allocations.places(from).enumerate() {
        if looked_at == PLACES {
            next = Some(place);
            break;
        }
        if allocation.account.as_ref().is_some_and(|account| account.is_due(now, every)) {
            due.push(id);
        }
    }
    let record = |id| {
        gather(cx.parts, id, cx.outside);
        cx.parts.allocations.get_mut(id)?.record(now, None)
    };
    (due.into_iter().filter_map(record).collect(), next)
}

/// Counts what all TCP connections have relayed until now, which is counted when they end otherwise: another process
/// goes on with the connections, and counts anew.
pub(super) fn gather_all<O: Outside>(cx: &mut Context<'_, O>) {
    for id in cx.parts.allocations.ids() {
        gather(cx.parts, id, cx.outside);
    }
}

/// Counts what the TCP connections of an allocation have relayed until now.
fn gather(parts: &mut Parts, id: AllocationId, outside: &mut impl PeerConnections) {
    let Some(allocation) = parts.allocations.get_mut(id) else { return };
    for connection in connections(allocation) {
        let traffic = outside.take_traffic(connection);
        allocation.count(usage_of(traffic), &mut parts.statistics);
    }
}

fn connections(allocation: &Allocation) -> Vec<ConnectionId> {
    allocation.tcp().map(|tcp| tcp.ids().collect()).unwrap_or_default()
}
