//! The sockets and threads of the relay. `unsafe` is in `batch::linux`, `steering`, `readiness`,
//! `memory`, `stream::receive_buffer` and `dtls::ffi`.
//!
//! Each worker is a thread with a runtime of its own. It has a shard of `taciturn-turn`, its
//! listening sockets (SO_REUSEPORT: the kernel spreads clients over the workers), the relay
//! sockets of its allocations. A packet's way is one call deep: a batch is read from a socket, the
//! shard gives a verdict on each packet, what is to go out is grouped and sent.

mod address_notices;
mod answer_size;
mod batch;
mod carry;
mod clients;
mod clock;
mod counters;
#[cfg(feature = "dtls")]
pub mod dtls;
#[cfg(feature = "dtls")]
mod dtls_clients;
#[cfg(not(feature = "dtls"))]
#[path = "no_dtls_clients.rs"]
mod dtls_clients;
mod engine;
mod entrances;
mod event_log;
pub mod external;
mod failed_logins;
mod handshakes;
mod heartbeat;
mod kernel_path;
mod limit_names;
mod listener;
pub mod load_generator;
mod log_budget;
mod mailbox;
mod memory;
mod own_addresses;
pub mod proxy_protocol;
mod readiness;
mod reception;
mod send_errors;
mod server;
mod shared;
mod sockets;
mod steering;
mod stream;
mod tcp_relay;
mod tcp_socket;
mod terms;
#[cfg(test)]
mod test_rules;
mod timeouts;
mod udp_loop;
mod usage;
mod wake_delay;
mod worker;

pub use address_notices::{AddressNotices, AddressWatch};
#[cfg(target_os = "linux")]
#[doc(hidden)] // for tests/corpus alone
pub use batch::control as control_messages;
pub use batch::ip_fields::KeptFields;
pub use carry::{Carried, CarriedError, Exported, Groups};
pub use clock::Clock;
pub use counters::{Counts, EventCounts, Overflowed, RefusedHandshakes, Snapshot};
pub use dtls_clients::DtlsSettings;
pub use entrances::Entrances;
pub use failed_logins::{FailedLogin, FailedLogins};
pub use kernel_path::{FlowNumber, FlowTraffic, KernelFlow, KernelFlows};
pub use limit_names::{AllowedAddress, LimitNames};
pub use listener::bind::{ListenerChange, Listeners, Wanted};
pub use listener::error::{BindError, DtlsUnavailable};
pub use listener::id::ListenerId;
pub use memory::give_back;
pub use own_addresses::OwnAddresses;
#[cfg(target_os = "linux")]
pub use readiness::watch_descriptor;
pub use readiness::watch_socket;
pub use reception::{Reception, Receptionist, Visitor, VisitorStream, VisitorTicket};
pub use send_errors::{Loss, Losses};
pub use server::{Prepared, Running, ServerError, StandingStill, Workers, start};
pub use shared::Shared;
pub use stream::connection::STRANGER_MEMORY;
pub use stream::send_queue::CLIENT_MEMORY;
pub use stream::settings::{Speaks, StreamSettings};
pub use terms::{Limits, Terms};
pub use usage::UsageSink;

// What unit tests share with those of `tests` names the library from outside.
#[cfg(all(test, feature = "dtls"))]
extern crate self as taciturn_net;
