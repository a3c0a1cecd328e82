//! How much may be relayed in a second: by one allocation, by one user, by one tenant, and in all.
//!
//! Each limit is a bucket that holds one second's worth (three of new peers, ten of allocations). It is spent in
//! advance: whatever fits begins, so that no packet is too large for a low limit, and the next waits
//! until that much time has passed. A bucket is one number, when it is whole again (the generic cell
//! rate algorithm), so judging is of constant time, without a lock. It is kept in time, not in
//! bytes: another limit takes it over as it is.
//= 8656-5-bandwidth

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use super::intervals::{Exceeded, FRACTION_BITS, Intervals, Rates, Scope, Share};
use super::meter::{Counted, Direction, Meter};
use super::tenants::Tenant;
use crate::clock::Tick;

/// What limits packets: the limits of the server, and those of some tenant.
const BY_SERVER: u8 = 1;
const BY_TENANTS: u8 = 2;

/// The limits in force, and what has been spent in all. Shared by all shards.
#[derive(Debug)]
pub struct RateLimits {
    /// Whether any limit is for packets, and whose: most servers have none.
    on: AtomicU8,
    intervals: Intervals,
    all: Meter,
}

/// Whose buckets something is taken out of. A tenant has limits of its own for its allocations and users, in place
/// of those of the server, and one for all of them, besides that of the server.
#[derive(Clone, Copy)]
pub(super) struct Spenders<'a> {
    pub(super) allocation: &'a Meter,
    pub(super) user: &'a Meter,
    pub(super) tenant: Option<&'a Tenant>,
}

