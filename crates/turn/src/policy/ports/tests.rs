//! The pool of relay ports.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::reservations::RESERVATION_LIFETIME;
use super::*;

const NOW: Tick = Tick(1_000_000);

fn id(name: &str) -> UserId {
    UserId::of_tests(name)
}

fn pool(first: u16, last: u16) -> Arc<PortPool> {
    Arc::new(PortPool::new(PortRange::new(first, last).unwrap(), PORT_QUARANTINE))
}

//= 8656-7.2-no-well-known-ports
#[test]
fn ranges_are_read_and_printed() {
    assert_eq!("59000-60100".parse(), Ok(PortRange::DEFAULT));
    assert_eq!(" 59000 - 60100 ".parse(), Ok(PortRange::DEFAULT));
    assert_eq!(PortRange::DEFAULT.to_string(), "59000-60100");
    assert_eq!(PortRange::DEFAULT.len(), 1101);
    assert_eq!("59000".parse::<PortRange>(), Err(PortRangeError::Syntax));
    assert_eq!("59000-70000".parse::<PortRange>(), Err(PortRangeError::Syntax));
    let reversed = PortRangeError::Reversed { first: 60100, last: 59000 };
    assert_eq!("60100-59000".parse::<PortRange>(), Err(reversed));
    assert_eq!("80-90".parse::<PortRange>(), Err(PortRangeError::Privileged));
}

//= 8656-6-unique-relayed
#[test]
fn every_port_of_the_range_is_leased_once_and_none_outside() {
    let pool = pool(50000, 50099);
    let mut leases = Vec::new();
    for n in 0..100_u32 {
        leases
            .push(pool.lease(Family::V4, Wish::Any, 0, n.wrapping_mul(0x9E37_79B9), NOW).unwrap());
    }
    let mut ports: Vec<u16> = leases.iter().map(PortLease::port).collect();
    ports.sort_unstable();
    assert_eq!(ports, (50000..=50099).collect::<Vec<u16>>());
    let full = pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap_err();
    assert_eq!(full, LeaseError::Exhausted);
    assert!(pool.lease(Family::V6, Wish::Any, 0, 0, NOW).is_ok(), "families are separate");
    drop(leases);
    assert_eq!(pool.used(Family::V4), 0);
}

#[test]
fn a_port_given_back_comes_last_but_at_once_if_there_is_no_other() {
    let pool = pool(50000, 50002);
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().retire(NOW);
    let second = pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap();
    assert_eq!(second.port(), 50001);
    let third = pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap();
    assert_eq!(third.port(), 50002);
    assert_eq!(pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().port(), 50000);
}

#[test]
fn even_ports_and_reservations_of_the_next() {
    let pool = pool(50001, 50004);
    let even = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, NOW).unwrap();
    assert_eq!(even.port(), 50002, "50004 has no next in the range");
    pool.reserve_next(&even, [7; 8], &id("alice"), NOW).unwrap();
    assert_eq!(pool.reserve_next(&even, [8; 8], &id("alice"), NOW), Err(LeaseError::Exhausted));
    assert_eq!(pool.redeem([7; 8], &id("mallory"), NOW).unwrap_err(), LeaseError::UnknownToken);
    let odd = pool.redeem([7; 8], &id("alice"), NOW).unwrap();
    assert_eq!((odd.port(), odd.family()), (50003, Family::V4));
    assert_eq!(pool.redeem([7; 8], &id("alice"), NOW).unwrap_err(), LeaseError::UnknownToken);
}

//= 8656-7.2-reservation-30-s
#[test]
fn a_reservation_that_nobody_redeems_is_given_back_after_30_s() {
    let pool = pool(50000, 50001);
    let even = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, NOW).unwrap();
    pool.reserve_next(&even, [7; 8], &id("alice"), NOW).unwrap();
    let before = NOW + Duration::from_secs(29);
    assert_eq!(pool.lease(Family::V4, Wish::Any, 0, 0, before).unwrap_err(), LeaseError::Exhausted);
    let after = NOW + Duration::from_secs(30);
    assert_eq!(pool.redeem([7; 8], &id("alice"), after).unwrap_err(), LeaseError::UnknownToken);
    assert_eq!(pool.lease(Family::V4, Wish::Any, 0, 0, after).unwrap().port(), 50001);
}

