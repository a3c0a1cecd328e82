//! Budgets that refill (the generic cell rate algorithm): one number each, when the budget is whole
//! again. In tables of a fixed size, so that a flood from many addresses takes no memory.

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use ahash::RandomState;

use crate::clock::Tick;

/// Places of a table: 256 KiB. A flood from 200,000 addresses puts three of them on each place.
const PLACES: usize = 1 << 16;

/// So many seconds' worth may be spent at once.
pub(super) const BURST_SECONDS: u32 = 3;

/// A budget for each of many keys, over all shards, without a lock.
///
/// Each place holds when its budget is whole again, in milliseconds that wrap around. Two keys on
/// one place share its budget; which ones do, nobody outside can know.
#[derive(Debug)]
pub(super) struct BudgetTable {
    hasher: RandomState,
    /// Empty where there is no limit.
    whole_again: Box<[AtomicU32]>,
    /// Milliseconds that one unit takes to come back.
    interval: u32,
    /// Milliseconds that the whole budget takes to come back.
    window: u32,
}

/// Keyed by randomness of the operating system, so that nobody outside knows which keys share a place. Tests of
/// this crate have fixed keys: what shares a place is the same in each run.
pub(super) fn hasher() -> RandomState {
    if cfg!(test) { RandomState::with_seeds(1, 2, 3, 4) } else { RandomState::new() }
}

impl BudgetTable {
    /// One unit each `interval` milliseconds, and at most `at_once` at one moment.
    pub(super) fn new(interval: u32, at_once: u32) -> Self {
        Self::with_places(PLACES, interval, interval.saturating_mul(at_once))
    }

    /// `per_second` units, 1 to 1,000, and three seconds' worth at once; 0 is no limit.
    pub(super) fn per_second(per_second: u32) -> Self {
        let places = if per_second == 0 { 0 } else { PLACES };
        Self::with_places(places, 1000 / per_second.clamp(1, 1000), 1000 * BURST_SECONDS)
    }

    fn with_places(places: usize, interval: u32, window: u32) -> Self {
        let whole_again = std::iter::repeat_with(AtomicU32::default).take(places).collect();
        Self { hasher: hasher(), whole_again, interval, window }
    }

    /// Takes a unit; false when there is none.
    pub(super) fn take(&self, now: Tick, key: impl Hash) -> bool {
        let Some(place) = self.place(key) else { return true };
        place.fetch_update(Relaxed, Relaxed, |at| self.after_one_more(now, at)).is_ok()
    }

    /// Whether nothing is left.
    pub(super) fn is_spent(&self, now: Tick, key: impl Hash) -> bool {
        let Some(place) = self.place(key) else { return false };
        self.after_one_more(now, place.load(Relaxed)).is_none()
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self, now: Tick, key: impl Hash) -> bool {
        self.place(key).is_none_or(|place| self.ahead(now, place.load(Relaxed)) == 0)
    }

    fn place(&self, key: impl Hash) -> Option<&AtomicU32> {
        // SAFE: the remainder is below PLACES.
        #[allow(clippy::cast_possible_truncation)]
        let index = self.hasher.hash_one(key) as usize % PLACES;
        self.whole_again.get(index)
    }

    /// For how many milliseconds a place is not whole yet.
    fn ahead(&self, now: Tick, whole_again: u32) -> u32 {
        // More than the window ahead: written before the last time the clock wrapped, or never.
        match whole_again.wrapping_sub(wrapped(now)) {
            ahead if ahead > self.window => 0,
            ahead => ahead,
        }
    }

    /// When a place is whole again once another unit is taken now, if one can be.
    fn after_one_more(&self, now: Tick, whole_again: u32) -> Option<u32> {
        let ahead = self.ahead(now, whole_again) + self.interval;
        (ahead <= self.window).then(|| wrapped(now).wrapping_add(ahead))
    }
}

/// Wraps after 49 days, as the places do.
fn wrapped(Tick(now): Tick) -> u32 {
    u32::try_from(now & u64::from(u32::MAX)).unwrap_or_default()
}

/// One budget for all, over all shards, without a lock.
#[derive(Debug)]
pub(super) struct SharedBudget {
    /// When it is whole again, in microseconds.
    whole_again: AtomicU64,
    /// Microseconds that one unit takes to come back; 0 is no limit.
    interval: u64,
}

impl SharedBudget {
    /// `per_second` units, and three seconds' worth at once; 0 is no limit.
    pub(super) fn per_second(per_second: u32) -> Self {
        let interval = match per_second {
            0 => 0,
            _ => (1_000_000 / u64::from(per_second)).max(1),
        };
        Self { whole_again: AtomicU64::new(0), interval }
    }

    /// Takes a unit; false when there is none.
    pub(super) fn take(&self, now: Tick) -> bool {
        if self.interval == 0 {
            return true;
        }
        let now = now.0.saturating_mul(1000);
        let window = u64::from(BURST_SECONDS) * 1_000_000;
        let one_more = |whole_again: u64| {
            let next = whole_again.max(now) + self.interval;
            (next <= now + window).then_some(next)
        };
        self.whole_again.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_at_once_and_then_one_an_interval() {
        let table = BudgetTable::new(10_000, 6);
        let taken = |at| (0..99).filter(|_| table.take(Tick(at), "a key")).count();
        assert!(table.is_whole(Tick(7), "a key"));
        assert_eq!(taken(7), 6);
        assert!(table.is_spent(Tick(10_006), "a key"));
        assert_eq!(taken(10_007), 1);
        assert!(!table.is_whole(Tick(60_000), "a key"));
        assert!(table.is_whole(Tick(70_007), "a key"));
        assert!(table.is_whole(Tick(7), "another key"));
    }
}