impl RateLimits {
    /// With these limits, nothing spent.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        let (on, intervals, all) = (AtomicU8::new(0), Intervals::default(), Meter::default());
        let limits = Self { on, intervals, all };
        limits.set(rates);
        limits
    }

    /// Has other limits hold, at once and for everybody. What is spent is spent.
    pub fn set(&self, rates: Rates) {
        self.intervals.set(rates);
        self.turn(BY_SERVER, rates.limit_packets());
    }

    /// Whether some tenant has limits for packets.
    pub fn set_by_tenants(&self, on: bool) {
        self.turn(BY_TENANTS, on);
    }

    fn turn(&self, by: u8, on: bool) {
        match on {
            true => self.on.fetch_or(by, Relaxed),
            false => self.on.fetch_and(!by, Relaxed),
        };
    }

    /// Whether packets are to be judged at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed) != 0
    }

    /// The meter of all.
    #[must_use]
    pub const fn all(&self) -> &Meter {
        &self.all
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
        (user, tenant): (&Meter, Option<&Tenant>),
    ) -> Result<(), Exceeded> {
        let costs = [(Counted::Bytes, len as u64), (Counted::Packets, 1)];
        let spenders = Spenders { allocation, user, tenant };
        self.take(now, direction, &costs, spenders).map_err(|(exceeded, _)| exceeded)
    }

    /// Takes packets that were relayed elsewhere, and their bytes, out of every bucket, whatever is left.
    pub fn charge(
        &self,
        now: Tick,
        direction: Direction,
        (packets, bytes): (u64, u64),
        allocation: &Meter,
        (user, tenant): (&Meter, Option<&Tenant>),
    ) {
        let costs = [(Counted::Bytes, bytes), (Counted::Packets, packets)];
        self.charge_all(now, direction, &costs, Spenders { allocation, user, tenant });
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
        (user, tenant): (&Meter, Option<&Tenant>),
    ) -> Result<(), Exceeded> {
        let costs = [(Counted::NewPeers, count as u64)];
        let spenders = Spenders { allocation, user, tenant };
        self.take(now, Direction::ToPeers, &costs, spenders).map_err(|(exceeded, _)| exceeded)
    }

    /// Takes one new allocation out of the user's bucket.
    ///
    /// # Errors
    /// With the limit that is reached.
    pub fn allocation(
        &self,
        now: Tick,
        (user, tenant): (&Meter, Option<&Tenant>),
    ) -> Result<(), Exceeded> {
        // One that is to be made has spent nothing of its own.
        let spenders = Spenders { allocation: &Meter::default(), user, tenant };
        let costs = [(Counted::Allocations, 1)];
        self.take(now, Direction::ToPeers, &costs, spenders).map_err(|(exceeded, _)| exceeded)
    }

    /// The limits that something has to be within: whose, where it is set, and what was spent of it.
    fn limits<'a>(
        &'a self,
        spenders: Spenders<'a>,
    ) -> impl Iterator<Item = (Scope, &'a Intervals, Share, &'a Meter)> {
        let Spenders { allocation, user, tenant } = spenders;
        let own = tenant.map_or(&self.intervals, Tenant::intervals);
        let all_of = |tenant: &'a Tenant| (Scope::Tenant, own, Share::InAll, tenant.meter());
        let limits = [
            Some((Scope::Allocation, own, Share::Allocation, allocation)),
            Some((Scope::User, own, Share::User, user)),
            tenant.map(all_of),
            Some((Scope::All, &self.intervals, Share::InAll, &self.all)),
        ];
        limits.into_iter().flatten()
    }

    /// Another worker may take between the look and the charge. So a limit can be overdrawn by a
    /// packet of each, which is then paid back like any other.
    pub(super) fn take(
        &self,
        now: Tick,
        direction: Direction,
        costs: &[(Counted, u64)],
        spenders: Spenders<'_>,
    ) -> Result<(), (Exceeded, Duration)> {
        for (scope, intervals, share, meter) in self.limits(spenders) {
            for &(counted, _) in costs {
                if intervals.of(counted, share) == 0 {
                    continue;
                }
                let left = meter.spent_for(now, counted, direction);
                if left > 0 {
                    return Err((Exceeded { scope, counted }, Duration::from_nanos(left)));
                }
            }
        }
        self.charge_all(now, direction, costs, spenders);
        Ok(())
    }

    fn charge_all(
        &self,
        now: Tick,
        direction: Direction,
        costs: &[(Counted, u64)],
        spenders: Spenders<'_>,
    ) {
        for (_, intervals, share, meter) in self.limits(spenders) {
            for &(counted, units) in costs {
                let interval = intervals.of(counted, share);
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
    use super::super::intervals::Each;
    use super::super::tenants::TenantLimits;
    use super::*;

    fn limits(change: impl FnOnce(&mut Rates)) -> RateLimits {
        let mut rates = Rates::default();
        change(&mut rates);
        RateLimits::new(rates)
    }

    /// Packets of `len` bytes that pass among 10,000 at one moment.
    fn pass(limits: &RateLimits, at: u64, len: usize, meters: (&Meter, &Meter)) -> usize {
        let one = |_: &usize| {
            limits.packet(Tick(at), Direction::ToPeers, len, meters.0, (meters.1, None)).is_ok()
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
            let expected = Exceeded {
                scope: [Scope::Allocation, Scope::User, Scope::All][number % 3],
                counted,
            };
            // Seven packets of a hundred bytes, either way.
            let limits = limits(|rates| *set(rates) = if number < 3 { 700 } else { 7 });
            let (one, other, alice, bob) =
                (Meter::default(), Meter::default(), Meter::default(), Meter::default());
            assert_eq!(pass(&limits, 9, 100, (&one, &alice)), 7, "{expected:?}");
            let second = pass(&limits, 9, 100, (&other, &alice));
            assert_eq!(second, if number % 3 == 0 { 7 } else { 0 }, "{expected:?}");
            let of_bob = pass(&limits, 9, 100, (&Meter::default(), &bob));
            assert_eq!(of_bob, if number % 3 < 2 { 7 } else { 0 }, "{expected:?}");
            let refused = limits.packet(Tick(9), Direction::ToPeers, 100, &one, (&alice, None));
            assert_eq!(refused, Err(expected));
            let back = limits.packet(Tick(9), Direction::ToClient, 100, &one, (&alice, None));
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
            (0..99).filter(|_| limits.new_peers(Tick(at), 1, meter, (&user, None)).is_ok()).count()
        };
        assert_eq!(all.each_ref().map(|meter| new(9, meter)), [6, 6, 0]);
        assert_eq!(new(1009, &all[2]), 4);
        assert!(
            limits.new_peers(Tick(60_000), 32, &all[0], (&user, None)).is_ok(),
            "a large request"
        );
        assert!(
            limits.new_peers(Tick(62_000), 1, &all[0], (&user, None)).is_err(),
            "is to be paid"
        );
    }

    #[test]
    fn allocations_have_ten_seconds_worth_at_once_and_cost_no_packet_a_look() {
        let limits = limits(|rates| rates.allocations.user = 20);
        assert!(!limits.is_on());
        let (alice, bob) = (Meter::default(), Meter::default());
        let made = |at, meter| {
            (0..999).filter(|_| limits.allocation(Tick(at), (meter, None)).is_ok()).count()
        };
        assert_eq!((made(9, &alice), made(9, &bob)), (200, 200));
        let refused = limits.allocation(Tick(9), (&alice, None)).unwrap_err();
        assert_eq!(refused, Exceeded { scope: Scope::User, counted: Counted::Allocations });
        assert_eq!((made(1009, &alice), made(3009, &alice)), (20, 40));
        assert_eq!(made(99_000, &alice), 200, "no more than that");
        limits.set(Rates::default());
        assert_eq!(made(99_000, &alice), 999, "0 is no limit");
    }

    #[test]
    fn a_tenant_has_limits_of_its_own_and_is_beneath_those_of_the_server() {
        let tenant = |change: fn(&mut Rates)| {
            let mut limits = TenantLimits::default();
            change(&mut limits.rates);
            Tenant::new("acme".parse().unwrap(), limits)
        };
        let limits = limits(|rates| {
            rates.packets.allocation = 5;
            rates.packets.in_all = 30;
        });
        let (acme, beta) =
            (tenant(|rates| rates.packets.in_all = 8), tenant(|rates| rates.packets.user = 7));
        let pass = |at, tenant| {
            let (one, user) = (Meter::default(), Meter::default());
            let packet = || limits.packet(Tick(at), Direction::ToPeers, 1, &one, (&user, tenant));
            let passed = (0..99).filter(|_| packet().is_ok()).count();
            (passed, packet().unwrap_err().scope)
        };
        // Who has none is limited as ever; a tenant's allocations are not by the server's limit for one.
        assert_eq!(pass(9, None), (5, Scope::Allocation));
        assert_eq!(pass(9, Some(&acme)), (8, Scope::Tenant));
        assert_eq!(pass(9, Some(&acme)), (0, Scope::Tenant), "another user of it");
        assert_eq!(pass(9, Some(&beta)), (7, Scope::User));
        assert_eq!(pass(9, Some(&beta)), (7, Scope::User), "another user of it");
        assert_eq!(pass(9, Some(&beta)), (3, Scope::All), "all together have 30");
    }

    #[test]
    fn packets_are_judged_where_the_server_or_a_tenant_limits_them() {
        let limits = RateLimits::new(Rates::default());
        limits.set_by_tenants(true);
        assert!(limits.is_on());
        limits.set(Rates::default());
        assert!(limits.is_on(), "for the tenant");
        limits.set_by_tenants(false);
        assert!(!limits.is_on());
    }
}
