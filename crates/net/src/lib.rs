//! The sockets and threads of the relay. `unsafe` is in `batch::linux`, `readiness`, `memory` and
//! `dtls::ffi`.
//!
//! Each worker is a thread with a runtime of its own. It has a shard of `taciturn-turn`, its
//! listening sockets (SO_REUSEPORT: the kernel spreads clients over the workers), the relay
//! sockets of its allocations. A packet's way is one call deep: a batch is read from a socket, the
//! shard gives a verdict on each packet, what is to go out is grouped and sent.

mod address_notices;
mod batch;
pub mod bulk;
mod clock;
mod colleagues;
mod command;
#[cfg(feature = "dtls")]
pub mod dtls;
#[cfg(feature = "dtls")]
mod dtls_clients;
#[cfg(not(feature = "dtls"))]
#[path = "no_dtls_clients.rs"]
mod dtls_clients;
mod event_log;
pub mod external;
mod handshakes;
mod heartbeat;
mod io;
mod limit_names;
mod listener;
mod log_budget;
mod losses;
mod memory;
mod moderation;
mod own_addresses;
mod patience;
pub mod proxy_protocol;
mod readiness;
mod server;
mod stream;
mod tally;
mod tcp_relay;
mod terms;
#[cfg(test)]
mod test_rules;
mod worker;

pub use address_notices::{AddressNotices, AddressWatch};
#[cfg(target_os = "linux")]
#[doc(hidden)] // for tests/corpus alone
pub use batch::control as control_messages;
pub use dtls_clients::DtlsSettings;
pub use limit_names::LimitNames;
pub use listener::{BindError, DtlsUnavailable, ListenerChange, ListenerId, Listeners, Wanted};
pub use losses::{Loss, Losses};
pub use memory::give_back;
pub use own_addresses::OwnAddresses;
#[cfg(target_os = "linux")]
pub use readiness::watch_descriptor;
pub use readiness::watch_socket;
pub use server::{Running, ServerError, Shared, Workers, start};
pub use stream::{CLIENT_MEMORY, STRANGER_MEMORY, Speaks, StreamSettings};
pub use tally::{Counts, Overflowed, RefusedHandshakes, Snapshot, Tally};
pub use terms::{Limits, Terms};

// What unit tests share with those of `tests` names the library from outside.
#[cfg(all(test, feature = "dtls"))]
extern crate self as taciturn_net;
