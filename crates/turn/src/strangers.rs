//! Who is answered at all. An answer to a source that has proven nothing may go to somebody who
//! asked nothing, and a source that fails again and again is guessing.
//!
//! Whatever is answered or judged before a credential was found good asks a budget here.

use super::request::Request;
use super::shard::Shard;
use super::types::{Client, Via};
use crate::clock::Tick;
use crate::policy::Admission;

/// What a request that holds no good credential proves of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// As much as what carries it: a connection proves its address, a datagram does not.
    AsCarried,
    /// A nonce that was made for it has reached it.
    HasNonce,
}

impl Shard {
    /// Whether a Binding request is answered.
    pub(super) fn answers_binding(&mut self, request: &Request<'_>) -> bool {
        self.answers(request, Source::AsCarried)
    }

    /// Whether a request without a good credential is answered.
    pub(super) fn answers(&mut self, request: &Request<'_>, source: Source) -> bool {
        let tid = request.message.transaction_id().0;
        self.answers_client(request.now.tick, &request.client, &tid, source)
    }

    /// Likewise, of a client whose request has another form.
    pub(super) fn answers_client(
        &mut self,
        now: Tick,
        client: &Client,
        tid: &[u8],
        source: Source,
    ) -> bool {
        let (from, answers) = (client.remote.0, &self.rules.answers);
        if answers.exempts(from.ip()) {
            return true;
        }
        // Peers know this 5-tuple, and strangers do not: it has a budget of its own, which no flood
        // of others spends.
        if let Some(index) = self.by_client.get(client)
            && let Some(allocation) = self.allocations.get_mut(*index as usize)
        {
            return allocation.answers.take(now);
        }
        match (client.via, source) {
            (Via::Udp(_), Source::AsCarried) => match answers.admits_request(now, from, tid) {
                Admission::Admitted => true,
                Admission::Repeated => {
                    self.statistics.answered_repeats += 1;
                    true
                }
                Admission::Withheld => false,
            },
            _ => answers.admits_proven(now, from),
        }
    }

    /// Whether a credential is judged. A good nonce has come with it, so that the address is proven.
    pub(super) fn judges(&self, request: &Request<'_>) -> bool {
        let from = request.client.remote.0;
        self.rules.answers.exempts(from.ip())
            || !self.rules.failures.is_spent(request.now.tick, from)
    }

    /// Counts a wrong credential, whatever it came over.
    //= 8489-16-rfc7616-5
    pub(super) fn count_failure(&self, request: &Request<'_>) {
        self.rules.failures.count(request.now.tick, request.client.remote.0);
    }
}
