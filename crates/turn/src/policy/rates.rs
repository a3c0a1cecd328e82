//! How much may be relayed in a second: by one allocation, by one user, and in all.
//!
//! Each limit is a bucket that holds one second's worth (three of new peers, ten of allocations). It is spent in
//! advance: whatever fits begins, so that no packet is too large for a low limit, and the next waits
//! until that much time has passed. A bucket is one number, when it is whole again (the generic cell
//! rate algorithm), so judging is of constant time, without a lock. It is kept in time, not in
//! bytes: another limit takes it over as it is.
//= 8656-5-bandwidth

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::meter::{Counted, Direction, Meter};
use crate::clock::Tick;

/// Intervals are counted in parts of a nanosecond: 2^16 of them.
const FRACTION_BITS: u32 = 16;

/// Whom a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One allocation.
    Allocation,
    /// All allocations of one user.
    User,
    /// All allocations.
    All,
}

/// One limit of each scope, a second. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Each {
    /// For one allocation.
    pub allocation: u32,
    /// For one user.
    pub user: u32,
    /// In all.
    pub in_all: u32,
}

/// The limits as they are configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Bytes of application data, in each direction.
    pub bytes: Each,
    /// Packets, in each direction.
    pub packets: Each,
    /// New peers.
    pub new_peers: Each,
    /// New allocations. That of a user is the only one there is.
    pub allocations: Each,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub counted: Counted,
}

/// What one unit costs, in parts of a nanosecond; 0 is no limit.
const fn interval_of(per_second: u32) -> u64 {
    let second = 1_000_000_000_u64 << FRACTION_BITS;
    // Rounded up here and below: what is over does not become another packet.
    if per_second == 0 { 0 } else { second.div_ceil(per_second as u64) }
}

/// The limits in force, and what has been spent in all. Shared by all shards.
#[derive(Debug)]
pub struct RateLimits {
    /// Whether any limit is for packets: most servers have none.
    on: AtomicBool,
    /// What one unit costs of each scope, in parts of a nanosecond; 0 is no limit.
    intervals: [[AtomicU64; 3]; 4],
    all: Meter,
}

const SCOPES: [Scope; 3] = [Scope::Allocation, Scope::User, Scope::All];

