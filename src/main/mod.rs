//! The server program: its start step by step, and its parts once it runs.

mod addresses;
mod announce;
mod bans;
mod carried_over;
mod checks;
mod confine;
mod drain;
mod failure;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(not(feature = "fleet"))]
#[path = "no_fleet.rs"]
mod fleet;
#[cfg(feature = "fleet")]
mod fleet_counts;
#[cfg(feature = "fleet")]
mod fleet_keys;
#[cfg(feature = "fleet")]
mod fleet_questions;
mod hand_over;
mod in_use;
mod invocation;
mod keeper;
mod live;
mod log;
mod look;
mod memory;
mod notes;
mod predecessor;
mod reload;
mod rules;
mod signals;
mod start;
mod withheld;

pub(super) use failure::Failure;
pub(super) use invocation::Invocation;
pub(super) use log::Log;
pub(super) use look::Look;
pub(super) use notes::Notes;
pub(super) use start::Prepared;