#[test]
fn only_open_sockets_are_live() {
    let pool = pool(50000, 50100);
    let mut lease = pool.lease(Family::V6, Wish::Any, 0, 70, NOW).unwrap();
    assert!(!pool.is_live(Family::V6, 50070));
    lease.set_live();
    assert!(pool.is_live(Family::V6, 50070) && !pool.is_live(Family::V4, 50070));
    assert!(!pool.is_live(Family::V6, 49999) && !pool.is_live(Family::V6, 60000));
    drop(lease);
    assert!(!pool.is_live(Family::V6, 50070));
}

#[test]
fn a_port_is_live_for_the_transport_of_its_socket_alone() {
    let pool = pool(50000, 50100);
    let mut lease = pool.lease(Family::V4, Wish::Any, 0, 70, NOW).unwrap();
    lease.set_live_for_tcp();
    assert!(pool.is_live_for_tcp(Family::V4, 50070) && !pool.is_live(Family::V4, 50070));
    assert!(!pool.is_live_for_tcp(Family::V6, 50070));
    drop(lease);
    let mut lease = pool.lease(Family::V4, Wish::Any, 0, 70, NOW).unwrap();
    lease.set_live();
    assert!(pool.is_live(Family::V4, 50070) && !pool.is_live_for_tcp(Family::V4, 50070));
}

fn after(seconds: u64) -> Tick {
    NOW + Duration::from_secs(seconds)
}

#[test]
fn a_port_in_quarantine_is_not_given_while_there_is_another() {
    let pool = pool(50000, 50001);
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().retire(NOW);
    for second in 0..120 {
        let lease = pool.lease(Family::V4, Wish::Any, 0, 0, after(second)).unwrap();
        assert_eq!(lease.port(), 50001, "{second} s later");
        // Dropped unused: it needs no rest.
    }
    let lease = pool.lease(Family::V4, Wish::Any, 0, 0, after(120)).unwrap();
    assert_eq!(lease.port(), 50000);
}

#[test]
fn another_quarantine_holds_for_ports_given_back_from_then_on() {
    let pool = pool(50000, 50001);
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().retire(NOW);
    pool.set_quarantine(Duration::from_secs(10));
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().retire(NOW);
    let next = |at| pool.lease(Family::V4, Wish::Any, 0, 0, at).unwrap().port();
    assert_eq!((next(after(10)), next(after(119))), (50001, 50001));
    assert_eq!(next(after(120)), 50000);
}

#[test]
fn a_reservation_does_not_end_the_quarantine_of_its_port() {
    let pool = pool(50000, 50005);
    let next = pool.lease(Family::V4, Wish::Any, 0, 1, NOW).unwrap();
    assert_eq!(next.port(), 50001);
    next.retire(NOW);
    // A pair is taken where neither port needs rest.
    let even = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, after(1)).unwrap();
    assert_eq!(even.port(), 50002);
    let other = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, after(1)).unwrap();
    assert_eq!(other.port(), 50004);
    // As there is no other, the tired pair is taken.
    let tired = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, after(1)).unwrap();
    assert_eq!(tired.port(), 50000);
    pool.reserve_next(&tired, [7; 8], &id("alice"), after(1)).unwrap();
    drop(even);
    // Nobody brings the token: the port is free after 30 s, and rests on.
    let lease = pool.lease(Family::V4, Wish::Any, 0, 0, after(40)).unwrap();
    assert_eq!(lease.port(), 50002);
    let odd = pool.lease(Family::V4, Wish::Any, 0, 0, after(120)).unwrap();
    assert_eq!(odd.port(), 50001);
}

#[test]
fn a_lease_that_comes_to_nothing_does_not_end_the_quarantine() {
    let pool = pool(50000, 50001);
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().retire(NOW);
    let held = pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap();
    drop(pool.lease(Family::V4, Wish::Any, 0, 0, after(1)).unwrap());
    drop(held);
    assert_eq!(pool.lease(Family::V4, Wish::Any, 0, 0, after(2)).unwrap().port(), 50001);
}

