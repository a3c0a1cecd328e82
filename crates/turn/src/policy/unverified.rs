//! How much is answered to those who have proven nothing.
//!
//! A datagram's source can be forged, so an answer may go to somebody who asked nothing. What is
//! sent to such sources comes out of one budget. Its table has a fixed size: a flood from many
//! addresses takes no memory, and costs the addresses that share a place with it, no one else.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;

use super::budget::{BURST_SECONDS, BudgetTable, SharedBudget};
use super::repeats::Repeats;
use super::source_budget::SourceBudget;
use crate::clock::{Remaining, TakeOver, Tick};
use taciturn_stun::canonical_ip;

/// How many times as much as one UDP source has all connections of one source have together. Their
/// address is proven, and many users may be behind it.
const CONNECTIONS_OF_A_SOURCE: u32 = 10;

/// One part in so many of the budget of all is had besides, for requests that are repeated.
const PART_FOR_REPEATS: u32 = 10;

/// Whether a request of a source that has proven nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is.
    Admitted,
    /// It is, because it was repeated: the budget of all is spent.
    Repeated,
    /// It is not.
    Withheld,
}

/// What is answered to sources that have proven nothing: so much for each subscriber, and so much
/// in all. Beyond that: silence.
#[derive(Debug)]
pub struct AnswerLimit {
    sources: SourceBudget,
    all: SharedBudget,
    /// Requests that were not answered because the budget of all was spent. `None` where there is
    /// no such budget.
    repeats: Option<Repeats>,
    reserve: SharedBudget,
    connections: BudgetTable,
    connections_of_source: SourceBudget,
    exempt: Vec<IpNet>,
    loopback: bool,
    withheld: AtomicU64,
}

impl AnswerLimit {
    /// So many answers a second to one subscriber (at most 1,000), and in all. 0 is no limit.
    /// `exempt` and the loopback addresses, which nobody outside can forge, have none.
    ///
    /// A connection has as many as a subscriber over UDP, and all connections of a subscriber have
    /// ten times as many. A tenth of those in all is had besides, for requests that are repeated.
    #[must_use]
    pub fn new(per_source: u32, in_all: u32, exempt: Vec<IpNet>) -> Self {
        let reserve = if in_all == 0 { 0 } else { (in_all / PART_FOR_REPEATS).max(1) };
        Self {
            sources: SourceBudget::new(per_source),
            all: SharedBudget::per_second(in_all),
            repeats: (in_all > 0).then(Repeats::new),
            reserve: SharedBudget::per_second(reserve),
            connections: BudgetTable::per_second(per_source),
            connections_of_source: SourceBudget::new(
                per_source.saturating_mul(CONNECTIONS_OF_A_SOURCE),
            ),
            exempt,
            loopback: true,
            withheld: AtomicU64::new(0),
        }
    }

    /// Likewise, and loopback addresses are limited as well, as tests want it.
    #[doc(hidden)]
    #[must_use]
    pub fn without_exemption(per_source: u32, in_all: u32) -> Self {
        Self { loopback: false, ..Self::new(per_source, in_all, Vec::new()) }
    }

    /// Whether one more answer may go to `to`.
    pub fn admits(&self, now: Tick, to: IpAddr) -> bool {
        let admitted = self.exempts(to) || (self.sources.take(now, to) && self.all.take(now));
        if !admitted {
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Whether the request of this transaction id is answered.
    ///
    /// Once the budget of all is spent, requests that have come before are answered out of a smaller
    /// one: clients repeat what is not answered (RFC 8489 section 6.2.1), and a flood of forged
    /// sources does not.
    pub fn admits_request(&self, now: Tick, from: SocketAddr, tid: &[u8]) -> Admission {
        let ip = from.ip();
        if self.exempts(ip) {
            return Admission::Admitted;
        }
        if self.sources.take(now, ip) {
            if self.all.take(now) {
                return Admission::Admitted;
            }
            let repeated = self.repeats.as_ref().is_some_and(|known| known.note(now, &(from, tid)));
            if repeated && self.reserve.take(now) {
                return Admission::Repeated;
            }
        }
        self.withheld.fetch_add(1, Ordering::Relaxed);
        Admission::Withheld
    }

    /// Whether one more answer to somebody who has not proven who it is may go to an address that is
    /// proven: by a connection, or by a nonce that has reached it. What one port asks beyond its own
    /// budget costs the others of its source nothing.
    pub fn admits_proven(&self, now: Tick, to: SocketAddr) -> bool {
        self.exempts(to.ip())
            || (self.connections.take(now, to) && self.connections_of_source.take(now, to.ip()))
    }

    /// Whether `from` has no limit: many may be behind it (a proxy on this host, say), or the
    /// operator trusts it.
    #[must_use]
    pub fn exempts(&self, from: IpAddr) -> bool {
        let from = canonical_ip(from);
        (self.loopback && from.is_loopback()) || self.exempt.iter().any(|net| net.contains(&from))
    }

    /// How many answers to sources over UDP have been withheld since the start.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }
}

/// What is answered, without a credential, to the 5-tuple of an allocation: peers know it, and may
/// send in its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocationAnswers {
    /// When the budget is whole again, in milliseconds.
    whole_again: u64,
}

impl AllocationAnswers {
    /// Answers a second, and three times as many at once.
    pub const PER_SECOND: u32 = 50;

    /// Takes one; false when there is none.
    pub fn take(&mut self, Tick(now): Tick) -> bool {
        let next = self.whole_again.max(now) + u64::from(1000 / Self::PER_SECOND);
        let admitted = next <= now + 1000 * u64::from(BURST_SECONDS);
        if admitted {
            self.whole_again = next;
        }
        admitted
    }

    /// How long it is until the budget is whole again, for another process.
    #[must_use]
    pub const fn spent(&self, now: Tick) -> Remaining {
        Remaining::until(Tick(self.whole_again), now)
    }

    /// As much of it as another process had.
    #[must_use]
    pub fn restore(spent: Remaining, there: &TakeOver) -> Self {
        Self { whole_again: there.deadline(spent).0 }
    }
}

#[cfg(test)]
mod floods;
#[cfg(test)]
mod tests;
