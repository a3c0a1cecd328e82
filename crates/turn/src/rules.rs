//! What all shards share.

use std::sync::Arc;

use super::accounting::SessionIds;
use super::alternates::Alternates;
use super::auth::{Authenticator, NonceKeys};
use super::connection_ids::ConnectionIds;
use super::guests::Guests;
use super::mobile_allocations::MobileAllocations;
use super::policy::{
    AnswerLimit, Bans, FailureLimit, PeerPolicy, PortPool, Quota, RateLimits, RequestLimit,
    TenantPeers,
};
use super::tenant::TenantName;
use super::ticket::TicketKey;

/// What all shards share, and a reload replaces. Asked for requests; a relayed packet asks `rates`
/// and whether a port is live, which take no lock.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Credentials.
    pub authenticator: Arc<Authenticator>,
    /// Nonces.
    pub nonces: Arc<NonceKeys>,
    /// Peers.
    pub peers: Arc<PeerPolicy>,
    /// Peers of tenants.
    pub tenant_peers: Arc<TenantPeers>,
    /// Relay ports.
    pub ports: Arc<PortPool>,
    /// Allocations a user, and in all.
    pub quota: Arc<Quota>,
    /// Bytes, packets and new peers a second. The one rule that packets ask: without a lock, and
    /// only whether there are limits where there are none.
    pub rates: Arc<RateLimits>,
    /// Answers to sources that have proven nothing.
    pub answers: Arc<AnswerLimit>,
    /// Wrong credentials of one source.
    pub failures: Arc<FailureLimit>,
    /// Whom the operator has banned.
    pub bans: Arc<Bans>,
    /// Requests of one client without an allocation.
    pub requests: Arc<RequestLimit>,
    /// The peer connections of TCP allocations.
    pub connection_ids: Arc<ConnectionIds>,
    /// What tickets of mobility are sealed with.
    pub tickets: Arc<TicketKey>,
    /// Where the allocations are that may move.
    pub mobile: Arc<MobileAllocations>,
    /// Other servers of a fleet, for clients that cannot be served here.
    pub alternates: Arc<Alternates>,
    /// People who try out a call.
    pub guests: Arc<Guests>,
    /// Numbers for sessions, if their use is recorded.
    pub session_ids: Option<Arc<SessionIds>>,
}

impl Rules {
    /// The peer rules of a tenant; `None` of the default one, which has those of the server.
    pub(super) fn peers_of(&self, tenant: &TenantName) -> Option<Arc<PeerPolicy>> {
        self.tenant_peers.of(tenant, &self.peers)
    }
}
