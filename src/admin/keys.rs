//! Which keys of the configuration set the limits that clients meet.
//!
//! The protocol knows limits by type alone, and tells clients of them in its own terms. What an operator reads
//! names the key, and this is the one place that knows which.

use std::net::IpAddr;

use taciturn_config::allow_line;
use taciturn_net::{AllowedAddress, LimitNames};
use taciturn_turn::Cause;
use taciturn_turn::policy::{Counted, Exceeded, Refusal, Scope};

/// What denies peers beside the built-in rules.
const DENIED_PEERS: &str = "peers.deny";

/// The names of the limits in the log.
pub const LIMIT_NAMES: LimitNames =
    LimitNames { cause, rate, denied_peers: DENIED_PEERS, allow_peer };

/// The setting that allows clients to relay to a port; 0 if it is not known.
fn allow_peer(address: AllowedAddress, port: u16) -> Option<String> {
    let port = if port == 0 { "PORT".to_owned() } else { port.to_string() };
    let entry = match address {
        AllowedAddress::Own => format!("self:{port}"),
        AllowedAddress::Other(IpAddr::V4(ip)) => format!("{ip}:{port}"),
        AllowedAddress::Other(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
    };
    Some(allow_line(&[entry]))
}

/// The keys that bear on a refused request.
fn cause(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::UserAllocations => Some("limits.allocations_per_user"),
        Cause::UserAllocationsElsewhere => Some("limits.allocations_per_user, fleet.share_quotas"),
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
    fn the_line_that_allows_a_peer_is_one_that_the_configuration_reads() {
        let others =
            ["203.0.113.7", "2001:db8::1"].map(|ip| AllowedAddress::Other(ip.parse().unwrap()));
        let lines = others.map(|other| allow_peer(other, 10_000).unwrap());
        assert_eq!(lines[0], "peers.allow = [\"203.0.113.7:10000\"]");
        assert_eq!(lines[1], "peers.allow = [\"[2001:db8::1]:10000\"]");
        let own = allow_peer(AllowedAddress::Own, 7882).unwrap();
        assert_eq!(own, "peers.allow = [\"self:7882\"]");
        for line in lines.iter().chain([&own]) {
            assert!(taciturn_config::Config::from_toml(line).is_ok(), "{line}");
        }
        let unknown = allow_peer(AllowedAddress::Own, 0).unwrap();
        assert_eq!(unknown, "peers.allow = [\"self:PORT\"]");
    }

    #[test]
    fn the_metrics_name_the_key_of_the_operator_s_rules_and_nothing_else() {
        let named: Vec<_> = Refusal::names().map(peer_rule).collect();
        assert!(named.contains(&"peers.deny") && named.contains(&"private"));
        assert!(!named.contains(&Refusal::CONFIGURED));
    }
}