#[test]
fn ports_that_others_hold_come_after_those_in_quarantine() {
    // Otherwise the tries of a request would all go to the former.
    let pool = pool(50000, 50001);
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().retire(NOW);
    pool.lease(Family::V4, Wish::Any, 0, 0, NOW).unwrap().taken_elsewhere(NOW);
    assert_eq!(pool.lease(Family::V4, Wish::Any, 0, 1, after(1)).unwrap().port(), 50000);
    assert_eq!(pool.lease(Family::V4, Wish::Any, 0, 0, after(10)).unwrap().port(), 50001);
}

#[test]
fn the_ports_to_keep_are_kept_of_each_family_and_for_pairs() {
    let pool = pool(50000, 50009);
    let lease = |family, wish, keep| pool.lease(family, wish, keep, 0, NOW);
    let mut held: Vec<_> = (0..8).map(|_| lease(Family::V4, Wish::Any, 2).unwrap()).collect();
    assert_eq!(lease(Family::V4, Wish::Any, 2).unwrap_err(), LeaseError::Kept);
    assert_eq!(lease(Family::V4, Wish::EvenAndNext, 1).unwrap_err(), LeaseError::Kept);
    assert!(lease(Family::V6, Wish::Any, 9).is_ok());
    assert!(lease(Family::V4, Wish::EvenAndNext, 0).is_ok());
    held.extend([
        lease(Family::V4, Wish::Any, 0).unwrap(),
        lease(Family::V4, Wish::Any, 0).unwrap(),
    ]);
    assert_eq!(lease(Family::V4, Wish::Any, 2).unwrap_err(), LeaseError::Exhausted);
}

#[test]
fn a_port_of_one_s_choice_can_be_claimed_while_it_is_free() {
    let pool = pool(50000, 50003);
    let claim = |port, at| pool.claim(Family::V4, port, at);
    let held = claim(50001, NOW).unwrap();
    assert_eq!((held.port(), held.family(), pool.used(Family::V4)), (50001, Family::V4, 1));
    assert!(claim(50001, NOW).is_none(), "leased");
    assert!(claim(49999, NOW).is_none() && claim(50004, NOW).is_none(), "outside of the range");
    assert!(pool.claim(Family::V6, 50001, NOW).is_some());
    let even = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, NOW).unwrap();
    assert_eq!(even.port(), 50002);
    pool.reserve_next(&even, [7; 8], &id("alice"), NOW).unwrap();
    assert!(claim(50003, after(29)).is_none(), "reserved");
    drop(claim(50003, after(30)).unwrap());
    // It rests as it would have without.
    held.retire(NOW);
    drop(claim(50001, after(1)).unwrap());
    let zero = pool.lease(Family::V4, Wish::Any, 0, 0, after(2)).unwrap();
    let three = pool.lease(Family::V4, Wish::Any, 0, 0, after(2)).unwrap();
    assert_eq!((zero.port(), three.port()), (50000, 50003));
}

#[test]
fn each_port_that_has_rested_is_as_likely_as_the_others() {
    // Over the borders of words, and where most ports are in use.
    let pool = pool(49990, 50200);
    let held: Vec<_> = (49990..=50200)
        .filter(|port| ![49991, 50047, 50048, 50050, 50200].contains(port))
        .map(|port| pool.claim(Family::V4, port, NOW).unwrap())
        .collect();
    let mut chosen = BTreeMap::<u16, u32>::new();
    for random in 0..50 {
        let port = pool.lease(Family::V4, Wish::Any, 0, random, NOW).unwrap().port();
        *chosen.entry(port).or_default() += 1;
    }
    let each = [49991, 50047, 50048, 50050, 50200].map(|port| (port, 10));
    assert_eq!(chosen, BTreeMap::from(each));
    let even: BTreeSet<_> = (0..9)
        .map(|random| pool.lease(Family::V4, Wish::Even, 0, random, NOW).unwrap().port())
        .collect();
    assert_eq!(even, BTreeSet::from([50048, 50050, 50200]));
    let pair = pool.lease(Family::V4, Wish::EvenAndNext, 0, 0, NOW);
    assert_eq!(pair.unwrap_err(), LeaseError::Exhausted);
    drop(held);
}

