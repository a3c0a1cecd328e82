//! How many handshakes of TLS and DTLS a source may cause, and how much of a worker's time they take.
//!
//! A handshake costs a signature: 0.1 ms with ECDSA, 4 ms with RSA-4096, for which everything else that a
//! worker does has to wait. A ClientHello costs its sender nothing. So handshakes are limited by source, and
//! what they take of a worker's time is measured and bounded, whatever the key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::source_budget::SourceBudget;
use crate::clock::Tick;
use taciturn_stun::canonical_ip;

/// So many times the budget of one address is that of its network: a /24 of IPv4, a /48 of IPv6.
const NETWORK_SHARE: u32 = 4;

/// So many times the budget of one address are the handshakes that may be tried once that is spent, by those
/// who may have a session to resume.
const TRIES: u32 = 4;

/// Per cent of a worker's time that one transport's handshakes take in the long run.
const PER_CENT: u64 = 10;

/// How much of a worker's time may be ahead of that, in microseconds.
const BURST: u64 = 4000;

/// What one handshake counts for at most: a process that was stopped meanwhile has not worked.
const LONGEST: Duration = Duration::from_millis(50);

/// Limits handshakes by source, over all workers. Asked once a handshake.
///
/// Only those that cost a signature count; a session that is resumed by its ticket costs none.
#[derive(Debug)]
pub struct HandshakeLimit {
    addresses: SourceBudget,
    networks: SourceBudget,
    tries: SourceBudget,
    exempt: Vec<IpNet>,
}

impl HandshakeLimit {
    /// So many handshakes a second, at most 1,000, from one IPv4 address or IPv6 /64, and four times as many
    /// from an IPv4 /24 or IPv6 /48; three seconds' worth at once. 0 is no limit. There is none for sources
    /// in `exempt` either.
    #[must_use]
    pub fn new(per_address: u32, exempt: Vec<IpNet>) -> Self {
        Self {
            addresses: SourceBudget::new(per_address),
            networks: SourceBudget::new(per_address.saturating_mul(NETWORK_SHARE)),
            tries: SourceBudget::new(per_address.saturating_mul(TRIES)),
            exempt,
        }
    }

    /// The networks of this host's own loopback.
    #[must_use]
    pub fn loopback() -> [IpNet; 2] {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        [v4.into(), Ipv6Net::from(Ipv6Addr::LOCALHOST).into()]
    }

    /// Whether `from` has no limit: neither its own, nor as one of all.
    #[must_use]
    pub fn exempts(&self, from: IpAddr) -> bool {
        let from = canonical_ip(from);
        self.exempt.iter().any(|net| net.contains(&from))
    }

    /// Whether the address or its network has none left.
    #[must_use]
    pub fn is_spent(&self, now: Tick, from: IpAddr) -> bool {
        self.addresses.is_spent(now, from) || self.networks.is_spent(now, network(from))
    }

    /// Whether there is no try left either.
    #[must_use]
    pub fn is_exhausted(&self, now: Tick, from: IpAddr) -> bool {
        self.is_spent(now, from) && self.tries.is_spent(now, from)
    }

    /// Whether the address has had none within the last three seconds.
    #[must_use]
    pub fn is_newcomer(&self, now: Tick, from: IpAddr) -> bool {
        self.addresses.is_whole(now, from)
    }

    /// Counts one handshake that cost a signature, or is about to.
    pub fn charge(&self, now: Tick, from: IpAddr) {
        self.addresses.take(now, from);
        self.networks.take(now, network(from));
    }

    /// Whether one may be tried without a signature, once the budget is spent. Counts it.
    #[must_use]
    pub fn may_try(&self, now: Tick, from: IpAddr) -> bool {
        self.tries.take(now, from)
    }
}

/// The first address of the network that one network operator's customer, or site, may hold.
fn network(ip: IpAddr) -> IpAddr {
    match canonical_ip(ip) {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
    }
}

/// The time of one worker that handshakes of one transport take: one in ten of what passes, and a few
/// milliseconds at once.
///
/// What a handshake has cost is measured and counted afterwards, so that a key of any kind, and a machine of
/// any speed, gets the number of handshakes that fits.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkShare {
    /// Microseconds of work that are not paid off yet, as of then.
    owed: u64,
    as_of: Tick,
    /// What one has cost of late, in microseconds.
    typical: u64,
}

