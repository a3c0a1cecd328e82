//! What goes from one process of the server to the next, so that running calls go on: the sockets, and what belongs
//! to them.
//!
//! The old process has its workers [stand still](crate::Running::stand_still) and [exports](Exported) what they have.
//! The new one reads it as [`Carried`], takes its listening sockets in place of such as it would bind, and starts its
//! workers with the rest ([`start`](crate::start)). The protocol's state goes beside it
//! ([`taciturn_turn::snapshot`]); what carries both is the crate `taciturn-handover`.
//!
//! Clients on UDP and on TCP without TLS are carried over, and so are the sockets of TCP allocations (RFC 6062).
//! Sessions of TLS and DTLS live in their libraries and stay where they are; so does whoever has no allocation.

mod carried;
mod divided;
mod exported;
mod groups;
pub(crate) mod record;

pub use carried::{Carried, CarriedError};
pub(crate) use divided::{CarriedClient, CarriedSockets, Share};
pub use exported::Exported;
pub(crate) use exported::{NamedSockets, WorkerExport};
pub use groups::Groups;

use std::time::Duration;

/// The time since the system started, on a clock that goes on while it sleeps: all processes have it.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}
