//! What an operator does to running allocations.

use super::*;
use crate::{EndReason, Whose};

#[test]
fn sessions_are_told_with_what_they_have() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.rest_client("192.0.2.9:9", "@bob:example.org", 5000));
    let relayed = alice.allocate();
    bob.allocate();
    alice.bind(CHANNEL, PEER);
    alice.channel_data(CHANNEL, b"four").assert_reaches(PEER, b"four");
    rig.advance(seconds(60));
    assert_eq!(rig.sessions(&Whose::default()).len(), 2);
    let whose = Whose { user: Some("alice".into()), ..Whose::default() };
    let sessions = rig.sessions(&whose);
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert_eq!((session.client.0, session.username.name()), (addr("192.0.2.1:1001"), "alice"));
    assert_eq!(session.relayed, [Some(relayed), None]);
    assert_eq!((session.permissions, session.channels), (1, 1));
    assert_eq!((session.traffic.packets_to_peers, session.traffic.bytes_to_peers), (1, 4));
    assert_eq!((session.age, session.expires_in), (seconds(60), seconds(540)));
    // By the name behind the expiry, which changes with each credential.
    let whose = Whose { user: Some("@bob:example.org".into()), ..Whose::default() };
    assert_eq!(rig.sessions(&whose).len(), 1);
    let whose = Whose { client: Some(addr("192.0.2.9:9")), ..Whose::default() };
    assert_eq!(rig.sessions(&whose).len(), 1);
    let both =
        Whose { user: Some("alice".into()), client: Some(addr("192.0.2.9:9")), ..Whose::default() };
    assert_eq!(rig.sessions(&both).len(), 0);
}

#[test]
fn who_is_kicked_loses_its_allocation_and_nobody_else_does() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.allocate();
    bob.allocate();
    rig.events();
    assert_eq!(rig.kick(&Whose { user: Some("alice".into()), ..Whose::default() }), 1);
    assert!(matches!(rig.events()[..], [Happened::Ended { reason: EndReason::Kicked, .. }]));
    alice.refresh(600).assert_error(437);
    bob.refresh(0).assert_ok();
    rig.assert_empty();
    alice.allocate();
}

#[test]
fn while_draining_nothing_new_is_made_and_what_runs_goes_on() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let token = alice.allocation().even_port(true).send().token();
    rig.drain(true);
    bob.allocation().send().assert_error(508);
    alice.permit(PEER);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    alice.refresh(600).assert_ok();
    // Its other half was promised.
    let second = rig.client("192.0.2.1:1003", "alice");
    second
        .allocation()
        .attribute(taciturn_stun::AttributeType::RESERVATION_TOKEN, &token)
        .send()
        .assert_ok();
    for client in [alice, second] {
        client.refresh(0).assert_ok();
    }
    rig.assert_empty();
}

#[test]
fn a_drain_that_is_cancelled_lets_everybody_in_again() {
    let rig = Rig::new();
    rig.drain(true);
    rig.alice().allocation().send().assert_error(508);
    rig.drain(false);
    rig.alice().allocate();
}

#[test]
fn a_listener_that_is_removed_keeps_its_calls_and_takes_no_other() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let listener = alice.at.via.listener();
    alice.allocate();
    rig.retire_listener(listener, true);
    assert_eq!(rig.shard(|shard| shard.udp_clients_of_listener(listener)), 1);
    bob.allocation().send().assert_error(508);
    let tcp = rig.tcp_client(1, "bob");
    assert_ne!(tcp.at.via.listener(), listener, "another listener");
    tcp.allocate();
    alice.permit(PEER);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    alice.refresh(600).assert_ok();
    rig.retire_listener(listener, false);
    bob.allocate();
    rig.retire_listener(listener, true);
    alice.refresh(0).assert_ok();
    alice.allocation().send().assert_error(508);
    assert_eq!(rig.shard(|shard| shard.udp_clients_of_listener(listener)), 1);
    rig.events();
    rig.close_listener(listener);
    assert!(matches!(rig.events()[..], [Happened::Ended { reason: EndReason::Shutdown, .. }]));
    rig.bob().allocate();
}
