//! Memory after a crowd has gone.

use taciturn_net::give_back;

/// How many connections fewer than there were are worth a look at the memory: they had 2 MB and more.
const FEWER: u32 = 64;

/// Has the allocator give memory back to the system once many connections have ended.
#[derive(Default)]
pub(super) struct Memory {
    /// The most connections that there were since memory was given back last.
    most: u32,
}

impl Memory {
    /// To be called every few seconds with the number of connections.
    pub(super) fn look(&mut self, connections: u32) {
        if self.is_due(connections) {
            give_back();
        }
    }

    fn is_due(&mut self, connections: u32) -> bool {
        self.most = self.most.max(connections);
        let due = self.most - connections >= FEWER;
        if due {
            self.most = connections;
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
        let counts = [0, 10, 500, 4000, 3990, 3900, 3900, 100, 100, 99, 90, 4000, 0, 0];
        let due: Vec<_> = counts.into_iter().filter(|count| memory.is_due(*count)).collect();
        assert_eq!(due, [3900, 100, 0]);
    }
}
