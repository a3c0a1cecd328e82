//! Decides whether a worker that has nothing left to read sleeps for a moment (a nap) before it waits for more.
//!
//! At the rates of calls, most wake-ups serve one packet, and the wake-up costs more than the packet. After a nap,
//! one wake-up serves several. That pays only while packets arrive often and one by one: if senders send bursts,
//! each wake-up has enough to do already; if packets are rare, a nap is a system call for nothing.
//!
//! A nap must not cost throughput. Calls send at their own pace. But a sender that waits for replies to its packets (a
//! data channel, TCP inside a relay) sends less if each round trip takes a nap longer. During naps that cannot be
//! seen: what arrives is what the naps let arrive. So the rate with naps is compared with the rate without them, when
//! they begin and then once a second, and if there is more without naps, there are none for a while.

use std::time::Duration;

use taciturn_turn::clock::Tick;

/// Over how many milliseconds rates are taken.
const WINDOW: u64 = 16;

/// Packets that must come during a nap, on average, for it to pay: with one or less it is one more system
/// call and a delay (docs/performance.md).
const ENOUGH: u64 = 2;

/// From so many packets a wake-up on, senders bring bursts.
const BURST: u64 = 4;

/// Once there are naps it takes more than evenly spread packets would come to, so many times over.
const BURST_OF_EXPECTED: u64 = 3;

/// Naps that found nothing, after which the next wait is a real one.
const EMPTY: u32 = 2;

/// The rates of so many windows with naps and as many without are compared, at most.
const COMPARED: u64 = 4;

/// Windows with naps until the next comparison.
const NAPS: u32 = 64;

/// Windows without naps after a comparison that has found more without. Twice as many each time in a row, up to the
/// second.
const PAUSE: u32 = 64;
const LONGEST_PAUSE: u32 = 1024;

/// The wake-up delay of one worker.
#[derive(Debug)]
pub(super) struct WakeDelay {
    nap: Duration,
    phase: Phase,
    /// Windows of the next pause.
    pause: u32,
    window: Window,
    /// Packets since the last nap, and naps in a row without any.
    news: bool,
    empty: u32,
}

/// What has come since a tick.
#[derive(Debug, Default)]
struct Window {
    since: u64,
    packets: u64,
    /// Wake-ups and naps that have brought packets.
    wakes: u64,
}

/// Windows that follow one another, and their packets.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    windows: u64,
    packets: u64,
}

/// Rates are packets in a window.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No naps, whatever comes, for so many windows more.
    Pauses { windows: u32 },
    /// No naps, until enough windows in a row have shown that they would pay.
    Waits { without: Seen },
    /// The first naps, until there are enough windows to compare with the rate without naps.
    Begins { without: u64, with: Seen },
    /// Naps: for so many windows by now, and with that rate of late.
    Naps { windows: u32, with: u64 },
    /// No naps, until there are enough windows to compare with the rate with naps.
    Compares { with: u64, without: Seen },
}

impl Seen {
    const NOTHING: Self = Self { windows: 0, packets: 0 };

    const fn and(self, packets: u64) -> Self {
        Self { windows: self.windows + 1, packets: self.packets + packets }
    }

    /// The rate, once there are enough windows.
    const fn rate(self) -> Option<u64> {
        if self.windows < COMPARED { None } else { Some(self.packets / self.windows) }
    }
}

impl Phase {
    const WAITS: Self = Self::Waits { without: Seen::NOTHING };
}

impl WakeDelay {
    /// Naps have this length. With zero there are none.
    pub(super) const fn new(nap: Duration) -> Self {
        let window = Window { since: 0, packets: 0, wakes: 0 };
        Self { nap, phase: Phase::WAITS, pause: PAUSE, window, news: false, empty: 0 }
    }

    /// Sets the length of naps.
    pub(super) const fn set_delay(&mut self, nap: Duration) {
        self.nap = nap;
    }

