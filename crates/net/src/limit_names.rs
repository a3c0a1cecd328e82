//! What the log calls the limits that clients meet.

use std::net::IpAddr;

use taciturn_turn::Cause;
use taciturn_turn::policy::{Exceeded, Refusal};

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
    /// The setting that allows clients to relay to an address; `None` where nothing can be configured.
    pub allow_peer: fn(IpAddr) -> Option<String>,
}

/// Without a configuration there are no keys.
impl Default for LimitNames {
    fn default() -> Self {
        Self {
            cause: |_| None,
            rate: |_| "rate",
            denied_peers: Refusal::CONFIGURED,
            allow_peer: |_| None,
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

    /// How to let clients reach a program at `own`, an address of this server.
    pub(super) fn own_service_hint(&self, own: IpAddr) -> Option<String> {
        (self.allow_peer)(own)
            .map(|setting| format!("if a media server on this machine is meant: {setting}"))
    }

    /// The rule that refused a peer.
    pub(super) fn rule(&self, refusal: &Refusal) -> String {
        match refusal.configured() {
            Some(net) => format!("{} ({net})", self.denied_peers),
            None => refusal.to_string(),
        }
    }
}
