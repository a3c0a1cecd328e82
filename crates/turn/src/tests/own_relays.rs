//! Peers that are relayed transport addresses of this server: two users of one relay.

use super::*;
use crate::{DropReason, RelayAddress, Traffic};

/// Behind a 1:1 NAT: told 203.0.113.7, bound to 10.0.0.5.
fn behind_nat() -> Rig {
    let (public, local) = ("203.0.113.7".parse().unwrap(), "10.0.0.5".parse().unwrap());
    Rig::with(|setup| setup.v4 = Some(RelayAddress { public, local }))
}

/// The port in the default range that no allocation has, on the relay address.
fn idle_port(taken: &[SocketAddr]) -> String {
    let port = (50_000..50_099).find(|port| taken.iter().all(|t| t.port() != *port)).unwrap();
    format!("203.0.113.7:{port}")
}

#[test]
fn two_allocations_of_one_shard_meet_inside() {
    for rig in [Rig::new(), behind_nat()] {
        let (alice, bob) = (rig.alice(), rig.bob());
        let (a, b) = (alice.allocate().to_string(), bob.allocate().to_string());
        alice.permit(&b);
        bob.permit(&a);
        assert_eq!(alice.send(&b, b"hello bob").at(&bob), Received::data(&a, b"hello bob"));
        assert_eq!(bob.send(&a, b"hello alice").at(&alice), Received::data(&b, b"hello alice"));
        // With channels on both sides.
        alice.bind(CHANNEL, &b);
        bob.bind(CHANNEL + 7, &a);
        let received = alice.channel_data(CHANNEL, b"one").at(&bob);
        assert_eq!(received, Received::channel(CHANNEL + 7, b"one"));
        let received = bob.channel_data(CHANNEL + 7, b"two").at(&alice);
        assert_eq!(received, Received::channel(CHANNEL, b"two"));
        // And mixed.
        let received = alice.send(&b, b"three").at(&bob);
        assert_eq!(received, Received::channel(CHANNEL + 7, b"three"));
    }
}

//= 8656-16-udp-to-tcp
#[test]
fn a_stream_client_and_a_udp_client_meet_each_in_its_framing() {
    let rig = Rig::new();
    let (alice, bob) = (rig.stream_client("192.0.2.1:1001", "alice"), rig.bob());
    let (a, b) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.bind(CHANNEL, &b);
    bob.bind(CHANNEL, &a);
    let to_bob = alice.raw(&[0x40, 0x00, 0, 1, b'x', 0, 0, 0]).at(&bob);
    assert_eq!(to_bob, Received::channel(CHANNEL, b"x"));
    assert_eq!(bob.channel_data(CHANNEL, b"y").at(&alice), Received::channel(CHANNEL, b"y"));
}

#[test]
fn the_permissions_of_both_sides_hold() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (a, b) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.send(&b, b"x").assert_dropped(DropReason::NoPermission);
    alice.bind(CHANNEL, &b);
    // Bob has not permitted the relay's address yet.
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoPermission);
    bob.permit(&a);
    assert_eq!(alice.channel_data(CHANNEL, b"x").at(&bob), Received::data(&a, b"x"));
    rig.advance(seconds(250));
    alice.permit(&b);
    rig.advance(seconds(50));
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn an_allocation_can_be_its_own_peer() {
    let rig = Rig::new();
    let alice = rig.alice();
    let a = alice.allocate().to_string();
    alice.permit(&a);
    assert_eq!(alice.send(&a, b"echo").at(&alice), Received::data(&a, b"echo"));
}

#[test]
fn ipv6_relays_meet_inside_as_well() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (a, b) = (alice.allocate_v6().to_string(), bob.allocate_v6().to_string());
    alice.bind(CHANNEL, &b);
    bob.permit(&a);
    assert_eq!(alice.channel_data(CHANNEL, b"x").at(&bob), Received::data(&a, b"x"));
}

#[test]
fn an_own_address_without_a_live_port_gets_nothing() {
    let rig = Rig::new();
    let alice = rig.alice();
    let idle = idle_port(&[alice.allocate()]);
    // Permissions are for addresses, so it can be had; nothing is sent all the same.
    alice.permit(&idle);
    alice.send(&idle, b"x").assert_dropped(DropReason::OwnAddress);
    alice.bind(CHANNEL, &idle);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::OwnAddress);
    for port in [22, 80, 3478, 49_999, 50_100] {
        let elsewhere = format!("203.0.113.7:{port}");
        alice.try_bind(CHANNEL + 1, &elsewhere).assert_error(403);
        alice.send(&elsewhere, b"x").assert_dropped(DropReason::OwnAddress);
    }
}

