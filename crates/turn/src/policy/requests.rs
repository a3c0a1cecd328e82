//! How many requests of one client are judged in a second. Each costs an HMAC or more, so a client that has
//! proven its address, and even who it is, must not have as many judged as it can send.
//!
//! The bound is far above what clients need: one that meets a hundred peers at once sends a few hundred
//! requests.

use std::net::SocketAddr;

use super::budget::{BURST_SECONDS, BudgetTable};
use crate::clock::{Remaining, TakeOver, Tick};

/// Requests of one 5-tuple in a second. Three times as many may come at once.
pub const REQUESTS_PER_SECOND: u32 = 1000;

/// Milliseconds that one request takes to come back.
const INTERVAL: u64 = 1000 / REQUESTS_PER_SECOND as u64;

/// For the 5-tuple of an allocation, which shares its budget with nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestBudget {
    /// When the budget is whole again, in milliseconds.
    whole_again: u64,
}

impl RequestBudget {
    /// Takes one; false when there is none.
    pub fn take(&mut self, Tick(now): Tick) -> bool {
        let next = self.whole_again.max(now) + INTERVAL;
        let admitted = next <= now + 1000 * u64::from(BURST_SECONDS);
        if admitted {
            self.whole_again = next;
        }
        admitted
    }

    /// How long it is until it is whole again, for another process.
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

/// For clients without an allocation, by address and port, over all shards.
#[derive(Debug)]
pub struct RequestLimit(BudgetTable);

impl Default for RequestLimit {
    fn default() -> Self {
        Self(BudgetTable::per_second(REQUESTS_PER_SECOND))
    }
}

impl RequestLimit {
    /// Takes one; false when there is none.
    pub fn take(&self, now: Tick, from: SocketAddr) -> bool {
        self.0.take(now, from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_thousand_at_once_and_then_a_thousand_a_second() {
        let (mut own, limit) = (RequestBudget::default(), RequestLimit::default());
        let from: SocketAddr = "192.0.2.1:1".parse().unwrap();
        for (at, admitted) in
            [(9_000, 3000), (9_000, 0), (9_010, 10), (10_010, 1000), (99_000, 3000)]
        {
            let mut taken = [0; 2];
            for _ in 0..5000 {
                taken[0] += u32::from(own.take(Tick(at)));
                taken[1] += u32::from(limit.take(Tick(at), from));
            }
            assert_eq!(taken, [admitted; 2], "{at}");
        }
        assert!(limit.take(Tick(99_000), "192.0.2.1:2".parse().unwrap()), "another port");
    }
}
