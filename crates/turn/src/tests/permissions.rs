//! Permissions and CreatePermission (sections 9 and 10).

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Method};

//= 8656-9-no-permission
#[test]
fn data_pass_where_there_is_a_permission_and_nowhere_else() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.send(PEER, b"early").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"early").assert_dropped(DropReason::NoPermission);
    alice.permit(PEER);
    alice.send(PEER, b"out").assert_reaches(PEER, b"out");
    let received = rig.peer_sends(PEER, relayed, b"in").at(&alice);
    assert_eq!(received, Received::data(PEER, b"in"));
    alice.send(OTHER_PEER, b"out").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(OTHER_PEER, relayed, b"in").assert_dropped(DropReason::NoPermission);
}

//= 8656-10.2-at-least-one
#[test]
fn several_peers_in_one_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.try_permit(&[PEER, OTHER_PEER, "1.1.1.1:1"]).assert_ok();
    for peer in [PEER, OTHER_PEER, "1.1.1.1:1"] {
        alice.send(peer, b"x").assert_reaches(peer, b"x");
    }
}

//= 8656-10.2-all-or-none
#[test]
fn one_denied_peer_spoils_the_whole_request() {
    // Section 10.2: all or nothing.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    for peers in [[PEER, "10.0.0.1:1"], ["127.0.0.1:1", PEER]] {
        alice.try_permit(&peers).assert_error(403);
        alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    }
    alice.try_permit(&[PEER, PEER_V6]).assert_error(443);
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
}

//= 8656-10.2-forbidden
#[test]
fn one_answer_for_every_denied_peer() {
    // A relay that said more than 403 could be used to map the network behind it.
    let rig = Rig::with(|setup| setup.deny = &["8.8.4.0/24"]);
    let alice = rig.alice();
    alice.allocate();
    rig.events();
    let mut seen: Option<Vec<u8>> = None;
    for peer in [
        "0.0.0.0:1",
        "10.0.0.1:22",
        "100.64.0.1:1",
        "127.0.0.1:3478",
        "169.254.169.254:80",
        "192.168.1.1:80",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "8.8.4.4:53",
        "[::ffff:127.0.0.1]:1",
        "[::ffff:10.0.0.1]:1",
    ] {
        let answer = alice.try_permit(&[peer]);
        answer.assert_error(403);
        let error = answer.message().find(T::ERROR_CODE).unwrap().to_vec();
        assert_eq!(*seen.get_or_insert_with(|| error.clone()), error, "{peer}");
        assert!(matches!(rig.events()[..], [Happened::PeerRefused { .. }]), "{peer}");
    }
    let ipv6 = rig.bob();
    ipv6.allocate_v6();
    for peer in ["[::1]:1", "[::]:1", "[fe80::1]:1", "[fd00::1]:1", "[64:ff9b::7f00:1]:1"] {
        ipv6.try_permit(&[peer]).assert_error(403);
    }
}

#[test]
fn a_mapped_ipv6_peer_is_judged_and_served_as_the_ipv4_peer_it_is() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit("[::ffff:8.8.8.8]:1");
    alice.send("[::ffff:8.8.8.8]:4000", b"x").assert_reaches("8.8.8.8:4000", b"x");
    let received = rig.peer_sends("8.8.8.8:4000", relayed, b"y").at(&alice);
    assert_eq!(received, Received::data("8.8.8.8:4000", b"y"));
    let ipv6 = rig.bob();
    ipv6.allocate_v6();
    ipv6.try_permit(&["[::ffff:8.8.8.8]:1"]).assert_error(443);
}

//= 8656-9-300-s
#[test]
fn a_permission_lives_for_exactly_300_seconds() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    rig.advance(seconds(300) - MOMENT);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    rig.peer_sends(PEER, relayed, b"x").at(&alice);
    rig.advance(MOMENT);
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
}

//= 8656-9-300-s
#[test]
fn a_permission_ends_in_time_though_the_timer_is_late() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    rig.oversleep(seconds(300));
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    alice.permit(PEER);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    rig.advance(seconds(299));
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
}

//= 8656-9-refreshed-by, 8656-11.2-permission, 8656-12.2-permission, 8656-12.6-no-refresh
#[test]
fn create_permission_and_channel_bind_refresh_it_and_data_do_not() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    rig.advance(seconds(200));
    alice.permit(PEER);
    rig.advance(seconds(200));
    alice.refresh(3600).assert_ok();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(299));
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    rig.peer_sends("8.8.8.8:1", relayed, b"x").at(&alice);
    rig.advance(seconds(1));
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
}

