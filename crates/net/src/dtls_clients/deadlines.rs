//! When to look at which DTLS connection again: one heap for each worker.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use taciturn_turn::clock::Tick;

/// A connection of this worker. Numbers are used again; the generation tells old from new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DtlsClientId {
    pub(super) number: u32,
    pub(super) generation: u32,
}

/// Each connection is queued for one deadline at a time. That a deadline has moved on is found out
/// when the old one is reached, so a packet costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Tick, DtlsClientId)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Tick, client: DtlsClientId) {
        self.heap.push(Reverse((at, client)));
    }

    /// Forgets the deadlines that do not hold any more, once they are most of the heap: clients
    /// that come and go all day must not make it grow.
    pub(super) fn compact(&mut self, clients: usize, holds: impl Fn(Tick, DtlsClientId) -> bool) {
        if self.heap.len() > 64 + 4 * clients {
            self.heap.retain(|Reverse((at, id))| holds(*at, *id));
        }
    }

    /// Returns the earliest one.
    pub(super) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes and returns the earliest one that `now` has reached.
    pub(super) fn pop(&mut self, now: Tick) -> Option<(Tick, DtlsClientId)> {
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
