//! Memory after a crowd has gone.

use taciturn_net::give_back;
use taciturn_turn::policy::Connections;

/// How many connections fewer than there were are worth a look at the memory: they had 2 MB and more.
const FEWER: u32 = 64;

/// Has the allocator give memory back to the system once many connections have ended.
#[derive(Default)]
pub(super) struct Memory {
    /// The most connections that there were since memory was given back last.
    most: u32,
}

impl Memory {
    /// To be called every few seconds.
    pub(super) fn look(&mut self, connections: &Connections) {
        if self.is_due(connections.take_most(), connections.open()) {
            give_back();
        }
    }

    /// Whether there are many fewer connections `now` than at some time before; `most` since the last call.
    fn is_due(&mut self, most: u32, now: u32) -> bool {
        self.most = self.most.max(most);
        let due = self.most.saturating_sub(now) >= FEWER;
        if due {
            self.most = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_each_crowd() {
        let mut memory = Memory::default();
        let counts = [(10, 10), (4000, 3990), (3990, 3900), (3900, 3900), (3900, 100), (100, 99)];
        assert_eq!(
            counts.map(|(most, now)| memory.is_due(most, now)),
            [false, false, true, false, true, false]
        );
        // One that came and went between two looks.
        assert!(memory.is_due(250, 99));
        assert!(!memory.is_due(99, 90));
    }
}