#[test]
fn the_quarantine_holds_for_a_user_who_comes_and_goes_within_the_default_rate() {
    // Twenty a second for ten minutes, with ports for less than a minute of it.
    let pool = pool(59000, 60100);
    let mut last: HashMap<u16, Tick> = HashMap::new();
    let mut shortest = Duration::MAX;
    for n in 0..12_000_u32 {
        let now = NOW + Duration::from_millis(50 * u64::from(n));
        let random = n.wrapping_mul(0x9E37_79B9);
        let lease = pool.lease(Family::V4, Wish::Any, 0, random, now).unwrap();
        if let Some(before) = last.insert(lease.port(), now) {
            shortest = shortest.min(now.since(before));
        }
        lease.retire(now);
    }
    // Not two minutes: there are not enough ports. But as long as can be: each in its turn.
    assert_eq!(last.len(), 1101);
    assert_eq!(shortest, Duration::from_millis(50 * 1101));
}

#[test]
fn thousands_of_ports_end_their_rest_a_few_at_a_time_and_none_is_given_too_early() {
    let pool = pool(10000, 65535);
    let all: Vec<_> =
        (10000..=65535).map(|port| pool.claim(Family::V4, port, NOW).unwrap()).collect();
    for (n, lease) in all.into_iter().enumerate() {
        lease.retire(if n < 1000 { NOW } else { after(60) });
    }
    for random in 0..1000 {
        let lease = pool.lease(Family::V4, Wish::Any, 0, random, after(120)).unwrap();
        assert!(lease.port() < 11000, "{}", lease.port());
        lease.retire(after(120));
    }
    let pair = pool.lease(Family::V4, Wish::EvenAndNext, 0, 7, after(180)).unwrap();
    assert!(pair.port() >= 11000);
}

/// A port of a family.
type Place = (Family, u16);