impl WorkShare {
    /// How long until another handshake may begin; zero where it may now. The second half of what may be
    /// taken at once is for newcomers alone.
    #[must_use]
    pub fn wait(&mut self, now: Tick, newcomer: bool) -> Duration {
        self.pay_off(now);
        let ahead = self.owed.saturating_sub(if newcomer { BURST } else { BURST / 2 });
        // A millisecond pays off ten microseconds for each per cent.
        Duration::from_millis(ahead.div_ceil(10 * PER_CENT))
    }

    /// Counts the time that one has taken.
    pub fn count(&mut self, now: Tick, cost: Duration) {
        self.pay_off(now);
        let cost = u64::try_from(cost.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        self.owed = self.owed.saturating_add(cost);
        self.typical = if self.typical == 0 { cost } else { (7 * self.typical + cost) / 8 };
    }

    /// How many more of what one has cost of late are begun within a time.
    #[must_use]
    pub fn fit(&self, within: Duration) -> u32 {
        let time = u64::try_from(within.as_micros()).unwrap_or(u64::MAX) / 100 * PER_CENT;
        u32::try_from(time / self.typical.max(1)).unwrap_or(u32::MAX)
    }

    fn pay_off(&mut self, now: Tick) {
        let passed = now.0.saturating_sub(self.as_of.0);
        self.owed = self.owed.saturating_sub(passed.saturating_mul(10 * PER_CENT));
        self.as_of = self.as_of.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admitted(limit: &HandshakeLimit, at: u64, from: &str, tries: usize) -> usize {
        let now = Tick(at);
        let one = |_: &usize| {
            let spent = limit.is_spent(now, ip(from));
            if !spent {
                limit.charge(now, ip(from));
            }
            !spent
        };
        (0..tries).filter(one).count()
    }

    #[test]
    fn an_address_has_a_burst_and_then_its_rate() {
        let limit = HandshakeLimit::new(10, Vec::new());
        assert_eq!(admitted(&limit, 5, "192.0.2.1", 1000), 30);
        assert_eq!(admitted(&limit, 5 + 99, "::ffff:192.0.2.1", 1000), 0);
        assert_eq!(admitted(&limit, 5 + 1000, "192.0.2.1", 1000), 10);
        assert_eq!(admitted(&limit, 5 + 1000, "192.0.2.2", 1000), 30, "another address");
        assert_eq!(admitted(&limit, 5, "2001:db8:0:1::1", 1000), 30);
        assert_eq!(admitted(&limit, 5, "2001:db8:0:1:ffff::1", 1000), 0, "one /64 is one source");
        assert_eq!(admitted(&limit, 5, "2001:db8:0:2::1", 1000), 30);
    }

    #[test]
    fn a_network_has_four_times_what_an_address_has() {
        let limit = HandshakeLimit::new(10, Vec::new());
        let of = |nets: &dyn Fn(u8) -> String| -> usize {
            (0..250).map(|n| admitted(&limit, 5, &nets(n), 1000)).sum()
        };
        assert_eq!(of(&|n| format!("192.0.2.{n}")), 120);
        assert_eq!(of(&|n| format!("2001:db8:7:{n}::1")), 120);
        assert_eq!(admitted(&limit, 5, "192.0.3.1", 1000), 30, "another /24");
        assert_eq!(admitted(&limit, 5, "2001:db8:8::1", 1000), 30, "another /48");
    }

    #[test]
    fn who_has_had_none_lately_is_a_newcomer() {
        let limit = HandshakeLimit::new(10, Vec::new());
        assert!(limit.is_newcomer(Tick(5), ip("192.0.2.1")));
        limit.charge(Tick(5), ip("192.0.2.1"));
        assert!(!limit.is_newcomer(Tick(5 + 99), ip("192.0.2.1")));
        assert!(limit.is_newcomer(Tick(5 + 99), ip("192.0.2.2")));
        assert!(limit.is_newcomer(Tick(5 + 100), ip("192.0.2.1")));
    }

    #[test]
    fn tries_beyond_the_budget_are_limited_as_well() {
        let limit = HandshakeLimit::new(10, Vec::new());
        let tries = (0..1000).filter(|_| limit.may_try(Tick(5), ip("192.0.2.1"))).count();
        assert_eq!(tries, 120);
        assert!(!limit.is_spent(Tick(5), ip("192.0.2.1")), "they are counted apart");
        assert!(!limit.is_exhausted(Tick(5), ip("192.0.2.1")));
        assert_eq!(admitted(&limit, 5, "192.0.2.1", 1000), 30);
        assert!(limit.is_exhausted(Tick(5), ip("192.0.2.1")));
        assert!(!limit.is_exhausted(Tick(5), ip("192.0.2.2")));
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = HandshakeLimit::new(0, Vec::new());
        assert_eq!(admitted(&limit, 5, "192.0.2.1", 5000), 5000);
        assert!(limit.is_newcomer(Tick(5), ip("192.0.2.1")));
        assert!((0..5000).all(|_| limit.may_try(Tick(5), ip("192.0.2.1"))));
    }

    #[test]
    fn exempt_networks_are_told_and_loopback_is_two_of_them() {
        let mut exempt = HandshakeLimit::loopback().to_vec();
        exempt.push("192.0.2.0/28".parse().unwrap());
        let limit = HandshakeLimit::new(1, exempt);
        for from in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.15"] {
            assert!(limit.exempts(ip(from)), "{from}");
        }
        for from in ["192.0.2.16", "::2", "::ffff:192.0.2.99"] {
            assert!(!limit.exempts(ip(from)), "{from}");
        }
        assert!(!HandshakeLimit::new(1, Vec::new()).exempts(ip("127.0.0.1")));
    }

    /// Begins as many as it may, each `cost` microseconds long, and one after the other.
    fn flood(share: &mut WorkShare, newcomer: bool, cost: u64, from: u64, span: u64) -> u64 {
        let mut begun = 0;
        for at in from..from + span {
            while share.wait(Tick(at), newcomer).is_zero() {
                share.count(Tick(at), Duration::from_micros(cost));
                begun += 1;
            }
        }
        begun
    }

    #[test]
    fn handshakes_take_a_tenth_of_the_time_whatever_one_costs() {
        for cost in [130, 700, 4200] {
            let begun = flood(&mut WorkShare::default(), true, cost, 0, 60_000);
            let worked = begun * cost;
            assert!((5_900_000..6_010_000).contains(&worked), "{cost} us: {worked} us of 60 s");
        }
    }

    #[test]
    fn what_may_be_taken_at_once_is_a_few_milliseconds() {
        let at_once = |newcomer, cost| flood(&mut WorkShare::default(), newcomer, cost, 7, 1);
        assert_eq!(at_once(true, 4200), 1);
        assert_eq!(at_once(true, 700), 6);
        assert_eq!(at_once(true, 100), 41);
        assert_eq!(at_once(false, 700), 3);
    }

    #[test]
    fn those_who_come_again_and_again_leave_room_for_newcomers() {
        let mut share = WorkShare::default();
        flood(&mut share, false, 700, 0, 10_000);
        assert!(!share.wait(Tick(9_999), false).is_zero());
        assert!(share.wait(Tick(9_999), true).is_zero());
    }

    #[test]
    fn the_wait_is_as_long_as_it_has_to_be() {
        let mut share = WorkShare::default();
        share.count(Tick(1000), Duration::from_micros(4201));
        let wait = share.wait(Tick(1000), true);
        assert_eq!(wait, Duration::from_millis(3));
        assert!(!share.wait(Tick(1002), true).is_zero());
        assert!(share.wait(Tick(1003), true).is_zero());
    }

    #[test]
    fn what_fits_into_a_time_follows_from_what_they_have_cost() {
        let mut share = WorkShare::default();
        assert!(share.fit(Duration::from_secs(5)) >= 500_000, "nothing is known yet");
        share.count(Tick(0), Duration::from_micros(4200));
        assert_eq!(share.fit(Duration::from_secs(5)), 119);
        for _ in 0..100 {
            share.count(Tick(0), Duration::from_micros(700));
        }
        assert!((700..=715).contains(&share.fit(Duration::from_secs(5))), "{share:?}");
    }

    #[test]
    fn a_process_that_was_stopped_does_not_pay_for_it() {
        let mut share = WorkShare::default();
        share.count(Tick(0), Duration::from_secs(3600));
        assert!(share.wait(Tick(0), true) <= Duration::from_millis(460));
        share.count(Tick(0), Duration::from_millis(1));
        assert!(share.wait(Tick(1_000_000), true).is_zero());
    }
}
