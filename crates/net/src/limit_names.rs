//! What the log calls the limits that clients meet.

use std::net::{IpAddr, SocketAddr};

use taciturn_turn::policy::{Exceeded, Refusal};
use taciturn_turn::{Cause, Remedy};

/// What an operator calls the limits: the keys of the configuration, which this crate does not know.
/// Whoever starts the workers has the table.
#[derive(Clone, Copy, Debug)]
pub struct LimitNames {
    /// What to look at after a refused request; `None` where nothing can be configured.
    pub cause: fn(Cause) -> Option<&'static str>,
    /// What sets a rate.
    pub rate: fn(Exceeded) -> &'static str,
    /// What denies peers beside the built-in rules.
    pub denied_peers: &'static str,
    /// The setting that allows clients to relay to a port, 0 if it is not known; `None` where nothing can be
    /// configured.
    pub allow_peer: fn(AllowedAddress, u16) -> Option<String>,
}

/// Which address clients may be allowed to relay to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedAddress {
    /// Those that this server relays on.
    Own,
    /// Another one.
    Other(IpAddr),
}

/// Without a configuration there are no keys.
impl Default for LimitNames {
    fn default() -> Self {
        Self {
            cause: |_| None,
            rate: |_| "rate",
            denied_peers: Refusal::CONFIGURED,
            allow_peer: |_, _| None,
        }
    }
}

impl LimitNames {
    /// Why a request was refused: what the client is told, and where to change it.
    pub(super) fn detail(&self, reason: &str, cause: Option<Cause>) -> String {
        match cause.and_then(self.cause) {
            Some(keys) => format!("{reason} ({keys})"),
            None => reason.to_owned(),
        }
    }

    /// How to let clients reach `peer`, if that may be meant.
    pub(super) fn allow_hint(&self, peer: SocketAddr, remedy: Remedy) -> Option<String> {
        let (address, case) = match remedy {
            Remedy::OwnPort => (AllowedAddress::Own, "if a media server on this machine is meant"),
            Remedy::Port => (AllowedAddress::Other(peer.ip()), "if clients are to reach it"),
            Remedy::Unknown => return None,
        };
        (self.allow_peer)(address, peer.port()).map(|setting| format!("{case}: {setting}"))
    }

    /// The rule that refused a peer; `None` where the port of an own address is no relay port.
    pub(super) fn rule(&self, refusal: Option<&Refusal>) -> String {
        match refusal.map(|refusal| (refusal, refusal.configured())) {
            Some((_, Some(net))) => format!("{} ({net})", self.denied_peers),
            Some((refusal, None)) => refusal.to_string(),
            None => "an address of this server, but no relay port".to_owned(),
        }
    }
}
