//! Address families of relayed transport addresses (section 7.2, formerly RFC 6156).

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Family, Method};

const REQUESTED: T = T::REQUESTED_ADDRESS_FAMILY;
const ADDITIONAL: T = T::ADDITIONAL_ADDRESS_FAMILY;

/// The relayed addresses of an answer.
fn relays(answer: &Answer) -> usize {
    answer.count(T::XOR_RELAYED_ADDRESS)
}

/// ADDRESS-ERROR-CODE of an answer: family and code.
fn address_error(answer: &Answer) -> Option<(u8, u16)> {
    match answer.message().find(T::ADDRESS_ERROR_CODE)? {
        [family, 0, class, number, ..] => {
            Some((*family, u16::from(*class) * 100 + u16::from(*number)))
        }
        other => panic!("{other:?}"),
    }
}

/// The port of the socket of a family.
fn socket(rig: &Rig, family: Family) -> SocketAddr {
    let of = |(_, local): &(_, SocketAddr)| (Family::of(local.ip()) == family).then_some(*local);
    rig.world(|world| world.open.values().find_map(of)).expect("a socket")
}

//= 8656-7.2-default-ipv4
#[test]
fn without_a_family_it_is_ipv4() {
    let rig = Rig::new();
    assert!(rig.alice().allocate().is_ipv4());
}

//= 8656-10.2-family-mismatch
#[test]
fn an_ipv6_relay_serves_ipv6_peers() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate_v6();
    assert_eq!(relayed.ip().to_string(), "2001:db8::7");
    alice.permit(PEER_V6);
    alice.send(PEER_V6, b"out").assert_reaches(PEER_V6, b"out");
    let received = rig.peer_sends(PEER_V6, relayed, b"in").at(&alice);
    assert_eq!(received, Received::data(PEER_V6, b"in"));
    alice.bind(CHANNEL, PEER_V6);
    alice.channel_data(CHANNEL, b"out").assert_reaches(PEER_V6, b"out");
}

//= 8656-7.2-family-unsupported
#[test]
fn a_family_that_is_not_served_is_refused() {
    let rig = Rig::with(|setup| setup.v6 = None);
    let alice = rig.alice();
    alice.allocation().family(REQUESTED, Family::V6).send().assert_error(440);
    alice.allocation().attribute(REQUESTED, &[3, 0, 0, 0]).send().assert_error(440);
    rig.assert_empty();
    let rig = Rig::with(|setup| setup.v4 = None);
    rig.alice().allocation().send().assert_error(440);
    rig.alice().allocate_v6();
}

//= 8656-7.2-two-families, 8656-7.2-even-port-additional, 8656-7.2-additional-ipv4
#[test]
fn requested_and_additional_family_exclude_each_other() {
    let rig = Rig::new();
    let alice = rig.alice();
    let both = alice.allocation().family(REQUESTED, Family::V4).family(ADDITIONAL, Family::V6);
    both.send().assert_error(400);
    // ADDITIONAL-ADDRESS-FAMILY can only be IPv6.
    alice.allocation().family(ADDITIONAL, Family::V4).send().assert_error(400);
    // One reservation, two families: which?
    let reserve = alice.allocation().even_port(true).family(ADDITIONAL, Family::V6);
    reserve.send().assert_error(400);
    rig.assert_empty();
}

