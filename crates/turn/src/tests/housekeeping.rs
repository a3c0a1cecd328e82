//! Ends of all kinds, what is announced, and what must not grow.

use super::*;
use crate::{DropReason, EndReason, Traffic};
use taciturn_stun::{AttributeType as T, Family, Method};

fn reasons(rig: &Rig) -> Vec<EndReason> {
    let reason = |event: &Happened| match event {
        Happened::Ended { reason, .. } => Some(*reason),
        _ => None,
    };
    rig.events().iter().filter_map(reason).collect()
}

//= 8656-5-connection-ends
#[test]
fn the_end_of_a_connection_ends_its_allocation() {
    let rig = Rig::new();
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    alice.allocate();
    alice.bind(CHANNEL, PEER);
    rig.bob().allocate();
    rig.hang_up(&alice);
    assert_eq!(reasons(&rig), [EndReason::Disconnected]);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
    rig.hang_up(&alice); // nothing is left to end
    assert_eq!(reasons(&rig), []);
    rig.hang_up(&rig.bob());
    rig.assert_empty();
}

#[test]
fn shutting_down_ends_all() {
    let rig = Rig::new();
    for n in 1..=5 {
        let client = rig.client(&format!("192.0.2.1:{n}"), "alice");
        client.allocation().family(T::ADDITIONAL_ADDRESS_FAMILY, Family::V6).send().assert_ok();
        client.bind(CHANNEL, PEER);
        client.bind(CHANNEL + 1, PEER_V6);
    }
    rig.shut_down();
    assert_eq!(reasons(&rig), [EndReason::Shutdown; 5]);
    rig.assert_empty();
}

#[test]
fn an_allocation_is_announced_with_user_address_and_lifetime() {
    let rig = Rig::new();
    let relayed = rig.alice().allocation().lifetime(900).send().relayed();
    let lifetime = seconds(900);
    assert_eq!(rig.events(), [Happened::Allocated { username: "alice".into(), relayed, lifetime }]);
}

#[test]
fn the_end_tells_what_was_relayed() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    alice.permit(OTHER_PEER);
    alice.channel_data(CHANNEL, b"12345").assert_reaches(PEER, b"12345");
    alice.send(OTHER_PEER, b"1234567").assert_reaches(OTHER_PEER, b"1234567");
    alice.send("1.1.1.1:1", b"dropped").assert_dropped(DropReason::NoPermission);
    alice.channel_data(CHANNEL + 1, b"dropped").assert_dropped(DropReason::NoChannel);
    rig.peer_sends(PEER, relayed, b"123").at(&alice);
    rig.peer_sends(OTHER_PEER, relayed, b"12").at(&alice);
    rig.peer_sends(OTHER_PEER, relayed, b"").at(&alice);
    rig.peer_sends("1.1.1.1:1", relayed, b"dropped").assert_dropped(DropReason::NoPermission);
    rig.advance(seconds(20));
    rig.events();
    alice.refresh(0).assert_ok();
    let expected = Happened::Ended {
        username: "alice".into(),
        relayed,
        traffic: Traffic {
            packets_to_peers: 2,
            bytes_to_peers: 12,
            packets_to_client: 3,
            bytes_to_client: 5,
        },
        lived: seconds(20),
        reason: EndReason::Released,
    };
    assert_eq!(rig.events(), [expected]);
}

#[test]
fn timers_do_not_grow_with_allocations_that_come_and_go() {
    let rig = Rig::new();
    let alice = rig.alice();
    for _ in 0..2000 {
        alice.allocation().lifetime(3600).send().assert_ok();
        alice.permit(PEER);
        alice.refresh(0).assert_ok();
    }
    let timers = rig.shard(|shard| shard.parts.allocations.queued_deadlines());
    assert!(timers < 200, "{timers} deadlines queued");
}

#[test]
fn timers_do_not_grow_with_a_long_call() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    for n in 0..500_u16 {
        alice.refresh(if n % 2 == 0 { 600 } else { 3600 }).assert_ok();
        alice.permit(PEER);
        alice.bind(CHANNEL, OTHER_PEER);
        rig.advance(seconds(u64::from(n % 7) * 50));
    }
    let timers = rig.shard(|shard| shard.parts.allocations.queued_deadlines());
    assert!(timers < 50, "{timers} deadlines queued");
}

#[test]
fn the_shard_asks_to_be_woken_when_something_ends() {
    let rig = Rig::new();
    let due = || rig.shard(|shard| shard.next_timeout().map(|at| at.since(rig.now().tick)));
    assert_eq!(due(), None);
    let alice = rig.alice();
    alice.allocate();
    assert_eq!(due(), Some(seconds(600)));
    alice.permit(PEER);
    assert_eq!(due(), Some(seconds(300)));
    rig.advance(seconds(300));
    assert_eq!(due(), Some(seconds(300)));
    rig.advance(seconds(300));
    assert_eq!(due(), None);
}

//= 8656-12.6-not-bound
#[test]
fn drops_and_answers_are_counted() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate(); // a challenge and a success
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    alice.raw(b"\xFF").assert_dropped(DropReason::Malformed);
    alice.raw(b"\xFF").assert_dropped(DropReason::Malformed);
    let counted = rig.shard(|shard| shard.statistics().clone());
    assert_eq!(counted.answered, 2);
    assert_eq!(counted.dropped[DropReason::NoPermission as usize], 1);
    assert_eq!(counted.dropped[DropReason::Malformed as usize], 2);
    assert_eq!(counted.dropped.iter().sum::<u64>(), 3);
}

#[test]
fn failures_are_reported_with_their_code_and_challenges_are_not() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.refresh(600).assert_error(437); // after a challenge
    let (method, code) = (Method::REFRESH, 437);
    assert_eq!(rig.events(), [Happened::RequestFailed { method, code }]);
    rig.advance(seconds(3601));
    alice.allocate(); // after a stale nonce
    assert!(matches!(rig.events()[..], [Happened::Allocated { .. }]));
}

#[test]
fn requests_ended_long_ago_are_forgotten() {
    // What is remembered for retransmissions has a bound; the newest stay.
    let rig = Rig::with(|setup| setup.quota = 1000);
    let clients: Vec<_> =
        (1..=400).map(|n| rig.client(&format!("192.0.2.1:{n}"), "alice")).collect();
    let mut last = None;
    for client in &clients {
        client.allocate();
        let refresh = client.request(Method::REFRESH).lifetime(0);
        refresh.send().assert_ok();
        last = Some(refresh);
    }
    last.unwrap().once().assert_ok();
    assert!(rig.shard(|shard| shard.parts.ended.len()) <= 256);
}
