//! What the functions work on that handle requests, packets and orders.

use super::auth::RealmId;
use super::clock::Now;
use super::parts::Parts;
use super::types::Client;
use taciturn_stun::Message;

/// One call of a shard: when it is, the shard's parts, and what is outside.
pub(super) struct Context<'a, O> {
    pub(super) now: Now,
    pub(super) parts: &'a mut Parts,
    pub(super) outside: &'a mut O,
}

/// A request on its way through the handlers.
pub(super) struct Request<'a> {
    pub(super) client: Client,
    pub(super) message: &'a Message<'a>,
    /// What its credential is judged in.
    pub(super) realm: RealmId,
}
