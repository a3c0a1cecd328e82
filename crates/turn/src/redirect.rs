//! Sending clients to another server (RFC 8489 section 10, RFC 8656 section 7.2): 300 Try
//! Alternate.

use std::net::SocketAddr;

use super::outside::Outside;
use super::request::{Failure, Request};
use super::shard::Shard;
use taciturn_stun::Family;

/// Where new allocations are to be made instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// For clients over UDP and TCP: IPv4 and IPv6.
    pub plain: [Option<SocketAddr>; 2],
    /// For clients over TLS and DTLS.
    pub secure: [Option<SocketAddr>; 2],
    /// The name in the certificate there, where it is not the name in ours.
    pub domain: Option<Box<str>>,
}

/// One answer of 300.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternate {
    /// In the order of the answer: of the client's own family first.
    pub(super) servers: [Option<SocketAddr>; 2],
    /// Whether the name goes with it.
    pub(super) domain: bool,
}

impl Shard {
    /// Fails with 300 where clients of this transport and address family are sent elsewhere. Only a
    //= 8489-10-alternate-server, 8489-14.8-try-alternate-authenticated
    /// proven client gets here (RFC 8489 section 14.8), and the answer is signed.
    ///
    /// There is no memory of who was sent away: a client that comes back within five minutes sees
    /// the loop itself (section 10). That this server is not sent to itself is made sure at start.
    pub(super) fn redirected(
        &self,
        request: &Request<'_>,
        sha256: bool,
        outside: &impl Outside,
    ) -> Result<(), Failure> {
        let Some(redirect) = &self.settings.redirect else { return Ok(()) };
        let secure = outside.is_secure(request.client);
        let [v4, v6] = if secure { redirect.secure } else { redirect.plain };
        let servers = match Family::of(request.client.remote.0.ip()) {
            Family::V4 => [v4, v6],
            Family::V6 => [v6, v4],
        };
        // Section 10: at least one of the client's own family.
        if servers[0].is_none() {
            return Ok(());
        }
        // Section 10: over TLS or DTLS, to a client that is known to understand it.
        let domain = secure && sha256 && redirect.domain.is_some();
        Err(Failure::try_alternate(Alternate { servers, domain }))
    }
}
