//! What the log calls the limits that clients meet.

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
}

/// Without a configuration there are no keys.
impl Default for LimitNames {
    fn default() -> Self {
        Self { cause: |_| None, rate: |_| "rate", denied_peers: Refusal::CONFIGURED }
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

    /// The rule that refused a peer.
    pub(super) fn rule(&self, refusal: &Refusal) -> String {
        match refusal.configured() {
            Some(net) => format!("{} ({net})", self.denied_peers),
            None => refusal.to_string(),
        }
    }
}
