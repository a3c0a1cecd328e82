//! Limits the log lines that clients can cause: so many of a kind for each source, and more for all
//! sources together. The others are suppressed and counted, and a line says how many.
//!
//! A source is an IPv4 address or an IPv6 /64, so one that causes many lines hides no other: fail2ban
//! goes on seeing each. The table has a fixed size; two sources may share a place in it, which ones
//! nobody outside can know.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ahash::RandomState;
use tracing::warn;

use taciturn_turn::clock::Tick;
use taciturn_turn::policy::subscriber;

/// Places of the table: 8 KiB for each worker.
const PLACES: usize = 1024;

/// How often a line says how many were suppressed, for each kind.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Stands for the source of lines that no client is named in.
pub(super) const NO_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Kinds of lines that clients can cause; each has a budget of its own, so that a flood of one
/// does not hide another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Authentication failed.
    Authentication,
    /// A peer was refused.
    Peer,
    /// No port, no place in a quota.
    Capacity,
    /// A nonce was refused.
    Nonce,
    /// A credential whose time is in milliseconds.
    Credential,
    /// Refused connections.
    Connection,
    /// Packets and streams over a rate.
    Rate,
    /// Sockets that the system refuses.
    Socket,
    /// Media that were dropped on the way to a client.
    Loss,
    /// Sessions that have ended.
    Session,
}

/// Lines that may be written at once, and those that are added a second.
#[derive(Clone, Copy)]
struct Allowance {
    at_once: u64,
    a_second: u64,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Authentication,
        Self::Peer,
        Self::Capacity,
        Self::Nonce,
        Self::Credential,
        Self::Connection,
        Self::Rate,
        Self::Socket,
        Self::Loss,
        Self::Session,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication failures",
            Self::Peer => "refused peers",
            Self::Capacity => "requests over a limit",
            Self::Nonce => "refused nonces",
            Self::Credential => "credentials with a time in milliseconds",
            Self::Connection => "refused connections",
            Self::Rate => "packets over a limit",
            Self::Socket => "socket errors",
            Self::Loss => "dropped media",
            Self::Session => "ended sessions",
        }
    }

    /// For one source, and for all of a worker. Each session that has ended is worth its line, so there
    /// are as many as limits.allocations_per_second_per_user lets one user make by default.
    const fn allowances(self) -> [Allowance; 2] {
        match self {
            Self::Session => [
                Allowance { at_once: 200, a_second: 20 },
                Allowance { at_once: 1000, a_second: 100 },
            ],
            _ => [Allowance { at_once: 10, a_second: 1 }, Allowance { at_once: 200, a_second: 50 }],
        }
    }
}

/// When an allowance is whole again, in microseconds (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(u64);

impl Bucket {
    /// What it is once one more line is written, if one may be.
    fn after_one_more(self, Tick(now): Tick, allowance: Allowance) -> Option<Self> {
        let now = now.saturating_mul(1000);
        let interval = 1_000_000 / allowance.a_second;
        let next = self.0.max(now).saturating_add(interval);
        (next - now <= allowance.at_once * interval).then_some(Self(next))
    }
}

/// The lines of all sources of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct OfKind {
    all: Bucket,
    suppressed: u64,
    next_told: Tick,
}

/// The budget of one worker.
#[derive(Debug)]
pub(super) struct LogBudget {
    hasher: RandomState,
    sources: Box<[Bucket]>,
    kinds: [OfKind; Kind::ALL.len()],
    /// Whether any lines were suppressed that no line has told of.
    suppressed: bool,
}

/// Keyed by randomness of the operating system, so that nobody outside knows which sources share a place. Tests of
/// this crate have fixed keys: what shares a place is the same in each run.
fn hasher() -> RandomState {
    if cfg!(test) { RandomState::with_seeds(1, 2, 3, 4) } else { RandomState::new() }
}

impl Default for LogBudget {
    fn default() -> Self {
        Self {
            hasher: hasher(),
            sources: vec![Bucket::default(); PLACES].into(),
            kinds: Default::default(),
            suppressed: false,
        }
    }
}

impl LogBudget {
    /// Returns true if a line of this kind, about this source, may be written.
    pub(super) fn may_write(&mut self, kind: Kind, source: IpAddr, now: Tick) -> bool {
        let [for_source, for_all] = kind.allowances();
        // SAFE: the remainder is below PLACES.
        #[allow(clippy::cast_possible_truncation)]
        let place = self.hasher.hash_one((kind as u8, subscriber(source))) as usize % PLACES;
        let of_kind = self.kinds.get_mut(kind as usize);
        let (Some(source), Some(of_kind)) = (self.sources.get_mut(place), of_kind) else {
            return false;
        };
        let buckets =
            source.after_one_more(now, for_source).zip(of_kind.all.after_one_more(now, for_all));
        match buckets {
            Some((one, all)) => {
                (*source, of_kind.all) = (one, all);
                true
            }
            None => {
                of_kind.suppressed += 1;
                self.suppressed = true;
                false
            }
        }
    }

