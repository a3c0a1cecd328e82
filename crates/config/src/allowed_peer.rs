//! An entry of `peers.allow`: whose ports clients may relay to although a rule denies them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use taciturn_turn::policy::PeerPorts;

/// What the configuration calls the addresses that this server relays on.
pub(super) const OWN: &str = "self";

/// An entry of `peers.allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedPeer {
    /// Whose.
    pub whose: AllowedAddresses,
    /// Which ports; `None`: all of them.
    pub ports: Option<PeerPorts>,
}

/// The addresses of an entry of `peers.allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedAddresses {
    /// Those that this server relays on: the external ones and, behind a 1:1 NAT, what they are translated to.
    Own,
    /// A network, or a single address as a network of one.
    Network(IpNet),
}

impl AllowedPeer {
    /// These ports of the addresses that this server relays on.
    #[must_use]
    pub const fn own(ports: PeerPorts) -> Self {
        Self { whose: AllowedAddresses::Own, ports: Some(ports) }
    }

    /// The networks that it stands for, on a server that relays on the addresses `relay`.
    pub(super) fn networks(&self, relay: &[IpAddr]) -> Vec<IpNet> {
        match self.whose {
            AllowedAddresses::Own => relay.iter().copied().map(IpNet::from).collect(),
            AllowedAddresses::Network(net) => vec![net],
        }
    }
}

impl fmt::Display for AllowedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.whose {
            AllowedAddresses::Own => OWN.to_owned(),
            AllowedAddresses::Network(net) => {
                match (net.prefix_len() == net.max_prefix_len(), self.ports) {
                    (true, Some(_)) => net.addr().to_string(),
                    _ => net.to_string(),
                }
            }
        };
        match self.ports {
            Some(ports) if whose.contains(':') => write!(f, "[{whose}]:{ports}"),
            Some(ports) => write!(f, "{whose}:{ports}"),
            None => f.write_str(&whose),
        }
    }
}
