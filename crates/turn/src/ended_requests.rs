//! The requests that ended something, for their retransmissions (RFC 8489 section 6.3.1).

use std::collections::VecDeque;
use std::time::Duration;

use super::clock::{Remaining, TakeOver, Tick};
use super::snapshot::records::EndedRecord;
use super::types::Client;
use taciturn_stun::TransactionId;

/// How long a retransmission of the request that ended an allocation, or one family of it, is
/// recognised: longer than the 39.5 s over which RFC 8489 section 6.2.1 retransmits.
const REMEMBER_ENDED: Duration = Duration::from_secs(40);

/// How many of those are remembered at most.
pub(super) const REMEMBERED: usize = 256;

/// The last of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EndedRequests(VecDeque<(Client, TransactionId, Tick)>);

impl EndedRequests {
    /// Remembers a request that ended an allocation.
    pub(super) fn remember(&mut self, now: Tick, client: Client, tid: TransactionId) {
        self.hold(client, tid, now + REMEMBER_ENDED);
    }

    fn hold(&mut self, client: Client, tid: TransactionId, until: Tick) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((client, tid, until));
    }

    /// Returns whether this request ended an allocation a moment ago.
    pub(super) fn has(&self, now: Tick, client: Client, tid: TransactionId) -> bool {
        self.0.iter().any(|(c, t, until)| *c == client && *t == tid && now < *until)
    }

    /// Those that are still recognised, for another process.
    pub(super) fn snapshot(&self, now: Tick) -> impl Iterator<Item = EndedRecord> {
        self.0.iter().filter(move |(.., until)| now < *until).map(move |(client, tid, until)| {
            EndedRecord { client: *client, tid: *tid, left: Remaining::until(*until, now) }
        })
    }

    /// Remembers what another process did, as far as it matters still.
    pub(super) fn restore(&mut self, ended: Vec<EndedRecord>, there: &TakeOver) {
        for EndedRecord { client, tid, left } in ended {
            if !there.left(left).is_over() {
                self.hold(client, tid, there.deadline(left));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
