//! Time as an argument. Nothing below `net` reads a clock; whoever calls passes a [`Now`].
#![forbid(unsafe_code)]

use std::ops::Add;
use std::time::Duration;

/// A moment on a clock that never jumps: milliseconds since some start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// What time it is: on the clock that never jumps, and on the wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers and deadlines.
    pub tick: Tick,
    /// Seconds since 1970, for credentials that expire.
    pub unix: u64,
}
