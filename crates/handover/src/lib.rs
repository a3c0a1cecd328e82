//! From one process of the server to the next: its sockets, and a snapshot of what it knows.
//!
//! There are two ways from the one to the other, and both carry the same:
//!
//! - **The service manager keeps it.** The server gives it to systemd ([`Store`]), which passes it to the next
//!   process of the service ([`inherited`]), whether the server was restarted or has crashed.
//! - **The one process gives it to the other** over the control socket, while both run ([`Giver`], [`Taker`]).
//!   Whatever fails before the new one is ready leaves the old one as it was.
//!
//! Each descriptor has a [`Name`], which says what it is. The [`State`] lists them all: it is one sealed file in
//! memory ([`sealed`]), with what belongs to single connections, and the snapshot, which is nothing but bytes here.
//! Whoever receives descriptors compares them with it ([`claim`]): each one is examined before it is used, and a
//! group of SO_REUSEPORT sockets is taken as a whole or not at all.
//!
//! Nothing here knows the protocol, the configuration, or a runtime. Linux only: on other systems this crate is
//! empty, and a server ends its calls when it ends.
#![cfg(target_os = "linux")]

mod claim;
mod examine;
mod frame;
mod giver;
mod handover;
mod inherited;
mod name;
mod patience;
mod peer;
mod queue;
mod raw;
mod rights;
pub mod sealed;
mod state;
mod store;
mod taker;
#[cfg(test)]
mod watched;

pub use claim::{Claimed, Group, Held, Refused, claim};
pub use examine::{Unfit, examine};
pub use frame::{FrameError, VERSIONS, Versions};
pub use giver::{GiveError, Giver};
pub use handover::{Handover, HandoverError};
pub use inherited::{Inherited, InheritedError, inherited};
pub use name::{BadName, Name, Place, Transport};
pub use patience::Patience;
pub use peer::{Peer, Stranger};
pub use state::{Entry, LONGEST_STATE, MOST_DESCRIPTORS, Snapshot, State, StateError};
pub use store::{STORE_ROOM, Store, StoreError};
pub use taker::{TakeError, Taken, Taker};
