//! How fast a TCP connection between a client and a peer may be: what is over the limits of bytes a
//! second waits, and so does its sender.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock::Clock;
use taciturn_turn::UserId;
use taciturn_turn::policy::{Direction, Exceeded, StreamLimit};

/// So long is waited at a time at most: a reload may have raised the limit.
const LOOK: Duration = Duration::from_secs(1);

/// The limits of one connection, on the clock that they are kept by.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    limit: StreamLimit,
}

impl Pace {
    pub(super) const fn new(clock: Clock, limit: StreamLimit) -> Self {
        Self { clock, limit }
    }

    /// Waits until so many bytes may pass. The connection is not silent meanwhile: `last` is now.
    /// `tell` writes to the log whose limit is reached.
    pub(super) async fn keep(
        &self,
        direction: Direction,
        len: usize,
        last: &Cell<Instant>,
        tell: &dyn Fn(&UserId, Exceeded),
    ) {
        loop {
            let now = self.clock.tick_at(Instant::now());
            let Err((exceeded, left)) = self.limit.take(now, direction, len) else { return };
            if let Some(user) = self.limit.to_be_told(now, exceeded) {
                tell(user, exceeded);
            }
            sleep(left.min(LOOK)).await;
            last.set(Instant::now());
        }
    }

    /// One of an allocation and a user of its own.
    #[cfg(test)]
    pub(super) fn of_bytes_per_second(limit: u32) -> Self {
        use std::sync::Arc;
        use taciturn_turn::clock::Tick;
        use taciturn_turn::policy::{Each, Quota, RateLimits, Rates};

        let bytes = Each { user: limit, ..Each::default() };
        let rates = Arc::new(RateLimits::new(Rates { bytes, ..Rates::default() }));
        let alice = UserId::new(&"example.org".into(), "alice");
        let ticket = Arc::new(Quota::new(1, 0)).take(&alice, Tick(0)).unwrap();
        Self::new(Clock::start(), StreamLimit::new(&rates, &Arc::default(), &ticket))
    }
}
