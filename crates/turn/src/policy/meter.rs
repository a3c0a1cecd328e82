//! What of the rates is spent: a number for each bucket, when it is whole again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::clock::{Remaining, TakeOver, Tick};

/// How often the log hears that a limit holds packets back.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Bytes of application data, each direction by itself.
    Bytes,
    /// Packets, each direction by itself.
    Packets,
    /// Addresses that an allocation had no permission for, and TCP connections to peers.
    NewPeers,
    /// Allocations that a user asks for, whether there is a port for them or not.
    Allocations,
}

/// Which way data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to its peers.
    ToPeers,
    /// From the peers to their client.
    ToClient,
}

/// What one allocation, one user, or all together have spent. Bytes and packets have a bucket for
/// each direction.
///
/// Each bucket is one number, so neither judging nor charging takes a lock.
#[derive(Debug, Default)]
pub struct Meter {
    /// Nanoseconds: when each bucket is whole again.
    whole_again: [AtomicU64; 6],
    /// Packets held back since the last line of the log, and when there may be another.
    held_back: AtomicU64,
    next_line: AtomicU64,
}

/// What a [`Meter`] holds at some moment, for another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Spent {
    /// How long it is until each bucket is whole again.
    pub whole_in: [Remaining; 6],
    /// Packets held back that the log has not heard of.
    pub held_back: u64,
    /// How long it is until the log may hear of more.
    pub line_in: Remaining,
}

impl Spent {
    /// Whether all of it may be forgotten at `there`.
    pub(super) fn is_nothing(&self, there: &TakeOver) -> bool {
        self.whole_in.iter().all(|left| there.left(*left).is_over())
    }
}

const fn bucket(counted: Counted, direction: Direction) -> usize {
    match counted {
        Counted::Bytes => direction as usize,
        Counted::Packets => 2 + direction as usize,
        Counted::NewPeers => 4,
        Counted::Allocations => 5,
    }
}

/// How much time a bucket holds.
const fn window(counted: Counted) -> u64 {
    match counted {
        Counted::Bytes | Counted::Packets => 1_000_000_000,
        Counted::NewPeers => 3_000_000_000,
        Counted::Allocations => 10_000_000_000,
    }
}

const fn nanoseconds(Tick(now): Tick) -> u64 {
    now.saturating_mul(1_000_000)
}

impl Meter {
    /// How long nothing more is to be had of a bucket.
    pub(super) fn spent_for(&self, now: Tick, counted: Counted, direction: Direction) -> u64 {
        let whole_again = self.whole_again.get(bucket(counted, direction));
        let ahead = whole_again.map_or(0, |at| at.load(Relaxed)).saturating_sub(nanoseconds(now));
        // At a whole window nothing is left: what remains above it has to pass.
        ahead.saturating_add(1).saturating_sub(window(counted))
    }

    pub(super) fn charge(&self, now: Tick, counted: Counted, direction: Direction, nanos: u64) {
        let Some(whole_again) = self.whole_again.get(bucket(counted, direction)) else { return };
        let more = |at: u64| Some(at.max(nanoseconds(now)).saturating_add(nanos));
        let _ = whole_again.fetch_update(Relaxed, Relaxed, more); // never fails: always Some
    }

    /// What is spent at `now`, for another process.
    #[must_use]
    pub fn spent(&self, now: Tick) -> Spent {
        let ahead = |at: &AtomicU64| at.load(Relaxed).saturating_sub(nanoseconds(now));
        Spent {
            whole_in: self
                .whole_again
                .each_ref()
                .map(|at| Remaining(Duration::from_nanos(ahead(at)))),
            held_back: self.held_back.load(Relaxed),
            line_in: Remaining::until(Tick(self.next_line.load(Relaxed)), now),
        }
    }

    /// Spends what was spent in another process, besides what is spent here already.
    pub fn restore(&self, spent: &Spent, there: &TakeOver) {
        for (whole_again, left) in self.whole_again.iter().zip(spent.whole_in) {
            let left = u64::try_from(there.left(left).0.as_nanos()).unwrap_or(u64::MAX);
            if left > 0 {
                let at = nanoseconds(there.now).saturating_add(left);
                whole_again.fetch_max(at, Relaxed);
            }
        }
        self.held_back.fetch_add(spent.held_back, Relaxed);
        let line = there.left(spent.line_in);
        if !line.is_over() {
            self.next_line.fetch_max(there.deadline(spent.line_in).0, Relaxed);
        }
    }

    /// Whether all of it may be forgotten.
    pub(super) fn is_whole(&self, now: Tick) -> bool {
        self.whole_again.iter().all(|at| at.load(Relaxed) <= nanoseconds(now))
    }

    /// Notes that something is held back. Returns how much since the last time it did, where the
    /// log should hear of it: once a minute.
    pub fn hold_back(&self, now: Tick) -> Option<u64> {
        self.held_back.fetch_add(1, Relaxed);
        let next = self.next_line.load(Relaxed);
        let then = (now + LINE_EVERY).0;
        let mine =
            now.0 >= next && self.next_line.compare_exchange(next, then, Relaxed, Relaxed).is_ok();
        mine.then(|| self.held_back.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_it_once_a_minute_with_the_number() {
        let meter = Meter::default();
        let told = |at| meter.hold_back(Tick(at));
        assert_eq!(told(5), Some(1));
        assert_eq!((told(6), told(60_004)), (None, None));
        assert_eq!(told(60_005), Some(3));
    }

    #[test]
    fn what_is_spent_goes_to_another_process_and_what_is_over_does_not() {
        let here = Meter::default();
        here.charge(Tick(9), Counted::Bytes, Direction::ToPeers, 1_500_000_001);
        here.charge(Tick(9), Counted::NewPeers, Direction::ToPeers, 400_000_000);
        let spent = here.spent(Tick(109));
        let there = TakeOver { now: Tick(5), passed: Duration::from_millis(300) };
        assert!(!spent.is_nothing(&there));
        let restored = Meter::default();
        restored.restore(&spent, &there);
        let left = restored.spent(Tick(5)).whole_in.map(|left| left.0.as_nanos());
        assert_eq!(left, [1_100_000_001, 0, 0, 0, 0, 0]);
        let late = TakeOver { passed: Duration::from_secs(2), ..there };
        assert!(spent.is_nothing(&late));
        let restored = Meter::default();
        restored.restore(&spent, &late);
        assert!(restored.is_whole(Tick(0)));
    }

    #[test]
    fn the_log_hears_no_more_often_after_a_hand_over() {
        let here = Meter::default();
        assert_eq!((here.hold_back(Tick(0)), here.hold_back(Tick(10_000))), (Some(1), None));
        let there = Meter::default();
        let taken = TakeOver { now: Tick(7), passed: Duration::from_secs(5) };
        there.restore(&here.spent(Tick(10_000)), &taken);
        assert_eq!(there.hold_back(Tick(7 + 44_999)), None);
        assert_eq!(there.hold_back(Tick(7 + 45_000)), Some(3));
    }
}
