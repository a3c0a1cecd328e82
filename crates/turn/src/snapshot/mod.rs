//! What a server holds, for another process that goes on in its place: a restart ends no call.
//!
//! The old process takes a [`Snapshot`] of its [`Rules`](super::Rules) and of each
//! [`Shard`](super::Shard), and [writes](Snapshot::write) it. The new one [reads](Snapshot::read) it, which
//! changes nothing; [divides](Snapshot::divide) it up among its own shards, however many they are; and
//! restores first its rules ([`Rules::restore`](super::Rules::restore)) and then each shard
//! ([`Shard::restore`](super::Shard::restore)). Sockets go beside it: [`Snapshot::sockets`] says which
//! there are, and [`Adoption`](super::Adoption) is how a shard gets them.
//!
//! `records` is the format, with the values of `wire`; `envelope` is what is around it; `check` is what must
//! hold before anything is restored.
//!
//! Not in it: what strangers have spent of their budgets, and the counters of the metrics. They begin anew.

mod check;
mod envelope;
mod error;
mod format;
pub(crate) mod records;
mod share;
mod whole;
pub(crate) mod wire;

pub use error::SnapshotError;
pub use format::{FORMAT, LONGEST};
pub use share::Share;
pub use whole::{HeldSockets, ShardSnapshot, SharedSnapshot, Snapshot, Taken};
