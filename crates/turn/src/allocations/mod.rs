//! The allocations of a shard: each with its relayed transport addresses, permissions and channels (RFC
//! 8656 section 3) or peer connections (RFC 6062), in tables that always agree.
//!
//! What several tables depend on (the client, the relays, every deadline) is private here, and changes
//! through an [`Entry`] alone.

mod allocation;
mod announced;
mod channels;
mod mobility;
mod permissions;
mod table;
mod tcp;

pub(crate) use allocation::{Allocation, Datagrams, Foundation, Kind, Relay};
pub(crate) use channels::{Channel, Conflict};
pub(crate) use mobility::{Mobility, Presence};
pub(crate) use permissions::Reach;
pub(crate) use table::{Allocations, Entry, Loose};
pub(crate) use tcp::{PeerConnection, PeerConnections, Stage};
