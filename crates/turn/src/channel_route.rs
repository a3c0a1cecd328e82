//! A channel as another data path knows it.

use std::net::SocketAddr;

use super::types::{Client, PeerAddr};
use taciturn_stun::ChannelNumber;

/// Both ends of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelRoute {
    /// The client.
    pub client: Client,
    /// The channel on the client's side.
    pub channel: ChannelNumber,
    /// The relayed transport address on the peer's side, as it is bound.
    pub relay: SocketAddr,
    /// The peer.
    pub peer: PeerAddr,
}
