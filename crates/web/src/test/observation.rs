//! What the server has seen of one test, as far as the verdict asks.

use std::net::IpAddr;

/// What the server knows that the browser does not.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// By UDP, TCP and TLS.
    pub by: [Seen; 3],
    /// The address that the page was read from.
    pub address: IpAddr,
    /// Packets that came to the guest's relayed addresses from outside.
    pub outside: u64,
    /// Whether a request in the guest's name had a wrong signature.
    pub wrong: bool,
    /// Whether the guest was refused for the number of allocations, its own or of all.
    pub quota: bool,
    /// Whether it was refused because there is no room otherwise (508).
    pub capacity: bool,
    /// Whether the server makes no allocations now.
    pub draining: bool,
    /// Whether a TLS handshake from the browser's address has failed over the certificate since the test began.
    pub certificate_refused: bool,
    /// Whether others at that address failed to log in within the last hour.
    pub failed_logins: bool,
    /// Whether the shared secrets are other ones than when the link was made.
    pub secret_changed: bool,
    /// Whether there are relayed addresses of IPv6.
    pub relays_ipv6: bool,
}

/// What came by one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Signed requests.
    pub requests: u64,
    /// Allocations that were made.
    pub allocations: u64,
    /// Packets to peers.
    pub to_peers: u64,
    /// Packets from peers.
    pub from_peers: u64,
    /// Where requests came from.
    pub address: Option<IpAddr>,
}
