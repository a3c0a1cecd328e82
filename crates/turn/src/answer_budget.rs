//! Which requests are answered at all. An answer to a source that has proven nothing may go to somebody who
//! asked nothing, and a source that fails again and again is guessing.
//!
//! Whatever is answered or judged before a credential was found good asks a budget here, and so does each
//! request of a client that has a credential.

use super::clock::Tick;
use super::parts::Parts;
use super::policy::Admission;
use super::types::{Client, Via};

/// What a request that holds no good credential proves of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// As much as what carries it: a connection proves its address, a datagram does not.
    AsCarried,
    /// A nonce that was made for it has reached it.
    HasNonce,
}

/// Returns whether a request without a good credential is answered. `tid` is its transaction id.
pub(super) fn answers(
    parts: &mut Parts,
    now: Tick,
    client: &Client,
    tid: &[u8],
    source: Source,
) -> bool {
    let (from, answers) = (client.remote.0, &parts.rules.answers);
    if answers.exempts(from.ip()) {
        return true;
    }
    // Peers know this 5-tuple, and strangers do not: it has a budget of its own, which no flood
    // of others spends.
    if let Some(mut allocation) = parts.allocations.entry_of(client) {
        return allocation.answers.take(now);
    }
    match (client.via, source) {
        (Via::Udp(_), Source::AsCarried) => match answers.admits_request(now, from, tid) {
            Admission::Admitted => true,
            Admission::Repeated => {
                parts.statistics.answered_repeats += 1;
                true
            }
            Admission::Withheld => false,
        },
        _ => answers.admits_proven(now, from),
    }
}

/// Returns whether one more request of a client with a good nonce is judged at all, before anything is
/// computed for it. A nonce that has reached the client has come with it, so nobody else spends its budget.
pub(super) fn takes_request(parts: &mut Parts, now: Tick, client: &Client) -> bool {
    match parts.allocations.entry_of(client) {
        Some(mut allocation) => allocation.requests.take(now),
        None => parts.rules.requests.take(now, client.remote.0),
    }
}

/// Returns whether a credential is judged. A good nonce has come with it, so the address is proven.
pub(super) fn judges(parts: &Parts, now: Tick, client: &Client) -> bool {
    let from = client.remote.0;
    parts.rules.answers.exempts(from.ip()) || !parts.rules.failures.is_spent(now, from)
}

/// Counts a wrong credential, whatever it came over.
//= 8489-16-rfc7616-5
pub(super) fn count_failure(parts: &Parts, now: Tick, client: &Client) {
    parts.rules.failures.count(now, client.remote.0);
}
