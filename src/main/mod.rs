//! The server program: its start step by step, and its parts once it runs.

mod addresses;
mod announce;
mod checks;
mod confine;
mod drain;
mod in_use;
mod invocation;
mod live;
mod log;
mod memory;
mod notes;
mod reload;
mod rules;
mod signals;
mod start;
mod withheld;

pub(super) use invocation::Invocation;
pub(super) use log::Log;
pub(super) use notes::Notes;
pub(super) use start::Prepared;

/// Why the server cannot start, or has ended, in words.
pub(super) type Failure = Box<dyn std::error::Error>;
