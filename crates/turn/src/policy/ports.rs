//! Relay ports: which are free, and which one comes next.

mod free;
mod range;
mod reservations;
mod shares;
pub(super) mod snapshot;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::free::Rest;
pub use self::free::Wish;
pub use self::range::{PortRange, PortRangeError};
use self::reservations::Reservations;
use self::shares::Shares;
use crate::clock::Tick;
use crate::tenant::TenantName;
use crate::user::UserId;
use taciturn_stun::Family;

/// How long a port that was used rests: packets of its former peers may still arrive.
pub const PORT_QUARANTINE: Duration = Duration::from_secs(120);

/// A port that some other process holds is not tried again for this long.
const TAKEN_ELSEWHERE: Duration = Duration::from_secs(10);

/// Why there is no port. The answer is 508 in each case (RFC 8656 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Every port that fits is taken.
    #[error("no free relay port")]
    Exhausted,
    /// The last free ports are kept for others.
    #[error("the last free relay ports are kept for users without one")]
    Kept,
    /// No such reservation, or it has run out, or another user made it.
    #[error("no such reservation")]
    UnknownToken,
}

/// The relay ports of both families, shared by all shards. It is asked when an allocation begins
/// and ends, never for a packet; what packets ask ([`PortPool::is_live`]) takes no lock.
#[derive(Debug)]
pub struct PortPool {
    range: PortRange,
    /// Milliseconds.
    quarantine: AtomicU64,
    families: [Mutex<Ports>; 2],
    /// One bit for each port there is: an allocation has its UDP socket open. Not of the range alone: an allocation that
    /// another process had may be outside of it.
    live: [Box<[AtomicU64]>; 2],
    /// The same for sockets that listen for TCP connections.
    live_tcp: [Box<[AtomicU64]>; 2],
}

/// The ports of one family.
#[derive(Debug)]
struct Ports {
    free: Shares,
    reservations: Reservations,
}

impl PortPool {
    /// All ports of `range`, in both families, free. A port that was used rests for `quarantine`.
    #[must_use]
    pub fn new(range: PortRange, quarantine: Duration) -> Self {
        let ports = || {
            let (free, reservations) = (Shares::all_of(range), Reservations::default());
            Mutex::new(Ports { free, reservations })
        };
        let bits = || (0..1024).map(|_| AtomicU64::new(0)).collect();
        let (live, live_tcp) = ([bits(), bits()], [bits(), bits()]);
        let quarantine = AtomicU64::new(millis(quarantine));
        Self { range, quarantine, families: [ports(), ports()], live, live_tcp }
    }

    /// Has ports that are given back from now on rest for so long.
    pub fn set_quarantine(&self, quarantine: Duration) {
        self.quarantine.store(millis(quarantine), Ordering::Relaxed);
    }

    /// The whole range.
    #[must_use]
    pub const fn range(&self) -> PortRange {
        self.range
    }

    /// How many ports of a family are leased or reserved.
    #[must_use]
    pub fn used(&self, family: Family) -> u32 {
        self.range.len() - self.lock(family).free.count()
    }

    #[cfg(test)]
    pub(crate) fn reserved(&self, family: Family) -> usize {
        self.lock(family).reservations.len()
    }

    /// Gives tenants ports of the range for themselves, from which all they lease from now on comes; all others lease
    /// what is left. Nothing that is leased or reserved changes.
    pub fn set_shares(&self, shares: &[(TenantName, PortRange)]) {
        for family in [Family::V4, Family::V6] {
            self.lock(family).free.set(shares);
        }
    }

    /// Each tenant that has ports of a family for itself: how many, and how many of them are leased or reserved.
    #[must_use]
    pub fn shares(&self, family: Family) -> Vec<(TenantName, u32, u32)> {
        let ports = self.lock(family);
        let all = ports.free.own();
        all.map(|(tenant, size, free)| (tenant.clone(), size, size.saturating_sub(free))).collect()
    }

    /// How many ports of a family a tenant's are taken from.
    #[must_use]
    pub fn size(&self, family: Family, tenant: &TenantName) -> u32 {
        self.lock(family).free.size(tenant)
    }

    /// Leases a port for the default tenant, as [`lease_for`](Self::lease_for).
    ///
    /// # Errors
    /// As that.
    pub fn lease(
        self: &Arc<Self>,
        family: Family,
        wish: Wish,
        keep: u32,
        random: u32,
        now: Tick,
    ) -> Result<PortLease, LeaseError> {
        self.lease_for(&TenantName::default(), family, wish, keep, random, now)
    }

    /// Leases a port: of those that fit and have rested the one that `random` says, so the choice is
    /// as random as that. They are the tenant's own, if it has some. `keep` free ports among them are left over, besides
    /// what the wish needs.
    ///
    /// Where none has rested, the one that has rested longest is given rather than none: otherwise one
    /// user who comes and goes could have all others refused, with fewer requests than there are
    /// ports. What a former peer still sends then finds the new client's permissions in its way.
    ///
    /// # Errors
    /// When no port fits the wish, or no more than those to keep are free.
    //= 8656-6-unique-relayed
    pub fn lease_for(
        self: &Arc<Self>,
        tenant: &TenantName,
        family: Family,
        wish: Wish,
        keep: u32,
        random: u32,
        now: Tick,
    ) -> Result<PortLease, LeaseError> {
        let mut ports = self.lock(family);
        ports.end_reservations(now);
        let free = ports.free.of(tenant);
        let port = free.choose(wish, random, now).ok_or(LeaseError::Exhausted)?;
        let needed = if wish == Wish::EvenAndNext { 2 } else { 1 };
        if free.count() < keep.saturating_add(needed) && keep > 0 {
            return Err(LeaseError::Kept);
        }
        let rest = ports.free.take(port).ok_or(LeaseError::Exhausted)?;
        Ok(self.leased(family, port, rest))
    }