/// What may be done with a pool.
#[derive(Clone, Debug)]
enum Step {
    Lease { v6: bool, wish: Wish, keep: u32, random: u32 },
    Reserve { nth: usize, token: u8, alice: bool },
    Redeem { token: u8, alice: bool },
    Retire(usize),
    Elsewhere(usize),
    Drop(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let wish = prop_oneof![Just(Wish::Any), Just(Wish::Even), Just(Wish::EvenAndNext)];
    prop_oneof![
        5 => (any::<bool>(), wish, 0..4_u32, any::<u32>())
            .prop_map(|(v6, wish, keep, random)| Step::Lease { v6, wish, keep, random }),
        2 => (0..8_usize, 0..4_u8, any::<bool>())
            .prop_map(|(nth, token, alice)| Step::Reserve { nth, token, alice }),
        2 => (0..8_u8, any::<bool>()).prop_map(|(token, alice)| Step::Redeem { token, alice }),
        3 => (0..8_usize).prop_map(Step::Retire),
        1 => (0..8_usize).prop_map(Step::Elsewhere),
        1 => (0..8_usize).prop_map(Step::Drop),
        2 => (0..60_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_port_is_lost_nor_leased_twice_nor_given_too_early(
        steps in proptest::collection::vec(step(), 0..200)
    ) {
        let pool = pool(50000, 50007);
        let mut now = NOW;
        let mut held: Vec<PortLease> = Vec::new();
        let mut elsewhere = false;
        // Port and family to the time of its last use.
        let mut used: HashMap<Place, Tick> = HashMap::new();
        let mut reserved: HashMap<[u8; 8], (Place, &str, Tick)> = HashMap::new();
        let name = |alice| if alice { "alice" } else { "bob" };
        for step in steps {
            reserved.retain(|_, (_, _, expires)| now < *expires);
            let is_free = |held: &[PortLease], place: Place| {
                !held.iter().any(|lease| (lease.family(), lease.port()) == place)
                    && !reserved.values().any(|(other, _, _)| *other == place)
            };
            match step {
                Step::Lease { v6, wish, keep, random } => {
                    let family = if v6 { Family::V6 } else { Family::V4 };
                    let free: Vec<u16> =
                        (50000..=50007).filter(|port| is_free(&held, (family, *port))).collect();
                    let fits = |port: &&u16| match wish {
                        Wish::Any => true,
                        Wish::Even => port.is_multiple_of(2),
                        Wish::EvenAndNext => {
                            port.is_multiple_of(2) && free.contains(&(**port + 1))
                        }
                    };
                    match pool.lease(family, wish, keep, random, now) {
                        Ok(lease) => {
                            prop_assert!(free.iter().filter(fits).any(|port| *port == lease.port()));
                            prop_assert!(free.len() > keep as usize || keep == 0);
                            let rests = |port: u16| {
                                let last = used.get(&(family, port));
                                last.is_some_and(|at| now.since(*at) < PORT_QUARANTINE)
                            };
                            let rested = free.iter().filter(fits).any(|port| {
                                !rests(*port) && (wish != Wish::EvenAndNext || !rests(*port + 1))
                            });
                            // Another process's ports need rest too, so a used one may be better.
                            prop_assert!(!rests(lease.port()) || !rested || elsewhere);
                            // Where none has rested it is the one that has rested longest.
                            let last = |port: u16| {
                                let next = if wish == Wish::EvenAndNext { port + 1 } else { port };
                                used.get(&(family, port)).max(used.get(&(family, next)))
                            };
                            if rests(lease.port()) && !elsewhere {
                                let longest = free.iter().filter(fits).map(|port| last(*port)).min();
                                prop_assert_eq!(longest, Some(last(lease.port())));
                            }
                            held.push(lease);
                        }
                        Err(LeaseError::Kept) => {
                            let needed = if wish == Wish::EvenAndNext { 2 } else { 1 };
                            prop_assert!(free.len() < keep as usize + needed);
                        }
                        Err(_) => prop_assert_eq!(free.iter().filter(fits).count(), 0),
                    }
                }
                Step::Reserve { nth, token, alice } => {
                    let Some(lease) = held.get(nth) else { continue };
                    // A token is drawn at random: no two families have the same.
                    let token = 2 * token + lease.family() as u8;
                    let next = (lease.family(), lease.port() + 1);
                    let fits = is_free(&held, next) && next.1 <= 50007;
                    let made = pool.reserve_next(lease, [token; 8], &id(name(alice)), now);
                    if made.is_ok() {
                        prop_assert!(fits);
                        let until = now + RESERVATION_LIFETIME;
                        prop_assert!(reserved.insert([token; 8], (next, name(alice), until)).is_none());
                    }
                }
                Step::Redeem { token, alice } => {
                    let known = reserved.get(&[token; 8]).copied();
                    let known = known.filter(|(_, user, _)| *user == name(alice));
                    match pool.redeem([token; 8], &id(name(alice)), now) {
                        Ok(lease) => {
                            let place = (lease.family(), lease.port());
                            prop_assert_eq!(known.map(|(place, _, _)| place), Some(place));
                            reserved.remove(&[token; 8]);
                            held.push(lease);
                        }
                        Err(_) => prop_assert!(known.is_none()),
                    }
                }
                Step::Retire(nth) if nth < held.len() => {
                    let lease = held.swap_remove(nth);
                    used.insert((lease.family(), lease.port()), now);
                    lease.retire(now);
                }
                Step::Elsewhere(nth) if nth < held.len() => {
                    elsewhere = true;
                    held.swap_remove(nth).taken_elsewhere(now);
                }
                Step::Drop(nth) if nth < held.len() => drop(held.swap_remove(nth)),
                Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                Step::Retire(_) | Step::Elsewhere(_) | Step::Drop(_) => {}
            }
            for family in [Family::V4, Family::V6] {
                let leased = held.iter().filter(|lease| lease.family() == family).count();
                let waiting = pool.reserved(family);
                prop_assert_eq!(pool.used(family) as usize, leased + waiting);
            }
        }
        drop(held);
        let later = now + PORT_QUARANTINE;
        for family in [Family::V4, Family::V6] {
            let all: Vec<_> =
                (0..8).map(|n| pool.lease(family, Wish::Any, 0, n, later).unwrap().port()).collect();
            prop_assert_eq!(all, (50000..=50007).collect::<Vec<_>>());
            prop_assert_eq!(pool.used(family), 0);
        }
    }
}
