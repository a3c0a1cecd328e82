//! Connections from peers, and the ConnectionAttempt indication (RFC 6062 section 5.3).

use std::net::SocketAddr;

use super::allocations::{PeerConnection, Stage};
use super::context::Context;
use super::effects::Outside;
use super::event::Event;
use super::parts::Parts;
use super::peer_check::{check_tcp_peer, public_tcp_address};
use super::peer_connections::{add_unbound, room_for_connection};
use super::types::{AllocationId, ConnectionId, PeerAddr};
use super::verdict::{DropReason, Verdict};
use taciturn_stun::{AttributeType, Class, Family, Method, Writer, canonical_ip};

/// A peer has connected to a relayed transport address. Returns the number of the connection, or `None` if
/// it is to be closed at once.
pub(super) fn peer_arrived<O: Outside>(
    cx: &mut Context<'_, O>,
    owner: AllocationId,
    family: Family,
    peer: SocketAddr,
) -> Option<ConnectionId> {
    let Parts { settings, rules, allocations, statistics, tids, .. } = &mut *cx.parts;
    let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
    let peer = PeerAddr(public_tcp_address(settings, rules, family, peer));
    let mut entry = allocations.find(owner)?;
    let client = entry.client();
    let permitted = entry.permitted(peer.0.ip(), cx.now.tick);
    let checked = check_tcp_peer(settings, rules, entry.peers(&rules.peers), peer.0);
    if permitted.is_none() || checked.is_err() {
        statistics.count(&Verdict::Drop(DropReason::NoPermission));
        return None;
    }
    let ids = &rules.connection_ids;
    let ticket = match room_for_connection(settings, ids, &mut entry, cx.outside) {
        Ok(ticket) => ticket,
        Err(failure) => {
            cx.outside.event(Event::RequestFailed {
                client,
                user: Some(&entry.username),
                method: Method::CONNECTION_ATTEMPT,
                code: failure.code(),
                reason: failure.reason(),
                cause: failure.cause(),
            });
            return None;
        }
    };
    let connection = ticket.id();
    let stage = Stage::unbound(cx.now.tick);
    add_unbound(&mut entry, cx.now.tick, PeerConnection { ticket, peer, stage });
    let mut buffer = [0; 64];
    let tid = tids.next(cx.outside);
    let method = Method::CONNECTION_ATTEMPT;
    let mut writer = Writer::new(&mut buffer, Class::Indication, method, tid);
    writer.connection_id(connection.0).address(AttributeType::XOR_PEER_ADDRESS, peer.0);
    if let Ok(len) = writer.finish() {
        cx.outside.tell(client, buffer.get(..len).unwrap_or_default());
    }
    Some(connection)
}
