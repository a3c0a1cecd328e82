//! Mobility (RFC 8016).

use super::client::TestClient;
use super::*;
use crate::{DropReason, Whose};
use taciturn_stun::AttributeType as T;

const ELSEWHERE: &str = "198.51.100.9:7777";

pub(super) fn mobile() -> Rig {
    Rig::with(|setup| setup.mobility = true)
}

pub(super) fn ticket(answer: &Answer) -> Vec<u8> {
    answer.assert_ok();
    answer.message().find(T::MOBILITY_TICKET).expect("MOBILITY-TICKET").to_vec()
}

/// An allocation that may move, and its ticket.
#[track_caller]
pub(super) fn allocate(client: &TestClient) -> (SocketAddr, Vec<u8>) {
    let answer = client.allocation().attribute(T::MOBILITY_TICKET, b"").send();
    (answer.relayed(), ticket(&answer))
}

#[track_caller]
pub(super) fn resume(client: &TestClient, ticket: &[u8]) -> Answer {
    client.request(taciturn_stun::Method::REFRESH).attribute(T::MOBILITY_TICKET, ticket).send()
}

//= 8016-3.1.2-ticket
#[test]
fn a_ticket_is_given_where_it_is_asked_for_and_again_to_a_retransmission() {
    // RFC 8016 section 3.1.2.
    let rig = mobile();
    let alice = rig.alice();
    alice.refresh(0).assert_error(437);
    let tid = alice.fresh_tid();
    let ask = || alice.allocation().tid(tid).attribute(T::MOBILITY_TICKET, b"").send();
    let first = ask();
    assert_eq!(ticket(&first).len(), 40);
    assert_eq!(ticket(&ask()).len(), 40);
    assert_eq!(ask().relayed(), first.relayed());
    let bob = rig.bob().allocation().send();
    assert_eq!(bob.count(T::MOBILITY_TICKET), 0, "nobody is given one unasked");
}

//= 8016-3.1.2-forbidden, 8016-3.1.2-not-empty, 8016-3.2.2-forbidden
#[test]
fn a_ticket_in_allocate_is_400_and_off_is_405_and_so_is_tcp() {
    // RFC 8016 sections 3.1.2, 3.2.2 and 3.4.
    let ask = |client: &TestClient, value| {
        client.allocation().attribute(T::MOBILITY_TICKET, value).send().code()
    };
    assert_eq!(ask(&mobile().alice(), b"1234"), Some(400));
    assert_eq!(ask(&Rig::new().alice(), b""), Some(405));
    let off = Rig::new();
    off.alice().allocate();
    resume(&off.client(ELSEWHERE, "alice"), &[0; 40]).assert_error(405);
    let tcp = Rig::with(|setup| {
        setup.mobility = true;
        setup.tcp_relay = true;
    });
    let request =
        tcp.tcp_client(5, "alice").tcp_allocation().attribute(T::MOBILITY_TICKET, b"").send();
    request.assert_error(405);
    tcp.assert_empty();
}

#[test]
fn permissions_and_channels_go_on_at_the_new_address() {
    // RFC 8016 section 3.2.
    let rig = mobile();
    let alice = rig.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    alice.bind(CHANNEL, OTHER_PEER);
    let moved = rig.client(ELSEWHERE, "alice");
    let answer = resume(&moved, &first);
    assert_eq!(answer.lifetime(), 600);
    moved.send(PEER, b"here").assert_reaches(PEER, b"here");
    moved.channel_data(CHANNEL, b"there").assert_reaches(OTHER_PEER, b"there");
    let received = rig.peer_sends(OTHER_PEER, relayed, b"back").at(&moved);
    assert_eq!(received, Received::channel(CHANNEL, b"back"));
    assert_eq!(rig.peer_sends(PEER, relayed, b"x").at(&moved), Received::data(PEER, b"x"));
    assert_eq!(rig.shard(|shard| shard.len()), 1);
    rig.assert_consistent();
    moved.refresh(0).assert_ok();
    rig.assert_empty();
}

