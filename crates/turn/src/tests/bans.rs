//! Users and addresses that the operator has banned.

use super::tcp_allocations::rig as tcp_rig;
use super::*;
use crate::policy::Banned;
use crate::{DropReason, EndReason};

/// Bans these and no others; returns how many allocations have ended.
fn ban(rig: &Rig, all: &[(&str, &str)]) -> usize {
    let all: Vec<_> = all.iter().map(|(kind, value)| Banned::of(kind, value).unwrap()).collect();
    rig.with_shard(|shard, now, world| {
        shard.parts.rules.bans.set(&all);
        shard.end_banned(now, world)
    })
}

#[test]
fn the_sessions_of_a_banned_user_end_at_once_and_its_requests_are_refused_with_403() {
    let rig = Rig::new();
    let (alice, second, bob) = (rig.alice(), rig.client("192.0.2.1:2", "alice"), rig.bob());
    let relayed = alice.allocate();
    second.allocate();
    bob.allocate();
    alice.bind(CHANNEL, PEER);
    rig.events();
    assert_eq!(ban(&rig, &[("user", "alice")]), 2);
    let ended = rig.events();
    assert!(matches!(
        ended[..],
        [Happened::Ended { reason: EndReason::Banned, .. }, Happened::Ended { .. }]
    ));
    assert_eq!(rig.peer_sends(PEER, relayed, b"x"), Outcome::NobodyListens);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoAllocation);
    alice.refresh(600).assert_error(403);
    alice.allocation().send().assert_error(403);
    rig.client("192.0.2.44:1", "alice").allocation().send().assert_error(403);
    bob.refresh(600).assert_ok();
    assert_eq!(rig.shard(|shard| shard.parts.rules.bans.refused()[0]), 3);
    assert_eq!(ban(&rig, &[]), 0);
    alice.allocate();
}

#[test]
fn a_user_of_the_rest_scheme_is_banned_by_name_whatever_credential_it_gets() {
    let rig = Rig::new();
    let one = rig.rest_client("192.0.2.9:9", "@bob:example.org", 5000);
    one.allocate();
    assert_eq!(ban(&rig, &[("user", "@bob:example.org")]), 1);
    let next = rig.rest_client("192.0.2.9:10", "@bob:example.org", 6000);
    next.allocation().send().assert_error(403);
    rig.rest_client("192.0.2.9:11", "@bob:example.com", 6000).allocate();
}

#[test]
fn a_banned_address_gets_no_answer_to_anything_and_its_sessions_end() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.client("192.0.2.99:1", "bob"));
    alice.allocate();
    bob.allocate();
    assert_eq!(ban(&rig, &[("address", "192.0.2.1")]), 1);
    for outcome in [
        alice.allocation().outcome(),
        alice.request(taciturn_stun::Method::BINDING).outcome(),
        alice.request(taciturn_stun::Method::REFRESH).outcome(),
    ] {
        outcome.assert_dropped(DropReason::Banned);
    }
    bob.refresh(600).assert_ok();
    assert_eq!(ban(&rig, &[("network", "192.0.2.0/24"), ("network", "2001:db8::/32")]), 1);
    bob.allocation().outcome().assert_dropped(DropReason::Banned);
    rig.client("192.0.3.1:1", "alice").allocate();
    assert!(rig.shard(|shard| shard.refuses("192.0.2.77".parse().unwrap())));
}

#[test]
fn clients_of_rfc_3489_get_no_answer_either() {
    let rig = Rig::with(|setup| setup.rfc3489 = true);
    let classic = [&[0, 1, 0, 0][..], &[7; 16]].concat();
    assert!(!rig.alice().raw(&classic).reply().is_empty());
    ban(&rig, &[("address", "192.0.2.1")]);
    rig.alice().raw(&classic).assert_dropped(DropReason::Banned);
}

#[test]
fn peer_connections_of_a_banned_user_end_and_none_is_bound() {
    let rig = tcp_rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    assert_eq!(ban(&rig, &[("user", "alice")]), 1);
    let data = rig.tcp_client(2, "alice");
    data.bind_connection(attempt.id).assert_error(403);
    rig.assert_empty();
}
