//! The counters of a worker. They are plain numbers: each worker counts for itself, and is asked.

use super::send_errors::Losses;
use taciturn_turn::auth::Denied;
use taciturn_turn::policy::Refusal;
use taciturn_turn::{EndReason, Event, Statistics};

/// How often each of some names has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    /// None so far; `names` are shown although they have not come.
    fn of(names: impl IntoIterator<Item = &'static str>) -> Self {
        let mut counts = Self(Vec::new());
        names.into_iter().for_each(|name| counts.add(name, 0));
        counts
    }

    fn add(&mut self, name: &'static str, more: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += more,
            None => self.0.push((name, more)),
        }
    }

    fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, count)| self.add(name, *count));
    }

    /// Each name and how often it has come.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }
}

/// How many events there were on one worker, or on all.
#[derive(Clone, Debug)]
pub struct EventCounts {
    /// Allocations made.
    pub made: u64,
    /// Allocations ended, by reason.
    pub ended: Counts,
    /// Authentication failures, by reason.
    pub denied: Counts,
    /// Peers refused, by the name of the rule.
    pub refused: Counts,
    /// Requests answered with an error other than 401 and 438, by code.
    pub errors: [u64; 600],
}

impl Default for EventCounts {
    fn default() -> Self {
        Self {
            made: 0,
            ended: Counts::of(EndReason::ALL.map(EndReason::name)),
            denied: Counts::of(Denied::NAMES),
            refused: Counts::of(Refusal::names()),
            errors: [0; 600],
        }
    }
}

impl EventCounts {
    /// Counts one event.
    pub(super) fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::Allocated { .. } => self.made += 1,
            Event::Ended { reason, .. } => self.ended.add(reason.name(), 1),
            Event::AuthenticationFailed { reason, .. } => self.denied.add(reason.name(), 1),
            Event::PeerRefused { refusal, .. } => {
                let name = refusal.map_or(Refusal::OWN_ADDRESS, |refusal| refusal.name());
                self.refused.add(name, 1);
            }
            // Each of the packets is counted by the shard.
            Event::HeldBack { .. } | Event::ForeignNonce { .. } | Event::ClassicBinding { .. } => {}
            // Nothing was refused.
            Event::PortOutOfReach { .. } => {}
            Event::RequestFailed { code, .. } => {
                if let Some(count) = self.errors.get_mut(usize::from(code.number())) {
                    *count += 1;
                }
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.made += other.made;
        self.ended.add_all(&other.ended);
        self.denied.add_all(&other.denied);
        self.refused.add_all(&other.refused);
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
    }
}

/// Datagrams that the kernel dropped on their way in, because the buffer of their socket was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflowed {
    /// From clients.
    pub listeners: u64,
    /// From peers.
    pub relays: u64,
}

impl Overflowed {
    const fn add(&mut self, other: Self) {
        self.listeners += other.listeners;
        self.relays += other.relays;
    }
}

/// Handshakes that did not begin, or were not finished: their source, or all together, had too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedHandshakes {
    /// Of TLS.
    pub tls: u64,
    /// Of DTLS.
    pub dtls: u64,
}

impl RefusedHandshakes {
    const fn add(&mut self, other: Self) {
        self.tls += other.tls;
        self.dtls += other.dtls;
    }
}

/// What a worker has done until now, or all of them together.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What its shard has counted.
    pub statistics: Statistics,
    /// What it has seen happen.
    pub events: EventCounts,
    /// Allocations there are.
    pub allocations: usize,
    /// What was to be sent and was not.
    pub unsent: Losses,
    /// Datagrams that found the buffer of their socket full.
    pub overflowed: Overflowed,
    /// Handshakes that were turned away.
    pub refused_handshakes: RefusedHandshakes,
}

impl Snapshot {
    /// Adds that of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        self.statistics.add(&other.statistics);
        self.events.add(&other.events);
        self.allocations += other.allocations;
        self.unsent.add_all(&other.unsent);
        self.overflowed.add(other.overflowed);
        self.refused_handshakes.add(other.refused_handshakes);
    }
}
