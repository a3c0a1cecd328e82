//! ConnectionBind (RFC 6062 section 5.4).

use super::authenticate::Proven;
use super::connection_ids::Unbindable;
use super::outside::{Event, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::types::ConnectionId;
use crate::user::UserId;
use taciturn_stun::{ErrorCode, LongTermKey, Message, Method};

impl Shard {
    /// Makes the connection that the request came by the data connection of a peer connection,
    /// which may be one of another shard.
    pub(super) fn connection_bind(
        &mut self,
        request: &Request<'_>,
        proven: &Proven,
        outside: &mut impl Outside,
    ) -> Answer {
        let bad = |detail| Failure::new(ErrorCode::BAD_REQUEST, detail);
        let unknown = || bad("No connection of this CONNECTION-ID waits");
        let (client, message) = (request.client, request.message);
        if !client.via.is_tcp() {
            return Err(bad("ConnectionBind is for TCP and TLS"));
        }
        // RFC 6062 section 4.3: a data connection is not the control connection.
        if self.has_allocation(&client) {
            return Err(bad("This connection has an allocation: make another one"));
        }
        let id = message.connection_id()?.ok_or_else(|| bad("CONNECTION-ID is missing"))?;
        let id = ConnectionId(id);
        // Only an allocation of this connection's own would have proven the user without a grant.
        let Some(grant) = &proven.grant else { return Err(unknown()) };
        let is_its_user =
            |holder: &UserId| self.rules.authenticator.is_same(&grant.username, holder);
        let peer = self.rules.connection_ids.peer(id, is_its_user).map_err(|why| match why {
            Unbindable::Unknown => unknown(),
            // RFC 6062 section 4.3: the same credentials as on the control connection.
            Unbindable::NotYours => {
                let detail = "The connection belongs to another user";
                Failure::new(ErrorCode::WRONG_CREDENTIALS, detail)
            }
        })?;
        // The rules may have changed since.
        if let Err(refusal) = self.judge_tcp_peer(peer.0) {
            outside.event(Event::PeerRefused { client, peer: peer.0.ip(), refusal });
            return Err(Failure::new(ErrorCode::FORBIDDEN, ""));
        }
        if self.rules.connection_ids.claim(id) && outside.bind_peer(client, id) {
            Ok(())
        } else {
            Err(unknown())
        }
    }

    /// User and key of the allocation that a ConnectionBind request is about, where the request was
    /// sent in the name of that user. It stays good for as long as the allocation lives.
    pub(super) fn key_of_waiting(
        &self,
        message: &Message<'_>,
        username: &str,
    ) -> Option<(UserId, LongTermKey)> {
        if message.method() != Method::CONNECTION_BIND {
            return None;
        }
        let id = ConnectionId(message.connection_id().ok()??);
        self.rules.connection_ids.key(id, username)
    }
}
