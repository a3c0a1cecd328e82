//! Which places of the tables are taken, and by which flow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::flow::Flow;

/// How long a place rests after its flow was removed. A run of the program that has found the flow before has ended long
/// since, and counts nothing for the next one.
const REST: Duration = Duration::from_millis(100);

/// The flow of a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) flow: Flow,
    /// In nanoseconds of CLOCK_MONOTONIC.
    pub(crate) until: u64,
}

/// The places 0 up to a capacity.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: u32,
    kept: Vec<Option<Kept>>,
    /// Those that are free again, and since when.
    free: VecDeque<(u32, Instant)>,
    taken: u32,
}

impl Slots {
    pub(crate) const fn new(capacity: u32) -> Self {
        Self { capacity, kept: Vec::new(), free: VecDeque::new(), taken: 0 }
    }

    pub(crate) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many are taken.
    pub(crate) const fn taken(&self) -> u32 {
        self.taken
    }

    /// How many places have been taken at some time: 0 up to here.
    pub(crate) fn used(&self) -> u32 {
        u32::try_from(self.kept.len()).unwrap_or(u32::MAX)
    }

    /// Takes a free place. Returns nothing if there is none.
    pub(crate) fn take(&mut self, kept: Kept, now: Instant) -> Option<u32> {
        let slot = if self.used() < self.capacity {
            self.kept.push(None);
            self.used() - 1
        } else {
            let (slot, since) = *self.free.front()?;
            if now.saturating_duration_since(since) < REST {
                return None;
            }
            self.free.pop_front();
            slot
        };
        *self.kept.get_mut(slot as usize)? = Some(kept);
        self.taken += 1;
        Some(slot)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Kept> {
        self.kept.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Kept> {
        self.kept.get_mut(slot as usize)?.as_mut()
    }

    /// Frees a place. Returns its flow.
    pub(crate) fn free(&mut self, slot: u32, now: Instant) -> Option<Kept> {
        let kept = self.kept.get_mut(slot as usize)?.take()?;
        self.free.push_back((slot, now));
        self.taken -= 1;
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::super::flow::Peer;
    use super::*;

    fn kept() -> Kept {
        let at = "203.0.113.2:20000".parse().unwrap();
        let flow =
            Flow { client: at, server: at, channel: 0x4000, relay: at, peer: Peer::Elsewhere(at) };
        Kept { flow, until: 1 }
    }

    #[test]
    fn a_place_rests_before_it_is_taken_again() {
        let (mut slots, start) = (Slots::new(2), Instant::now());
        assert_eq!((slots.take(kept(), start), slots.take(kept(), start)), (Some(0), Some(1)));
        assert_eq!(slots.take(kept(), start), None, "full");
        assert!(slots.free(0, start).is_some() && slots.free(0, start).is_none(), "once");
        assert_eq!(slots.take(kept(), start + REST / 2), None, "it rests");
        assert_eq!((slots.take(kept(), start + REST), slots.taken()), (Some(0), 2));
        assert!(slots.get(7).is_none() && slots.free(7, start).is_none());
    }
}
