//! How much is answered to addresses that have proven nothing, and how often one may fail.
//!
//! A datagram's source can be forged, so an answer may go to somebody who asked nothing. What is
//! sent to such sources comes out of one budget. Its table has a fixed size: a flood from many
//! addresses takes no memory, and costs the addresses that share a place with it, no one else.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ahash::RandomState;
use ipnet::IpNet;

use crate::clock::Tick;
use taciturn_stun::canonical_ip;

/// Places of a table: 256 KiB. A flood from 200,000 addresses puts three of them on each place.
const PLACES: usize = 1 << 16;

/// So many seconds' worth may be spent at once.
const BURST_SECONDS: u32 = 3;

/// The part of an address that one subscriber holds: an IPv4 address, or an IPv6 /64.
#[must_use]
pub fn subscriber(ip: IpAddr) -> u128 {
    match canonical_ip(ip) {
        // IPv6 prefixes end in 64 zero bits, so the two never meet.
        IpAddr::V4(v4) => u128::from(v4.to_bits()) | 1 << 63,
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6) >> 64 << 64,
    }
}

/// A rate for each subscriber, over all shards, without a lock.
///
/// Each place holds when its budget is whole again (the generic cell rate algorithm), in
/// milliseconds that wrap around. Two subscribers on one place share its budget; which ones do,
/// nobody outside can know.
#[derive(Debug)]
pub struct SourceBudget {
    hasher: RandomState,
    /// Empty where there is no limit.
    whole_again: Box<[AtomicU32]>,
    /// Milliseconds that one unit takes to come back.
    interval: u32,
}

impl SourceBudget {
    /// `per_second` units, 1 to 1,000, and three seconds' worth at once; 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let places = if per_second == 0 { 0 } else { PLACES };
        Self {
            hasher: RandomState::new(),
            whole_again: std::iter::repeat_with(AtomicU32::default).take(places).collect(),
            interval: 1000 / per_second.clamp(1, 1000),
        }
    }

    /// Takes a unit; false when there is none.
    pub fn take(&self, now: Tick, from: IpAddr) -> bool {
        self.update(from, |at| self.after_one_more(now, at))
    }

    /// Whether nothing is left.
    pub fn is_spent(&self, now: Tick, from: IpAddr) -> bool {
        let Some(place) = self.place(from) else { return false };
        self.after_one_more(now, place.load(Ordering::Relaxed)).is_none()
    }

    /// Whether all of it is there.
    pub fn is_whole(&self, Tick(now): Tick, from: IpAddr) -> bool {
        let Some(place) = self.place(from) else { return true };
        // SAFE: wraps as the places do.
        #[allow(clippy::cast_possible_truncation)]
        let ahead = place.load(Ordering::Relaxed).wrapping_sub(now as u32);
        ahead == 0 || ahead > 1000 * BURST_SECONDS
    }

    fn update(&self, from: IpAddr, change: impl FnMut(u32) -> Option<u32>) -> bool {
        let Some(place) = self.place(from) else { return true };
        place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }

    fn place(&self, from: IpAddr) -> Option<&AtomicU32> {
        // SAFE: the remainder is below PLACES.
        #[allow(clippy::cast_possible_truncation)]
        let index = self.hasher.hash_one(subscriber(from)) as usize % PLACES;
        self.whole_again.get(index)
    }

    /// When a place is whole again once another unit is taken now, if one can be.
    fn after_one_more(&self, Tick(now): Tick, whole_again: u32) -> Option<u32> {
        let window = 1000 * BURST_SECONDS;
        // SAFE: wraps after 49 days, as the places do.
        #[allow(clippy::cast_possible_truncation)]
        let now = now as u32;
        // More than the window ahead: written before the last time the clock wrapped, or never.
        let ahead = match whole_again.wrapping_sub(now) {
            ahead if ahead > window => 0,
            ahead => ahead,
        };
        (ahead + self.interval <= window).then(|| now.wrapping_add(ahead + self.interval))
    }
}

/// What is answered to sources that have proven nothing: so much for each subscriber, and so much
/// in all. Beyond that: silence.
#[derive(Debug)]
pub struct AnswerLimit {
    sources: SourceBudget,
    /// When the budget of all is whole again, in microseconds.
    all_whole_again: AtomicU64,
    /// Microseconds; 0 is no limit.
    all_interval: u64,
    exempt: Vec<IpNet>,
    loopback: bool,
    withheld: AtomicU64,
}

impl AnswerLimit {
    /// So many answers a second to one subscriber (at most 1,000), and in all. 0 is no limit.
    /// `exempt` and the loopback addresses, which nobody outside can forge, have none.
    #[must_use]
    pub fn new(per_source: u32, in_all: u32, exempt: Vec<IpNet>) -> Self {
        Self {
            sources: SourceBudget::new(per_source),
            all_whole_again: AtomicU64::new(0),
            all_interval: if in_all == 0 { 0 } else { (1_000_000 / u64::from(in_all)).max(1) },
            exempt,
            loopback: true,
            withheld: AtomicU64::new(0),
        }
    }

    /// Likewise, and loopback addresses are limited as well, as tests want it.
    #[doc(hidden)]
    #[must_use]
    pub fn without_exemption(per_source: u32, in_all: u32) -> Self {
        Self { loopback: false, ..Self::new(per_source, in_all, Vec::new()) }
    }

