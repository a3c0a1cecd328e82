//! Relay ports: EVEN-PORT, RESERVATION-TOKEN, the range and its limits (section 7.2).

use std::collections::BTreeSet;

use super::*;
use taciturn_stun::{AttributeType as T, Family};

//= 8656-6-unique-relayed, 8656-7.2-port-range
#[test]
fn every_relayed_port_lies_in_the_range_and_is_given_once() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_019));
    let clients: Vec<_> =
        (1..=20).map(|n| rig.client(&format!("192.0.2.1:{n}"), "alice")).collect();
    let ports: BTreeSet<u16> = clients.iter().map(|client| client.allocate().port()).collect();
    assert_eq!(ports, (50_000..=50_019).collect());
    rig.assert_consistent();
}

//= 8656-7.2-random-ports
#[test]
fn ports_do_not_come_in_order() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 59_999));
    let ports: Vec<u16> =
        (1..=8).map(|n| rig.client(&format!("192.0.2.1:{n}"), "alice").allocate().port()).collect();
    assert!(ports.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1), "{ports:?}");
}

#[test]
fn ports_that_others_hold_are_skipped() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_009));
    rig.world(|world| world.taken = (50_000..=50_008).collect());
    let alice = rig.alice();
    assert_eq!(alice.allocate().port(), 50_009);
    assert_eq!(rig.used_ports(), 1);
    let tried = rig.world(|world| std::mem::take(&mut world.tried));
    let each: BTreeSet<u16> = tried.iter().copied().collect();
    assert_eq!(each.len(), tried.len(), "none is tried twice: {tried:?}");
    rig.bob().allocation().send().assert_error(508);
    assert_eq!(rig.used_ports(), 1);
    rig.world(|world| world.taken.clear());
    rig.bob().allocate();
}

//= 8656-7.2-no-capacity
#[test]
fn a_full_range_is_508_until_a_port_is_given_back() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_001));
    let (alice, bob) = (rig.alice(), rig.bob());
    let first = alice.allocate();
    bob.allocate();
    let third = rig.client("192.0.2.3:1", "alice");
    third.allocation().send().assert_error(508);
    rig.assert_consistent();
    alice.refresh(0).assert_ok();
    assert_eq!(third.allocate(), first);
}

#[test]
fn a_port_that_was_given_back_rests_while_there_are_others() {
    // Packets of its former peers may still arrive.
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_003));
    let alice = rig.alice();
    let first = alice.allocate();
    alice.refresh(0).assert_ok();
    for _ in 0..3 {
        rig.advance(seconds(1));
        assert_ne!(alice.allocate(), first);
        alice.refresh(0).assert_ok();
    }
    assert_eq!(alice.allocate(), first, "the one that has rested longest");
}

//= 8656-7.2-even-port
#[test]
fn even_port_gives_an_even_port() {
    let rig = Rig::with(|setup| setup.ports = (50_001, 50_010));
    let ports: BTreeSet<u16> = (1..=5)
        .map(|n| rig.client(&format!("192.0.2.1:{n}"), "alice"))
        .map(|client| client.allocation().even_port(false).send().relayed().port())
        .collect();
    assert_eq!(ports, BTreeSet::from([50_002, 50_004, 50_006, 50_008, 50_010]));
    rig.bob().allocation().even_port(false).send().assert_error(508);
    assert_eq!(rig.used_ports(), 5, "the odd ports are not held");
    rig.bob().allocate();
}

//= 8656-7.2-token-any-five-tuple, 8656-7.2-reserve-next
#[test]
fn even_port_with_the_r_bit_reserves_the_next_port_for_the_same_user() {
    let rig = Rig::new();
    let (rtp, rtcp) = (rig.alice(), rig.client("192.0.2.1:1002", "alice"));
    let answer = rtp.allocation().even_port(true).send();
    let (even, token) = (answer.relayed().port(), answer.token());
    assert!(even.is_multiple_of(2));
    assert_eq!(rig.used_ports(), 2);
    let redeemed = rtcp.allocation().attribute(T::RESERVATION_TOKEN, &token).send();
    assert_eq!(redeemed.relayed().port(), even + 1);
    assert_eq!(redeemed.count(T::RESERVATION_TOKEN), 0);
    assert_eq!(rig.used_ports(), 2);
    rtp.refresh(0).assert_ok();
    rtcp.refresh(0).assert_ok();
    rig.assert_empty();
}

//= 8489-6.3.1-idempotent, 8656-7.2-retransmission
#[test]
fn a_retransmission_tells_the_same_token() {
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice.allocation().even_port(true);
    let answer = asked.send();
    assert_eq!(asked.once(), answer);
    assert_eq!(rig.used_ports(), 2);
}

