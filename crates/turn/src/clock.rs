//! Time as an argument. Nothing below `net` reads a clock; whoever calls passes a [`Now`].
#![forbid(unsafe_code)]

use std::ops::Add;
use std::time::Duration;

/// A moment on a clock that never jumps: milliseconds since some start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// How long it is until a deadline, at some moment: what is left of a [`Tick`] for another process, whose
/// ticks count from another start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Remaining(pub Duration);

impl Remaining {
    /// What is left until `deadline` at `now`; nothing where it has passed.
    #[must_use]
    pub const fn until(deadline: Tick, now: Tick) -> Self {
        Self(deadline.since(now))
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.0.is_zero()
    }
}

/// Where a process takes over what another one has noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The moment, in ticks of this process.
    pub now: Tick,
    /// How long ago the other process made its notes, on a clock that both have and that goes on while the
    /// system sleeps (CLOCK_BOOTTIME).
    pub passed: Duration,
}

impl TakeOver {
    /// What is left by now of what was left then.
    #[must_use]
    pub const fn left(&self, then: Remaining) -> Remaining {
        Remaining(then.0.saturating_sub(self.passed))
    }

    /// The deadline, in ticks of this process. It is now where nothing is left.
    #[must_use]
    pub fn deadline(&self, then: Remaining) -> Tick {
        self.now + self.left(then).0
    }

    /// The moment of a deadline, in ticks of this process, though it may have passed. What was before its
    /// ticks began is at their beginning.
    #[must_use]
    pub fn moment(&self, then: Remaining) -> Tick {
        let overdue = self.passed.saturating_sub(then.0).as_millis();
        let overdue = u64::try_from(overdue).unwrap_or(u64::MAX);
        Tick(self.deadline(then).0.saturating_sub(overdue))
    }

    /// When something began that had this age then, in ticks of this process. What began before its ticks
    /// did begins with them.
    #[must_use]
    pub fn beginning(&self, age: Duration) -> Tick {
        let age = age.saturating_add(self.passed).as_millis();
        Tick(self.now.0.saturating_sub(u64::try_from(age).unwrap_or(u64::MAX)))
    }
}

/// What time it is: on the clock that never jumps, and on the wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers and deadlines.
    pub tick: Tick,
    /// Seconds since 1970, for credentials that expire.
    pub unix: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_deadline_goes_to_another_process_less_the_time_on_the_way() {
        let left = Remaining::until(Tick(9_000), Tick(5_000));
        let there = TakeOver { now: Tick(70), passed: millis(1_500) };
        assert_eq!((left, there.left(left)), (Remaining(millis(4_000)), Remaining(millis(2_500))));
        assert_eq!(there.deadline(left), Tick(2_570));
        assert_eq!(there.beginning(millis(20)), Tick(0), "before the first tick");
        let late = TakeOver { now: Tick(5_000), passed: millis(1_500) };
        assert_eq!(late.beginning(millis(20)), Tick(3_480));
        let (left, over) = (Remaining(millis(4_000)), Remaining(millis(400)));
        assert_eq!((late.moment(left), late.moment(over)), (Tick(7_500), Tick(3_900)));
        assert_eq!(there.moment(over), Tick(0));
    }

    #[test]
    fn what_is_over_stays_over_and_nothing_overflows() {
        assert!(Remaining::until(Tick(5), Tick(5)).is_over());
        assert!(Remaining::until(Tick(5), Tick(6)).is_over());
        let there = TakeOver { now: Tick(70), passed: Duration::MAX };
        assert_eq!(there.deadline(Remaining(millis(9))), Tick(70));
        assert_eq!(there.beginning(Duration::MAX), Tick(0));
        let there = TakeOver { now: Tick(70), passed: Duration::ZERO };
        assert_eq!(there.deadline(Remaining(Duration::MAX)), Tick(u64::MAX));
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_same_in_both_processes(
            now in 0..u64::MAX / 4,
            left in 0..1_000_000_u64,
            passed in 0..2_000_000_u64,
            there in 0..u64::MAX / 4,
        ) {
            let deadline = Tick(now + left);
            let taken = TakeOver { now: Tick(there), passed: millis(passed) };
            let carried = taken.deadline(Remaining::until(deadline, Tick(now)));
            let here = Tick(now + passed);
            prop_assert_eq!(carried.since(Tick(there)), deadline.since(here));
        }
    }
}
