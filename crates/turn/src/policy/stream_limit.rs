//! The rates of a TCP connection between a client and a peer.

use std::sync::Arc;
use std::time::Duration;

use super::intervals::{Exceeded, Scope};
use super::meter::{Counted, Direction, Meter};
use super::quota::{QuotaTicket, User};
use super::rates::{RateLimits, Spenders};
use super::tenants::Tenant;
use crate::clock::Tick;
use crate::user::UserId;

/// The limits as they hold for a TCP connection of one allocation, whose bytes no shard sees.
#[derive(Clone, Debug)]
pub struct StreamLimit {
    rates: Arc<RateLimits>,
    allocation: Arc<Meter>,
    user: Arc<User>,
}

impl StreamLimit {
    /// Of an allocation that has spent this, and its user.
    #[must_use]
    pub fn new(rates: &Arc<RateLimits>, allocation: &Arc<Meter>, ticket: &QuotaTicket) -> Self {
        let (rates, allocation) = (Arc::clone(rates), Arc::clone(allocation));
        Self { rates, allocation, user: Arc::clone(ticket.holder()) }
    }

    /// Takes `len` bytes, or answers how long to wait and for which limit. Streams have no packets:
    /// the limits of those do not hold for them.
    ///
    /// # Errors
    /// With the limit that is reached, and when it will not be any more.
    pub fn take(
        &self,
        now: Tick,
        direction: Direction,
        len: usize,
    ) -> Result<(), (Exceeded, Duration)> {
        if !self.rates.is_on() {
            return Ok(());
        }
        let spenders = Spenders {
            allocation: &self.allocation,
            user: self.user.meter(),
            tenant: self.user.tenant(),
        };
        self.rates.take(now, direction, &[(Counted::Bytes, len as u64)], spenders)
    }

    /// The user, where the log should hear of a limit that slows its streams.
    #[must_use]
    pub fn to_be_told(&self, now: Tick, exceeded: Exceeded) -> Option<&UserId> {
        let meter = match exceeded.scope {
            Scope::Allocation => &*self.allocation,
            Scope::User => self.user.meter(),
            Scope::Tenant => self.user.tenant().map_or_else(|| self.rates.all(), Tenant::meter),
            Scope::All => self.rates.all(),
        };
        meter.hold_back(now).map(|_| self.user.id())
    }
}