    /// Counts the packets of one read of a socket.
    pub(super) const fn count(&mut self, packets: u64) {
        self.window.packets += packets;
        self.news |= packets > 0;
    }

    /// Returns how long to nap before the next read, as nothing is left to read now. `None` means to wait.
    pub(super) fn idle(&mut self, now: Tick) -> Option<Duration> {
        let news = std::mem::take(&mut self.news);
        self.window.wakes += u64::from(news);
        self.empty = if news { 0 } else { self.empty + 1 };
        let millis = now.0.saturating_sub(self.window.since);
        if millis >= WINDOW {
            let next = Window { since: now.0, ..Window::default() };
            let window = std::mem::replace(&mut self.window, next);
            self.end_window(&window, millis);
        }
        (self.naps() && self.empty < EMPTY).then_some(self.nap)
    }

    const fn naps(&self) -> bool {
        matches!(self.phase, Phase::Begins { .. } | Phase::Naps { .. })
    }

    fn end_window(&mut self, window: &Window, millis: u64) {
        // What was slept through, or worked through, for longer says nothing about naps.
        if millis >= 2 * WINDOW {
            self.phase = match self.phase {
                Phase::Pauses { windows } => Phase::Pauses { windows: windows.saturating_sub(1) },
                _ => Phase::WAITS,
            };
            return;
        }
        let packets = window.packets * WINDOW / millis;
        let pays = self.pays(window, millis);
        self.phase = match self.phase {
            Phase::Pauses { windows: 0 } => Phase::WAITS,
            Phase::Pauses { windows } => Phase::Pauses { windows: windows - 1 },
            // Naps that seem not to pay any more may be the reason why less comes.
            Phase::Begins { without, with } => {
                let with = with.and(packets);
                match with.rate() {
                    None => Phase::Begins { without, with },
                    Some(with) if is_more(without, with) => self.pauses(),
                    Some(with) => Phase::Naps { windows: 0, with },
                }
            }
            _ if !pays => Phase::WAITS,
            Phase::Waits { without } => {
                let without = without.and(packets);
                match without.rate() {
                    None => Phase::Waits { without },
                    Some(without) => Phase::Begins { without, with: Seen::NOTHING },
                }
            }
            Phase::Naps { windows: NAPS, with } => Phase::Compares { with, without: Seen::NOTHING },
            Phase::Naps { windows, with } => {
                Phase::Naps { windows: windows + 1, with: (7 * with + packets) / 8 }
            }
            Phase::Compares { with, without } => {
                let without = without.and(packets);
                match without.rate() {
                    Some(rate) if is_more(rate, with) => self.pauses(),
                    // Where no more comes than with naps, that is seen sooner.
                    None if without.packets > with * without.windows => {
                        Phase::Compares { with, without }
                    }
                    _ => {
                        self.pause = PAUSE;
                        Phase::Naps { windows: 0, with }
                    }
                }
            }
        };
    }

    /// Returns true if naps pay, by the window that has just ended.
    fn pays(&self, window: &Window, millis: u64) -> bool {
        let micros = u64::try_from(self.nap.as_micros()).unwrap_or(u64::MAX);
        let expected = window.packets.saturating_mul(micros) / (millis * 1000);
        let burst = match self.phase {
            Phase::Pauses { .. } | Phase::Waits { .. } => BURST,
            _ => BURST.max(BURST_OF_EXPECTED * expected),
        };
        expected >= ENOUGH && window.packets < burst * window.wakes
    }

    /// More comes without naps: there are none for a while.
    fn pauses(&mut self) -> Phase {
        let windows = self.pause;
        self.pause = LONGEST_PAUSE.min(2 * windows);
        Phase::Pauses { windows }
    }
}

/// Returns true if one rate is so much higher than the other that chance does not account for it.
const fn is_more(rate: u64, other: u64) -> bool {
    let (rate, other) = (rate * COMPARED, other * COMPARED);
    rate > other + other / 16 + 2 * other.isqrt()
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
