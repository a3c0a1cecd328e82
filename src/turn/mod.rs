//! The protocol as a state machine without sockets (RFC 8656, and RFC 8489 for Binding).
//!
//! A [`Shard`] is told what arrived and when, and answers with a [`Verdict`]: drop it, answer it,
//! or relay these bytes there. Sockets are opened and closed through [`Outside`], which also gives
//! randomness and takes events. A shard shares nothing with other shards on a packet's way.
//!
//! One file a request method (`allocate`, `refresh`, `create_permission`, `channel_bind`,
//! `binding`), `authenticate` and `request` for what they have in common, `relay` for the packets
//! themselves.
#![forbid(unsafe_code)]

mod allocate;
mod allocation;
mod authenticate;
mod binding;
mod channel_bind;
mod create_permission;
mod icmp;
mod outside;
mod redirect;
mod refresh;
mod relay;
mod request;
mod shard;
mod timers;
mod types;

#[cfg(test)]
mod tests;

pub use icmp::IcmpError;
pub use outside::{ChannelRoute, EndReason, Event, OpenError, Outside};
pub use redirect::Redirect;
pub use shard::{Rules, Settings, Shard, Statistics};
pub use types::{
    AllocationId, Client, ClientAddr, DropReason, PeerAddr, Prefix, RelayAddress, RelayId, Traffic,
    Verdict, Via,
};
