//! From the section `[peers]` to the rules that the relay obeys.

use std::net::IpAddr;

use ipnet::IpNet;
use taciturn_turn::policy::{PeerPolicy, PeerPorts};

use super::keys::Peers;

impl Peers {
    /// The peer rules. `relay` are the addresses that the server relays on, as clients know them and as they are
    /// bound; `own` are all addresses of this host.
    #[must_use]
    pub fn policy(&self, relay: &[IpAddr], own: Vec<IpAddr>) -> PeerPolicy {
        let (allow, ports) = self.allowed(relay);
        PeerPolicy::new(allow, self.deny.clone(), own).allowing_ports(ports)
    }

    /// Those of a tenant with these peers, given the server's.
    #[must_use]
    pub fn of_tenant(&self, server: &PeerPolicy, relay: &[IpAddr]) -> PeerPolicy {
        let (allow, ports) = self.allowed(relay);
        server.of_tenant(allow, ports, &self.deny)
    }

    /// What is allowed with all ports, and what with some.
    fn allowed(&self, relay: &[IpAddr]) -> (Vec<IpNet>, Vec<(IpNet, PeerPorts)>) {
        let (mut allow, mut ports) = (Vec::new(), Vec::new());
        for peer in &self.allow {
            let networks = peer.networks(relay);
            match peer.ports {
                None => allow.extend(networks),
                Some(of) => ports.extend(networks.into_iter().map(|net| (net, of))),
            }
        }
        (allow, ports)
    }
}
