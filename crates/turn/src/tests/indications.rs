//! Send and Data indications (section 11).

use std::collections::BTreeSet;

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Family, Message};

/// Alice with an allocation and a permission for the peer.
fn alice_permitted(rig: &Rig) -> (TestClient, SocketAddr) {
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    (alice, relayed)
}

//= 8656-11.2-empty-data, 8656-11.2-datagram
#[test]
fn a_send_indication_relays_exactly_its_data() {
    let rig = Rig::new();
    let (alice, relayed) = alice_permitted(&rig);
    for data in [&b""[..], b"a", b"abc", b"abcd", b"abcde", &[0xA5; 1400], &[0x5A; 60_000]] {
        let outcome = alice.send(PEER, data);
        let expected = Outcome::ToPeer {
            from: relayed,
            peer: addr(PEER),
            data: data.into(),
            dont_fragment: false,
        };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn the_order_of_attributes_does_not_matter() {
    let rig = Rig::new();
    let (alice, _) = alice_permitted(&rig);
    let outcome = alice.indication(|writer| {
        writer.attribute(T::SOFTWARE, b"client").attribute(T::DATA, b"data");
        writer.attribute(T(0xC000), b"optional").address(T::XOR_PEER_ADDRESS, addr(PEER));
        writer.fingerprint();
    });
    outcome.assert_reaches(PEER, b"data");
}

//= 8656-11.2-both-attributes
#[test]
fn without_data_or_peer_it_is_dropped() {
    let rig = Rig::new();
    let (alice, _) = alice_permitted(&rig);
    let outcome = alice.indication(|writer| {
        writer.address(T::XOR_PEER_ADDRESS, addr(PEER));
    });
    outcome.assert_dropped(DropReason::BadIndication);
    let outcome = alice.indication(|writer| {
        writer.attribute(T::DATA, b"data");
    });
    outcome.assert_dropped(DropReason::BadIndication);
    let outcome = alice.indication(|writer| {
        writer.attribute(T::XOR_PEER_ADDRESS, &[0, 1, 2]).attribute(T::DATA, b"data");
    });
    outcome.assert_dropped(DropReason::BadIndication);
}

//= 8656-5-no-allocation-data, 8656-11.2-permission
#[test]
fn without_permission_or_allocation_it_is_dropped() {
    let rig = Rig::new();
    let (alice, _) = alice_permitted(&rig);
    alice.send(OTHER_PEER, b"x").assert_dropped(DropReason::NoPermission);
    alice.send(PEER_V6, b"x").assert_dropped(DropReason::NoPermission);
    rig.bob().send(PEER, b"x").assert_dropped(DropReason::NoAllocation);
}

//= 8489-6.3.2-indications
#[test]
fn an_unknown_attribute_that_must_be_understood_drops_it() {
    // RFC 8489 section 6.3.2: an indication gets no error.
    let rig = Rig::new();
    let (alice, _) = alice_permitted(&rig);
    let outcome = alice.indication(|writer| {
        writer.address(T::XOR_PEER_ADDRESS, addr(PEER)).attribute(T::DATA, b"x");
        writer.attribute(T(0x7FFF), b"");
    });
    outcome.assert_dropped(DropReason::BadIndication);
}

//= 8656-11.2-dont-fragment, 8656-14-udp-to-udp
#[test]
fn dont_fragment_is_passed_on() {
    let rig = Rig::new();
    let (alice, _) = alice_permitted(&rig);
    let outcome = alice.indication(|writer| {
        writer.attribute(T::DONT_FRAGMENT, b"");
        writer.address(T::XOR_PEER_ADDRESS, addr(PEER)).attribute(T::DATA, b"x");
    });
    assert!(matches!(outcome, Outcome::ToPeer { dont_fragment: true, .. }), "{outcome:?}");
    // In an Allocate request it asks whether that can be done (section 7.1): it can.
    rig.bob().allocation().attribute(T::DONT_FRAGMENT, b"").send().assert_ok();
}

//= 8656-11.2-dont-fragment, 8656-13-alternate-behaviour, 8656-13.1-ignore-dont-fragment,
//= 8656-13.2-flow-label, 8656-15-tcp-to-udp
#[test]
fn dont_fragment_counts_from_ipv4_to_ipv4_and_from_connections() {
    // Section 13: ignored wherever IPv6 takes part in a relay from UDP to UDP. Section 15: over
    // TCP it alone tells.
    let rig = Rig::new();
    let df = |client: &TestClient, peer: &str| {
        let families = if addr(peer).is_ipv6() { Family::V6 } else { Family::V4 };
        client.allocation().family(T::REQUESTED_ADDRESS_FAMILY, families).send().assert_ok();
        client.permit(peer);
        let outcome = client.indication(|writer| {
            writer.address(T::XOR_PEER_ADDRESS, addr(peer)).attribute(T::DATA, b"x");
            writer.attribute(T::DONT_FRAGMENT, b"");
        });
        client.refresh(0).assert_ok();
        let Outcome::ToPeer { dont_fragment, .. } = outcome else { panic!("{outcome:?}") };
        dont_fragment
    };
    let (v4, v6) = (rig.alice(), rig.client("[2001:db8:9::1]:1", "alice"));
    assert!(df(&v4, PEER));
    assert!(!df(&v4, PEER_V6));
    assert!(!df(&v6, PEER));
    assert!(!df(&v6, PEER_V6));
    let stream = rig.stream_client("[2001:db8:9::1]:2", "alice");
    assert!(df(&stream, PEER) && df(&stream, PEER_V6));
}

//= 8656-11.3-data-indication
#[test]
fn a_data_indication_names_the_peer_and_holds_its_data() {
    let rig = Rig::new();
    let (alice, relayed) = alice_permitted(&rig);
    for data in [&b""[..], b"a", b"ab", b"abc", b"abcd", &[7; 1400]] {
        let received = rig.peer_sends(PEER, relayed, data).at(&alice);
        assert_eq!(received, Received::data(PEER, data));
    }
}

//= 8489-5-random-transaction-id
#[test]
fn data_indications_have_transaction_ids_without_a_pattern() {
    // RFC 8489 section 5: uniformly and randomly chosen.
    let rig = Rig::new();
    let (alice, relayed) = alice_permitted(&rig);
    let mut seen = BTreeSet::new();
    let mut bits = [0_u32; 96];
    for _ in 0..1000 {
        let Outcome::ToClient { bytes, client } = rig.peer_sends(PEER, relayed, b"x") else {
            panic!("dropped");
        };
        assert_eq!(client, alice.at);
        let tid = Message::parse(&bytes).unwrap().transaction_id().0;
        assert!(seen.insert(tid), "{tid:?} came twice");
        for (n, count) in bits.iter_mut().enumerate() {
            *count += u32::from(tid[n / 8] >> (n % 8) & 1);
        }
    }
    assert!(bits.iter().all(|ones| (400..=600).contains(ones)), "{bits:?}");
}

#[test]
fn a_packet_that_no_framing_can_hold_is_dropped_and_not_counted() {
    let rig = Rig::new();
    let (alice, relayed) = alice_permitted(&rig);
    rig.peer_sends(PEER, relayed, &vec![0; 65_535]).assert_dropped(DropReason::TooLong);
    rig.peer_sends(PEER, relayed, &vec![0; 65_536]).assert_dropped(DropReason::TooLong);
    alice.refresh(0).assert_ok();
    let events = rig.events();
    let Some(Happened::Ended { traffic, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(*traffic, crate::Traffic::default());
}
