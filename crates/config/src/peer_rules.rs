//! From the section `[peers]` to the rules that the relay obeys.

use std::net::IpAddr;

use taciturn_turn::policy::PeerPolicy;

use super::keys::Peers;

impl Peers {
    /// The peer rules. `relay` are the addresses that the server relays on, as clients know them and as they are
    /// bound; `own` are all addresses of this host.
    #[must_use]
    pub fn policy(&self, relay: &[IpAddr], own: Vec<IpAddr>) -> PeerPolicy {
        let (mut allow, mut ports) = (Vec::new(), Vec::new());
        for peer in &self.allow {
            let networks = peer.networks(relay);
            match peer.ports {
                None => allow.extend(networks),
                Some(of) => ports.extend(networks.into_iter().map(|net| (net, of))),
            }
        }
        PeerPolicy::new(allow, self.deny.clone(), own).allowing_ports(ports)
    }
}
