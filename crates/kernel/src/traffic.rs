//! What the kernel has relayed of a flow.

use std::time::Duration;

/// Packets and bytes of application data of one flow, since it was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets to the peer.
    pub packets_to_peer: u64,
    /// Bytes to the peer.
    pub bytes_to_peer: u64,
    /// Packets to the client.
    pub packets_to_client: u64,
    /// Bytes to the client.
    pub bytes_to_client: u64,
    /// How long ago the last packet was, to a thousandth of a second or so. Nothing without a packet.
    pub idle: Option<Duration>,
}
