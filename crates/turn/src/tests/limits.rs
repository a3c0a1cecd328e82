//! What else one user may have: new peers a second, allocations, the last free ports; and what must
//! not reach whom: a former peer the next client, the relay its own listener.

use super::rates::{limited, reload_rates};
use super::tcp_allocations::rig as tcp_rig;
use super::*;
use crate::{Cause, DropReason};

/// In whose name the request was that failed last, and why it did.
fn last_failure(rig: &Rig) -> (String, Option<Cause>) {
    rig.world(|world| world.last_failure.take()).expect("a request that failed")
}

#[test]
fn new_peers_per_second_per_allocation_are_limited_and_refreshing_is_not() {
    let rig = limited(|rates| rates.new_peers.allocation = 2);
    let alice = rig.alice();
    alice.allocate();
    for n in 1..=6 {
        alice.permit(&format!("8.8.8.{n}:1"));
    }
    alice.try_permit(&["8.8.8.7:1"]).assert_error(508);
    alice.try_bind(CHANNEL, "8.8.8.7:1").assert_error(508);
    assert_eq!(last_failure(&rig), ("alice".into(), Some(Cause::AllocationPeerRate)));
    alice.send("8.8.8.7:1", b"x").assert_dropped(DropReason::NoPermission);
    // Permissions, channels, other ports of the same address: nothing of it is new.
    for round in 0..20_u16 {
        alice.try_permit(&["8.8.8.1:1", "8.8.8.2:2", "8.8.8.3:1"]).assert_ok();
        alice.bind(CHANNEL, "8.8.8.4:1");
        alice.bind(CHANNEL + 1 + round, &format!("8.8.8.5:{}", 1 + round));
    }
    rig.advance(seconds(1));
    alice.bind(CHANNEL + 50, "8.8.8.7:1");
    alice.permit("8.8.8.8:1");
    alice.try_permit(&["8.8.8.9:1"]).assert_error(508);
}

#[test]
fn a_request_with_many_new_peers_is_granted_whole_and_paid_afterwards() {
    // RFC 8656 section 10.2: all of them or none.
    let rig = limited(|rates| rates.new_peers.allocation = 1);
    let alice = rig.alice();
    alice.allocate();
    let peers: Vec<String> = (1..=32).map(|n| format!("8.8.8.{n}:1")).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    alice.try_permit(&peers).assert_ok();
    rig.advance(seconds(29));
    alice.try_permit(&[OTHER_PEER, "8.8.4.4:1"]).assert_error(508);
    alice.send(OTHER_PEER, b"x").assert_dropped(DropReason::NoPermission);
    rig.advance(seconds(1));
    alice.permit("8.8.4.4:1");
}

#[test]
fn new_peers_per_second_per_user_hold_over_allocations() {
    let rig = limited(|rates| rates.new_peers.user = 2);
    let (alice, second, bob) = (rig.alice(), rig.client("192.0.2.1:2", "alice"), rig.bob());
    for client in [&alice, &second, &bob] {
        client.allocate();
    }
    for n in 1..=3 {
        alice.permit(&format!("8.8.8.{n}:1"));
        second.permit(&format!("8.8.8.{n}:1"));
    }
    second.try_permit(&["8.8.8.4:1"]).assert_error(508);
    assert_eq!(last_failure(&rig).1, Some(Cause::UserPeerRate));
    bob.permit("8.8.8.4:1");
    // A fresh allocation is no way round it.
    alice.refresh(0).assert_ok();
    alice.allocate();
    alice.try_permit(&["8.8.8.1:1"]).assert_error(508);
}

#[test]
fn a_refused_peer_is_no_new_peer() {
    let rig = limited(|rates| rates.new_peers.user = 1);
    let alice = rig.alice();
    alice.allocate();
    for n in 1..=100 {
        alice.try_permit(&[&format!("10.0.0.{n}:1")]).assert_error(403);
    }
    alice.permit(PEER);
}

