//! Which keys of the configuration set the limits that clients meet.
//!
//! The protocol knows limits by type alone, and tells clients of them in its own terms. What an operator reads
//! names the key, and this is the one place that knows which.

use std::net::IpAddr;

use taciturn_config::allow_line;
use taciturn_net::LimitNames;
use taciturn_turn::Cause;
use taciturn_turn::policy::{Counted, Exceeded, Refusal, Scope};

/// What denies peers beside the built-in rules.
const DENIED_PEERS: &str = "peers.deny";

/// The names of the limits in the log.
pub const LIMIT_NAMES: LimitNames =
    LimitNames { cause, rate, denied_peers: DENIED_PEERS, allow_peer };

/// The setting that allows clients to relay to `address`.
fn allow_peer(address: IpAddr) -> Option<String> {
    Some(allow_line(address))
}

/// The keys that bear on a refused request.
fn cause(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::UserAllocations => Some("limits.allocations_per_user"),
        Cause::AllAllocations => Some("limits.allocations"),
        Cause::UserAllocationRate => Some("limits.allocations_per_second_per_user"),
        Cause::NoRelayPort => Some("relay_ports"),
        Cause::KeptPorts => Some("relay_ports, limits.ports_reserved_percent"),
        Cause::Permissions => Some("limits.permissions_per_allocation"),
        Cause::Channels => Some("limits.channels_per_allocation"),
        Cause::AllocationPeerRate => Some("limits.new_peers_per_second_per_allocation"),
        Cause::UserPeerRate => Some("limits.new_peers_per_second_per_user"),
        Cause::PeerConnections => Some("limits.peer_connections_per_allocation"),
        Cause::AllPeerConnections => Some("limits.connections"),
        Cause::MobilityOff => Some("protocol.mobility"),
        Cause::NextPort | Cause::Draining | Cause::RetiredListener => None,
    }
}

/// The key that sets a rate.
fn rate(rate: Exceeded) -> &'static str {
    match (rate.counted, rate.scope) {
        (Counted::Bytes, Scope::Allocation) => "limits.bytes_per_second_per_allocation",
        (Counted::Bytes, Scope::User) => "limits.bytes_per_second_per_user",
        (Counted::Bytes, Scope::All) => "limits.bytes_per_second",
        (Counted::Packets, Scope::Allocation) => "limits.packets_per_second_per_allocation",
        (Counted::Packets, Scope::User) => "limits.packets_per_second_per_user",
        (Counted::Packets, Scope::All) => "limits.packets_per_second",
        (Counted::NewPeers, Scope::Allocation) => "limits.new_peers_per_second_per_allocation",
        (Counted::NewPeers, Scope::User | Scope::All) => "limits.new_peers_per_second_per_user",
        (Counted::Allocations, _) => "limits.allocations_per_second_per_user",
    }
}

/// What the metrics call a rule about peers.
pub(super) fn peer_rule(name: &'static str) -> &'static str {
    if name == Refusal::CONFIGURED { DENIED_PEERS } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of `text`, as the documentation of all keys has them.
    fn assert_documented(text: &str) {
        let reference = include_str!("../../docs/reference.md");
        for key in text.split(", ") {
            assert!(reference.contains(&format!("### `{key}`\n")), "{key}");
        }
    }

    #[test]
    fn every_name_is_a_key_of_the_configuration() {
        Cause::ALL.into_iter().filter_map(cause).for_each(assert_documented);
        for counted in [Counted::Bytes, Counted::Packets, Counted::NewPeers, Counted::Allocations] {
            for scope in [Scope::Allocation, Scope::User, Scope::All] {
                assert_documented(rate(Exceeded { scope, counted }));
            }
        }
        assert_documented(DENIED_PEERS);
    }

    #[test]
    fn the_metrics_name_the_key_of_the_operator_s_rules_and_nothing_else() {
        let named: Vec<_> = Refusal::names().map(peer_rule).collect();
        assert!(named.contains(&"peers.deny") && named.contains(&"private"));
        assert!(!named.contains(&Refusal::CONFIGURED));
    }
}