//= 8016-3.2.2-old-until-use
#[test]
fn the_old_address_is_good_until_the_new_one_is_used() {
    // RFC 8016 section 3.2.2.
    let rig = mobile();
    let alice = rig.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = rig.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    rig.peer_sends(PEER, relayed, b"1").at(&alice);
    alice.send(PEER, b"2").assert_reaches(PEER, b"2");
    alice.refresh(700).assert_ok();
    moved.permit(PEER);
    rig.peer_sends(PEER, relayed, b"3").at(&moved);
    alice.send(PEER, b"4").assert_dropped(DropReason::NoAllocation);
    alice.refresh(700).assert_error(437);
    rig.assert_consistent();
}

//= 8016-3.2.2-retransmission
#[test]
fn a_retransmitted_refresh_is_answered_again_and_moves_nothing() {
    let rig = mobile();
    let alice = rig.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = rig.client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    let third = ticket(&resume(&moved, &first));
    rig.peer_sends(PEER, relayed, b"1").at(&alice);
    moved.send(PEER, b"2").assert_reaches(PEER, b"2");
    // Whichever of the two answers has come, its ticket is good.
    let further = rig.client("198.51.100.10:1", "alice");
    resume(&further, &second).assert_ok();
    resume(&further, &third).assert_ok();
}

//= 8016-3.2.2-new-ticket
#[test]
fn a_ticket_is_spent_once_the_client_has_moved() {
    // RFC 8016 section 5: it is of use once.
    let rig = mobile();
    let (_, first) = allocate(&rig.alice());
    let moved = rig.client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    assert_ne!(second, first);
    moved.permit(PEER);
    let further = rig.client("198.51.100.10:1", "alice");
    resume(&further, &first).assert_error(400);
    resume(&further, &second).assert_ok();
    further.permit(PEER);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
}

#[test]
fn one_move_waits_at_most_and_the_last_one_counts() {
    // coturn a97f1924: moves that waited were without bound.
    let rig = mobile();
    let (relayed, first) = allocate(&rig.alice());
    let clients: Vec<_> =
        (1..100).map(|port| rig.client(&format!("198.51.100.9:{port}"), "alice")).collect();
    for client in &clients {
        resume(client, &first).assert_ok();
    }
    assert_eq!(rig.shard(|shard| (shard.parts.moves.len(), shard.len())), (1, 1));
    assert_eq!(rig.used_ports(), 1);
    clients[0].send(PEER, b"x").assert_dropped(DropReason::NoAllocation);
    let last = &clients[98];
    last.permit(PEER);
    rig.peer_sends(PEER, relayed, b"x").at(last);
    rig.assert_consistent();
}

//= 8016-3.2.2-wrong-user, 8016-3.2.2-invalid
#[test]
fn nobody_takes_over_the_allocation_of_another() {
    // coturn #1969: with a ticket of hers, and with one of his own.
    let rig = mobile();
    let (_, hers) = allocate(&rig.alice());
    resume(&rig.client(ELSEWHERE, "bob"), &hers).assert_error(441);
    let mut forged = hers.clone();
    forged[20] ^= 1;
    for bad in [&forged[..], &hers[1..], b""] {
        resume(&rig.client(ELSEWHERE, "alice"), bad).assert_error(400);
    }
    assert_eq!(rig.shard(|shard| shard.parts.moves.len()), 0);
    // On a 5-tuple that waits for her, another user has nothing.
    resume(&rig.client(ELSEWHERE, "alice"), &hers).assert_ok();
    rig.client(ELSEWHERE, "bob").try_permit(&[PEER]).assert_error(437);
    assert_eq!(rig.shard(|shard| shard.parts.moves.len()), 1, "and nothing has moved");
}

//= 8016-3.2.2-no-allocation
#[test]
fn a_ticket_ends_with_its_allocation() {
    let rig = mobile();
    let alice = rig.alice();
    let (_, first) = allocate(&alice);
    alice.refresh(0).assert_ok();
    // The place in the table is used again.
    allocate(&alice);
    resume(&rig.client(ELSEWHERE, "alice"), &first).assert_error(437);
    rig.advance(seconds(601));
    rig.assert_empty();
}