impl RateLimits {
    /// With these limits, nothing spent.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        let limits = Self {
            on: AtomicBool::new(false),
            intervals: Default::default(),
            all: Meter::default(),
        };
        limits.set(rates);
        limits
    }

    /// Has other limits hold, at once and for everybody. What is spent is spent.
    pub fn set(&self, rates: Rates) {
        let Rates { bytes, packets, new_peers, allocations } = rates;
        for (each, mine) in [bytes, packets, new_peers, allocations].iter().zip(&self.intervals) {
            let per_second = [each.allocation, each.user, each.in_all];
            for (interval, per_second) in mine.iter().zip(per_second) {
                interval.store(interval_of(per_second), Relaxed);
            }
        }
        self.on.store((bytes, packets) != (Each::default(), Each::default()), Relaxed);
    }

    /// Whether packets are to be judged at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// The meter of all.
    #[must_use]
    pub const fn all(&self) -> &Meter {
        &self.all
    }

    fn interval(&self, counted: Counted, scope: Scope) -> u64 {
        self.intervals[counted as usize][scope as usize].load(Relaxed)
    }

    /// Takes a packet of `len` bytes out of every bucket, or out of none.
    ///
    /// # Errors
    /// With the limit that is reached.
    pub fn packet(
        &self,
        now: Tick,
        direction: Direction,
        len: usize,
        allocation: &Meter,
        user: &Meter,
    ) -> Result<(), Exceeded> {
        let costs = [(Counted::Bytes, len as u64), (Counted::Packets, 1)];
        let meters = [allocation, user, &self.all];
        self.take(now, direction, &costs, meters).map_err(|(exceeded, _)| exceeded)
    }

    /// Takes packets that were relayed elsewhere, and their bytes, out of every bucket, whatever is left.
    pub fn charge(
        &self,
        now: Tick,
        direction: Direction,
        (packets, bytes): (u64, u64),
        allocation: &Meter,
        user: &Meter,
    ) {
        let costs = [(Counted::Bytes, bytes), (Counted::Packets, packets)];
        self.charge_all(now, direction, &costs, [allocation, user, &self.all]);
    }

    /// Takes `count` new peers out of both buckets, or out of none.
    ///
    /// # Errors
    /// With the limit that is reached.
    pub fn new_peers(
        &self,
        now: Tick,
        count: usize,
        allocation: &Meter,
        user: &Meter,
    ) -> Result<(), Exceeded> {
        let costs = [(Counted::NewPeers, count as u64)];
        let meters = [allocation, user, &self.all];
        self.take(now, Direction::ToPeers, &costs, meters).map_err(|(exceeded, _)| exceeded)
    }

    /// Takes one new allocation out of the user's bucket.
    ///
    /// # Errors
    /// With the limit that is reached.
    pub fn allocation(&self, now: Tick, user: &Meter) -> Result<(), Exceeded> {
        // One that is to be made has spent nothing of its own.
        let meters = [&Meter::default(), user, &self.all];
        let costs = [(Counted::Allocations, 1)];
        self.take(now, Direction::ToPeers, &costs, meters).map_err(|(exceeded, _)| exceeded)
    }

    /// Another worker may take between the look and the charge. So a limit can be overdrawn by a
    /// packet of each, which is then paid back like any other.
    pub(super) fn take(
        &self,
        now: Tick,
        direction: Direction,
        costs: &[(Counted, u64)],
        meters: [&Meter; 3],
    ) -> Result<(), (Exceeded, Duration)> {
        for (scope, meter) in SCOPES.into_iter().zip(meters) {
            for &(counted, _) in costs {
                if self.interval(counted, scope) == 0 {
                    continue;
                }
                let left = meter.spent_for(now, counted, direction);
                if left > 0 {
                    return Err((Exceeded { scope, counted }, Duration::from_nanos(left)));
                }
            }
        }
        self.charge_all(now, direction, costs, meters);
        Ok(())
    }

    fn charge_all(
        &self,
        now: Tick,
        direction: Direction,
        costs: &[(Counted, u64)],
        meters: [&Meter; 3],
    ) {
        for (scope, meter) in SCOPES.into_iter().zip(meters) {
            for &(counted, units) in costs {
                let interval = self.interval(counted, scope);
                if interval > 0 {
                    let nanos = units.saturating_mul(interval).div_ceil(1 << FRACTION_BITS);
                    meter.charge(now, counted, direction, nanos);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut Rates)) -> RateLimits {
        let mut rates = Rates::default();
        change(&mut rates);
        RateLimits::new(rates)
    }

    /// Packets of `len` bytes that pass among 10,000 at one moment.
    fn pass(limits: &RateLimits, at: u64, len: usize, meters: (&Meter, &Meter)) -> usize {
        let one = |_: &usize| {
            limits.packet(Tick(at), Direction::ToPeers, len, meters.0, meters.1).is_ok()
        };
        (0..10_000).filter(one).count()
    }

    #[test]
    fn a_second_s_worth_at_once_and_then_the_rate() {
        let limits = limits(|rates| rates.bytes.allocation = 100_000);
        let (allocation, user) = (Meter::default(), Meter::default());
        assert_eq!(pass(&limits, 5_000, 1000, (&allocation, &user)), 100);
        // The next begins as soon as there is any room, and is paid before the one after it.
        assert_eq!(pass(&limits, 5_001, 1000, (&allocation, &user)), 1);
        assert_eq!(pass(&limits, 5_010, 1000, (&allocation, &user)), 0);
        assert_eq!(pass(&limits, 5_500, 1000, (&allocation, &user)), 49);
        assert_eq!(pass(&limits, 99_000, 1000, (&allocation, &user)), 100, "no more than that");
    }

    #[test]
    fn a_limit_below_one_packet_lets_one_through_and_has_it_paid() {
        let limits = limits(|rates| rates.bytes.allocation = 1000);
        let meters = (&Meter::default(), &Meter::default());
        assert_eq!(pass(&limits, 1, 5000, meters), 1);
        assert_eq!(pass(&limits, 4_000, 5000, meters), 0);
        assert_eq!(pass(&limits, 4_002, 5000, meters), 1);
    }

    #[test]
    fn each_scope_holds_and_is_named() {
        type Set = fn(&mut Rates) -> &mut u32;
        let all: [Set; 6] = [
            |r| &mut r.bytes.allocation,
            |r| &mut r.bytes.user,
            |r| &mut r.bytes.in_all,
            |r| &mut r.packets.allocation,
            |r| &mut r.packets.user,
            |r| &mut r.packets.in_all,
        ];
        for (number, set) in all.into_iter().enumerate() {
            let counted = if number < 3 { Counted::Bytes } else { Counted::Packets };
            let expected = Exceeded { scope: SCOPES[number % 3], counted };
            // Seven packets of a hundred bytes, either way.
            let limits = limits(|rates| *set(rates) = if number < 3 { 700 } else { 7 });
            let (one, other, alice, bob) =
                (Meter::default(), Meter::default(), Meter::default(), Meter::default());
            assert_eq!(pass(&limits, 9, 100, (&one, &alice)), 7, "{expected:?}");
            let second = pass(&limits, 9, 100, (&other, &alice));
            assert_eq!(second, if number % 3 == 0 { 7 } else { 0 }, "{expected:?}");
            let of_bob = pass(&limits, 9, 100, (&Meter::default(), &bob));
            assert_eq!(of_bob, if number % 3 < 2 { 7 } else { 0 }, "{expected:?}");
            let refused = limits.packet(Tick(9), Direction::ToPeers, 100, &one, &alice);
            assert_eq!(refused, Err(expected));
            let back = limits.packet(Tick(9), Direction::ToClient, 100, &one, &alice);
            assert_eq!(back, Ok(()), "{expected:?}: each direction by itself");
        }
    }

    #[test]
    fn what_one_limit_refuses_costs_nothing_of_the_others() {
        let limits = limits(|rates| {
            rates.packets.allocation = 10;
            rates.packets.in_all = 3;
        });
        let meters = (&Meter::default(), &Meter::default());
        assert_eq!(pass(&limits, 9, 100, meters), 3);
        let packets = Each { allocation: 10, ..Each::default() };
        limits.set(Rates { packets, ..Rates::default() });
        assert_eq!(pass(&limits, 9, 100, meters), 7);
    }

    #[test]
    fn other_limits_hold_at_once_and_keep_what_is_spent() {
        let rates =
            |bytes| Rates { bytes: Each { user: bytes, ..Each::default() }, ..Rates::default() };
        let (limits, meters) = (RateLimits::new(rates(0)), (&Meter::default(), &Meter::default()));
        assert!(!limits.is_on());
        limits.set(rates(1000));
        assert!(limits.is_on());
        assert_eq!(pass(&limits, 9, 100, meters), 10);
        limits.set(rates(10_000));
        assert_eq!(pass(&limits, 9, 100, meters), 0, "spent is spent");
        assert_eq!(pass(&limits, 509, 100, meters), 50);
        limits.set(rates(1000));
        assert_eq!(pass(&limits, 1009, 100, meters), 5);
        limits.set(rates(0));
        assert!(!limits.is_on());
    }

    #[test]
    fn new_peers_have_three_seconds_worth_at_once() {
        let limits = limits(|rates| {
            rates.new_peers.allocation = 2;
            rates.new_peers.user = 4;
        });
        assert!(!limits.is_on(), "no packet is judged for it");
        let (user, all) =
            (Meter::default(), [Meter::default(), Meter::default(), Meter::default()]);
        let new = |at, meter| {
            (0..99).filter(|_| limits.new_peers(Tick(at), 1, meter, &user).is_ok()).count()
        };
        assert_eq!(all.each_ref().map(|meter| new(9, meter)), [6, 6, 0]);
        assert_eq!(new(1009, &all[2]), 4);
        assert!(limits.new_peers(Tick(60_000), 32, &all[0], &user).is_ok(), "a large request");
        assert!(limits.new_peers(Tick(62_000), 1, &all[0], &user).is_err(), "is to be paid");
    }

    #[test]
    fn allocations_have_ten_seconds_worth_at_once_and_cost_no_packet_a_look() {
        let limits = limits(|rates| rates.allocations.user = 20);
        assert!(!limits.is_on());
        let (alice, bob) = (Meter::default(), Meter::default());
        let made =
            |at, meter| (0..999).filter(|_| limits.allocation(Tick(at), meter).is_ok()).count();
        assert_eq!((made(9, &alice), made(9, &bob)), (200, 200));
        let refused = limits.allocation(Tick(9), &alice).unwrap_err();
        assert_eq!(refused, Exceeded { scope: Scope::User, counted: Counted::Allocations });
        assert_eq!((made(1009, &alice), made(3009, &alice)), (20, 40));
        assert_eq!(made(99_000, &alice), 200, "no more than that");
        limits.set(Rates::default());
        assert_eq!(made(99_000, &alice), 999, "0 is no limit");
    }
}
