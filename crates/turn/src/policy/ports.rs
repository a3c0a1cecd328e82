//! Relay ports: which are free, and which one comes next.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Tick;
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

//= 8656-7.2-reservation-30-s
/// RFC 8656 section 7.2: a reserved port is held for at least 30 seconds.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// How many ports one user holds reserved at a time. A reservation outlives its allocation, so the
/// quota of allocations does not bound them.
const RESERVATIONS_PER_USER: usize = 32;

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
    slots: Box<[Slot]>,
    free: u32,
    reservations: HashMap<[u8; 8], Reservation>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Free(Rest),
    Leased,
    /// Held for who brings the token, until it runs out.
    Reserved,
}

/// Until when a free port is better not used, and why. Ordered as ports are chosen where none has
/// rested: of the used ones the one whose last use is longest ago, and last of all those where a
/// socket was not to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rest {
    /// Some other process had it a moment ago.
    elsewhere: bool,
    until: Tick,
}

impl Rest {
    fn is_over(self, now: Tick) -> bool {
        self.until <= now
    }
}

#[derive(Debug)]
struct Reservation {
    port: u16,
    user: Box<str>,
    expires: Tick,
    /// Of the port before it was reserved.
    rest: Rest,
}

impl PortPool {
    /// All ports of `range`, in both families, free. A port that was used rests for `quarantine`.
    #[must_use]
    pub fn new(range: PortRange, quarantine: Duration) -> Self {
        let slots = vec![Slot::Free(Rest::default()); range.len() as usize].into_boxed_slice();
        let ports = || {
            Mutex::new(Ports {
                slots: slots.clone(),
                free: range.len(),
                reservations: HashMap::new(),
            })
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
        self.range.len() - self.lock(family).free
    }

    #[cfg(test)]
    pub(crate) fn reserved(&self, family: Family) -> usize {
        self.lock(family).reservations.len()
    }

    /// Leases a port. The choice starts at `random`, so it is as random as that. Ports in
    /// quarantine come last, the one that has rested longest first. `keep` free ports of the family
    /// are left over, besides what the wish needs.
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
        ports.drop_reservations(self.range, |reservation| reservation.expires <= now);
        let (port, rest) =
            ports.choose(self.range, wish, random, now).ok_or(LeaseError::Exhausted)?;
        let needed = if wish == Wish::EvenAndNext { 2 } else { 1 };
        if ports.free < keep.saturating_add(needed) && keep > 0 {
            return Err(LeaseError::Kept);
        }
        ports.set(self.range, port, Slot::Leased);
        Ok(PortLease { pool: Arc::clone(self), family, port, rest })
    }

    /// Reserves the port after that of `lease` for `user`, under `token`.
    ///
    /// # Errors
    /// When that port is not free (any more), or the user holds too many reservations.
    pub fn reserve_next(
        &self,
        lease: &PortLease,
        token: [u8; 8],
        user: &str,
        now: Tick,
    ) -> Result<(), LeaseError> {
        let next = lease.port.checked_add(1).ok_or(LeaseError::Exhausted)?;
        let mut ports = self.lock(lease.family);
        ports.drop_reservations(self.range, |reservation| reservation.expires <= now);
        let held = ports.reservations.values().filter(|held| *held.user == *user).count();
        let rest = ports.rest_of(self.range, next).ok_or(LeaseError::Exhausted)?;
        if held >= RESERVATIONS_PER_USER {
            return Err(LeaseError::Exhausted);
        }
        // A token that is in use already: the client tries again with another.
        let Entry::Vacant(place) = ports.reservations.entry(token) else {
            return Err(LeaseError::Exhausted);
        };
        let expires = now + RESERVATION_LIFETIME;
        place.insert(Reservation { port: next, user: user.into(), expires, rest });
        ports.set(self.range, next, Slot::Reserved);
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
        user: &str,
        now: Tick,
    ) -> Result<PortLease, LeaseError> {
        for family in [Family::V4, Family::V6] {
            let mut ports = self.lock(family);
            ports.drop_reservations(self.range, |reservation| reservation.expires <= now);
            if ports.reservations.get(&token).is_some_and(|found| *found.user == *user)
                && let Some(found) = ports.reservations.remove(&token)
            {
                ports.set(self.range, found.port, Slot::Leased);
                return Ok(PortLease {
                    pool: Arc::clone(self),
                    family,
                    port: found.port,
                    rest: found.rest,
                });
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
    fn choose(&self, range: PortRange, wish: Wish, random: u32, now: Tick) -> Option<(u16, Rest)> {
        let start = random % range.len();
        let mut tired = None;
        for n in 0..range.len() {
            let offset = (start + n) % range.len();
            let Some(&Slot::Free(rest)) = self.slots.get(offset as usize) else { continue };
            // SAFE: first + offset <= last, which is a u16.
            #[allow(clippy::cast_possible_truncation)]
            let port = range.first + offset as u16;
            let left = |rest: Rest| if rest.is_over(now) { Rest::default() } else { rest };
            // Of a pair the one that needs more rest counts.
            let worst = match wish {
                Wish::Any => Some(left(rest)),
                //= 8656-7.2-even-port
                Wish::Even => port.is_multiple_of(2).then(|| left(rest)),
                Wish::EvenAndNext if port.is_multiple_of(2) && port < range.last => {
                    self.rest_of(range, port + 1).map(|next| left(next).max(left(rest)))
                }
                Wish::EvenAndNext => None,
            };
            let Some(worst) = worst else { continue };
            if worst == Rest::default() {
                return Some((port, rest));
            }
            if tired.is_none_or(|(best, _, _)| worst < best) {
                tired = Some((worst, port, rest));
            }
        }
        tired.map(|(_, port, rest)| (port, rest))
    }

    /// How long a port rests; `None` unless it is free.
    fn rest_of(&self, range: PortRange, port: u16) -> Option<Rest> {
        let slot = port.checked_sub(range.first).and_then(|n| self.slots.get(usize::from(n)));
        match slot {
            Some(Slot::Free(rest)) => Some(*rest),
            _ => None,
        }
    }

    fn set(&mut self, range: PortRange, port: u16, new: Slot) {
        let Some(offset) = port.checked_sub(range.first) else { return };
        let Some(slot) = self.slots.get_mut(usize::from(offset)) else { return };
        match (matches!(slot, Slot::Free(_)), matches!(new, Slot::Free(_))) {
            (true, false) => self.free -= 1,
            (false, true) => self.free += 1,
            _ => {}
        }
        *slot = new;
    }

    fn drop_reservations(&mut self, range: PortRange, over: impl Fn(&Reservation) -> bool) {
        if self.reservations.is_empty() {
            return;
        }
        let mut ports = Vec::new();
        self.reservations.retain(|_, reservation| {
            let keep = !over(reservation);
            if !keep {
                ports.push((reservation.port, reservation.rest));
            }
            keep
        });
        for (port, rest) in ports {
            self.set(range, port, Slot::Free(rest));
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
        self.rest = Rest { elsewhere: false, until: (now + quarantine).max(self.rest.until) };
    }

    /// Gives the port back because some other process holds it.
    pub fn taken_elsewhere(mut self, now: Tick) {
        let until = (now + TAKEN_ELSEWHERE).max(self.rest.until);
        self.rest = Rest { elsewhere: true, until };
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        for live in [&self.pool.live, &self.pool.live_tcp] {
            self.pool.set_live(&live[self.family as usize], self.port, false);
        }
        let free = Slot::Free(self.rest);
        self.pool.lock(self.family).set(self.pool.range, self.port, free);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
