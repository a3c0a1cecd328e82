//! Returns memory to the system after many connections have ended.

use taciturn_net::give_back;
use taciturn_turn::policy::Connections;

/// How many connections fewer than there were are worth a look at the memory: they had 2 MB and more.
const FEWER: u32 = 64;

/// Makes the allocator return memory to the system after many connections have ended.
#[derive(Default)]
pub(super) struct Memory {
    /// The most connections that there were since memory was given back last.
    most: u32,
}

impl Memory {
    /// To be called every few seconds.
    pub(super) fn look(&mut self, connections: &Connections) {
        if self.is_due(connections.take_most()) {
            give_back();
        }
    }

    /// Whether there were many fewer connections since the last look, of which there were `recent` at the most, than
    /// at some time before. While a crowd comes and goes, its memory is used again, and giving it back would hold up
    /// the workers.
    fn is_due(&mut self, recent: u32) -> bool {
        let due = self.most.saturating_sub(recent) >= FEWER;
        self.most = if due { recent } else { self.most.max(recent) };
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_each_crowd() {
        let mut memory = Memory::default();
        let recent = [0, 10, 4000, 3990, 3937, 3936, 3930, 4096, 100, 100, 60, 30, 250, 99, 99];
        let due: Vec<_> = recent.into_iter().filter(|recent| memory.is_due(*recent)).collect();
        assert_eq!(due, [3936, 100, 30, 99]);
    }
}
