//! What each source, all of them, and connections get.

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
    let others =
        (0..1000_u32).filter(|n| limit.admits(Tick(10_000), IpAddr::V4((n + (11 << 24)).into())));
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
fn a_port_that_asks_too_much_costs_the_others_of_its_address_nothing() {
    let limit = AnswerLimit::new(20, 0, Vec::new());
    let asks = |at, port: u16, tries: usize| {
        let from = SocketAddr::new(ip("192.0.2.1"), port);
        (0..tries).filter(|_| limit.admits_proven(Tick(at), from)).count()
    };
    assert_eq!(asks(0, 1, 10_000), 60);
    assert_eq!(asks(1000, 1, 10_000), 20);
    assert_eq!(asks(1000, 2, 10_000), 60);
    let all: usize = (3..1000).map(|port| asks(1000, port, 10)).sum();
    assert!((400..600).contains(&all), "{all} to all ports together, 600 at once");
    assert_eq!(limit.withheld(), 0, "which tells of sources over UDP");
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
