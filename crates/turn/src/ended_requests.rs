//! The requests that ended something, for their retransmissions (RFC 8489 section 6.3.1).

use std::collections::VecDeque;
use std::time::Duration;

use super::clock::Tick;
use super::types::Client;
use taciturn_stun::TransactionId;

/// How long a retransmission of the request that ended an allocation, or one family of it, is
/// recognised: longer than the 39.5 s over which RFC 8489 section 6.2.1 retransmits.
const REMEMBER_ENDED: Duration = Duration::from_secs(40);

/// How many of those are remembered at most.
const REMEMBERED: usize = 256;

/// The last of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EndedRequests(VecDeque<(Client, TransactionId, Tick)>);

impl EndedRequests {
    /// Remembers a request that ended an allocation.
    pub(super) fn remember(&mut self, now: Tick, client: Client, tid: TransactionId) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((client, tid, now + REMEMBER_ENDED));
    }

    /// Returns whether this request ended an allocation a moment ago.
    pub(super) fn has(&self, now: Tick, client: Client, tid: TransactionId) -> bool {
        self.0.iter().any(|(c, t, until)| *c == client && *t == tid && now < *until)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
