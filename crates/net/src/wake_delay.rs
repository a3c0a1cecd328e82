//! Decides whether a worker that has nothing left to read sleeps for a moment (a nap) before it waits for more.
//!
//! At the rates of calls, most wake-ups serve one packet, and the wake-up costs more than the packet. After a nap,
//! one wake-up serves several. That pays only while packets arrive often and one by one: if senders send bursts,
//! each wake-up has enough to do already; if packets are rare, a nap is a system call for nothing.

use std::time::Duration;

use taciturn_turn::clock::Tick;

/// Over how many milliseconds rates are taken.
const WINDOW: u64 = 16;

/// Packets that must come during a nap, on average, for it to pay: with one or less it is one more system
/// call and a delay (docs/performance.md).
const ENOUGH: u64 = 2;

/// From so many packets a wake-up on, senders bring bursts.
const BURST: u64 = 4;

/// While naps go on it takes more than evenly spread packets would come to, so many times over.
const BURST_OF_EXPECTED: u64 = 3;

/// Naps that found nothing, after which the next wait is a real one.
const EMPTY: u32 = 2;

/// The wake-up delay of one worker.
#[derive(Debug)]
pub(super) struct WakeDelay {
    nap: Duration,
    on: bool,
    window: u64,
    packets: u64,
    /// Wake-ups and naps that have brought packets.
    wakes: u64,
    /// Packets since the last nap, and naps in a row without any.
    news: bool,
    empty: u32,
}

impl WakeDelay {
    /// Naps have this length. With zero there are none.
    pub(super) const fn new(nap: Duration) -> Self {
        Self { nap, on: false, window: 0, packets: 0, wakes: 0, news: false, empty: 0 }
    }

    /// Sets the length of naps.
    pub(super) const fn set_delay(&mut self, nap: Duration) {
        self.nap = nap;
    }

    /// Counts the packets of one read of a socket.
    pub(super) const fn count(&mut self, packets: u64) {
        self.packets += packets;
        self.news |= packets > 0;
    }

    /// Returns how long to nap before the next read, as nothing is left to read now. `None` means to wait.
    pub(super) fn idle(&mut self, now: Tick) -> Option<Duration> {
        let news = std::mem::take(&mut self.news);
        self.wakes += u64::from(news);
        self.empty = if news { 0 } else { self.empty + 1 };
        let window = now.0 / WINDOW;
        if window != self.window {
            // A window that was slept through has had no packets.
            self.on = window == self.window + 1 && self.pays();
            (self.window, self.packets, self.wakes) = (window, 0, 0);
        }
        (self.on && self.empty < EMPTY).then_some(self.nap)
    }

    /// Returns true if naps pay, by the window that has just ended.
    fn pays(&self) -> bool {
        let micros = u64::try_from(self.nap.as_micros()).unwrap_or(u64::MAX);
        let expected = self.packets.saturating_mul(micros) / (WINDOW * 1000);
        let burst = if self.on { BURST.max(BURST_OF_EXPECTED * expected) } else { BURST };
        expected >= ENOUGH && self.packets < burst * self.wakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAP: Duration = Duration::from_micros(300);

    /// Wakes up `wakes` times a millisecond for `reads` reads of `packets` packets each; answers
    /// how often it napped in the last of `millis` milliseconds.
    fn naps(
        wake_delay: &mut WakeDelay,
        millis: std::ops::Range<u64>,
        wakes: u64,
        reads: u64,
        packets: u64,
    ) -> usize {
        let last = millis.end - 1;
        let mut naps = 0;
        for at in millis {
            for _ in 0..wakes {
                for _ in 0..reads {
                    wake_delay.count(packets);
                }
                let nap = wake_delay.idle(Tick(at));
                naps += usize::from(at == last && nap.is_some());
            }
        }
        naps
    }

    #[test]
    fn naps_where_many_wakes_bring_one_packet_each() {
        assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 20, 1, 1), 20);
    }

    #[test]
    fn goes_on_when_the_naps_gather_packets() {
        let mut wake_delay = WakeDelay::new(NAP);
        naps(&mut wake_delay, 0..50, 20, 1, 1);
        // The same rate, three wakes a millisecond: of several flows, or all of one.
        assert_eq!(naps(&mut wake_delay, 50..100, 3, 7, 1), 3);
        assert_eq!(naps(&mut wake_delay, 100..150, 3, 1, 7), 3);
    }

    #[test]
    fn does_not_nap_at_low_rates() {
        assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 1, 1, 1), 0);
        assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 5, 1, 1), 0);
    }

    #[test]
    fn stops_at_a_rate_that_does_not_pay() {
        let mut wake_delay = WakeDelay::new(NAP);
        naps(&mut wake_delay, 0..50, 20, 1, 1);
        assert_eq!(naps(&mut wake_delay, 50..100, 3, 1, 7), 3);
        // 5,000 packets a second: one and a half in a nap.
        assert_eq!(naps(&mut wake_delay, 100..150, 5, 1, 1), 0);
    }

    #[test]
    fn does_not_nap_where_packets_come_in_bursts() {
        assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 4, 1, 10), 0);
        // A packet of each of many flows at the same moment is a burst as well.
        assert_eq!(naps(&mut WakeDelay::new(NAP), 0..100, 4, 10, 1), 0);
    }

    #[test]
    fn stops_when_packets_begin_to_come_in_bursts() {
        let mut wake_delay = WakeDelay::new(NAP);
        naps(&mut wake_delay, 0..50, 20, 1, 1);
        assert!(wake_delay.idle(Tick(50)).is_some());
        // The rate is that of before; what a nap would gather is 6 packets.
        assert_eq!(naps(&mut wake_delay, 51..100, 1, 20, 1), 0);
    }

    #[test]
    fn stops_when_the_call_ends() {
        let mut wake_delay = WakeDelay::new(NAP);
        naps(&mut wake_delay, 0..50, 20, 1, 1);
        assert!(wake_delay.idle(Tick(50)).is_some(), "one look more");
        assert!(wake_delay.idle(Tick(50)).is_none(), "then it waits");
        wake_delay.count(1);
        assert!(wake_delay.idle(Tick(10_000)).is_none(), "the silence has not been forgotten");
    }

    #[test]
    fn zero_is_never() {
        assert_eq!(naps(&mut WakeDelay::new(Duration::ZERO), 0..100, 50, 1, 1), 0);
    }
}