    /// Whether one more answer may go to `to`.
    pub fn admits(&self, now: Tick, to: IpAddr) -> bool {
        let admitted = self.exempts(to) || (self.sources.take(now, to) && self.all_admit(now));
        if !admitted {
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Whether `from` has no limit: many may be behind it (a proxy on this host, say), or the
    /// operator trusts it.
    #[must_use]
    pub fn exempts(&self, from: IpAddr) -> bool {
        let from = canonical_ip(from);
        (self.loopback && from.is_loopback()) || self.exempt.iter().any(|net| net.contains(&from))
    }

    fn all_admit(&self, now: Tick) -> bool {
        if self.all_interval == 0 {
            return true;
        }
        let now = now.0.saturating_mul(1000);
        let window = u64::from(BURST_SECONDS) * 1_000_000;
        let one_more = |whole_again: u64| {
            let next = whole_again.max(now) + self.all_interval;
            (next <= now + window).then_some(next)
        };
        let relaxed = Ordering::Relaxed;
        self.all_whole_again.fetch_update(relaxed, relaxed, one_more).is_ok()
    }

    /// How many answers have been withheld since the start.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admitted(limit: &AnswerLimit, at: u64, to: &str, tries: usize) -> usize {
        (0..tries).filter(|_| limit.admits(Tick(at), ip(to))).count()
    }

    #[test]
    fn a_source_has_a_burst_and_then_its_rate() {
        let limit = AnswerLimit::new(20, 0, Vec::new());
        assert_eq!(admitted(&limit, 5, "192.0.2.1", 1000), 60);
        assert_eq!(admitted(&limit, 5 + 49, "192.0.2.1", 1000), 0);
        assert_eq!(admitted(&limit, 5 + 1000, "192.0.2.1", 1000), 20);
        assert_eq!(admitted(&limit, 5 + 60_000, "192.0.2.1", 1000), 60, "no more than a burst");
        assert_eq!(limit.withheld(), 940 + 1000 + 980 + 940);
    }

    #[test]
    fn ports_and_mapped_addresses_are_one_source_and_so_is_a_64() {
        let limit = AnswerLimit::new(1, 0, Vec::new());
        assert_eq!(admitted(&limit, 0, "192.0.2.1", 9), 3);
        assert_eq!(admitted(&limit, 0, "::ffff:192.0.2.1", 9), 0);
        assert_eq!(admitted(&limit, 0, "2001:db8:0:1::1", 9), 3);
        assert_eq!(admitted(&limit, 0, "2001:db8:0:1:ffff::2", 9), 0);
        assert_eq!(admitted(&limit, 0, "2001:db8:0:2::1", 9), 3);
    }

    #[test]
    fn the_budget_of_all_holds_over_many_sources() {
        let limit = AnswerLimit::new(20, 1000, Vec::new());
        let flood = |at| {
            (0..200_000_u32)
                .filter(|n| limit.admits(Tick(at), IpAddr::V4((n + (9 << 24)).into())))
                .count()
        };
        assert_eq!(flood(0), 3000);
        assert_eq!(flood(1000), 1000);
    }

    #[test]
    fn a_flood_of_200_000_addresses_leaves_most_others_their_answers() {
        let limit = AnswerLimit::new(20, 0, Vec::new());
        for n in 0..1_000_000_u32 {
            // A hundred thousand packets a second.
            limit.admits(Tick(u64::from(n) / 100), IpAddr::V4((n % 200_000 + (9 << 24)).into()));
        }
        let others = (0..1000_u32)
            .filter(|n| limit.admits(Tick(10_000), IpAddr::V4((n + (11 << 24)).into())));
        assert!(others.count() > 990);
    }

    #[test]
    fn loopback_and_exempt_ranges_are_not_limited() {
        let limit = AnswerLimit::new(1, 1, vec!["192.0.2.0/24".parse().unwrap()]);
        for to in ["127.0.0.1", "::1", "::ffff:127.0.0.9", "192.0.2.77"] {
            assert_eq!(admitted(&limit, 0, to, 100), 100, "{to}");
        }
        assert_eq!(limit.withheld(), 0);
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = AnswerLimit::new(0, 0, Vec::new());
        assert_eq!(admitted(&limit, 0, "192.0.2.1", 5000), 5000);
        assert!(!SourceBudget::new(0).is_spent(Tick(0), ip("192.0.2.1")));
    }

    #[test]
    fn the_clock_may_wrap_around() {
        let budget = SourceBudget::new(10);
        let wrap = 1 << 32;
        let take = |at| (0..99).filter(|_| budget.take(Tick(at), ip("192.0.2.1"))).count();
        assert_eq!(take(wrap - 3500), 30);
        assert_eq!(take(wrap - 500), 30);
        assert_eq!(take(wrap - 500), 0);
        assert_eq!(take(wrap + 500), 10);
        assert_eq!(take(40 * wrap + 7), 30, "long after");
    }

    #[test]
    fn failures_are_counted_apart_from_the_question_whether_any_are_left() {
        let budget = SourceBudget::new(1);
        let from = ip("2001:db8::1");
        assert!(!budget.is_spent(Tick(0), from));
        assert!((0..3).all(|_| budget.take(Tick(0), from)));
        assert!(budget.is_spent(Tick(0), from));
        assert!(!budget.is_spent(Tick(0), ip("2001:db8:1::1")));
        assert!(!budget.is_spent(Tick(1000), from));
    }
}
