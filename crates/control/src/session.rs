//! An allocation, and what is counted of it and of a whole server.

use serde::{Deserialize, Serialize};

/// Application data that was relayed, without headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes from clients to peers.
    pub bytes_to_peers: u64,
    /// Bytes from peers to clients.
    pub bytes_to_clients: u64,
    /// Datagrams from clients to peers.
    pub packets_to_peers: u64,
    /// Datagrams from peers to clients.
    pub packets_to_clients: u64,
}

/// Relay ports in use, by address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortsUsed {
    /// Of IPv4.
    pub ipv4: u64,
    /// Of IPv6.
    pub ipv6: u64,
}

/// An allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The name of the node that has it, if the whole fleet was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Address and port of the client.
    pub client: String,
    /// The transport between client and server: `udp`, `tcp`, `tls` or `dtls`.
    pub transport: String,
    /// The USERNAME. A client may have chosen any text.
    pub user: String,
    /// The tenant that the user is of; not there for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The relayed transport addresses, IPv4 before IPv6.
    pub relayed_addresses: Vec<String>,
    /// Peer addresses that it has a permission for.
    pub permissions: u64,
    /// Channels that are bound.
    pub channels: u64,
    /// How many of them the kernel relays; not there if it relays none of this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_channels: Option<u64>,
    /// Traffic that it has relayed.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// How long it exists, in whole seconds.
    pub age_seconds: u64,
    /// How long it will exist unless it is refreshed, in whole seconds.
    pub expires_in_seconds: u64,
}
