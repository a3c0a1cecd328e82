//! How long the other side may take.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the other process may take, for one step and in all. While descriptors are under way no packet of a
/// client is read, so neither side waits for long for one that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For what is to come next.
    pub step: Duration,
    /// From the first word to the last.
    pub whole: Duration,
}

impl Default for Patience {
    /// 2 seconds for a step and 10 in all.
    fn default() -> Self {
        Self { step: Duration::from_secs(2), whole: Duration::from_secs(10) }
    }
}

/// A conversation that began, with the moment at which it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    step: Duration,
    end: Instant,
}

impl Patience {
    pub(super) fn begin(self) -> Until {
        Until { step: self.step, end: Instant::now() + self.whole }
    }
}

impl Until {
    /// The moment at which the step that begins now has taken too long.
    pub(super) fn step(self) -> Instant {
        (Instant::now() + self.step).min(self.end)
    }
}

/// Lets the next call that reads or writes `stream` block until `moment` and no longer.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] if that has passed, so that one that sends a byte now and then gets no more time
/// than one that sends none.
pub(super) fn wait_until(stream: &UnixStream, moment: Instant) -> io::Result<()> {
    let left = moment.saturating_duration_since(Instant::now());
    // Below a microsecond it would be none, which means: for ever.
    if left < Duration::from_millis(1) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

/// A system error, with a name for the one that means that nothing came in time.
pub(super) fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
