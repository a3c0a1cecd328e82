//! Connect (RFC 6062 section 5.2).

use std::net::SocketAddr;
use std::time::Duration;

use super::allocations::{PeerConnection, Stage};
use super::context::{Context, Request};
use super::create_permission::admit_new_peers;
use super::effects::{ConnectError, Outside};
use super::event::Event;
use super::failure::{Answer, Failure};
use super::parked::{Answered, ParkedRequest};
use super::parts::Parts;
use super::peer_check::{Refused, check_tcp_peer};
use super::peer_connections::room_for_connection;
use super::reply::ReplyForm;
use super::types::PeerAddr;
use taciturn_stun::{ErrorCode, Family, canonical_ip};

/// RFC 6062 section 5.2: a peer has at least 30 seconds to answer.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// Begins a connection to a peer, and parks the request until the peer has answered, unless this
/// fails.
pub(super) fn connect<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    form: &ReplyForm,
) -> Answer {
    let mismatch = |detail| Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail);
    let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
    let exists = || Failure::new(ErrorCode::CONNECTION_ALREADY_EXISTS, "");
    let Request { client, message, .. } = request;
    let Parts { settings, rules, allocations, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.entry_of(client) else {
        return Err(mismatch("There is no allocation"));
    };
    let Some(tcp) = entry.tcp() else {
        return Err(mismatch("The allocation is one for UDP"));
    };
    let peer = message.peer()?.ok_or_else(|| bad("XOR-PEER-ADDRESS is missing"))?;
    if peer.port() == 0 {
        return Err(bad("No peer has port 0"));
    }
    let peer = PeerAddr(SocketAddr::new(canonical_ip(peer.ip()), peer.port()));
    if tcp.has(peer) {
        return Err(exists());
    }
    let Some(relay) = entry.relay(Family::of(peer.0.ip())) else {
        return Err(Failure::new(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, ""));
    };
    let (relay, own) = (relay.id, relay.public);
    let checked = match check_tcp_peer(settings, rules, entry.peers(&rules.peers), peer.0) {
        // Nobody is its own peer: the kernel would join the socket with itself.
        Ok(_) if own == peer.0 => Err(Refused::ITSELF),
        checked => checked,
    };
    let destination = checked.map_err(|Refused { refusal, remedy }| {
        let (client, peer) = (*client, peer.0);
        cx.outside.event(Event::PeerRefused { client, peer, refusal, remedy });
        Failure::new(ErrorCode::FORBIDDEN, "")
    })?;
    let ticket = room_for_connection(settings, &rules.connection_ids, &mut entry, cx.outside)?;
    // A peer that was connected before counts again: nothing else bounds who tries ports.
    admit_new_peers(rules, cx.now.tick, &entry, 1)?;
    match cx.outside.connect_peer(entry.id(), relay, ticket.id(), destination) {
        Ok(()) => {}
        Err(ConnectError::Unreachable) => {
            return Err(Failure::new(ErrorCode::CONNECTION_TIMEOUT, ""));
        }
        Err(ConnectError::Impossible) => {
            let detail = "No socket to be had";
            return Err(Failure::new(ErrorCode::INSUFFICIENT_CAPACITY, detail));
        }
    }
    let (user, form) = (entry.username.clone(), form.clone());
    let answered = Answered { client: *client, user, form };
    let request = ParkedRequest::Answered(Box::new(answered));
    let stage = Stage::Connecting { request, until: cx.now.tick + CONNECT_TIME };
    entry.add_connection(PeerConnection { ticket, peer, stage });
    Ok(())
}
