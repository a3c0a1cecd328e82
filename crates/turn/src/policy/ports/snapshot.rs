//! What a pool knows of its ports at some moment, for another process.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::free::Rest;
use super::{PortLease, PortPool};
use crate::clock::{Remaining, TakeOver, Tick};
use crate::snapshot::wire;
use crate::user::UserId;
use taciturn_stun::Family;

/// What a port still has to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Resting {
    /// For how long.
    pub left: Remaining,
    /// Whether some other process had the port, and not an allocation.
    pub elsewhere: bool,
}

/// A free port that rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RestingPort {
    /// Of which family.
    #[borsh(serialize_with = "wire::family::write", deserialize_with = "wire::family::read")]
    pub family: Family,
    /// The port.
    pub port: u16,
    /// What it still has to rest.
    pub rest: Resting,
}

/// A port that is held for who brings the token (RFC 8656 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReservedPort {
    /// Of which family.
    #[borsh(serialize_with = "wire::family::write", deserialize_with = "wire::family::read")]
    pub family: Family,
    /// The port.
    pub port: u16,
    /// The RESERVATION-TOKEN.
    pub token: [u8; 8],
    /// Who may redeem it.
    pub user: UserId,
    /// For how long.
    pub left: Remaining,
    /// What the port has to rest once it is given back.
    pub rest: Resting,
}

/// A port that an allocation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LeasedPort {
    /// Of which family.
    #[borsh(serialize_with = "wire::family::write", deserialize_with = "wire::family::read")]
    pub family: Family,
    /// The port.
    pub port: u16,
    /// What the port has to rest once it is given back unused.
    pub rest: Resting,
}

/// The ports that rest or are reserved. Those that are leased go with their allocations
/// ([`PortLease::leased`]), and all others are free.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PortsSnapshot {
    /// Those that rest.
    pub resting: Vec<RestingPort>,
    /// Those that are reserved.
    pub reserved: Vec<ReservedPort>,
}

impl Resting {
    const fn of(rest: Rest, now: Tick) -> Self {
        let left = Remaining::until(rest.until(), now);
        Self { left, elsewhere: rest.is_elsewhere() && !left.is_over() }
    }

    /// In ticks of this process. Who has rested by now has no rest.
    fn rest(self, there: &TakeOver) -> Rest {
        let until = there.deadline(self.left);
        match (there.left(self.left).is_over(), self.elsewhere) {
            (true, _) => Rest::default(),
            (false, true) => Rest::elsewhere(until),
            (false, false) => Rest::used(until),
        }
    }
}

impl PortPool {
    /// The ports that rest or are reserved at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Tick) -> PortsSnapshot {
        let mut snapshot = PortsSnapshot::default();
        for family in [Family::V4, Family::V6] {
            let mut ports = self.lock(family);
            ports.end_reservations(now);
            let resting = ports.free.resting().filter(|(rest, _)| rest.until() > now);
            let resting = resting.map(|(rest, port)| (port, Resting::of(rest, now)));
            snapshot.resting.extend(resting.map(|(port, rest)| RestingPort { family, port, rest }));
            snapshot.reserved.extend(ports.reservations.iter().map(|(token, reserved)| {
                ReservedPort {
                    family,
                    port: reserved.port,
                    token,
                    user: reserved.user.clone(),
                    left: Remaining::until(reserved.expires, now),
                    rest: Resting::of(reserved.rest, now),
                }
            }));
        }
        snapshot
    }

    /// Takes over what another process knew, as far as it is not over. Ports that are no more of the
    /// range, or not free here, are left out.
    pub fn restore(&self, snapshot: &PortsSnapshot, there: &TakeOver) {
        for RestingPort { family, port, rest } in &snapshot.resting {
            let mut ports = self.lock(*family);
            if let Some(own) = ports.free.take(*port) {
                ports.free.give_back(*port, own.max(rest.rest(there)));
            }
        }
        for reserved in &snapshot.reserved {
            let mut ports = self.lock(reserved.family);
            let Some(own) = ports.free.take(reserved.port) else { continue };
            let rest = own.max(reserved.rest.rest(there));
            let is_over = there.left(reserved.left).is_over();
            if is_over || ports.reservations.has(reserved.token) {
                ports.free.give_back(reserved.port, rest);
            } else {
                let (port, expires) = (reserved.port, there.deadline(reserved.left));
                ports.reservations.hold(reserved.token, &reserved.user, port, rest, expires);
            }
        }
    }

    /// Leases the port that an allocation had in another process, rested or not; `None` where it is not free. One that
    /// is no more of the range is leased all the same, for as long as the allocation lasts.
    #[must_use]
    pub fn restore_lease(
        self: &Arc<Self>,
        leased: &LeasedPort,
        there: &TakeOver,
    ) -> Option<PortLease> {
        let (first, last) = (self.range.first(), self.range.last());
        if !(first..=last).contains(&leased.port) {
            let mut lease = self.leased(leased.family, leased.port, leased.rest.rest(there));
            lease.outside = true;
            return Some(lease);
        }
        let mut lease = self.claim(leased.family, leased.port, there.now)?;
        lease.rest = lease.rest.max(leased.rest.rest(there));
        Some(lease)
    }
}

