//! Where the records go of what sessions have used.

use std::fmt;

use taciturn_turn::UsageRecord;

/// Takes the records of sessions that have ended. A worker calls it once for each session, between packets: it must not
/// wait for anything.
pub trait UsageSink: fmt::Debug + Send + Sync {
    /// Takes one.
    fn put(&self, record: UsageRecord);
}
