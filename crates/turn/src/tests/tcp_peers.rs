//! Connections from peers (RFC 6062 sections 4.4 and 5.3). Section numbers are those of RFC 6062.

use super::tcp_allocations::rig;
use super::*;
use taciturn_stun::{AttributeType as T, Class, Message, Method};

#[test]
fn the_client_is_told_who_has_connected() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit("8.8.8.8:1");
    let id = rig.peer_connects(PEER, relayed).expect("a connection");
    let told = rig.next_told(&alice).expect("an indication");
    let told = Message::parse(&told).unwrap();
    assert_eq!((told.class(), told.method()), (Class::Indication, Method::CONNECTION_ATTEMPT));
    assert_eq!(told.attribute_types(), [T::CONNECTION_ID.0, T::XOR_PEER_ADDRESS.0]);
    assert_eq!((told.connection_id(), told.peer()), (Ok(Some(id.0)), Ok(Some(addr(PEER)))));
    assert_eq!(rig.next_told(&alice), None);
    rig.tcp_client(2, "alice").bind_connection(id).assert_ok();
    rig.assert_consistent();
}

#[test]
fn without_a_permission_a_peer_is_turned_away() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    assert_eq!(rig.peer_connects(PEER, relayed), None);
    alice.permit(PEER);
    assert_eq!(rig.peer_connects(OTHER_PEER, relayed), None);
    assert!(rig.peer_connects(PEER, relayed).is_some());
    rig.next_told(&alice).expect("an indication");
    // RFC 8656 section 9: for 300 seconds.
    rig.advance(seconds(300));
    assert_eq!(rig.peer_connects("8.8.8.8:4001", relayed), None);
    // Connect gives no permission to connect the other way round.
    alice.connected("1.1.1.1:80");
    assert_eq!(rig.peer_connects("1.1.1.1:81", relayed), None);
    assert_eq!(rig.next_told(&alice), None, "nothing is said of them");
    rig.assert_consistent();
}

#[test]
fn a_peer_that_is_denied_meanwhile_is_turned_away() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit(PEER);
    rig.deny_everybody();
    assert_eq!(rig.peer_connects(PEER, relayed), None);
}

#[test]
fn programs_on_the_servers_own_address_are_no_peers() {
    let rig = rig();
    let (alice, bob) = (rig.tcp_client(1, "alice"), rig.tcp_client(2, "bob"));
    let (relayed, at_bob) = (alice.allocate_tcp(), bob.allocate_tcp());
    // A permission names no port, and relays of this server may be meant.
    alice.permit(&at_bob.to_string());
    let program = SocketAddr::new(at_bob.ip(), 40_000);
    assert_eq!(rig.peer_connects(&program.to_string(), relayed), None);
    assert!(rig.peer_connects(&at_bob.to_string(), relayed).is_some());
}

#[test]
fn an_unbound_connection_is_closed_after_30_seconds() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit(PEER);
    let id = rig.peer_connects(PEER, relayed).expect("a connection");
    rig.advance(seconds(30) - MOMENT);
    assert!(rig.world(|world| world.peers.contains(&id.0)));
    rig.advance(MOMENT);
    assert!(rig.world(|world| world.peers.is_empty()));
    rig.tcp_client(2, "alice").bind_connection(id).assert_error(400);
    rig.assert_consistent();
}

#[test]
fn those_that_wait_are_bounded() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit(PEER);
    rig.events();
    let connect = |n: u16| rig.peer_connects(&format!("8.8.8.8:{n}"), relayed);
    let first = connect(1).expect("a connection");
    assert_eq!((2..=100).filter(|n| connect(*n).is_some()).count(), 15);
    let refused = |event: &Happened| {
        matches!(event, Happened::RequestFailed { method: Method::CONNECTION_ATTEMPT, code: 508 })
    };
    assert_eq!(rig.events().iter().filter(|event| refused(event)).count(), 84);
    rig.tcp_client(2, "alice").bind_connection(first).assert_ok();
    assert!(connect(101).is_some() && connect(102).is_none());
    rig.advance(seconds(30));
    assert!(connect(103).is_some());
    rig.assert_consistent();
}

#[test]
fn a_peer_of_a_relay_that_is_gone_is_turned_away() {
    let rig = rig();
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit(PEER);
    let before = rig.world(|world| world.listening.clone());
    alice.refresh(0).assert_ok();
    // It was accepted before, and comes after.
    rig.world(|world| world.listening = before);
    assert_eq!(rig.peer_connects(PEER, relayed), None);
    rig.world(|world| world.listening.clear());
    rig.assert_empty();
}
