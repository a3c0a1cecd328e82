//! A server of one network alone: whether it relays to the machines of that network.

use std::net::IpAddr;

use super::Run;
use super::reach::Target;
use crate::client::{Allocation, Client};
use crate::report::Finding;
use taciturn_turn::policy::is_public;

/// Asks for this machine itself as a peer, if server, relay and this machine are in one private network.
pub(super) async fn test(
    run: &Run<'_>,
    target: &Target,
    client: &mut Client,
    allocation: &Allocation,
) -> Option<Finding> {
    let private = |ip: IpAddr| !is_public(ip) && !ip.is_loopback();
    let here = run.mapped_for(target)?.ip();
    let in_one_network = private(allocation.relayed.ip())
        && private(here)
        && allocation.relayed.ip() == target.address.ip();
    if !in_one_network {
        return None;
    }
    match client.permit(here).await {
        Ok(()) => Some(Finding::pass("private-network", format!("{here}, in this private network, may be a peer"))),
        Err(error) if error.code() == Some(403) => Some(
            Finding::warn("private-network-denied", format!("the server refuses {here}, in its own network, as a peer"))
                .why(
                    "it relays in a private network, and denies private peers: two clients of the relay reach each \
                     other, but no client reaches a peer that does without the relay.",
                )
                .fix(
                    "For a server of a LAN or VPN alone, allow that network:\n  taciturn: peers.allow = \
                     [\"10.0.0.0/24\"]   (docs/networks.md)\n  coturn:   allowed-peer-ip=10.0.0.0-10.0.0.255",
                ),
        ),
        Err(_) => None,
    }
}