//= 8656-7.2-token-invalid
#[test]
fn a_token_is_of_no_use_to_another_user_nor_a_second_time() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let token = alice.allocation().even_port(true).send().token();
    bob.allocation().attribute(T::RESERVATION_TOKEN, &token).send().assert_error(508);
    let second = rig.client("192.0.2.1:1002", "alice");
    second.allocation().attribute(T::RESERVATION_TOKEN, &token).send().assert_ok();
    let third = rig.client("192.0.2.1:1003", "alice");
    third.allocation().attribute(T::RESERVATION_TOKEN, &token).send().assert_error(508);
    third.allocation().attribute(T::RESERVATION_TOKEN, b"made up!").send().assert_error(508);
    rig.assert_consistent();
    assert_eq!(rig.used_ports(), 2);
}

//= 8656-7.2-token-invalid, 8656-7.2-reservation-30-s
#[test]
fn a_token_lives_for_30_seconds() {
    let redeem_after = |wait| {
        let rig = Rig::with(|setup| setup.ports = (50_000, 50_001));
        let token = rig.alice().allocation().even_port(true).send().token();
        rig.advance(wait);
        let second = rig.client("192.0.2.1:1002", "alice");
        let answer = second.allocation().attribute(T::RESERVATION_TOKEN, &token).send();
        if answer.code().is_some() {
            second.allocate(); // the port is free for all
        }
        answer.code()
    };
    assert_eq!(redeem_after(seconds(30) - MOMENT), None);
    assert_eq!(redeem_after(seconds(30)), Some(508));
}

#[test]
fn nobody_piles_up_reservations() {
    // A reservation outlives its allocation, so the quota alone would not bound them.
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(alice.allocation().even_port(true).send().code() == Some(508));
        alice.refresh(0);
    }
    assert_eq!((rig.used_ports(), failed), (32, 8));
    bob.allocation().even_port(true).send().assert_ok();
    rig.advance(seconds(30));
    alice.allocation().even_port(true).send().assert_ok();
    assert_eq!(rig.used_ports(), 3);
}

//= 8656-7.2-reservation-30-s
#[test]
fn a_reserved_port_goes_to_nobody_else() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_001));
    rig.alice().allocation().even_port(true).send().assert_ok();
    rig.bob().allocation().send().assert_error(508);
}

//= 8656-7.2-reserve-next
#[test]
fn a_reservation_needs_two_free_ports_in_a_row() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_002));
    rig.world(|world| world.taken = [50_000].into());
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.allocation().even_port(true).send().assert_error(508); // 50002 has no next
    rig.world(|world| world.taken.clear());
    rig.assert_empty();
    assert_eq!(bob.allocation().even_port(true).send().relayed().port(), 50_000);
    alice.allocation().even_port(true).send().assert_error(508);
    assert_eq!(alice.allocation().even_port(false).send().relayed().port(), 50_002);
}

#[test]
fn a_reserved_port_that_another_process_took_is_508_and_given_back() {
    let rig = Rig::new();
    let answer = rig.alice().allocation().even_port(true).send();
    rig.world(|world| world.taken.insert(answer.relayed().port() + 1));
    let second = rig.client("192.0.2.1:1002", "alice");
    let token = answer.token();
    second.allocation().attribute(T::RESERVATION_TOKEN, &token).send().assert_error(508);
    assert_eq!(rig.used_ports(), 1);
    rig.assert_consistent();
}

//= 8656-7.2-token-alone
#[test]
fn a_token_goes_with_neither_even_port_nor_a_family() {
    // Section 7.2: 400, and the reservation stands.
    let rig = Rig::new();
    let token = rig.alice().allocation().even_port(true).send().token();
    let second = rig.client("192.0.2.1:1002", "alice");
    let with_token = || second.allocation().attribute(T::RESERVATION_TOKEN, &token);
    with_token().even_port(false).send().assert_error(400);
    with_token().even_port(true).send().assert_error(400);
    with_token().family(T::REQUESTED_ADDRESS_FAMILY, Family::V4).send().assert_error(400);
    with_token().family(T::ADDITIONAL_ADDRESS_FAMILY, Family::V6).send().assert_error(400);
    with_token().send().assert_ok();
}

#[test]
fn a_token_brings_the_family_of_its_reservation() {
    let rig = Rig::new();
    let asked = rig
        .alice()
        .allocation()
        .family(T::REQUESTED_ADDRESS_FAMILY, Family::V6)
        .even_port(true)
        .send();
    let second = rig.client("192.0.2.1:1002", "alice");
    let token = asked.token();
    let redeemed = second.allocation().attribute(T::RESERVATION_TOKEN, &token).send().relayed();
    assert!(redeemed.is_ipv6() && redeemed.port() == asked.relayed().port() + 1);
}
