//! Allocations for TCP: how they are made, and what they are not for (RFC 6062 sections 4.1, 4.2
//! and 5.1). Section numbers are those of RFC 6062.

use super::*;
use crate::{DropReason, EndReason};
use taciturn_stun::{AttributeType as T, Family, Method};

pub(super) fn rig() -> Rig {
    Rig::with(|setup| setup.tcp_relay = true)
}

#[test]
fn they_are_refused_unless_the_operator_wants_them() {
    // Section 5.1 adds to RFC 8656 section 7.2, which knows UDP alone.
    let rig = Rig::new();
    let alice = rig.tcp_client(1, "alice");
    alice.tcp_allocation().send().assert_error(442);
    alice.allocate();
    // RFC 8489 section 6.3: a method that is not known is no request.
    for method in [Method::CONNECT, Method::CONNECTION_BIND] {
        let request = alice.request(method).peer(addr(PEER)).bytes();
        alice.raw(&request).assert_dropped(DropReason::Unexpected);
    }
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn a_tcp_client_gets_a_socket_that_listens_on_a_relay_port() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let asked = alice.tcp_allocation();
    let answer = asked.send();
    let relayed = answer.relayed();
    assert_eq!(answer.count(T::RESERVATION_TOKEN), 0);
    assert_eq!((rig.used_ports(), answer.lifetime()), (1, 600));
    rig.world(|world| {
        assert!(world.open.is_empty(), "no UDP socket");
        let listening: Vec<_> = world.listening.values().map(|(_, local)| *local).collect();
        assert_eq!(listening, [relayed]);
    });
    rig.assert_consistent();
    // RFC 8489 section 6.3.1.
    assert_eq!(asked.once(), answer, "a retransmission");
    // Section 4.2.
    assert_eq!(alice.refresh(1200).lifetime(), 1200);
    rig.advance(seconds(1199));
    rig.assert_consistent();
    alice.refresh(0).assert_ok();
    assert!(rig.world(|world| world.listening.is_empty()));
    rig.assert_empty();
}

#[test]
fn they_end_unless_refreshed() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    rig.advance(seconds(600));
    rig.assert_empty();
    assert!(rig.world(|world| world.listening.is_empty()));
    let ended = |event: &Happened| matches!(event, Happened::Ended { relayed: at, reason: EndReason::Expired, .. } if *at == relayed);
    assert!(rig.events().iter().any(ended));
}

#[test]
fn over_udp_there_are_none() {
    // Section 5.1, step 2.
    let rig = rig();
    rig.alice().tcp_allocation().send().assert_error(400);
    rig.assert_empty();
}

#[test]
fn what_is_for_udp_alone_is_refused() {
    // Section 5.1, step 3.
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.tcp_allocation().even_port(false).send().assert_error(400);
    alice.tcp_allocation().even_port(true).send().assert_error(400);
    alice.tcp_allocation().attribute(T::DONT_FRAGMENT, b"").send().assert_error(400);
    let token = alice.tcp_allocation().attribute(T::RESERVATION_TOKEN, b"12345678");
    token.send().assert_error(400);
    rig.assert_empty();
}

//= 8656-7.2-transport-unsupported
#[test]
fn other_transports_are_not_supported() {
    // Section 5.1, step 1.
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    for protocol in [0, 1, 7, 132] {
        let asked = alice.request(Method::ALLOCATE);
        let asked = asked.attribute(T::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0]);
        asked.send().assert_error(442);
    }
    rig.assert_empty();
}

#[test]
fn ports_that_others_hold_are_passed_over() {
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.ports = (50_000, 50_009);
    });
    rig.world(|world| world.taken.extend(50_000..50_009));
    assert_eq!(rig.tcp_client(1, "alice").allocate_tcp().port(), 50_009);
    rig.tcp_client(2, "alice").tcp_allocation().send().assert_error(508);
}

#[test]
fn they_count_in_the_users_quota() {
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.quota = 2;
    });
    rig.tcp_client(1, "alice").allocate_tcp();
    rig.tcp_client(2, "alice").allocate();
    rig.tcp_client(3, "alice").tcp_allocation().send().assert_error(486);
}

#[test]
fn both_families_are_served() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let asked = alice.tcp_allocation().family(T::REQUESTED_ADDRESS_FAMILY, Family::V6);
    assert!(asked.send().relayed().is_ipv6());
    let bob = rig.tcp_client(2, "bob");
    let both = bob.tcp_allocation().family(T::ADDITIONAL_ADDRESS_FAMILY, Family::V6).send();
    assert_eq!(both.count(T::XOR_RELAYED_ADDRESS), 2);
    rig.assert_consistent();
    // RFC 8656 section 8.2: half of it can be given back, with its connections.
    let v4 = bob.connected(PEER);
    let v6 = bob.connected(PEER_V6);
    assert!(v4.from.is_ipv4() && v6.from.is_ipv6());
    let half = bob.request(Method::REFRESH).lifetime(0);
    half.family(T::REQUESTED_ADDRESS_FAMILY, Family::V6).send().assert_ok();
    assert!(rig.world(|world| world.peers.contains(&v4.id.0) && !world.peers.contains(&v6.id.0)));
    bob.connect(PEER_V6).send().assert_error(443);
    rig.assert_consistent();
}

#[test]
fn they_have_no_channels_and_no_indications() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    alice.permit(PEER);
    alice.try_bind(CHANNEL, PEER).assert_error(403);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    alice.send(PEER, b"x").assert_dropped(DropReason::BadIndication);
}

#[test]
fn permissions_are_those_of_other_allocations() {
    let rig = Rig::with(|setup| {
        setup.tcp_relay = true;
        setup.max_permissions = 2;
    });
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    alice.try_permit(&[PEER, OTHER_PEER]).assert_ok();
    alice.try_permit(&["1.1.1.1:1"]).assert_error(508);
    alice.try_permit(&["10.0.0.1:1"]).assert_error(403);
    alice.try_permit(&[PEER_V6]).assert_error(443);
}

#[test]
fn data_of_udp_allocations_do_not_come_there() {
    // Nobody has the UDP port of that number, or some other program has.
    let rig = rig();
    let relayed = rig.tcp_client(1, "alice").allocate_tcp().to_string();
    let bob = rig.bob();
    bob.allocate();
    bob.bind(CHANNEL, &relayed);
    bob.channel_data(CHANNEL, b"x").assert_dropped(DropReason::OwnAddress);
    bob.send(&relayed, b"x").assert_dropped(DropReason::OwnAddress);
}
