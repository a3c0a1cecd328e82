//! ConnectionBind (RFC 6062 section 5.4).

use super::authenticate::Proven;
use super::connection_ids::Unbindable;
use super::context::{Context, Request};
use super::effects::Outside;
use super::event::Event;
use super::failure::{Answer, Failure};
use super::peer_check::{Refused, check_tcp_peer};
use super::rules::Rules;
use super::types::ConnectionId;
use super::user::UserId;
use taciturn_stun::ErrorCode;

/// Makes the connection that the request came by the data connection of a peer connection,
/// which may be one of another shard.
pub(super) fn connection_bind<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    proven: &Proven,
) -> Answer {
    let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
    let unknown = || bad("No connection of this CONNECTION-ID waits");
    let (client, message) = (request.client, request.message);
    if !client.via.is_tcp() {
        return Err(bad("ConnectionBind is for TCP and TLS"));
    }
    // RFC 6062 section 4.3: a data connection is not the control connection.
    if cx.parts.allocations.has(&client) {
        return Err(bad("This connection has an allocation: make another one"));
    }
    let id = message.connection_id()?.ok_or_else(|| bad("CONNECTION-ID is missing"))?;
    let id = ConnectionId(id);
    // Only an allocation of this connection's own would have proven the user without a grant.
    let Some(grant) = &proven.grant else { return Err(unknown()) };
    let Rules { authenticator, connection_ids, .. } = &cx.parts.rules;
    let is_its_user = |holder: &UserId| authenticator.is_same(&grant.username, holder);
    let peer = connection_ids.peer(id, is_its_user).map_err(|why| match why {
        Unbindable::Unknown => unknown(),
        // RFC 6062 section 4.3: the same credentials as on the control connection.
        Unbindable::NotYours => {
            let detail = "The connection belongs to another user";
            Failure::new(ErrorCode::WRONG_CREDENTIALS, detail)
        }
    })?;
    // The rules may have changed since.
    let rules = &cx.parts.rules;
    let of_tenant = rules.peers_of(grant.username.tenant());
    let peers = of_tenant.as_deref().unwrap_or(&rules.peers);
    let checked = check_tcp_peer(&cx.parts.settings, rules, peers, peer.0);
    if let Err(Refused { refusal, remedy }) = checked {
        cx.outside.event(Event::PeerRefused { client, peer: peer.0, refusal, remedy });
        return Err(Failure::new(ErrorCode::FORBIDDEN, ""));
    }
    if connection_ids.claim(id) && cx.outside.bind_peer(client, id) {
        Ok(())
    } else {
        Err(unknown())
    }
}