    fn leased(self: &Arc<Self>, family: Family, port: u16, rest: Rest) -> PortLease {
        PortLease { pool: Arc::clone(self), family, port, rest, outside: false }
    }

    /// Leases this very port, rested or not; `None` where it is not free.
    #[must_use]
    pub fn claim(self: &Arc<Self>, family: Family, port: u16, now: Tick) -> Option<PortLease> {
        let mut ports = self.lock(family);
        ports.end_reservations(now);
        let rest = ports.free.take(port)?;
        Some(self.leased(family, port, rest))
    }

    /// Reserves the port after that of `lease` for `user`, under `token`.
    ///
    /// # Errors
    /// When that port is not free (any more) or not of the same tenant, or the user holds too many reservations.
    pub fn reserve_next(
        &self,
        lease: &PortLease,
        token: [u8; 8],
        user: &UserId,
        now: Tick,
    ) -> Result<(), LeaseError> {
        let next = lease.port.checked_add(1).ok_or(LeaseError::Exhausted)?;
        let mut ports = self.lock(lease.family);
        ports.end_reservations(now);
        if !ports.reservations.may_add(token, user) || !ports.free.are_of_one(lease.port, next) {
            return Err(LeaseError::Exhausted);
        }
        let rest = ports.free.take(next).ok_or(LeaseError::Exhausted)?;
        ports.reservations.add(token, user, next, rest, now);
        Ok(())
    }

    /// Turns the reservation of `token` into a lease, for the user that made it. Tokens of both
    /// families are known.
    ///
    /// # Errors
    /// When there is no such reservation.
    //= 8656-7.2-token-any-five-tuple
    pub fn redeem(
        self: &Arc<Self>,
        token: [u8; 8],
        user: &UserId,
        now: Tick,
    ) -> Result<PortLease, LeaseError> {
        for family in [Family::V4, Family::V6] {
            let mut ports = self.lock(family);
            ports.end_reservations(now);
            if let Some((port, rest)) = ports.reservations.redeem(token, user) {
                return Ok(self.leased(family, port, rest));
            }
        }
        Err(LeaseError::UnknownToken)
    }

    /// Whether `port` belongs to an allocation whose UDP socket is open. No lock.
    #[must_use]
    pub fn is_live(&self, family: Family, port: u16) -> bool {
        self.is_set(&self.live[family as usize], port)
    }

    /// Whether an allocation listens for TCP connections on `port`. No lock.
    #[must_use]
    pub fn is_live_for_tcp(&self, family: Family, port: u16) -> bool {
        self.is_set(&self.live_tcp[family as usize], port)
    }

    fn is_set(&self, bits: &[AtomicU64], port: u16) -> bool {
        bit(bits, port).is_some_and(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
    }

    fn set_live(&self, bits: &[AtomicU64], port: u16, live: bool) {
        if let Some((word, mask)) = bit(bits, port) {
            if live {
                word.fetch_or(mask, Ordering::Relaxed);
            } else {
                word.fetch_and(!mask, Ordering::Relaxed);
            }
        }
    }

    fn lock(&self, family: Family) -> MutexGuard<'_, Ports> {
        self.families[family as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bit(bits: &[AtomicU64], port: u16) -> Option<(&AtomicU64, u64)> {
    Some((bits.get(usize::from(port / 64))?, 1 << (port % 64)))
}

impl Ports {
    /// Gives back what nobody has come for.
    fn end_reservations(&mut self, now: Tick) {
        while let Some((port, rest)) = self.reservations.next_over(now) {
            self.free.give_back(port, rest);
        }
    }
}

/// A leased port; given back when dropped.
#[derive(Debug)]
pub struct PortLease {
    pool: Arc<PortPool>,
    family: Family,
    port: u16,
    /// What the port still has to rest, once it is given back.
    rest: Rest,
    /// Whether it is not of the range any more: it is given back to nobody.
    outside: bool,
}

impl PortLease {
    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Says that the UDP socket on it is open: peers that are this server's own relayed addresses
    /// are recognised by it.
    pub fn set_live(&mut self) {
        self.pool.set_live(&self.pool.live[self.family as usize], self.port, true);
    }

    /// The same for a socket that listens for TCP connections.
    pub fn set_live_for_tcp(&mut self) {
        self.pool.set_live(&self.pool.live_tcp[self.family as usize], self.port, true);
    }

    /// Gives the port back after use: it goes into quarantine.
    pub fn retire(mut self, now: Tick) {
        let quarantine = Duration::from_millis(self.pool.quarantine.load(Ordering::Relaxed));
        self.rest = Rest::used((now + quarantine).max(self.rest.until()));
    }

    /// Gives the port back because some other process holds it.
    pub fn taken_elsewhere(mut self, now: Tick) {
        self.rest = Rest::elsewhere((now + TAKEN_ELSEWHERE).max(self.rest.until()));
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        for live in [&self.pool.live, &self.pool.live_tcp] {
            self.pool.set_live(&live[self.family as usize], self.port, false);
        }
        if self.outside {
            return;
        }
        self.pool.lock(self.family).free.give_back(self.port, self.rest);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
