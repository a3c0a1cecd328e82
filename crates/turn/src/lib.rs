//! The protocol as a state machine without sockets (RFC 8656, RFC 8489 for Binding, RFC 6062 for
//! TCP allocations).
//!
//! A [`Shard`] is told what arrived and when, and answers with a [`Verdict`]: drop it, answer it,
//! or relay these bytes there. Sockets are opened and closed through [`Outside`], which also gives
//! randomness and takes events. A shard shares nothing with other shards on a packet's way.
//!
//! One file a request method (`allocate`, `refresh`, `create_permission`, `channel_bind`,
//! `binding`, `connect`, `connection_bind`), `authenticate` and `request` for what they have in common, `relay` for
//! the packets themselves. `tcp_allocation` has the peer connections of a TCP allocation, whose
//! data no shard sees; `connection_attempt` those that peers begin; `connection_ids` is how the
//! shard that a data connection came to finds them. `reload` is how rules change while calls run.
//! `mobility` lets an allocation move with its client (RFC 8016): `mobile_allocations` is how shards
//! agree on where it is, `hand_over` how it goes from one to another. `nat_discovery` answers from
//! elsewhere (RFC 5780).
#![forbid(unsafe_code)]

pub mod auth;
pub mod clock;
pub mod policy;

mod allocate;
mod allocation;
mod authenticate;
mod binding;
mod channel_bind;
mod connect;
mod connection_attempt;
mod connection_bind;
mod connection_ids;
mod create_permission;
mod hand_over;
mod icmp;
mod mobile_allocations;
mod mobility;
mod nat_discovery;
mod operator;
mod outside;
mod redirect;
mod refresh;
mod relay;
mod reload;
mod request;
mod shard;
mod strangers;
mod tcp_allocation;
mod ticket;
mod timers;
mod types;

#[cfg(test)]
mod tests;

pub use connection_ids::ConnectionIds;
pub use hand_over::{Departed, Landed};
pub use icmp::IcmpError;
pub use mobile_allocations::{MobileAllocations, MobileId};
pub use nat_discovery::NatDiscovery;
pub use operator::{Session, Whose};
pub use outside::{ChannelRoute, ConnectError, EndReason, Event, OpenError, Outside};
pub use redirect::Redirect;
pub use reload::Withdrawn;
pub use shard::{Rules, Settings, Shard, Statistics};
pub use ticket::TicketKey;
pub use types::{
    AllocationId, Carrier, Client, ClientAddr, ConnectionId, DropReason, PeerAddr, Prefix,
    RelayAddress, RelayId, ShardNumber, Traffic, Verdict, Via,
};
