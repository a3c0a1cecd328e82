//! Whether new allocations are created.

use super::snapshot::records::IntakeRecord;

/// What an operator has closed to new clients.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Whether no allocation is created any more.
    pub(super) draining: bool,
    /// Listeners that take no new clients; their clients may stay.
    retired: Vec<u16>,
}

impl Intake {
    /// For another process.
    pub(super) fn snapshot(&self) -> IntakeRecord {
        let Self { draining, retired } = self;
        IntakeRecord { draining: *draining, retired: retired.clone() }
    }

    pub(super) fn is_retired(&self, listener: u16) -> bool {
        self.retired.contains(&listener)
    }

    pub(super) fn retire(&mut self, listener: u16) {
        self.restore(listener);
        self.retired.push(listener);
    }

    pub(super) fn restore(&mut self, listener: u16) {
        self.retired.retain(|retired| *retired != listener);
    }
}
