//! Which requests have come before, in a filter of a fixed size (a Bloom filter in two generations).

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use ahash::RandomState;

use super::budget::hasher;
use crate::clock::Tick;

/// Words of one generation: 64 KiB.
const WORDS: usize = 8192;

const BITS: u64 = WORDS as u64 * 64;

/// Bits that one request sets.
const HASHES: u64 = 5;

/// With so many requests a generation is full: 12 bits for each, so that one in two hundred that
/// have not come before is taken for one that has.
const FULL: u32 = 43_690;

/// How long a generation takes requests in, in milliseconds. So a request is known for 5 to 10
/// seconds, and for a shorter time only where more than 8,738 are noted in a second.
const GENERATION: u64 = 5_000;

/// The filter, shared by all shards. Nothing in it is exact, so no lock is needed: who notes a
/// request while a generation is being cleared may find it forgotten.
#[derive(Debug)]
pub(super) struct Repeats {
    /// Keyed by randomness of the operating system: which requests share bits, nobody outside can
    /// know.
    hasher: RandomState,
    generations: [Box<[AtomicU64]>; 2],
    /// When the current generation began, in milliseconds, and in the lowest bit which it is.
    began: AtomicU64,
    /// Requests noted in it.
    noted: AtomicU32,
}

impl Repeats {
    /// Empty.
    pub(super) fn new() -> Self {
        let words = || std::iter::repeat_with(AtomicU64::default).take(WORDS).collect();
        Self {
            hasher: hasher(),
            generations: [words(), words()],
            began: AtomicU64::new(0),
            noted: AtomicU32::new(0),
        }
    }

    /// Notes a request. Returns whether it has come before, within ten seconds.
    pub(super) fn note(&self, now: Tick, request: &impl Hash) -> bool {
        let current = self.current(now);
        let hash = self.hasher.hash_one(request);
        let (first, step) = (hash & 0xFFFF_FFFF, (hash >> 32) | 1);
        let [mut known, mut known_before] = [true, true];
        for n in 0..HASHES {
            let bit = (first + n * step) % BITS;
            // SAFE: below WORDS.
            #[allow(clippy::cast_possible_truncation)]
            let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
            let [even, odd] = &self.generations;
            let (own, other) = if current == 0 { (even, odd) } else { (odd, even) };
            known &= own.get(word).is_some_and(|word| word.fetch_or(mask, Relaxed) & mask != 0);
            known_before &= other.get(word).is_some_and(|word| word.load(Relaxed) & mask != 0);
        }
        if !known {
            self.noted.fetch_add(1, Relaxed);
        }
        known || known_before
    }

    /// The number of the current generation, which is another one when that is old or full.
    fn current(&self, Tick(now): Tick) -> u64 {
        let began = self.began.load(Relaxed);
        let (since, current) = (began >> 1, began & 1);
        let age = now.saturating_sub(since);
        if age < GENERATION && self.noted.load(Relaxed) < FULL {
            return current;
        }
        let next = 1 - current;
        let follows = self.began.compare_exchange(began, now << 1 | next, Relaxed, Relaxed);
        if let Err(other) = follows {
            return other & 1; // another thread was faster
        }
        self.noted.store(0, Relaxed);
        let [even, odd] = &self.generations;
        let (old, last) = if next == 0 { (even, odd) } else { (odd, even) };
        old.iter().for_each(|word| word.store(0, Relaxed));
        if age >= 2 * GENERATION {
            last.iter().for_each(|word| word.store(0, Relaxed));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_for_five_to_ten_seconds() {
        let repeats = Repeats::new();
        assert!(!repeats.note(Tick(99_000), &"a request"));
        assert!(repeats.note(Tick(99_000), &"a request"));
        assert!(!repeats.note(Tick(99_000), &"another"));
        assert!(repeats.note(Tick(104_500), &"another"));
        for at in [114_600, 200_000] {
            assert!(!repeats.note(Tick(at), &"another"), "{at}");
        }
    }

    #[test]
    fn of_requests_that_have_not_come_before_few_are_taken_for_such() {
        let repeats = Repeats::new();
        // 40,000 a second, for five seconds: more than it holds.
        let wrong = (0..200_000_u32).filter(|n| repeats.note(Tick(u64::from(n / 40)), n)).count();
        assert!(wrong < 2_000, "{wrong}");
        let known = (190_000..200_000_u32).filter(|n| repeats.note(Tick(5_000), n)).count();
        assert_eq!(known, 10_000, "the last are known");
    }
}
