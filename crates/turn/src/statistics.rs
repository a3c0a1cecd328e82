//! What a shard has done so far.

use super::auth::{NonceError, SecretHash};
use super::tenant_traffic::{TenantSlot, TenantTraffic};
use super::traffic::Traffic;
use super::types::Carrier;
use super::verdict::{DropReason, Verdict};

/// What a shard has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Requests answered, with whatever answer.
    pub answered: u64,
    /// Requests of strangers that were answered because they were repeated: the budget of all such
    /// answers was spent.
    pub answered_repeats: u64,
    /// Requests with a stale nonce (438), by [`NonceError`]. What else they hold is not judged.
    pub stale_nonces: [u64; NonceError::ALL.len()],
    /// Credentials of shared secrets that were good, by [`SecretHash`]. A request that the key of an allocation has
    /// proven is none.
    pub secrets: [u64; SecretHash::ALL.len()],
    /// What was relayed, by [`Carrier`] of the client. Connections of TCP allocations count when
    /// they end.
    pub relayed: [Traffic; Carrier::ALL.len()],
    /// How much of that was for each tenant.
    pub tenants: TenantTraffic,
}

impl Statistics {
    /// Counts what was decided about one packet.
    pub(super) fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Drop(reason) => {
                if let Some(count) = self.dropped.get_mut(*reason as usize) {
                    *count += 1;
                }
            }
            Verdict::Reply(_) | Verdict::ReplyFrom { .. } => self.answered += 1,
            Verdict::ToClient { .. } | Verdict::ToPeer { .. } | Verdict::Later => {}
        }
    }

    /// Counts a request with a stale nonce.
    pub(super) fn count_stale(&mut self, why: NonceError) {
        if let Some(count) = self.stale_nonces.get_mut(why as usize) {
            *count += 1;
        }
    }

    /// Counts a good credential of a shared secret.
    pub(super) fn count_secret(&mut self, hash: SecretHash) {
        if let Some(count) = self.secrets.get_mut(hash as usize) {
            *count += 1;
        }
    }

    /// Counts a packet of `len` bytes to a peer, of a client of this carrier and tenant.
    #[inline]
    pub(super) fn count_to_peer(&mut self, (carrier, tenant): (Carrier, TenantSlot), len: usize) {
        self.relayed[carrier as usize].count_to_peer(len);
        if let Some(of_tenant) = self.tenants.at(tenant) {
            of_tenant.count_to_peer(len);
        }
    }

    /// Counts a packet of `len` bytes to a client of this carrier and tenant.
    #[inline]
    pub(super) fn count_to_client(&mut self, (carrier, tenant): (Carrier, TenantSlot), len: u16) {
        self.relayed[carrier as usize].count_to_client(len);
        if let Some(of_tenant) = self.tenants.at(tenant) {
            of_tenant.count_to_client(len);
        }
    }

    /// Counts what was relayed elsewhere for a client of this carrier and tenant.
    pub(super) fn add_relayed(&mut self, (carrier, tenant): (Carrier, TenantSlot), more: Traffic) {
        self.relayed[carrier as usize].add(more);
        if let Some(of_tenant) = self.tenants.at(tenant) {
            of_tenant.add(more);
        }
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
            *mine += theirs;
        }
        self.answered += other.answered;
        self.answered_repeats += other.answered_repeats;
        for (mine, theirs) in self.stale_nonces.iter_mut().zip(other.stale_nonces) {
            *mine += theirs;
        }
        for (mine, theirs) in self.secrets.iter_mut().zip(other.secrets) {
            *mine += theirs;
        }
        for (mine, theirs) in self.relayed.iter_mut().zip(other.relayed) {
            mine.add(theirs);
        }
        self.tenants.add(&other.tenants);
    }
}
