//! Relay ports: which are free, and which one comes next.

mod free;
mod reservations;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::free::{FreePorts, Rest};
use self::reservations::Reservations;
use crate::clock::Tick;
use crate::user::UserId;
use taciturn_stun::Family;

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is no port range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// Not two numbers with a hyphen between.
    #[error("a port range looks like \"59000-60100\"")]
    Syntax,
    /// The first port is after the last.
    #[error("the first port, {first}, is greater than the last, {last}")]
    Reversed {
        /// As found.
        first: u16,
        /// As found.
        last: u16,
    },
    /// Ports below 1024 belong to other services.
    #[error("relay ports below 1024 are not allowed")]
    Privileged,
}

impl PortRange {
    /// The default: what the coturn set-ups for Matrix that this server replaces have open.
    pub const DEFAULT: Self = Self { first: 59000, last: 60100 };

    /// A range from `first` to `last`, both included.
    ///
    /// # Errors
    /// When it is empty or reaches below 1024.
    //= 8656-7.2-port-range, 8656-7.2-no-well-known-ports
    pub const fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        if first > last {
            return Err(PortRangeError::Reversed { first, last });
        }
        if first < 1024 {
            return Err(PortRangeError::Privileged);
        }
        Ok(Self { first, last })
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports there are; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Whether `port` lies in it.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').ok_or(PortRangeError::Syntax)?;
        let port = |s: &str| s.trim().parse::<u16>().map_err(|_| PortRangeError::Syntax);
        Self::new(port(first)?, port(last)?)
    }
}

/// How long a port that was used rests: packets of its former peers may still arrive.
pub const PORT_QUARANTINE: Duration = Duration::from_secs(120);

/// A port that some other process holds is not tried again for this long.
const TAKEN_ELSEWHERE: Duration = Duration::from_secs(10);

/// Which port an allocation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Any.
    Any,
    /// An even one (EVEN-PORT).
    Even,
    /// An even one whose next is free, which is reserved (EVEN-PORT with the R bit).
    EvenAndNext,
}

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
    /// One bit a port: an allocation has its UDP socket open.
    live: [Box<[AtomicU64]>; 2],
    /// The same for sockets that listen for TCP connections.
    live_tcp: [Box<[AtomicU64]>; 2],
}

/// The ports of one family.
#[derive(Debug)]
struct Ports {
    free: FreePorts,
    reservations: Reservations,
}

impl PortPool {
    /// All ports of `range`, in both families, free. A port that was used rests for `quarantine`.
    #[must_use]
    pub fn new(range: PortRange, quarantine: Duration) -> Self {
        let ports = || {
            let (free, reservations) = (FreePorts::all_of(range), Reservations::default());
            Mutex::new(Ports { free, reservations })
        };
        let bits = || (0..range.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (live, live_tcp) = ([bits(), bits()], [bits(), bits()]);
        let quarantine = AtomicU64::new(millis(quarantine));
        Self { range, quarantine, families: [ports(), ports()], live, live_tcp }
    }

    /// Takes over the quarantine of `other`, for ports that are given back from now on.
    pub fn follow(&self, other: &Self) {
        self.quarantine.store(other.quarantine.load(Ordering::Relaxed), Ordering::Relaxed);
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

    /// Leases a port: of those that fit and have rested the one that `random` says, so the choice is
    /// as random as that. `keep` free ports of the family are left over, besides what the wish needs.
    ///
    /// Where none has rested, the one that has rested longest is given rather than none: otherwise one
    /// user who comes and goes could have all others refused, with fewer requests than there are
    /// ports. What a former peer still sends then finds the new client's permissions in its way.
    ///
    /// # Errors
    /// When no port fits the wish, or no more than those to keep are free.
    //= 8656-6-unique-relayed
    pub fn lease(
        self: &Arc<Self>,
        family: Family,
        wish: Wish,
        keep: u32,
        random: u32,
        now: Tick,
    ) -> Result<PortLease, LeaseError> {
        let mut ports = self.lock(family);
        ports.end_reservations(now);
        let port = ports.free.choose(wish, random, now).ok_or(LeaseError::Exhausted)?;
        let needed = if wish == Wish::EvenAndNext { 2 } else { 1 };
        if ports.free.count() < keep.saturating_add(needed) && keep > 0 {
            return Err(LeaseError::Kept);
        }
        let rest = ports.free.take(port).ok_or(LeaseError::Exhausted)?;
        Ok(PortLease { pool: Arc::clone(self), family, port, rest })
    }

    /// Leases this very port, rested or not; `None` where it is not free.
    #[must_use]
    pub fn claim(self: &Arc<Self>, family: Family, port: u16, now: Tick) -> Option<PortLease> {
        let mut ports = self.lock(family);
        ports.end_reservations(now);
        let rest = ports.free.take(port)?;
        Some(PortLease { pool: Arc::clone(self), family, port, rest })
    }

    /// Reserves the port after that of `lease` for `user`, under `token`.
    ///
    /// # Errors
    /// When that port is not free (any more), or the user holds too many reservations.
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
        if !ports.reservations.may_add(token, user) {
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
                return Ok(PortLease { pool: Arc::clone(self), family, port, rest });
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
        self.bit(bits, port).is_some_and(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
    }

    fn bit<'a>(&self, bits: &'a [AtomicU64], port: u16) -> Option<(&'a AtomicU64, u64)> {
        let index = port.checked_sub(self.range.first)?;
        Some((bits.get(usize::from(index / 64))?, 1 << (index % 64)))
    }

    fn set_live(&self, bits: &[AtomicU64], port: u16, live: bool) {
        if let Some((word, mask)) = self.bit(bits, port) {
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
        self.pool.lock(self.family).free.give_back(self.port, self.rest);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
