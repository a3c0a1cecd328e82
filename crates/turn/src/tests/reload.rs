//! Other rules and settings while allocations run.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::tcp_allocations::rig as tcp_rig;
use super::*;
use crate::auth::{Authenticator, SharedSecret, StaticKey, StaticUser};
use crate::policy::PeerPolicy;
use crate::{DropReason, Rules, Withdrawn};

use super::rig::REALM;

fn deny(rules: &mut Rules, nets: &[&str]) {
    let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
    rules.peers = Arc::new(PeerPolicy::new(vec![], nets, vec![]));
}

pub(super) fn credentials(users: &[(&str, &str)], secrets: &[&str]) -> Arc<Authenticator> {
    let user = |(name, password): &(&str, &str)| StaticUser {
        name: (*name).into(),
        key: StaticKey::Password(Zeroizing::new((*password).into())),
    };
    let users: Vec<_> = users.iter().map(user).collect();
    let secrets = secrets.iter().copied().map(SharedSecret::new).collect();
    Arc::new(Authenticator::new(REALM, &users, secrets, false))
}

/// What new peer rules have ended.
fn peers(permissions: usize, channels: usize, connections: usize) -> Withdrawn {
    Withdrawn { permissions, channels, connections, ..Withdrawn::default() }
}

#[test]
fn a_call_goes_on_whatever_else_changes() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    alice.permit(OTHER_PEER);
    let withdrawn = rig.reload(|settings, rules| {
        rules.authenticator = credentials(&[("alice", "alice's password")], &[]);
        deny(rules, &["1.1.1.0/24"]);
        settings.max_permissions = 1;
        settings.max_channels = 1;
        settings.max_lifetime = seconds(700);
        settings.rfc8489_over_udp = true;
    });
    assert_eq!(withdrawn, Withdrawn::default());
    alice.channel_data(CHANNEL, b"out").assert_reaches(PEER, b"out");
    alice.send(OTHER_PEER, b"out").assert_reaches(OTHER_PEER, b"out");
    let received = rig.peer_sends(PEER, relayed, b"in").at(&alice);
    assert_eq!(received, Received::channel(CHANNEL, b"in"));
    assert_eq!(alice.refresh(3600).lifetime(), 700);
    alice.bind(CHANNEL, PEER);
    alice.try_permit(&["2.2.2.2:1"]).assert_error(508);
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn a_peer_that_is_denied_from_now_on_is_out_of_reach_at_once() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (relayed, of_bob) = (alice.allocate(), bob.allocate());
    alice.bind(CHANNEL, PEER);
    alice.permit(OTHER_PEER);
    bob.permit(PEER);
    let withdrawn = rig.reload(|_, rules| deny(rules, &["8.8.8.0/24"]));
    assert_eq!(withdrawn, peers(2, 1, 0));
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    bob.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, of_bob, b"x").assert_dropped(DropReason::NoPermission);
    assert!(rig.world(|world| world.channels.is_empty()), "the channel is announced as closed");
    alice.try_bind(CHANNEL, PEER).assert_error(403);
    alice.try_permit(&[PEER]).assert_error(403);
    alice.send(OTHER_PEER, b"x").assert_reaches(OTHER_PEER, b"x");
    // Allowed again: it is the client who asks for it. Section 12: the pair is guarded.
    rig.reload(|_, rules| deny(rules, &[]));
    alice.try_bind(CHANNEL, OTHER_PEER).assert_error(400);
    alice.bind(CHANNEL, PEER);
    alice.channel_data(CHANNEL, b"y").assert_reaches(PEER, b"y");
    for client in [alice, bob] {
        client.refresh(0).assert_ok();
    }
    rig.assert_empty();
}

#[test]
fn two_clients_of_this_server_go_on_unless_its_own_address_is_denied() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (of_alice, of_bob) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.bind(CHANNEL, &of_bob);
    bob.bind(CHANNEL, &of_alice);
    let withdrawn = rig.reload(|_, rules| {
        let own = vec!["203.0.113.7".parse().unwrap()];
        rules.peers = Arc::new(PeerPolicy::new(vec![], vec!["9.9.9.9/32".parse().unwrap()], own));
    });
    assert_eq!(withdrawn, Withdrawn::default());
    let received = alice.channel_data(CHANNEL, b"x").at(&bob);
    assert_eq!(received, Received::channel(CHANNEL, b"x"));
    let withdrawn = rig.reload(|_, rules| deny(rules, &["203.0.113.0/24"]));
    assert_eq!(withdrawn, peers(2, 2, 0));
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
}

#[test]
fn tcp_connections_with_denied_peers_close_and_others_stay() {
    // RFC 6062 has no word for it; the peer rules hold for its connections as for datagrams.
    let rig = tcp_rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let denied = alice.connected(PEER);
    let stays = alice.connected(OTHER_PEER);
    let asked = alice.connect("8.8.8.9:1").begin();
    let withdrawn = rig.reload(|_, rules| deny(rules, &["8.8.8.0/24"]));
    assert_eq!(withdrawn, peers(0, 0, 2));
    asked.answer().assert_error(447);
    rig.world(|world| {
        assert!(!world.peers.contains(&denied.id.0));
        assert!(world.peers.contains(&stays.id.0));
    });
    rig.assert_consistent();
    alice.connect(PEER).send().assert_error(403);
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}
