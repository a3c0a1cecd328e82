//! The one place that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use taciturn_turn::clock::{Now, Tick};

/// Milliseconds since the server started, for all shards alike: nonces of one shard are judged by
/// another.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// A clock that shows this tick now: that of another process goes on. Where the system has not run for so long, it
    /// begins with 0.
    pub(super) fn going_on_from(tick: Tick) -> Self {
        let now = Instant::now();
        Self { start: now.checked_sub(tick.since(Tick(0))).unwrap_or(now) }
    }

    /// The moment.
    #[must_use]
    pub fn now(self) -> Now {
        let tick = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now { tick: Tick(tick), unix }
    }

    /// Which tick it is, as tokio counts.
    pub(super) fn tick_at(self, instant: tokio::time::Instant) -> Tick {
        let millis = instant.into_std().saturating_duration_since(self.start).as_millis();
        Tick(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Returns when a tick comes, as tokio counts.
    pub(super) fn instant(self, tick: Tick) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + tick.since(Tick(0)))
    }
}