#[test]
fn each_tcp_connection_is_a_new_peer() {
    // RFC 6062 section 5.2: who connects learns which ports are open.
    let rig = tcp_rig();
    reload_rates(&rig, |rates| rates.new_peers.allocation = 1);
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    for port in 1..=3 {
        let asked = alice.connect(&format!("8.8.8.8:{port}")).begin();
        rig.peer_refuses();
        asked.answer().assert_error(447);
    }
    alice.connect("8.8.8.8:4").send().assert_error(508);
    rig.advance(seconds(1));
    alice.connected("8.8.8.8:4");
    rig.assert_consistent();
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn allocations_in_all_are_508_and_those_of_a_user_486() {
    // Section 7.2, step 9: 486 is the user's own doing.
    let rig = Rig::with(|setup| (setup.quota, setup.quota_in_all) = (2, 3));
    let clients: Vec<_> = [("alice", 1), ("alice", 2), ("bob", 1)]
        .map(|(user, port)| rig.client(&format!("192.0.2.1:{}", port + user.len() * 10), user))
        .into();
    for client in &clients {
        client.allocate();
    }
    let third = rig.client("192.0.2.1:99", "alice");
    third.allocation().send().assert_error(486);
    assert_eq!(last_failure(&rig), ("alice".into(), Some(Cause::UserAllocations)));
    let second = rig.client("192.0.2.1:98", "bob");
    second.allocation().send().assert_error(508);
    assert_eq!(last_failure(&rig), ("bob".into(), Some(Cause::AllAllocations)));
    clients[0].refresh(600).assert_ok();
    clients[0].refresh(0).assert_ok();
    second.allocate();
    // The operator raises it, and lowers it: what runs goes on.
    rig.reload(|_, rules| rules.quota.set_limits(9, 4));
    third.allocate();
    rig.reload(|_, rules| rules.quota.set_limits(1, 1));
    third.refresh(600).assert_ok();
    rig.client("192.0.2.1:97", "bob").allocation().send().assert_error(486);
    rig.rest_client("192.0.2.1:96", "carol", 99).allocation().send().assert_error(508);
}

#[test]
fn allocations_per_second_per_user_are_486_beyond_ten_seconds_worth() {
    let rig = limited(|rates| rates.allocations.user = 2);
    let beside = Rig::beside(&rig);
    let churn = |client: &TestClient| {
        client.allocate();
        client.refresh(0).assert_ok();
    };
    let alice = rig.alice();
    (0..20).for_each(|_| churn(&alice));
    alice.allocation().send().assert_error(486);
    assert_eq!(last_failure(&rig), ("alice".into(), Some(Cause::UserAllocationRate)));
    // Neither by another of her clients, nor on another worker.
    beside.client("192.0.2.1:9", "alice").allocation().send().assert_error(486);
    rig.assert_empty();
    churn(&rig.bob());
    rig.advance(seconds(1));
    let asked = alice.allocation();
    let answer = asked.send();
    answer.assert_ok();
    // A retransmission is no other allocation, and refreshing is none.
    assert_eq!(asked.once(), answer);
    alice.refresh(600).assert_ok();
    alice.refresh(0).assert_ok();
    churn(&alice);
    alice.allocation().send().assert_error(486);
}

#[test]
fn allocations_per_second_count_the_person_behind_changing_rest_names() {
    let rig = limited(|rates| rates.allocations.user = 1);
    for n in 0..10 {
        let carol = rig.rest_client(&format!("192.0.2.3:{}", 1 + n), "carol", 100 + n);
        carol.allocate();
    }
    rig.rest_client("192.0.2.3:99", "carol", 999).allocation().send().assert_error(486);
    rig.rest_client("192.0.2.3:99", "dave", 999).allocate();
}

#[test]
fn a_search_for_a_port_is_counted_although_it_finds_none() {
    let rig = Rig::with(|setup| {
        setup.ports = (50_000, 50_001);
        setup.rates.allocations.user = 1;
    });
    rig.bob().allocate();
    rig.client("192.0.2.2:2", "bob").allocate();
    let alice = rig.alice();
    (0..10).for_each(|_| alice.allocation().send().assert_error(508));
    alice.allocation().send().assert_error(486);
}

#[test]
fn one_user_cannot_take_the_last_ports() {
    let rig = Rig::with(|setup| {
        (setup.ports, setup.ports_reserved_percent) = ((50_000, 50_009), 20);
    });
    let of_alice: Vec<_> =
        (1..=9).map(|n| rig.client(&format!("192.0.2.1:{n}"), "alice")).collect();
    for client in &of_alice[..8] {
        client.allocate();
    }
    of_alice[8].allocation().send().assert_error(508);
    assert_eq!(last_failure(&rig), ("alice".into(), Some(Cause::KeptPorts)));
    assert_eq!(rig.shard(|shard| shard.len()), 8);
    of_alice[8].allocation().even_port(true).send().assert_error(508);
    // The other family has ports of its own.
    of_alice[8].allocate_v6();
    // Who has none gets one, for as long as there is any.
    let bob = rig.bob();
    bob.allocate();
    rig.client("192.0.2.2:9", "bob").allocation().send().assert_error(508);
    rig.rest_client("192.0.2.3:1", "carol", 99).allocate();
    rig.rest_client("192.0.2.3:2", "dave", 99).allocation().send().assert_error(508);
    assert_eq!(last_failure(&rig).1, Some(Cause::NoRelayPort));
    // Refreshing never asks for a port; giving one back makes room.
    of_alice[0].refresh(600).assert_ok();
    of_alice[0].refresh(0).assert_ok();
    rig.client("192.0.2.1:10", "alice").allocation().send().assert_error(508);
    rig.reload(|settings, _| settings.ports_reserved_percent = 0);
    rig.client("192.0.2.1:11", "alice").allocate();
    rig.assert_consistent();
}

#[test]
fn a_reserved_pair_is_not_taken_from_the_last_ports_and_a_token_is_honoured() {
    let rig = Rig::with(|setup| {
        (setup.ports, setup.ports_reserved_percent) = ((50_000, 50_009), 50);
    });
    let alice = rig.alice();
    let token = alice.allocation().even_port(true).send().token();
    for n in 1..=2 {
        rig.client(&format!("192.0.2.1:{n}"), "alice").allocate();
    }
    let third = rig.client("192.0.2.1:3", "alice");
    third.allocation().even_port(true).send().assert_error(508);
    third.allocate();
    rig.client("192.0.2.1:4", "alice").allocation().send().assert_error(508);
    let rtcp = rig.client("192.0.2.1:5", "alice");
    rtcp.allocation()
        .attribute(taciturn_stun::AttributeType::RESERVATION_TOKEN, &token)
        .send()
        .assert_ok();
    rig.assert_consistent();
}

#[test]
fn a_late_packet_of_a_former_peer_reaches_no_new_client() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_003));
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    alice.refresh(0).assert_ok();
    let others: Vec<_> = (1..=4).map(|n| rig.client(&format!("192.0.2.2:{n}"), "bob")).collect();
    for bob in &others[..3] {
        rig.advance(seconds(39));
        assert_ne!(bob.allocate(), relayed);
        bob.permit(PEER);
        let late = rig.peer_sends(PEER, relayed, b"for alice");
        assert_eq!(late, Outcome::NobodyListens);
    }
    // With no other port left it is used rather than refused: permissions keep strangers out.
    assert_eq!(others[3].allocate(), relayed);
    rig.peer_sends(PEER, relayed, b"for alice").assert_dropped(DropReason::NoPermission);
    // The operator changes the rest: it holds for ports given back from then on.
    others[3].refresh(0).assert_ok();
    rig.reload(|_, rules| {
        rules.ports.set_quarantine(seconds(0));
    });
    others[0].refresh(0).assert_ok();
    assert_ne!(others[3].allocate(), relayed);
}

#[test]
fn a_request_from_an_own_relayed_address_is_dropped() {
    // The relay's packets to its own listener: relays upon relays, from the server's own address.
    let rig = Rig::with(|setup| setup.allow = &["203.0.113.7/32"]);
    let alice = rig.alice();
    let relayed = alice.allocate();
    // The operator has allowed the server's own address, so it does leave.
    alice.permit("203.0.113.7:3478");
    alice.send("203.0.113.7:3478", b"x").assert_reaches("203.0.113.7:3478", b"x");
    let round = rig.client(&relayed.to_string(), "bob");
    rig.client_sends(round.at, &round.allocation().bytes()).assert_dropped(DropReason::OwnAddress);
    // Another program of this host is a client like any other.
    let beside = format!("203.0.113.7:{}", if relayed.port() == 50_000 { 50_001 } else { 50_000 });
    rig.client(&beside, "bob").allocate();
    // And the port itself, once it is no relay port any more.
    alice.refresh(0).assert_ok();
    round.allocate();
}
