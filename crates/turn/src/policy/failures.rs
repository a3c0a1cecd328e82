//! How often a source may give a wrong credential.
//!
//! Many users may be behind one address, and one of them may guess. So each port has a small budget,
//! and the source has two larger ones: for ports that have failed a moment ago, and for those that
//! have not. Who guesses from a few ports spends the first, and a neighbour with a right credential
//! is judged out of the second. All of them together bound what one source can guess.

use std::net::SocketAddr;

use super::budget::BudgetTable;
use super::source_budget::SourceBudget;
use crate::clock::Tick;

/// Wrong credentials that one port may give at once.
const AT_ONCE: u32 = 6;

/// After so many milliseconds it may give another one.
const INTERVAL: u32 = 10_000;

/// How many times as many as of ports that have failed may come of those that have not.
const OF_OTHERS: u32 = 2;

/// The wrong credentials of all sources, over all shards, in tables of a fixed size.
#[derive(Debug)]
pub struct FailureLimit {
    /// `None` where there is no limit.
    tables: Option<Tables>,
}

#[derive(Debug)]
struct Tables {
    /// For each address and port.
    ports: BudgetTable,
    /// For each source, of its ports that have failed within ten seconds.
    failed: SourceBudget,
    /// For each source, of its other ports.
    others: SourceBudget,
}

impl FailureLimit {
    /// `per_second` (at most 1,000) of the ports of one source that have failed a moment ago, and
    /// twice as many (at most 1,000) of its others; three seconds' worth at once. 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let tables = (per_second > 0).then(|| Tables {
            ports: BudgetTable::new(INTERVAL, AT_ONCE),
            failed: SourceBudget::new(per_second),
            others: SourceBudget::new(per_second.saturating_mul(OF_OTHERS)),
        });
        Self { tables }
    }

    /// Whether no more credentials from there are to be judged now.
    #[must_use]
    pub fn is_spent(&self, now: Tick, from: SocketAddr) -> bool {
        self.tables.as_ref().is_some_and(|tables| {
            tables.ports.is_spent(now, from) || tables.of(now, from).is_spent(now, from.ip())
        })
    }

    /// Counts a wrong credential.
    pub fn count(&self, now: Tick, from: SocketAddr) {
        if let Some(tables) = &self.tables {
            // Where nothing is left, `is_spent` says so the next time.
            let _ = tables.of(now, from).take(now, from.ip());
            let _ = tables.ports.take(now, from);
        }
    }
}

impl Tables {
    /// The budget of the source that counts for this port.
    fn of(&self, now: Tick, from: SocketAddr) -> &SourceBudget {
        match self.ports.is_whole(now, from) {
            true => &self.others,
            false => &self.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// How many of so many guesses are judged.
    fn judged(limit: &FailureLimit, now: u64, port: u16, tries: usize) -> usize {
        let judged = |_: &usize| {
            let judged = !limit.is_spent(Tick(now), at(port));
            if judged {
                limit.count(Tick(now), at(port));
            }
            judged
        };
        (0..tries).filter(judged).count()
    }

    #[test]
    fn a_port_that_guesses_is_soon_judged_no_more_and_another_one_is() {
        let limit = FailureLimit::new(10);
        assert_eq!(judged(&limit, 0, 1, 1000), 6);
        assert!(!limit.is_spent(Tick(0), at(2)));
        assert_eq!(judged(&limit, 10_000, 1, 1000), 1);
        assert_eq!(judged(&limit, 70_000, 1, 1000), 6);
    }

    #[test]
    fn ports_that_guess_leave_the_others_of_their_source_theirs() {
        let limit = FailureLimit::new(10);
        // A hundred ports, each as fast as it can, for a minute.
        let guess = |now: u64| (1..=100).map(|port| judged(&limit, now, port, 5)).sum::<usize>();
        let mut of_neighbours = 0;
        for now in 0..60_000_u64 {
            if now % 50 == 0 {
                guess(now);
            }
            if now % 500 == 25 {
                // No credential of theirs is wrong.
                let neighbour = at(u16::try_from(30_000 + now / 500).unwrap());
                of_neighbours += usize::from(!limit.is_spent(Tick(now), neighbour));
            }
        }
        assert!(of_neighbours >= 114, "{of_neighbours} of 120");
    }

    #[test]
    fn whatever_ports_it_uses_a_source_has_a_bound() {
        let limit = FailureLimit::new(10);
        let guesses = |now: u64, ports: std::ops::Range<u16>| {
            ports.map(|port| judged(&limit, now, port, 10)).sum::<usize>()
        };
        let first = guesses(0, 0..10_000);
        assert!(first <= 90, "{first} at once");
        let mut second = 0;
        for n in 0..100_u16 {
            second += guesses(u64::from(n) * 10, n * 100 + 10_000..n * 100 + 10_100);
        }
        assert!(second <= 30, "{second} in a second");
        assert!(limit.is_spent(Tick(990), at(60_000)));
        assert!(!limit.is_spent(Tick(990), "192.0.2.2:1".parse().unwrap()));
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(judged(&FailureLimit::new(0), 0, 1, 5000), 5000);
    }
}
