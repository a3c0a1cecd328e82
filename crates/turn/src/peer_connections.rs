//! The peer connections of TCP allocations (RFC 6062), from their beginning to their end.

use std::sync::Arc;

use super::allocations::{Entry, PeerConnection, Stage};
use super::cause::Cause;
use super::clock::Tick;
use super::connection_ids::{ConnectionIds, IdTicket, Unbound};
use super::context::Context;
use super::effects::{PeerConnections, Randomness};
use super::failure::Failure;
use super::parked::Resumed;
use super::parts::Parts;
use super::policy::StreamLimit;
use super::settings::Settings;
use super::traffic::{Traffic, Usage};
use super::types::{AllocationId, ConnectionId};
use taciturn_stun::ErrorCode;

/// The connection that Connect asked for is there (RFC 6062 section 5.2).
pub(super) fn connected<O>(cx: &mut Context<'_, O>, owner: AllocationId, connection: ConnectionId) {
    let Parts { allocations, resumed, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(owner) else { return };
    let Some(known) = entry.tcp_mut().and_then(|tcp| tcp.take_id(connection)) else { return };
    if let Stage::Connecting { request, .. } = add_unbound(&mut entry, cx.now.tick, known) {
        resumed.resume(request, Ok(Some(connection)));
    }
}

/// It could not be had.
pub(super) fn failed<O>(cx: &mut Context<'_, O>, owner: AllocationId, connection: ConnectionId) {
    let Parts { allocations, resumed, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(owner) else { return };
    let Some(gone) = entry.tcp_mut().and_then(|tcp| tcp.take_id(connection)) else { return };
    if let Stage::Connecting { request, .. } = gone.stage {
        resumed.resume(request, Err(ErrorCode::CONNECTION_TIMEOUT));
    }
}

/// A peer connection that was bound has ended, with its data connection.
pub(super) fn closed(
    parts: &mut Parts,
    owner: AllocationId,
    connection: ConnectionId,
    traffic: Traffic,
) {
    let Some(allocation) = parts.allocations.get_mut(owner) else { return };
    allocation.count(usage_of(traffic), &mut parts.statistics);
    if let Some(tcp) = allocation.tcp_mut() {
        tcp.take_id(connection);
    }
}

/// The limits for what the connections of an allocation relay.
pub(super) fn stream_limit(parts: &Parts, owner: AllocationId) -> Option<StreamLimit> {
    let allocation = parts.allocations.get(owner)?;
    Some(StreamLimit::new(&parts.rules.rates, &allocation.meter, &allocation.quota))
}

/// Offers a peer connection to the client's ConnectionBind. Returns what it was before.
pub(super) fn add_unbound(
    entry: &mut Entry<'_>,
    now: Tick,
    mut connection: PeerConnection,
) -> Stage {
    let (username, key) = (entry.username.clone(), entry.key.clone());
    connection.ticket.offer(Unbound { username, key, peer: connection.peer });
    let before = std::mem::replace(&mut connection.stage, Stage::unbound(now));
    entry.add_connection(connection);
    before
}

/// Takes a CONNECTION-ID for one more peer connection of an allocation, or fails with 508.
pub(super) fn room_for_connection(
    settings: &Settings,
    ids: &Arc<ConnectionIds>,
    entry: &mut Entry<'_>,
    outside: &mut impl Randomness,
) -> Result<IdTicket, Failure> {
    let limit = settings.max_peer_connections;
    if !entry.tcp_mut().is_some_and(|tcp| tcp.has_room(limit)) {
        return Err(Cause::PeerConnections.into());
    }
    let random = || {
        let mut bytes = [0; 4];
        outside.random(&mut bytes);
        u32::from_ne_bytes(bytes)
    };
    let ticket = ids.take(random);
    ticket.ok_or_else(|| Cause::AllPeerConnections.into())
}

/// Closes the peer connections that `next` returns one by one. A Connect request that waits for one of
/// them fails. Returns what they have relayed.
pub(super) fn close_all(
    next: impl FnMut() -> Option<PeerConnection>,
    resumed: &mut Resumed,
    outside: &mut impl PeerConnections,
) -> Traffic {
    let mut traffic = Traffic::default();
    for connection in std::iter::from_fn(next) {
        traffic.add(outside.close_peer(connection.ticket.id()));
        if let Stage::Connecting { request, .. } = connection.stage {
            resumed.resume(request, Err(ErrorCode::CONNECTION_TIMEOUT));
        }
    }
    traffic
}

/// What TCP connections have relayed; nobody notes when.
pub(super) const fn usage_of(traffic: Traffic) -> Usage {
    Usage { traffic, last: Tick(0) }
}
