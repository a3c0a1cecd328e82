//! Deadlines of allocations: one heap a shard.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::types::AllocationId;
use crate::clock::Tick;

/// When to look at which allocation again.
///
/// An allocation is queued for one deadline at a time; a later deadline is found out when the
/// earlier one is reached. So a refresh costs nothing here, and the heap stays about as long as
/// there are allocations.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Tick, AllocationId)>>,
}

impl Timers {
    pub(super) fn push(&mut self, at: Tick, allocation: AllocationId) {
        self.heap.push(Reverse((at, allocation)));
    }

    /// Forgets the deadlines that do not hold any more, once they are most of the heap: who makes
    /// and drops allocations all day must not make it grow.
    pub(super) fn compact(
        &mut self,
        allocations: usize,
        holds: impl Fn(Tick, AllocationId) -> bool,
    ) {
        if self.heap.len() > 64 + 8 * allocations {
            self.heap.retain(|Reverse((at, id))| holds(*at, *id));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest deadline that `now` has reached.
    pub(super) fn pop(&mut self, now: Tick) -> Option<(Tick, AllocationId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
