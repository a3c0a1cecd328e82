//! The free ports of one family: which have rested, and in which order the others will have.
//!
//! Ports that have rested are bits in words of 64, so that any of them, or any even one, or any pair, is
//! found by looking at each word once: 1,024 words for every port there is, 18 for the default
//! range. Ports that rest are in order of the end of their rest, and the longest rested is the first.
//! So neither the size of the range nor the number of ports in use makes a choice slow.

use std::collections::BTreeSet;

use super::range::PortRange;
use crate::clock::Tick;

/// Ports that end their rest in one look. Each look gives away one port or two, so those whose rest is
/// over never pile up, and no look takes long.
const RESTED_AT_A_TIME: usize = 64;

/// The bits of even ports in a word: words begin at a multiple of 64.
const EVEN: u64 = 0x5555_5555_5555_5555;

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

/// Until when a free port is better not used, and why. Ordered as ports are chosen where none has
/// rested: of the used ones the one whose last use is longest ago, and last of all those where a
/// socket was not to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rest(u64);

impl Rest {
    /// Above every tick: there are 292 million years below it.
    const ELSEWHERE: u64 = 1 << 63;

    /// After use, until then.
    pub(super) const fn used(Tick(until): Tick) -> Self {
        Self(until & !Self::ELSEWHERE)
    }

    /// Because some other process had it a moment ago.
    pub(super) const fn elsewhere(Tick(until): Tick) -> Self {
        Self(until | Self::ELSEWHERE)
    }

    /// Whether some other process had it.
    pub(super) const fn is_elsewhere(self) -> bool {
        self.0 & Self::ELSEWHERE != 0
    }

    /// When it ends.
    pub(super) const fn until(self) -> Tick {
        Tick(self.0 & !Self::ELSEWHERE)
    }
}

/// The free ports of one family.
#[derive(Debug)]
pub(super) struct FreePorts {
    range: PortRange,
    /// By distance from the first port; `None` while a port is not free.
    rests: Box<[Option<Rest>]>,
    count: u32,
    /// One bit a port that is free and has rested, from the multiple of 64 at or below the first one.
    rested: Box<[u64]>,
    /// Free ports that rest.
    resting: BTreeSet<(Rest, u16)>,
    /// The even ones of them, for EVEN-PORT.
    resting_even: BTreeSet<(Rest, u16)>,
    /// Even ports that are free as the next one is, where either rests: with the longer rest of both.
    resting_pairs: BTreeSet<(Rest, u16)>,
}

impl FreePorts {
    /// All ports of a range, rested.
    pub(super) fn all_of(range: PortRange) -> Self {
        let mut free = Self::none_of(range);
        (range.first()..=range.last()).for_each(|port| free.give_back(port, Rest::default()));
        free
    }

    /// None of a range so far.
    pub(super) fn none_of(range: PortRange) -> Self {
        let words = range.last() / 64 - range.first() / 64 + 1;
        Self {
            range,
            rests: vec![None; range.len() as usize].into(),
            count: 0,
            rested: vec![0; usize::from(words)].into(),
            resting: BTreeSet::new(),
            resting_even: BTreeSet::new(),
            resting_pairs: BTreeSet::new(),
        }
    }

    /// All of them, with what each has to rest.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, Rest)> {
        let ports = self.range.first()..=self.range.last();
        ports.zip(&self.rests).filter_map(|(port, rest)| Some((port, (*rest)?)))
    }

    /// How many there are.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Those that rest.
    pub(super) fn resting(&self) -> impl Iterator<Item = (Rest, u16)> {
        self.resting.iter().copied()
    }

    /// Chooses a port: `random` among those that fit and have rested, otherwise the one of those that
    /// fit whose rest is over first. `None` where none fits.
    //= 8656-7.2-even-port
    pub(super) fn choose(&mut self, wish: Wish, random: u32, now: Tick) -> Option<u16> {
        self.end_rests(now);
        let (fits, resting): (fn(u64) -> u64, _) = match wish {
            Wish::Any => (|word| word, &self.resting),
            Wish::Even => (|word| word & EVEN, &self.resting_even),
            // The next port of an even one is in the same word.
            Wish::EvenAndNext => (|word| word & word >> 1 & EVEN, &self.resting_pairs),
        };
        let number: u32 = self.rested.iter().map(|word| fits(*word).count_ones()).sum();
        if number == 0 {
            return resting.first().map(|(_, port)| *port);
        }
        let mut nth = random % number;
        let mut base = u32::from(self.range.first() / 64) * 64;
        for word in &self.rested {
            let word = fits(*word);
            if nth < word.count_ones() {
                let bit = (0..nth).fold(word, |word, _| word & (word - 1)).trailing_zeros();
                return u16::try_from(base + bit).ok();
            }
            nth -= word.count_ones();
            base += 64;
        }
        None
    }

    /// Takes a port that is free; returns what it still has to rest.
    pub(super) fn take(&mut self, port: u16) -> Option<Rest> {
        let rest = self.rest_of(port)?;
        self.change(port, None);
        self.count -= 1;
        Some(rest)
    }

    /// Gives a port back that is not free, to rest.
    pub(super) fn give_back(&mut self, port: u16, rest: Rest) {
        if self.range.contains(port) && self.rest_of(port).is_none() {
            self.change(port, Some(rest));
            self.count += 1;
        }
    }

    fn rest_of(&self, port: u16) -> Option<Rest> {
        let offset = port.checked_sub(self.range.first())?;
        self.rests.get(usize::from(offset)).copied().flatten()
    }

    /// The longer rest of both ports of a pair, where both are free.
    fn rest_of_pair(&self, even: u16) -> Option<Rest> {
        Some(self.rest_of(even)?.max(self.rest_of(even.checked_add(1)?)?))
    }

    /// Has what has rested until now be chosen like any other.
    fn end_rests(&mut self, now: Tick) {
        // First those that were used, then those of other processes: the order has them apart.
        for class in [Rest::used(Tick(0)), Rest::elsewhere(Tick(0))] {
            for _ in 0..RESTED_AT_A_TIME {
                let first = self.resting.range((class, 0)..).next().copied();
                let over = first.filter(|(rest, _)| rest.until() <= now);
                let Some((_, port)) = over else { break };
                self.change(port, Some(Rest::default()));
            }
        }
    }

    /// Notes what a port is from now on, wherever it is known.
    fn change(&mut self, port: u16, new: Option<Rest>) {
        let even = port & !1;
        let old_pair = self.rest_of_pair(even);
        let Some(offset) = port.checked_sub(self.range.first()) else { return };
        let Some(slot) = self.rests.get_mut(usize::from(offset)) else { return };
        let old = std::mem::replace(slot, new);
        let new_pair = self.rest_of_pair(even);
        let is_even = port == even;
        let moved = |set: &mut BTreeSet<_>, port, old: Option<Rest>, new: Option<Rest>| {
            let rests = |rest: &Rest| *rest != Rest::default();
            if let Some(old) = old.filter(rests) {
                set.remove(&(old, port));
            }
            if let Some(new) = new.filter(rests) {
                set.insert((new, port));
            }
        };
        moved(&mut self.resting, port, old, new);
        if is_even {
            moved(&mut self.resting_even, port, old, new);
        }
        if old_pair != new_pair {
            moved(&mut self.resting_pairs, even, old_pair, new_pair);
        }
        let word = usize::from(port / 64 - self.range.first() / 64);
        if let Some(word) = self.rested.get_mut(word) {
            let bit = 1 << (port % 64);
            *word = if new == Some(Rest::default()) { *word | bit } else { *word & !bit };
        }
    }
}
