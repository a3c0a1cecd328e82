//! Allocate (section 7).

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Method};

//= 8489-5-same-transaction-id, 8489-9.2.4-answers-are-bare, 8656-7.2-success
#[test]
fn a_success_tells_relayed_and_mapped_address_and_lifetime() {
    let rig = Rig::new();
    let answer = rig.alice().allocation().send();
    let message = answer.message();
    let relayed = message.relayed_address().unwrap();
    assert_eq!(relayed.ip().to_string(), "203.0.113.7");
    assert!((50_000..=50_099).contains(&relayed.port()));
    assert_eq!(message.mapped_address(), Some(addr("192.0.2.1:1001")));
    assert_eq!(answer.lifetime(), 600);
    assert_eq!(answer.count(T::XOR_RELAYED_ADDRESS), 1);
    rig.assert_consistent();
}

//= 8489-16.1.2-software-option
#[test]
fn a_success_names_the_server_without_a_version_unless_told_not_to() {
    let answer = Rig::new().alice().allocation().send();
    assert_eq!(answer.message().find(T::SOFTWARE), Some(&b"taciturn"[..]));
    let rig = Rig::with(|setup| setup.software = false);
    let answer = rig.alice().allocation().send();
    assert!(answer.message().relayed_address().is_some());
    assert_eq!(answer.message().find(T::SOFTWARE), None);
}

//= 8656-7.2-transport-missing
#[test]
fn without_requested_transport_it_is_a_bad_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice.request(Method::ALLOCATE);
    asked.once().assert_error(401); // first things first
    asked.send().assert_error(400);
    rig.assert_empty();
}

//= 8656-7.2-transport-unsupported
#[test]
fn a_transport_other_than_udp_is_refused() {
    let rig = Rig::new();
    let alice = rig.alice();
    for protocol in [0, 6, 132, 255] {
        let asked = alice.request(Method::ALLOCATE);
        asked.attribute(T::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0]).send().assert_error(442);
    }
    rig.assert_empty();
}

//= 8656-7.2-transport-missing
#[test]
fn attributes_of_wrong_length_are_a_bad_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice.request(Method::ALLOCATE);
    asked.attribute(T::REQUESTED_TRANSPORT, &[17]).send().assert_error(400);
    for kind in [
        T::LIFETIME,
        T::REQUESTED_ADDRESS_FAMILY,
        T::ADDITIONAL_ADDRESS_FAMILY,
        T::RESERVATION_TOKEN,
        T::EVEN_PORT,
    ] {
        alice.allocation().attribute(kind, b"").send().assert_error(400);
    }
    rig.assert_empty();
}

//= 8489-6.3.1-retransmissions, 8656-7.2-retransmission
#[test]
fn a_retransmission_gets_the_same_answer_and_no_second_socket() {
    // RFC 8489 section 6.3.1.
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice.allocation().lifetime(1000);
    let answer = asked.send();
    answer.assert_ok();
    rig.advance(seconds(8));
    assert_eq!(asked.once(), answer);
    assert_eq!(rig.world(|world| world.opened), 1);
    assert_eq!(rig.events().len(), 1, "announced once");
}

//= 8656-7.2-in-use
#[test]
fn a_second_allocate_on_the_5_tuple_is_a_mismatch() {
    // Section 7.2, step 2.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.allocation().send().assert_error(437);
    assert_eq!(rig.world(|world| world.opened), 1);
    alice.refresh(0).assert_ok();
    alice.allocate();
}

//= 8489-6.3.1.2-answer-goes-back, 8656-5-five-tuple
#[test]
fn the_5_tuple_is_listener_own_address_and_client_address() {
    let rig = Rig::new();
    let (alice, stream) = (rig.alice(), rig.stream_client("192.0.2.1:1001", "alice"));
    assert_ne!(alice.allocate(), stream.allocate());
    let mut elsewhere = rig.alice();
    elsewhere.at.local = "203.0.113.8".parse().unwrap();
    elsewhere.send(PEER, b"").assert_dropped(DropReason::NoAllocation);
    elsewhere.allocate();
    assert_eq!(rig.shard(|shard| shard.len()), 3);
}

//= 8656-7.2-no-capacity
#[test]
fn an_allocate_that_fails_leaves_nothing_behind() {
    let rig = Rig::with(|setup| setup.quota = 1);
    let alice = rig.alice();
    rig.world(|world| world.impossible = vec![taciturn_stun::Family::V4]);
    for n in 0..10 {
        alice.allocation().even_port(n % 2 == 0).send().assert_error(508);
    }
    rig.world(|world| world.impossible.clear());
    rig.assert_empty();
    let quiet = |event: &Happened| matches!(event, Happened::RequestFailed { code: 508, .. });
    let events = rig.events();
    assert!(events.len() == 10 && events.iter().all(quiet), "{events:?}");
    alice.allocate(); // the place in the quota was given back
}

//= 8656-5-user-limits, 8656-7.2-quota-by-user
#[test]
fn the_quota_stops_a_user_and_gives_way_again() {
    // Section 7.2: 486.
    let rig = Rig::with(|setup| setup.quota = 2);
    let alice: Vec<_> = (1..=3).map(|n| rig.client(&format!("192.0.2.1:{n}"), "alice")).collect();
    alice[0].allocate();
    alice[1].allocate();
    alice[2].allocation().send().assert_error(486);
    rig.bob().allocate();
    assert_eq!(rig.used_ports(), 3);
    alice[0].refresh(0).assert_ok();
    alice[2].allocate();
    alice[0].allocation().send().assert_error(486);
    rig.advance(seconds(600));
    alice[0].allocate();
}

//= 8656-5-user-limits, 8656-7.2-quota-by-user
#[test]
fn the_quota_counts_the_person_behind_changing_rest_names() {
    let rig = Rig::with(|setup| setup.quota = 2);
    let carol =
        |port: u16, ends| rig.rest_client(&format!("192.0.2.3:{port}"), "@carol:domain.org", ends);
    carol(1, 60).allocate();
    carol(2, 61).allocate();
    carol(3, 62).allocation().send().assert_error(486);
    rig.rest_client("192.0.2.3:4", "@dave:domain.org", 60).allocate();
}

//= 8489-6.3.1-idempotent
#[test]
fn a_lost_answer_to_allocate_costs_no_place_in_the_quota() {
    let rig = Rig::with(|setup| setup.quota = 1);
    let alice = rig.alice();
    let asked = alice.allocation();
    asked.send().assert_ok();
    asked.once().assert_ok();
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}
