//! Relays the data of bound channels in the kernel: a program at TC ingress rewrites the packets of installed flows
//! and sends them on. Everything else passes up to the sockets.
//!
//! [`attach`] or [`open_pins`] gives a [`KernelRelay`], which the server installs [`Flow`]s in. The program is
//! `bpf/relay.bpf.c`; its bytecode is in the repository, and `bpf/build` makes it.
#![forbid(unsafe_code)]

mod attach;
mod attachments;
mod error;
mod flow;
mod interface;
mod keeper;
mod layout;
mod maps;
mod netlink;
mod pins;
mod relay;
mod routes;
mod slots;
mod stats;
#[cfg(test)]
mod tests;
mod traffic;

pub use attach::AttachedTo;
pub use attachments::{Attached, Program, attach, detach_left};
pub use error::{Error, NotInstalled};
pub use flow::{Flow, Peer};
pub use interface::Wanted;
pub use keeper::keep;
pub use pins::{detach_pins, is_pinned, let_through, open_pins, pin};
pub use relay::{Installed, KernelRelay};
pub use stats::Stats;
pub use traffic::Counted;
