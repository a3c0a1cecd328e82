//! What the kernel relays for this server, if it may and the configuration wants it (`[kernel_relay]`).
//!
//! The program is attached, or what `turnctl kernel-relay attach` has left is opened, before the server gives up its
//! rights. Whatever fails, the sockets relay: the server never refuses to start for it.

#[cfg(feature = "kernel-relay")]
mod attached;
#[cfg(not(feature = "kernel-relay"))]
#[path = "kernel_relay/none.rs"]
mod attached;
mod report;

pub use attached::KernelRelay;
pub use report::KernelReport;
