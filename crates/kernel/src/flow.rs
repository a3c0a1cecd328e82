//! A bound channel, as the program in the kernel knows it.

use std::net::SocketAddr;

/// Both directions of one bound channel of a client over UDP. All addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The client.
    pub client: SocketAddr,
    /// The address of the server that the client sends to.
    pub server: SocketAddr,
    /// The channel number, 0x4000 to 0x4FFF (RFC 8656 section 12), or up to 0x7FFF (RFC 5766 section 11).
    pub channel: u16,
    /// The relayed transport address, as its socket is bound.
    pub relay: SocketAddr,
    /// The peer.
    pub peer: Peer,
}

/// The other end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somewhere else.
    Elsewhere(SocketAddr),
    /// A relayed transport address of this server, whose client may have a channel to this one. Data go straight to that
    /// client where its channel is installed too.
    Own {
        /// As clients know it.
        public: SocketAddr,
        /// As its socket is bound.
        bound: SocketAddr,
        /// This channel's relayed address as clients know it.
        relay: SocketAddr,
    },
}

impl Flow {
    /// Whether it can be installed: one family, no address or port that stands for any, and a channel
    /// number.
    pub(crate) fn is_servable(&self) -> bool {
        let ends = self.ends();
        let is_ipv6 = self.client.is_ipv6();
        let is_whole = |at: &SocketAddr| {
            at.is_ipv6() == is_ipv6 && !at.ip().is_unspecified() && at.port() != 0 && !has_scope(at)
        };
        (0x4000..=0x7fff).contains(&self.channel) && ends.iter().all(is_whole)
    }

    fn ends(&self) -> Vec<SocketAddr> {
        let mut ends = vec![self.client, self.server, self.relay];
        match self.peer {
            Peer::Elsewhere(peer) => ends.push(peer),
            Peer::Own { public, bound, relay } => ends.extend([public, bound, relay]),
        }
        ends
    }

    /// Where the peer's packets come from.
    pub(crate) const fn peer_as_seen(&self) -> SocketAddr {
        match self.peer {
            Peer::Elsewhere(peer) => peer,
            Peer::Own { public, .. } => public,
        }
    }
}

/// Whether an address means something on one interface alone.
fn has_scope(at: &SocketAddr) -> bool {
    match at {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(at) => at.scope_id() != 0 || at.ip().is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            client: "203.0.113.2:20000".parse().unwrap(),
            server: "203.0.113.10:3478".parse().unwrap(),
            channel: 0x4001,
            relay: "203.0.113.10:50000".parse().unwrap(),
            peer: Peer::Elsewhere("198.51.100.2:9000".parse().unwrap()),
        }
    }

    #[test]
    fn what_needs_more_than_new_headers_is_not_servable() {
        assert!(flow().is_servable());
        let v6 = "[2001:db8::1]:9000".parse().unwrap();
        assert!(!Flow { peer: Peer::Elsewhere(v6), ..flow() }.is_servable(), "between families");
        let any = "0.0.0.0:3478".parse().unwrap();
        assert!(!Flow { server: any, ..flow() }.is_servable(), "which address is not known");
        assert!(Flow { channel: 0x7fff, ..flow() }.is_servable(), "a channel of RFC 5766");
        assert!(!Flow { channel: 0x8000, ..flow() }.is_servable(), "no channel");
        let all = Flow {
            client: "[fe80::1]:1".parse().unwrap(),
            server: v6,
            relay: v6,
            peer: Peer::Elsewhere(v6),
            ..flow()
        };
        assert!(!all.is_servable(), "an address of one link");
    }
}
