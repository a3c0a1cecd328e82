//! ConnectionBind (RFC 6062 sections 4.3 and 5.4). Section numbers are those of RFC 6062.

use super::tcp_allocations::rig;
use super::*;
use crate::ConnectionId;
use taciturn_stun::{AttributeType as T, Method};

#[test]
fn a_second_connection_of_the_user_becomes_the_data_connection() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    let data = rig.tcp_client(2, "alice");
    let answer = data.bind_connection(attempt.id);
    answer.assert_ok();
    assert_eq!(rig.world(|world| world.bound.clone()), [(data.at, attempt.id)]);
    rig.assert_consistent();
}

#[test]
fn it_may_come_to_another_shard() {
    let rig = rig();
    let beside = Rig::beside(&rig);
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    let data = beside.tcp_client(1, "alice");
    data.bind_connection(attempt.id).assert_ok();
    assert_eq!(beside.world(|world| world.bound.clone()), [(data.at, attempt.id)]);
    // The shard of the allocation knows: it does not close it, and binds it to nobody else.
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_error(400);
    rig.advance(seconds(60));
    assert!(rig.world(|world| world.peers.contains(&attempt.id.0)));
    alice.permit(PEER);
    let id = rig.peer_connects("8.8.8.8:1", relayed).expect("a connection");
    beside.tcp_client(2, "alice").bind_connection(id).assert_ok();
    alice.refresh(0).assert_ok();
    rig.assert_empty();
    beside.assert_empty();
}

#[test]
fn over_udp_it_is_400() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    rig.alice().bind_connection(attempt.id).assert_error(400);
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_ok();
}

#[test]
fn an_id_that_is_missing_wrong_or_unknown_is_400() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    let data = rig.tcp_client(2, "alice");
    data.request(Method::CONNECTION_BIND).send().assert_error(400);
    let short = data.request(Method::CONNECTION_BIND).attribute(T::CONNECTION_ID, b"123");
    short.send().assert_error(400);
    data.bind_connection(ConnectionId(attempt.id.0 ^ 1)).assert_error(400);
    // A connection that the peer has not answered yet cannot be bound.
    alice.connect(OTHER_PEER).begin();
    let begun = rig.world(|world| world.attempts.last().copied()).expect("an attempt");
    data.bind_connection(begun.id).assert_error(400);
    assert!(rig.world(|world| world.bound.is_empty()));
}

#[test]
fn it_can_be_bound_once() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_ok();
    rig.tcp_client(3, "alice").bind_connection(attempt.id).assert_error(400);
    assert_eq!(rig.world(|world| world.bound.len()), 1);
}

#[test]
fn another_user_cannot_bind_it() {
    // Section 4.3: the same credentials as for the control connection.
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    rig.tcp_client(2, "bob").bind_connection(attempt.id).assert_error(441);
    // Nor who knows the name alone.
    let mut impostor = rig.tcp_client(3, "bob");
    impostor.user = "alice".into();
    let id = attempt.id.0.to_be_bytes();
    let forged = impostor.request(Method::CONNECTION_BIND).attribute(T::CONNECTION_ID, &id);
    forged.once().assert_error(401);
    impostor.nonce.replace(forged.once().nonce());
    forged.once().assert_error(401);
    assert!(rig.world(|world| world.bound.is_empty()));
    rig.tcp_client(4, "alice").bind_connection(attempt.id).assert_ok();
}

#[test]
fn a_control_connection_cannot_be_a_data_connection() {
    // Section 4.3: another connection.
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    alice.bind_connection(attempt.id).assert_error(400);
    let other = rig.tcp_client(2, "alice");
    other.allocate();
    other.bind_connection(attempt.id).assert_error(400);
    rig.tcp_client(3, "alice").bind_connection(attempt.id).assert_ok();
}

#[test]
fn the_credential_of_the_allocation_stays_good_for_it() {
    // A running session outlives its credential, as over UDP.
    let rig = rig();
    let alice = rig.rest_tcp_client(1, "alice", 100);
    alice.allocate_tcp();
    rig.advance(seconds(200));
    let attempt = alice.connected(PEER);
    let data = rig.rest_tcp_client(2, "alice", 100);
    data.bind_connection(ConnectionId(attempt.id.0 ^ 1)).assert_error(401);
    data.bind_connection(attempt.id).assert_ok();
    // Another credential of the same name is another user.
    let attempt = alice.connected(OTHER_PEER);
    rig.rest_tcp_client(3, "alice", 1000).bind_connection(attempt.id).assert_error(441);
}

#[test]
fn after_the_end_of_the_allocation_there_is_nothing_to_bind() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    alice.refresh(0).assert_ok();
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_error(400);
    rig.assert_empty();
}

#[test]
fn a_peer_that_is_denied_meanwhile_is_not_bound() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let attempt = alice.connected(PEER);
    rig.deny_everybody();
    rig.tcp_client(2, "alice").bind_connection(attempt.id).assert_error(403);
    assert!(rig.world(|world| world.bound.is_empty()));
    rig.advance(seconds(30));
    assert!(rig.world(|world| world.peers.is_empty()));
}
