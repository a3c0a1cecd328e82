//! The only room with sockets. `unsafe` is in `batch::linux` and `readiness`.
//!
//! Each worker is a thread with a runtime of its own, and in it one [`worker::Worker`]: a shard,
//! its listening sockets (SO_REUSEPORT: the kernel spreads clients over the workers), the relay
//! sockets of its allocations. A packet's way is one call deep: a batch is read from a socket, the
//! shard gives a verdict on each packet, what is to go out is grouped and sent.

mod batch;
pub mod bulk;
mod clock;
mod colleagues;
mod command;
#[cfg(feature = "dtls")]
mod dtls;
#[cfg(not(feature = "dtls"))]
#[path = "no_dtls.rs"]
mod dtls;
mod event_log;
pub mod external;
mod heartbeat;
mod io;
mod listener;
mod losses;
mod moderation;
mod patience;
mod readiness;
mod server;
mod stream;
mod tally;
mod tcp_relay;
#[cfg(test)]
mod test_rules;
mod worker;

pub use dtls::DtlsSettings;
pub use listener::{BindError, DtlsUnavailable, ListenerChange, ListenerId, Listeners, Wanted};
pub use losses::{Loss, Losses};
#[cfg(target_os = "linux")]
pub(crate) use readiness::watch_descriptor;
pub(crate) use readiness::watch_socket;
pub use server::{Running, ServerError, Shared, Workers, start};
pub use stream::{CLIENT_MEMORY, STRANGER_MEMORY, Speaks, StreamSettings};
pub use tally::{Counts, Overflowed, Snapshot, Tally};
