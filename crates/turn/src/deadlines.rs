//! Deadlines, the earliest first: one heap for all that a shard or a worker waits for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Tick;

/// When to look at which thing again.
///
/// A thing is queued for one deadline at a time. Whether its deadline has moved on is found out when the
/// earlier one is reached, so a refresh or a packet costs nothing here, and the heap stays about as long
/// as there are things.
#[derive(Debug)]
pub struct Deadlines<Id> {
    heap: BinaryHeap<Reverse<(Tick, Id)>>,
}

impl<Id: Ord> Default for Deadlines<Id> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new() }
    }
}

impl<Id: Ord + Copy> Deadlines<Id> {
    /// Queues one more deadline.
    pub fn push(&mut self, at: Tick, id: Id) {
        self.heap.push(Reverse((at, id)));
    }

    /// Forgets the deadlines that do not hold any more, once they are most of the heap: clients that
    /// come and go all day must not make it grow. `live` is how many things there are.
    pub fn compact(&mut self, live: usize, holds: impl Fn(Tick, Id) -> bool) {
        if self.heap.len() > 64 + 4 * live {
            self.heap.retain(|Reverse((at, id))| holds(*at, *id));
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest deadline that `now` has reached.
    pub fn pop(&mut self, now: Tick) -> Option<(Tick, Id)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// How many deadlines are queued, those included that do not hold any more.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_their_order_and_none_before_its_time() {
        let mut deadlines = Deadlines::default();
        for (at, id) in [(30, 'c'), (10, 'a'), (20, 'b')] {
            deadlines.push(Tick(at), id);
        }
        assert_eq!((deadlines.next(), deadlines.pop(Tick(9))), (Some(Tick(10)), None));
        assert_eq!(deadlines.pop(Tick(20)), Some((Tick(10), 'a')));
        assert_eq!(deadlines.pop(Tick(20)), Some((Tick(20), 'b')));
        assert_eq!(deadlines.pop(Tick(20)), None);
        assert!(!deadlines.is_empty());
    }

    #[test]
    fn what_does_not_hold_is_forgotten_before_it_is_much() {
        let mut deadlines = Deadlines::default();
        for at in 0..1000 {
            deadlines.push(Tick(at), 0);
            deadlines.compact(1, |queued, _| queued == Tick(at));
            assert!(deadlines.len() <= 64 + 4);
        }
        assert_eq!(deadlines.pop(Tick(2000)).map(|(_, id)| id), Some(0));
    }
}
