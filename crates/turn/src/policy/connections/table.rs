//! Who has a place, and who of them is the first to lose it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;
use slab::Slab;

use super::notice::Notice;
use super::prefix::{self, Prefix};

/// The connections that have a place. What is kept has a bound for each of them: an entry, a count for
/// each of at most three networks, and a line in the order of those that have no allocation.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: Slab<Place>,
    /// Places that are taken. Those that were closed to make room have given theirs up.
    taken: u32,
    /// Only networks that have a connection.
    by_prefix: AHashMap<Prefix, u32>,
    strangers: Strangers,
    /// The number of the next one that becomes a stranger.
    next: u64,
}

#[derive(Debug)]
struct Place {
    from: IpAddr,
    notice: Arc<Notice>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Without an allocation; numbers grow with time.
    Stranger(u64),
    /// With one.
    Settled,
    /// Told to go. It has no place any more.
    Leaving,
}

impl Table {
    pub(super) const fn taken(&self) -> u32 {
        self.taken
    }

    /// How many were told to go and are still there.
    pub(super) fn leaving(&self) -> usize {
        self.places.len().saturating_sub(self.taken as usize)
    }

    /// Whether each network of an address has room for one more.
    pub(super) fn has_room_for(&self, from: IpAddr, per_address: u32) -> bool {
        prefix::of(from).all(|(prefix, times)| {
            let count = self.by_prefix.get(&prefix).copied().unwrap_or(0);
            count < per_address.saturating_mul(times)
        })
    }

    /// Gives a place to a stranger.
    pub(super) fn insert(&mut self, from: IpAddr, notice: Arc<Notice>) -> usize {
        self.taken += 1;
        for (prefix, _) in prefix::of(from) {
            *self.by_prefix.entry(prefix).or_default() += 1;
        }
        let number = self.next();
        let place =
            self.places.insert(Place { from, notice, standing: Standing::Stranger(number) });
        self.strangers.insert(prefix::widest(from), number, place);
        place
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, place: usize) {
        let Some(Place { from, standing, .. }) = self.places.try_remove(place) else { return };
        if let Standing::Stranger(number) = standing {
            self.strangers.remove(prefix::widest(from), number);
        }
        if standing != Standing::Leaving {
            self.give_up(from);
        }
    }

    /// Notes whether a connection has an allocation. Returns whether it still has its place.
    pub(super) fn set_settled(&mut self, place: usize, settled: bool) -> bool {
        let number = self.next();
        let Some(place_of) = self.places.get_mut(place) else { return false };
        let widest = prefix::widest(place_of.from);
        match (place_of.standing, settled) {
            (Standing::Leaving, _) => return false,
            (Standing::Stranger(number), true) => {
                place_of.standing = Standing::Settled;
                self.strangers.remove(widest, number);
            }
            (Standing::Settled, false) => {
                place_of.standing = Standing::Stranger(number);
                self.strangers.insert(widest, number, place);
            }
            (Standing::Stranger(_), false) | (Standing::Settled, true) => {}
        }
        true
    }

    /// Takes the place of one without an allocation: of the network that has most of them the one
    /// that has been so for longest. Returns whom to tell; `None` where all have an allocation.
    pub(super) fn evict(&mut self) -> Option<Arc<Notice>> {
        let place = self.strangers.take_first()?;
        let place = self.places.get_mut(place)?;
        place.standing = Standing::Leaving;
        let (from, notice) = (place.from, Arc::clone(&place.notice));
        self.give_up(from);
        Some(notice)
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn give_up(&mut self, from: IpAddr) {
        self.taken -= 1;
        for (prefix, _) in prefix::of(from) {
            if let Some(count) = self.by_prefix.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    self.by_prefix.remove(&prefix);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Self { places, taken, by_prefix, strangers, .. } = self;
        let Strangers { groups, order } = strangers;
        *taken == 0
            && places.is_empty()
            && by_prefix.is_empty()
            && groups.is_empty()
            && order.is_empty()
    }
}

/// Connections without an allocation, in the order in which they lose their places. Each step takes
/// the logarithm of their number.
#[derive(Debug, Default)]
struct Strangers {
    /// By their widest network: the place of each, by its number.
    groups: AHashMap<Prefix, BTreeMap<u64, usize>>,
    /// How many a network has, and the number of its oldest. The last is the first to lose one.
    order: BTreeSet<(usize, Reverse<u64>, Prefix)>,
}

impl Strangers {
    fn insert(&mut self, prefix: Prefix, number: u64, place: usize) {
        self.change(prefix, |group| {
            group.insert(number, place);
        });
    }

    fn remove(&mut self, prefix: Prefix, number: u64) {
        self.change(prefix, |group| {
            group.remove(&number);
        });
    }

    fn take_first(&mut self) -> Option<usize> {
        let (_, _, prefix) = *self.order.last()?;
        let mut first = None;
        self.change(prefix, |group| first = group.pop_first());
        first.map(|(_, place)| place)
    }

    fn change(&mut self, prefix: Prefix, change: impl FnOnce(&mut BTreeMap<u64, usize>)) {
        let group = self.groups.entry(prefix).or_default();
        if let Some(rank) = rank(prefix, group) {
            self.order.remove(&rank);
        }
        change(group);
        match rank(prefix, group) {
            Some(rank) => {
                self.order.insert(rank);
            }
            None => {
                self.groups.remove(&prefix);
            }
        }
    }
}

/// `None` for an empty group.
fn rank(prefix: Prefix, group: &BTreeMap<u64, usize>) -> Option<(usize, Reverse<u64>, Prefix)> {
    let (oldest, _) = group.first_key_value()?;
    Some((group.len(), Reverse(*oldest), prefix))
}
