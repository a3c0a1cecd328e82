//! Sending clients to another server (RFC 8489 section 10, RFC 8656 section 7.2): 300 Try
//! Alternate.

use std::net::{IpAddr, SocketAddr};

use super::auth::SharedNonce;
use taciturn_stun::Family;

/// Where new allocations are to be made instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// For clients over UDP and TCP: IPv4 and IPv6.
    pub plain: [Option<SocketAddr>; 2],
    /// For clients over TLS and DTLS.
    pub secure: [Option<SocketAddr>; 2],
    /// The name in the certificate there, if it is not the name in this server's certificate.
    pub domain: Option<Box<str>>,
}

/// One answer of 300.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternate {
    /// In the order of the answer: of the client's own family first.
    pub(super) servers: [Option<SocketAddr>; 2],
    /// Whether the name goes with it.
    pub(super) names_domain: bool,
    /// What the other server takes for a nonce, if it is of the same fleet.
    pub(super) nonce: Option<SharedNonce>,
}

impl Redirect {
    //= 8489-10-alternate-server
    /// Returns where a client of this transport and address family is sent, if it is. `secure` is
    /// whether it uses TLS or DTLS, `sha256` whether its request was signed with
    /// MESSAGE-INTEGRITY-SHA256.
    ///
    /// The server does not remember whom it has sent away: a client that comes back within five
    /// minutes sees the loop itself (RFC 8489 section 10). The start checks that this server does not
    /// redirect to itself.
    pub(super) fn alternate(
        &self,
        client: IpAddr,
        secure: bool,
        sha256: bool,
    ) -> Option<Alternate> {
        let [v4, v6] = if secure { self.secure } else { self.plain };
        let servers = match Family::of(client) {
            Family::V4 => [v4, v6],
            Family::V6 => [v6, v4],
        };
        // Section 10: at least one of the client's own family.
        servers[0]?;
        // Section 10: over TLS or DTLS, to a client that is known to understand it.
        let names_domain = secure && sha256 && self.domain.is_some();
        Some(Alternate { servers, names_domain, nonce: None })
    }
}
