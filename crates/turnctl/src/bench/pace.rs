//! When the next burst is due, more precisely than a runtime's timers of a millisecond: flows whose
//! packets are spread in time are microseconds apart.

use std::io;
use std::time::Duration;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

/// Ticks at an even distance.
pub(super) struct Pace(system::Ticker);

impl Pace {
    /// The first tick is one `step` away.
    pub(super) fn new(step: Duration) -> io::Result<Self> {
        system::Ticker::new(step).map(Self)
    }

    /// Waits; returns how many ticks have passed since the last time, at least one.
    pub(super) async fn ticks(&mut self) -> io::Result<u64> {
        self.0.ticks().await
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    pub(super) struct Ticker(AsyncFd<OwnedFd>);

    impl Ticker {
        pub(super) fn new(step: Duration) -> io::Result<Self> {
            let timer = timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?;
            let step = Timespec::try_from(step).map_err(io::Error::other)?;
            let times = Itimerspec { it_interval: step, it_value: step };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
            Ok(Self(taciturn_net::watch_descriptor(timer)?))
        }

        pub(super) async fn ticks(&mut self) -> io::Result<u64> {
            loop {
                let mut guard = self.0.readable().await?;
                let mut count = [0; 8];
                let read = guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?));
                match read {
                    Ok(read) => return read.map(|_| u64::from_ne_bytes(count)),
                    Err(_would_block) => {}
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::time::{Duration, Instant};

    pub(super) struct Ticker {
        step: Duration,
        next: Instant,
    }

    impl Ticker {
        pub(super) fn new(step: Duration) -> io::Result<Self> {
            Ok(Self { step, next: Instant::now() + step })
        }

        pub(super) async fn ticks(&mut self) -> io::Result<u64> {
            tokio::time::sleep_until(self.next.into()).await;
            let mut count = 0;
            while self.next <= Instant::now() {
                self.next += self.step;
                count += 1;
            }
            Ok(count.max(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_tick_is_forgotten() {
        // Before the timer begins: no more ticks than that can have passed.
        let begun = std::time::Instant::now();
        let mut pace = Pace::new(Duration::from_micros(100)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let mut ticks = pace.ticks().await.unwrap();
        assert!(ticks >= 49, "{ticks}");
        ticks += pace.ticks().await.unwrap();
        assert!(u128::from(ticks) <= begun.elapsed().as_micros() / 100);
    }
}