    /// Writes how many lines were suppressed, if it is time to. To be called now and then; cheap if there are
    /// none.
    pub(super) fn tell(&mut self, now: Tick) {
        if self.suppressed {
            self.tell_if(|of_kind| of_kind.next_told <= now, now);
        }
    }

    /// Writes how many lines were suppressed: the worker ends.
    pub(super) fn tell_all(&mut self, now: Tick) {
        self.tell_if(|_| true, now);
    }

    fn tell_if(&mut self, is_time: impl Fn(&OfKind) -> bool, now: Tick) {
        self.suppressed = false;
        for (kind, of_kind) in Kind::ALL.into_iter().zip(&mut self.kinds) {
            if of_kind.suppressed == 0 {
                continue;
            }
            if is_time(of_kind) {
                warn!(lines = of_kind.suppressed, of = kind.name(), "log lines suppressed");
                (of_kind.suppressed, of_kind.next_told) = (0, now + TELL_EVERY);
            } else {
                self.suppressed = true;
            }
        }
    }

    #[cfg(test)]
    fn suppressed(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize].suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Returns how many of a thousand lines are written.
    fn written(budget: &mut LogBudget, kind: Kind, source: &str, at: u64) -> usize {
        (0..1000).filter(|_| budget.may_write(kind, ip(source), Tick(at))).count()
    }

    #[test]
    fn each_kind_is_in_its_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }

    #[test]
    fn lines_that_one_source_causes_are_limited() {
        let mut budget = LogBudget::default();
        assert_eq!(written(&mut budget, Kind::Authentication, "192.0.2.1", 500), 10);
        assert_eq!(written(&mut budget, Kind::Authentication, "192.0.2.1", 1499), 0);
        assert_eq!(written(&mut budget, Kind::Authentication, "192.0.2.1", 1500), 1);
        assert_eq!(written(&mut budget, Kind::Authentication, "192.0.2.1", 99_000), 10);
        assert_eq!(budget.suppressed(Kind::Authentication), 990 + 1000 + 999 + 990);
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let mut budget = LogBudget::default();
        assert_eq!(written(&mut budget, Kind::Authentication, "192.0.2.1", 0), 10);
        assert_eq!(written(&mut budget, Kind::Peer, "192.0.2.1", 0), 10);
    }

    #[test]
    fn one_source_hides_no_other_from_who_bans_by_the_log() {
        let mut budget = LogBudget::default();
        // Three that write all the time; all others fail once a second.
        let mut missed = 0;
        for second in 0..60 {
            for loud in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
                written(&mut budget, Kind::Authentication, loud, second * 1000);
            }
            let quiet = format!("198.51.100.{second}");
            missed +=
                u32::from(!budget.may_write(Kind::Authentication, ip(&quiet), Tick(second * 1000)));
        }
        // One may share its place with a loud one.
        assert!(missed <= 2, "{missed}");
        // A /64 is one source.
        assert_eq!(written(&mut budget, Kind::Peer, "2001:db8::1", 0), 10);
        assert_eq!(written(&mut budget, Kind::Peer, "2001:db8::ffff:2", 0), 0);
        assert_eq!(written(&mut budget, Kind::Peer, "2001:db8:0:1::1", 0), 10);
    }

    #[test]
    fn many_sources_have_a_budget_together() {
        let mut budget = LogBudget::default();
        let mut flood = |at| {
            (0..100_000_u32)
                .filter(|n| {
                    let source = IpAddr::V4((n + (9 << 24)).into());
                    budget.may_write(Kind::Connection, source, Tick(at))
                })
                .count()
        };
        assert_eq!((flood(0), flood(1000)), (200, 50));
    }

    #[test]
    fn sessions_have_more_lines_than_one_user_can_make_by_default() {
        let mut budget = LogBudget::default();
        assert_eq!(written(&mut budget, Kind::Session, "192.0.2.1", 0), 200);
        for second in 1..100 {
            assert_eq!(written(&mut budget, Kind::Session, "192.0.2.1", second * 1000), 20);
        }
    }

    #[test]
    fn what_was_suppressed_is_told_every_ten_seconds_and_at_the_end() {
        let mut budget = LogBudget::default();
        written(&mut budget, Kind::Rate, "192.0.2.1", 0);
        assert_eq!(budget.suppressed(Kind::Rate), 990);
        budget.tell(Tick(0));
        assert_eq!(budget.suppressed(Kind::Rate), 0);
        written(&mut budget, Kind::Rate, "192.0.2.1", 1);
        budget.tell(Tick(9_999));
        assert_eq!(budget.suppressed(Kind::Rate), 1000, "not yet");
        budget.tell(Tick(10_000));
        assert_eq!(budget.suppressed(Kind::Rate), 0);
        written(&mut budget, Kind::Rate, "192.0.2.1", 10_000);
        budget.tell_all(Tick(10_001));
        assert_eq!(budget.suppressed(Kind::Rate), 0);
    }
}
