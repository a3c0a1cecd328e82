//! Bounds and addresses; the same for all shards.

use std::time::Duration;

use super::nat_discovery::NatDiscovery;
use super::redirect::Redirect;
use super::types::RelayAddress;
use taciturn_stun::Family;

/// Bounds and addresses; the same for all shards.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where relayed transport addresses are made: IPv4 and IPv6.
    pub relay_addresses: [Option<RelayAddress>; 2],
    /// The longest lifetime of an allocation without a refresh.
    pub max_lifetime: Duration,
    /// Permissions of one allocation.
    pub max_permissions: usize,
    /// Channels of one allocation.
    pub max_channels: usize,
    /// Whether channel numbers up to 0x7FFF may be bound, as RFC 5766 had it.
    pub rfc5766_channels: bool,
    /// Whether TCP allocations are made (RFC 6062).
    pub tcp_relay: bool,
    /// Peer connections of one TCP allocation.
    pub max_peer_connections: usize,
    /// Of the relay ports of each family, so many per cent are for users without an allocation.
    pub ports_reserved_percent: u32,
    /// Whether SHA-256 and hashed usernames (RFC 8489) are offered over UDP too.
    pub rfc8489_over_udp: bool,
    /// Where clients are sent instead of being served.
    pub redirect: Option<Redirect>,
    /// Whether clients are told of ICMP errors ([`Shard::from_icmp`](super::Shard::from_icmp)).
    pub icmp_errors: bool,
    /// The addresses and ports of NAT behaviour discovery (RFC 5780), where that is served.
    pub nat_discovery: Option<NatDiscovery>,
    /// Whether clients of RFC 3489, which know no magic cookie, are answered.
    pub rfc3489: bool,
    /// Whether an allocation may move with its client (RFC 8016).
    pub mobility: bool,
    /// Whether an allocation goes on although the user or the secret that it was made with was
    /// removed from the configuration.
    pub keep_removed: bool,
    /// The same, where the user or the secret was in a database.
    pub keep_removed_rows: bool,
    /// Whether a success of Allocate names the server in SOFTWARE.
    pub software: bool,
}

/// As a server has them that is configured for nothing else, without a relay address.
impl Default for Settings {
    fn default() -> Self {
        Self {
            relay_addresses: [None; 2],
            max_lifetime: Duration::from_secs(3600),
            max_permissions: 256,
            max_channels: 256,
            rfc5766_channels: false,
            tcp_relay: false,
            max_peer_connections: 32,
            ports_reserved_percent: 10,
            rfc8489_over_udp: false,
            redirect: None,
            icmp_errors: false,
            nat_discovery: None,
            rfc3489: false,
            mobility: false,
            keep_removed: false,
            keep_removed_rows: false,
            software: true,
        }
    }
}

impl Settings {
    /// The address that relayed transport addresses of a family are made on.
    pub(super) fn relay_address(&self, family: Family) -> Option<RelayAddress> {
        self.relay_addresses[family as usize]
    }
}