#[test]
fn a_lost_connection_leaves_the_allocation_and_its_place_in_the_quota() {
    // RFC 8016 section 3.2; GHSA-f6hc-79w3-p8pq: the quota was given back too early.
    let rig = Rig::with(|setup| {
        setup.mobility = true;
        setup.quota = 1;
    });
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    rig.hang_up(&alice);
    rig.assert_consistent();
    rig.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoAllocation);
    let moved = rig.client(ELSEWHERE, "alice");
    moved.allocation().send().assert_error(486);
    resume(&moved, &first).assert_ok();
    moved.send(PEER, b"y").assert_reaches(PEER, b"y");
    rig.peer_sends(PEER, relayed, b"z").at(&moved);
    rig.assert_consistent();
}

#[test]
fn an_allocation_without_a_client_ends_in_its_time_or_by_the_operator() {
    let rig = mobile();
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    allocate(&alice);
    rig.hang_up(&alice);
    rig.advance(seconds(601));
    rig.assert_empty();
    allocate(&alice);
    rig.hang_up(&alice);
    assert_eq!(rig.kick(&Whose::default()), 1);
    rig.assert_empty();
    allocate(&alice);
    rig.hang_up(&alice);
    rig.shut_down();
    rig.assert_empty();
}

#[test]
fn an_allocation_that_does_not_move_ends_with_its_connection() {
    let rig = mobile();
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    alice.allocate();
    rig.hang_up(&alice);
    rig.assert_empty();
}

#[test]
fn a_move_is_forgotten_with_the_connection_or_by_another_allocation_there() {
    let rig = mobile();
    let alice = rig.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = rig.stream_client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    rig.hang_up(&moved);
    assert_eq!(rig.shard(|shard| shard.parts.moves.len()), 0);
    let other = rig.client(ELSEWHERE, "alice");
    resume(&other, &first).assert_ok();
    other.allocate();
    other.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").at(&alice);
    rig.assert_consistent();
}

#[test]
fn lifetime_zero_with_a_ticket_ends_the_allocation_from_anywhere() {
    let rig = mobile();
    let (_, first) = allocate(&rig.alice());
    let moved = rig.client(ELSEWHERE, "alice");
    let end = moved.request(taciturn_stun::Method::REFRESH).attribute(T::MOBILITY_TICKET, &first);
    assert_eq!(end.lifetime(0).send().lifetime(), 0);
    rig.assert_empty();
}

#[test]
fn a_ticket_holds_no_zero_byte() {
    // coturn's client keeps a ticket as a C string, and sends it back as far as the first zero.
    let rig = mobile();
    let (_, first) = allocate(&rig.alice());
    assert!(!first.contains(&0));
    for port in 1..200 {
        let given = ticket(&resume(&rig.client(&format!("198.51.100.9:{port}"), "alice"), &first));
        assert!(!given.contains(&0), "{given:?}");
    }
}

//= 8016-3.2.2-same-address
#[test]
fn a_ticket_is_400_on_the_5_tuple_that_the_allocation_is_on() {
    // RFC 8016 section 3.2.2.
    let rig = mobile();
    let alice = rig.alice();
    let (_, first) = allocate(&alice);
    resume(&alice, &first).assert_error(400);
    resume(&alice, b"no ticket").assert_error(400);
    let moved = rig.client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    moved.permit(PEER);
    // The Refresh that brought it here, once more.
    assert_eq!(resume(&moved, &first).lifetime(), 600);
    resume(&moved, &second).assert_error(400);
    // Another allocation's.
    let bob = rig.bob();
    allocate(&bob);
    resume(&bob, &second).assert_error(437);
    moved.refresh(0).assert_ok();
    bob.refresh(0).assert_ok();
    rig.assert_empty();
}

//= 8016-3.2.2-old-connection-closed
#[test]
fn when_the_old_connection_closes_data_go_the_new_way_at_once() {
    // RFC 8016 section 3.2.2.
    let rig = mobile();
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = rig.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    rig.peer_sends(PEER, relayed, b"x").at(&alice);
    rig.hang_up(&alice);
    rig.peer_sends(PEER, relayed, b"y").at(&moved);
    rig.assert_consistent();
}
