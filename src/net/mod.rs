//! The only room with sockets, and (in `batch::linux` and `readiness`) the only one with `unsafe`.
//!
//! Each worker is a thread with a runtime of its own, and in it one [`worker::Worker`]: a shard,
//! its listening sockets (SO_REUSEPORT: the kernel spreads clients over the workers), the relay
//! sockets of its allocations. A packet's way is one call deep: a batch is read from a socket, the
//! shard gives a verdict on each packet, what is to go out is grouped and sent.

mod batch;
mod clock;
mod event_log;
pub mod external;
mod heartbeat;
mod io;
mod listener;
mod readiness;
mod server;
mod stream;
mod worker;

pub use listener::{BindError, Listeners};
pub use server::{Running, ServerError, Shared, start};
pub use stream::{Speaks, StreamSettings};
