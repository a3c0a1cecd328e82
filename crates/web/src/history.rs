//! What was relayed in the last hour.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;
use taciturn_control::Traffic;

/// How often a sample is to be taken.
pub const EVERY: Duration = Duration::from_secs(10);

/// An hour of samples.
const MOST: usize = 360;

/// What was relayed from the sample before to this one, a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// When it was taken, in seconds since 1970.
    pub at: u64,
    /// A second, from then on back to the sample before.
    #[serde(flatten)]
    pub per_second: Traffic,
}

/// The samples of the last hour, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    last: Option<(Instant, Traffic)>,
}

impl History {
    /// Takes a sample of counters that count from the start of the server. `at` is in seconds since 1970. The first
    /// one is only what the next is compared with.
    pub fn add(&mut self, now: Instant, at: u64, total: Traffic) {
        let before = self.last.replace((now, total));
        let Some((then, before)) = before else { return };
        let milliseconds = u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX).max(1);
        let rate =
            |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1000) / milliseconds;
        let per_second = Traffic {
            bytes_to_peers: rate(total.bytes_to_peers, before.bytes_to_peers),
            bytes_to_clients: rate(total.bytes_to_clients, before.bytes_to_clients),
            packets_to_peers: rate(total.packets_to_peers, before.packets_to_peers),
            packets_to_clients: rate(total.packets_to_clients, before.packets_to_clients),
        };
        if self.samples.len() == MOST {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at, per_second });
    }

    /// Returns the samples, the oldest first.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(bytes: u64) -> Traffic {
        Traffic { bytes_to_clients: bytes, packets_to_clients: bytes / 100, ..Traffic::default() }
    }

    #[test]
    fn a_sample_is_what_was_relayed_a_second_since_the_one_before() {
        let (mut history, start) = (History::default(), Instant::now());
        history.add(start, 100, total(5_000_000));
        assert_eq!(history.samples(), [], "nothing to compare with");
        history.add(start + Duration::from_secs(10), 110, total(6_000_000));
        history.add(start + Duration::from_millis(12_500), 112, total(6_000_500));
        let samples = history.samples();
        assert_eq!((samples[0].at, samples[0].per_second), (110, total(100_000)));
        assert_eq!((samples[1].at, samples[1].per_second), (112, total(200)));
    }

    #[test]
    fn an_hour_is_kept() {
        let (mut history, start) = (History::default(), Instant::now());
        for n in 0..400_u32 {
            history.add(start + EVERY * n, u64::from(n), total(0));
        }
        let samples = history.samples();
        assert_eq!((samples.len(), samples[0].at, samples[359].at), (MOST, 40, 399));
    }

    #[test]
    fn counters_that_fall_and_moments_that_coincide_do_no_harm() {
        let (mut history, start) = (History::default(), Instant::now());
        history.add(start, 0, total(u64::MAX));
        history.add(start, 0, total(0));
        history.add(start, 0, total(u64::MAX));
        assert_eq!(history.samples()[0].per_second, total(0));
    }
}
