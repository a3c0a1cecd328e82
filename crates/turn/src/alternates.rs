//! Other servers of a fleet, for clients that cannot be served here (RFC 8489 section 10).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use taciturn_stun::Family;

use super::auth::{SharedNonce, SharedNonceKey};
use super::redirect::Alternate;
use super::types::Carrier;

/// Where clients are sent for which there is no room here, over all shards. It is asked when an Allocate would fail, and
/// for a nonce of the form that other servers make.
#[derive(Debug, Default)]
pub struct Alternates {
    held: RwLock<Held>,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    /// For clients over UDP: IPv4 and IPv6.
    udp: [Option<SocketAddr>; 2],
    /// For clients over TCP.
    tcp: [Option<SocketAddr>; 2],
    key: Option<SharedNonceKey>,
}

impl Alternates {
    /// Has clients be sent there from now on: over UDP and over TCP, each IPv4 and IPv6.
    pub fn set_servers(&self, udp: [Option<SocketAddr>; 2], tcp: [Option<SocketAddr>; 2]) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        (held.udp, held.tcp) = (udp, tcp);
    }

    /// The key of the nonces that all servers of the fleet take.
    pub fn set_key(&self, key: Option<&[u8; 32]>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.key = key.map(SharedNonceKey::new);
    }

    /// How many clients were sent elsewhere.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Where a client is sent, if it can be.
    ///
    /// Over TLS and DTLS it cannot: the certificate is for a name, and what is sent is an address. Browsers do not know
    /// ALTERNATE-DOMAIN, would connect in vain, and lose the time in which they could try their next server.
    pub(super) fn of(&self, client: IpAddr, carrier: Carrier) -> Option<Alternate> {
        let held = self.held();
        let [v4, v6] = match carrier {
            Carrier::Udp => held.udp,
            Carrier::Tcp => held.tcp,
            Carrier::Tls | Carrier::Dtls => return None,
        };
        let servers = match Family::of(client) {
            Family::V4 => [v4, v6],
            Family::V6 => [v6, v4],
        };
        servers[0]?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Some(Alternate { servers, names_domain: false, nonce: None })
    }

    /// A nonce that the other servers take from a client at this address.
    pub(super) fn nonce(&self, unix: u64, client: IpAddr) -> Option<SharedNonce> {
        self.held().key.as_ref().map(|key| key.issue(unix, client))
    }

    /// Whether another server has made this nonce for a client at this address, a moment ago.
    pub(super) fn knows(&self, unix: u64, client: IpAddr, nonce: &[u8]) -> bool {
        // All others are of another length.
        nonce.len() == SharedNonce::default().len()
            && self.held().key.as_ref().is_some_and(|key| key.verify(unix, client, nonce))
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}