//= 8656-7.2-dual
#[test]
fn an_additional_family_gives_two_relays() {
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice.allocation().family(ADDITIONAL, Family::V6);
    let answer = asked.send();
    answer.assert_ok();
    assert_eq!((relays(&answer), address_error(&answer)), (2, None));
    assert_eq!(asked.once(), answer, "a retransmission");
    assert_eq!(rig.used_ports(), 2);
    rig.assert_consistent();
    alice.try_permit(&[PEER, PEER_V6]).assert_ok();
    for (peer, family) in [(PEER, Family::V4), (PEER_V6, Family::V6)] {
        alice.send(peer, b"out").assert_reaches(peer, b"out");
        let received = rig.peer_sends(peer, socket(&rig, family), b"in").at(&alice);
        assert_eq!(received, Received::data(peer, b"in"));
    }
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

//= 8656-7.2-half-of-two, 8656-18.12-address-error-reserved, 8656-18.12-address-error-reason
#[test]
fn half_of_a_dual_allocation_is_told_with_the_reason() {
    // Section 7.2 and 18.12: success, with ADDRESS-ERROR-CODE for the family that could not be had.
    let dual = |rig: &Rig| {
        let alice = rig.alice();
        let asked = alice.allocation().family(ADDITIONAL, Family::V6);
        let answer = asked.send();
        answer.assert_ok();
        assert_eq!(asked.once(), answer, "a retransmission");
        assert_eq!((relays(&answer), rig.used_ports()), (1, 1));
        rig.assert_consistent();
        (answer.relayed().is_ipv4(), address_error(&answer))
    };
    let no_v6 = Rig::with(|setup| setup.v6 = None);
    assert_eq!(dual(&no_v6), (true, Some((2, 440))));
    let no_sockets = Rig::new();
    no_sockets.world(|world| world.impossible = vec![Family::V6]);
    assert_eq!(dual(&no_sockets), (true, Some((2, 508))));
    let no_v4 = Rig::with(|setup| setup.v4 = None);
    assert_eq!(dual(&no_v4), (false, Some((1, 440))));
    let full = Rig::new();
    full.world(|world| world.impossible = vec![Family::V4]);
    assert_eq!(dual(&full), (false, Some((1, 508))));
}

//= 8656-7.2-even-port
#[test]
fn even_port_holds_for_both_families() {
    let rig = Rig::new();
    for n in 1..=8 {
        let client = rig.client(&format!("192.0.2.1:{n}"), "alice");
        client.allocation().even_port(false).family(ADDITIONAL, Family::V6).send().assert_ok();
    }
    let even = |(_, local): &(_, SocketAddr)| local.port().is_multiple_of(2);
    assert!(rig.world(|world| world.open.len() == 16 && world.open.values().all(even)));
}

//= 8656-7.2-half-of-two
#[test]
fn a_dual_allocation_of_which_nothing_can_be_had_fails() {
    let rig = Rig::new();
    rig.world(|world| world.impossible = vec![Family::V4, Family::V6]);
    rig.alice().allocation().family(ADDITIONAL, Family::V6).send().assert_error(508);
    rig.assert_empty();
}

//= 8656-8.1-one-family, 8656-8.2-zero
#[test]
fn one_family_of_a_dual_allocation_can_be_given_back() {
    // Section 8.2.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().family(ADDITIONAL, Family::V6).send().assert_ok();
    alice.bind(CHANNEL, PEER);
    alice.bind(CHANNEL + 1, PEER_V6);
    let refresh = alice.request(Method::REFRESH).lifetime(0).family(REQUESTED, Family::V6);
    assert_eq!(refresh.send().lifetime(), 0);
    assert_eq!((rig.used_ports(), rig.shard(|shard| shard.len())), (1, 1));
    rig.assert_consistent();
    assert_eq!(rig.world(|world| world.channels.len()), 1);
    alice.channel_data(CHANNEL, b"v4").assert_reaches(PEER, b"v4");
    alice.channel_data(CHANNEL + 1, b"v6").assert_dropped(DropReason::NoPermission);
    alice.try_permit(&[PEER_V6]).assert_error(443);
    // RFC 8489 section 6.3.1: its retransmission succeeds and takes nothing more.
    assert_eq!(refresh.once().lifetime(), 0);
    assert_eq!(rig.used_ports(), 1);
    let again = alice.request(Method::REFRESH).lifetime(0).family(REQUESTED, Family::V6);
    again.send().assert_error(443);
    // The last family ends the allocation.
    alice.request(Method::REFRESH).lifetime(0).family(REQUESTED, Family::V4).send().assert_ok();
    rig.assert_empty();
}