//= 8656-9-by-address
#[test]
fn the_port_of_a_permission_is_ignored() {
    // Section 9: permissions are for addresses.
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit("8.8.8.8:0");
    alice.send("8.8.8.8:1234", b"x").assert_reaches("8.8.8.8:1234", b"x");
    let received = rig.peer_sends("8.8.8.8:4321", relayed, b"y").at(&alice);
    assert_eq!(received, Received::data("8.8.8.8:4321", b"y"));
}

//= 8656-10.2-at-least-one
#[test]
fn without_a_peer_it_is_a_bad_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.try_permit(&[]).assert_error(400);
    for value in [&b""[..], &[0, 1, 0, 0], &[0, 3, 0, 0, 1, 2, 3, 4], &[0, 2, 0, 0, 1, 2, 3, 4]] {
        let asked = alice.request(Method::CREATE_PERMISSION).peer(addr(PEER));
        asked.attribute(T::XOR_PEER_ADDRESS, value).send().assert_error(400);
        alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    }
}

//= 8656-5-no-allocation-request
#[test]
fn without_an_allocation_it_is_a_mismatch() {
    let rig = Rig::new();
    rig.alice().try_permit(&[PEER]).assert_error(437);
    rig.alice().try_permit(&[]).assert_error(437);
}

//= 8489-6.3.1-idempotent
#[test]
fn a_retransmission_succeeds_again() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let asked = alice.request(Method::CREATE_PERMISSION).peer(addr(PEER));
    let answer = asked.send();
    assert_eq!(asked.once(), answer);
}

//= 8656-10.2-no-capacity
#[test]
fn the_limit_stops_new_permissions_and_no_refresh() {
    let rig = Rig::with(|setup| setup.max_permissions = 3);
    let alice = rig.alice();
    alice.allocate();
    alice.try_permit(&["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]).assert_ok();
    alice.try_permit(&["1.1.1.4:1"]).assert_error(508);
    alice.try_permit(&["1.1.1.1:1", "1.1.1.4:1"]).assert_error(508);
    alice.try_bind(CHANNEL, "1.1.1.4:1").assert_error(508);
    alice.send("1.1.1.4:1", b"x").assert_dropped(DropReason::NoPermission);
    rig.advance(seconds(100));
    alice.try_permit(&["1.1.1.1:1", "1.1.1.2:1"]).assert_ok();
    alice.bind(CHANNEL, "1.1.1.2:1");
    rig.advance(seconds(200)); // the third has run out
    alice.permit("1.1.1.4:1");
}

//= 8656-9-by-address
#[test]
fn one_address_with_many_ports_is_one_permission() {
    let rig = Rig::with(|setup| setup.max_permissions = 2);
    let alice = rig.alice();
    alice.allocate();
    alice.try_permit(&["1.1.1.1:1", "1.1.1.1:2", "1.1.1.1:3", "1.1.1.1:1"]).assert_ok();
    alice.try_permit(&["1.1.1.2:1", "1.1.1.2:2"]).assert_ok();
    alice.try_permit(&["1.1.1.3:1"]).assert_error(508);
}

//= 8656-10.2-all-or-none
#[test]
fn a_request_with_more_peers_than_one_may_hold_installs_none() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let peers: Vec<String> = (1..=33).map(|n| format!("1.1.1.{n}:1")).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    alice.try_permit(&peers).assert_error(508);
    alice.send("1.1.1.1:1", b"x").assert_dropped(DropReason::NoPermission);
    alice.try_permit(&peers[..32]).assert_ok();
}

//= 8656-10.2-forbidden
#[test]
fn the_operators_allow_and_deny_lists_rule() {
    let rig = Rig::with(|setup| {
        setup.allow = &["10.1.0.0/16"];
        setup.deny = &["8.8.8.0/24"];
    });
    let alice = rig.alice();
    alice.allocate();
    alice.permit("10.1.2.3:1");
    alice.try_permit(&["10.2.0.1:1"]).assert_error(403);
    alice.try_permit(&["8.8.8.8:1"]).assert_error(403);
}

//= 8656-12-per-allocation
#[test]
fn permissions_of_one_client_are_of_no_use_to_another() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.allocate();
    let bobs = bob.allocate();
    alice.permit(PEER);
    bob.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, bobs, b"x").assert_dropped(DropReason::NoPermission);
}
