//! The part of a snapshot that one shard restores.

use super::records::{AllocationRecord, EndedRecord, MoveRecord};
use crate::types::Client;

/// The part of a snapshot that one shard restores, with clients as that shard names them.
#[derive(Debug, Default)]
pub struct Share {
    /// Each with its client, unless that is gone.
    pub(crate) allocations: Vec<(AllocationRecord, Option<Client>)>,
    pub(crate) moves: Vec<MoveRecord>,
    pub(crate) ended: Vec<EndedRecord>,
}

impl Share {
    pub(super) fn add_allocation(&mut self, record: AllocationRecord, client: Option<Client>) {
        self.allocations.push((record, client));
    }

    /// How many allocations there are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }
}