impl PortLease {
    /// The port, for another process.
    #[must_use]
    pub const fn leased(&self, now: Tick) -> LeasedPort {
        LeasedPort { family: self.family, port: self.port, rest: Resting::of(self.rest, now) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::{LeaseError, PORT_QUARANTINE, PortRange, Wish};
    use super::*;

    const NOW: Tick = Tick(1_000_000);
    const V4: Family = Family::V4;

    fn pool(first: u16, last: u16) -> Arc<PortPool> {
        Arc::new(PortPool::new(PortRange::new(first, last).unwrap(), PORT_QUARANTINE))
    }

    fn there(passed: u64) -> TakeOver {
        TakeOver { now: Tick(77), passed: Duration::from_secs(passed) }
    }

    #[test]
    fn reservations_and_quarantine_go_to_another_process_with_the_time_that_is_left() {
        let alice = UserId::of_tests("alice");
        let old = pool(50000, 50009);
        let even = old.claim(V4, 50000, NOW).unwrap();
        old.reserve_next(&even, [7; 8], &alice, NOW).unwrap();
        old.claim(V4, 50004, NOW).unwrap().retire(NOW);
        let later = NOW + Duration::from_secs(10);
        let snapshot = old.snapshot(later);
        assert_eq!(snapshot.resting.len() + snapshot.reserved.len(), 2);

        let new = pool(50000, 50009);
        new.restore(&snapshot, &there(15));
        let lease = new.restore_lease(&even.leased(later), &there(15)).unwrap();
        assert_eq!((lease.port(), new.used(V4)), (50000, 2));
        // Five seconds of the reservation are left, 95 of the quarantine.
        let after = |seconds| Tick(77) + Duration::from_secs(seconds);
        let mallory = UserId::new(&"example.net".into(), "alice");
        assert_eq!(new.redeem([7; 8], &mallory, after(4)).unwrap_err(), LeaseError::UnknownToken);
        assert_eq!(new.redeem([7; 8], &alice, after(4)).unwrap().port(), 50001);
        let rested = |at| {
            let leases: Vec<_> =
                std::iter::repeat_with(|| new.lease(V4, Wish::Any, 0, 0, at).unwrap())
                    .take(9)
                    .collect();
            leases.iter().position(|lease| lease.port() == 50004)
        };
        assert_eq!((rested(after(94)), rested(after(95))), (Some(8), Some(3)));
    }

    #[test]
    fn what_is_over_or_out_of_the_range_is_left_out() {
        let alice = UserId::of_tests("alice");
        let old = pool(50000, 50009);
        let even = old.claim(V4, 50000, NOW).unwrap();
        old.reserve_next(&even, [7; 8], &alice, NOW).unwrap();
        old.claim(V4, 50009, NOW).unwrap().retire(NOW);
        let snapshot = old.snapshot(NOW);
        let late = pool(50000, 50009);
        late.restore(&snapshot, &there(30));
        assert_eq!(late.used(V4), 0);
        assert_eq!(late.redeem([7; 8], &alice, Tick(77)).unwrap_err(), LeaseError::UnknownToken);
        let narrow = pool(50002, 50008);
        narrow.restore(&snapshot, &there(0));
        // For as long as its allocation lasts.
        narrow.restore_lease(&even.leased(NOW), &there(0)).unwrap().retire(NOW);
        assert_eq!((narrow.used(V4), narrow.snapshot(Tick(77))), (0, PortsSnapshot::default()));
        // Not twice.
        let twice = pool(50000, 50009);
        (0..2).for_each(|_| twice.restore(&snapshot, &there(0)));
        assert_eq!((twice.used(V4), twice.snapshot(Tick(77))), (1, snapshot));
    }

    /// What may be done with a pool: kind, a number, and how long after the step before, in seconds.
    type Step = (u8, u8, u64);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec((0..7_u8, any::<u8>(), 0..25_u64), 0..60)
    }

    /// What comes of a step, to be compared.
    fn act(
        pool: &Arc<PortPool>,
        held: &mut Vec<PortLease>,
        (kind, number, _): Step,
        now: Tick,
    ) -> Result<u16, LeaseError> {
        let user = UserId::of_tests(if number.is_multiple_of(2) { "alice" } else { "bob" });
        let token = [number / 32; 8];
        let nth = usize::from(number).checked_rem(held.len());
        let port = match (kind, nth) {
            (0 | 1, _) => {
                let wish = [Wish::Any, Wish::Even, Wish::EvenAndNext][usize::from(number % 3)];
                let lease =
                    pool.lease(V4, wish, u32::from(number / 100), u32::from(number), now)?;
                held.push(lease);
                held.last().map(PortLease::port)
            }
            (2, Some(nth)) => pool.reserve_next(&held[nth], token, &user, now).map(|()| Some(0))?,
            (3, _) => {
                held.push(pool.redeem(token, &user, now)?);
                held.last().map(PortLease::port)
            }
            (4, Some(nth)) => {
                held.remove(nth).retire(now);
                None
            }
            (5, Some(nth)) => {
                held.remove(nth).taken_elsewhere(now);
                None
            }
            (_, Some(nth)) => {
                drop(held.remove(nth));
                None
            }
            (_, None) => None,
        };
        Ok(port.unwrap_or_default())
    }

    proptest! {
        #[test]
        fn another_process_answers_as_this_one_would_have(
            before in steps(),
            after in steps(),
            passed in 0..150_u64,
        ) {
            let old = pool(50000, 50011);
            let (mut held, mut now) = (Vec::new(), NOW);
            for step in before {
                now = now + Duration::from_secs(step.2);
                let _ = act(&old, &mut held, step, now);
            }
            let new = pool(50000, 50011);
            let taken = there(passed);
            let leased: Vec<_> = held.iter().map(|lease| lease.leased(now)).collect();
            let snapshot = old.snapshot(now);
            let lease = |of: &LeasedPort| new.restore_lease(of, &taken).unwrap();
            // In either order.
            let mut restored: Vec<_> = if passed % 2 == 0 {
                new.restore(&snapshot, &taken);
                leased.iter().map(lease).collect()
            } else {
                let restored = leased.iter().map(lease).collect();
                new.restore(&snapshot, &taken);
                restored
            };
            let (mut here, mut there) = (now + taken.passed, taken.now);
            for step in after {
                let wait = Duration::from_secs(step.2);
                (here, there) = (here + wait, there + wait);
                prop_assert_eq!(
                    act(&old, &mut held, step, here),
                    act(&new, &mut restored, step, there)
                );
                prop_assert_eq!(old.snapshot(here), new.snapshot(there));
                prop_assert_eq!(old.used(V4), new.used(V4));
            }
        }
    }
}
