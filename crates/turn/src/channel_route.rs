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
    /// If the peer is a relayed transport address of this server: both addresses on its two sides.
    pub between: Option<OwnPeer>,
}

/// The two relayed transport addresses between two clients of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnPeer {
    /// That of the channel as peers know it.
    pub relay: SocketAddr,
    /// That of the peer as it is bound, if there is one.
    pub peer: SocketAddr,
}