#[test]
fn data_that_are_not_sent_are_not_counted() {
    let rig = Rig::new();
    let alice = rig.alice();
    let idle = idle_port(&[alice.allocate()]);
    alice.permit(&idle);
    alice.send(&idle, b"x").assert_dropped(DropReason::OwnAddress);
    alice.refresh(0).assert_ok();
    let events = rig.events();
    let Some(Happened::Ended { traffic, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(*traffic, Traffic::default());
}

#[test]
fn a_relay_that_has_ended_gets_nothing() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (a, b) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.bind(CHANNEL, &b);
    bob.permit(&a);
    alice.channel_data(CHANNEL, b"x").at(&bob);
    bob.refresh(0).assert_ok();
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::OwnAddress);
}

#[test]
fn the_private_side_of_a_nat_is_no_peer() {
    let rig = behind_nat();
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.allocate();
    let b = bob.allocate();
    let private = format!("10.0.0.5:{}", b.port());
    alice.try_permit(&[&private]).assert_error(403);
    alice.try_bind(CHANNEL, &private).assert_error(403);
}

#[test]
fn an_own_address_that_the_operator_denies_is_denied() {
    let rig = Rig::with(|setup| setup.deny = &["203.0.113.7/32"]);
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.allocate();
    let b = bob.allocate().to_string();
    alice.try_permit(&[&b]).assert_error(403);
    alice.try_bind(CHANNEL, &b).assert_error(403);
}

#[test]
fn an_own_address_that_the_operator_allows_is_sent_to() {
    let rig = Rig::with(|setup| setup.allow = &["203.0.113.7/32"]);
    let (alice, bob) = (rig.alice(), rig.bob());
    let (a, b) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.bind(CHANNEL, "203.0.113.7:3478");
    alice.channel_data(CHANNEL, b"x").assert_reaches("203.0.113.7:3478", b"x");
    // Live relays are reached inside all the same.
    bob.permit(&a);
    assert_eq!(alice.send(&b, b"x").at(&bob), Received::data(&a, b"x"));
}

#[test]
fn a_relay_of_another_shard_is_reached_by_its_socket() {
    // Behind a NAT that is the private side: no packet has to turn around outside.
    let first = behind_nat();
    let second = Rig::beside(&first);
    let (alice, bob) = (first.alice(), second.bob());
    let (a, b) = (alice.allocate(), bob.allocate());
    assert_ne!(a.port(), b.port(), "one pool of ports");
    alice.bind(CHANNEL, &b.to_string());
    bob.bind(CHANNEL, &a.to_string());

    let sent = alice.channel_data(CHANNEL, b"across");
    let Outcome::ToPeer { from, peer, data, .. } = sent else { panic!("{sent:?}") };
    assert_eq!(from, addr(&format!("10.0.0.5:{}", a.port())));
    assert_eq!(peer, addr(&format!("10.0.0.5:{}", b.port())));
    // It arrives from the private side and is told as the relayed address that bob knows.
    let received = second.socket_receives(from, b, &data).at(&bob);
    assert_eq!(received, Received::channel(CHANNEL, b"across"));

    bob.refresh(0).assert_ok();
    alice.channel_data(CHANNEL, b"late").assert_dropped(DropReason::OwnAddress);
}

#[test]
fn only_live_relays_are_taken_for_the_public_side() {
    let rig = behind_nat();
    let alice = rig.alice();
    let a = alice.allocate();
    alice.permit("203.0.113.7:1");
    // Some other program on this host: 10.0.0.5 has no permission.
    rig.peer_sends("10.0.0.5:22", a, b"x").assert_dropped(DropReason::NoPermission);
    let idle = addr(&idle_port(&[a])).port();
    rig.peer_sends(&format!("10.0.0.5:{idle}"), a, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn traffic_between_two_relays_is_counted_on_both() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (a, b) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.permit(&b);
    bob.permit(&a);
    alice.send(&b, b"12345").at(&bob);
    bob.send(&a, b"123").at(&alice);
    rig.events();
    rig.shut_down();
    let counted: Vec<Traffic> = rig
        .events()
        .iter()
        .filter_map(|event| match event {
            Happened::Ended { username, traffic, .. } if username == "alice" => Some(*traffic),
            _ => None,
        })
        .collect();
    let expected = Traffic {
        packets_to_peers: 1,
        bytes_to_peers: 5,
        packets_to_client: 1,
        bytes_to_client: 3,
    };
    assert_eq!(counted, [expected]);
}
