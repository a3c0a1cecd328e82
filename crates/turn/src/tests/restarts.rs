//! Another process that goes on with what a shard has had.

use super::mobility::{allocate, resume, ticket};
use super::reload::credentials;
use super::restart::Restart;
use super::*;
use crate::clock::Tick;
use crate::policy::{Each, Rates};
use crate::snapshot::{Snapshot, Taken};
use crate::{
    Client, ClientAddr, DropReason, EndReason, LeftOut, RelayAddress, ShardNumber, Traffic, Via,
    Whose,
};
use taciturn_stun::{AttributeType as T, Method};

const ELSEWHERE: &str = "198.51.100.9:7777";

fn restart(rig: &Rig) -> Rig {
    Restart::default().of_one(rig).0
}

/// Holds that the only allocation of a rig is left out on the way, for this reason; and that nothing is left
/// of it but ports that rest.
#[track_caller]
fn assert_left_out(rig: &Rig, how: &Restart<'_>, why: LeftOut, told: EndReason) -> Rig {
    let (then, restored) = how.of_one(rig);
    assert_eq!((restored.allocations, restored.left_out(why)), (0, 1), "{restored:?}");
    assert_eq!(restored.left_out.iter().sum::<usize>(), 1, "{restored:?}");
    let reasons: Vec<_> = then
        .events()
        .into_iter()
        .map(|event| match event {
            Happened::Ended { reason, .. } => reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reasons, [told]);
    then.assert_empty();
    then
}

#[test]
fn a_call_goes_on_as_if_nothing_had_been() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    alice.bind(CHANNEL, OTHER_PEER);
    alice.send(PEER, b"before").assert_reaches(PEER, b"before");
    rig.advance(seconds(60));

    let then = restart(&rig);
    then.assert_consistent();
    let alice = alice.of(&then);
    alice.send(PEER, b"after").assert_reaches(PEER, b"after");
    alice.channel_data(CHANNEL, b"channel").assert_reaches(OTHER_PEER, b"channel");
    assert_eq!(then.peer_sends(PEER, relayed, b"x").at(&alice), Received::data(PEER, b"x"));
    let from_channel = then.peer_sends(OTHER_PEER, relayed, b"y").at(&alice);
    assert_eq!(from_channel, Received::channel(CHANNEL, b"y"));
    // With the nonce of the process before.
    assert_eq!(alice.request(Method::REFRESH).once().lifetime(), 600);
    let session = then.sessions(&Whose::default()).remove(0);
    let Traffic { packets_to_peers, packets_to_client, .. } = session.traffic;
    assert_eq!((packets_to_peers, packets_to_client), (3, 2));
    assert_eq!((session.age, session.username.name()), (seconds(62), "alice"));
    assert_eq!(then.events(), [], "nothing has ended, and nothing has begun");
    alice.refresh(0).assert_ok();
    assert!(matches!(then.events()[..], [Happened::Ended { reason: EndReason::Released, .. }]));
    then.assert_empty();
}

#[test]
fn deadlines_pass_while_nobody_is_there() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    rig.advance(seconds(100));
    let (then, restored) = Restart { passed: seconds(150), ..Restart::default() }.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    let at = alice.of(&then);
    then.advance(seconds(49));
    assert_eq!(then.peer_sends(PEER, relayed, b"x").at(&at), Received::data(PEER, b"x"));
    then.advance(seconds(1));
    then.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    then.advance(seconds(300) - MOMENT);
    assert_eq!(then.shard(|shard| shard.len()), 1);
    then.advance(MOMENT);
    assert!(matches!(
        then.events()[..],
        [Happened::Ended { reason: EndReason::Expired, lived, .. }] if lived == seconds(600)
    ));
    then.assert_empty();
}

#[test]
fn what_has_expired_on_the_way_is_left_out_and_its_port_rests_from_then() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_000));
    rig.alice().allocate();
    rig.advance(seconds(590));
    rig.events();
    let setup = |setup: &mut setup::Setup| setup.ports = (50_000, 50_001);
    // It ends after ten seconds, and its port rests for 120 from then.
    let how = Restart { passed: seconds(40), setup: &setup, ..Restart::default() };
    let (then, restored) = how.of_one(&rig);
    assert_eq!((restored.allocations, restored.left_out(LeftOut::Expired)), (0, 1));
    let ended = then.events();
    assert!(
        matches!(ended[..], [Happened::Ended { lived, reason: EndReason::Expired, .. }] if lived == seconds(600)),
        "{ended:?}"
    );
    then.assert_empty();
    let now = then.now().tick;
    let resting = then.shard(|shard| shard.parts.rules.ports.snapshot(now).resting);
    let left: Vec<_> = resting.iter().map(|port| (port.port, port.rest.left.0)).collect();
    assert_eq!(left, [(50_000, seconds(90))]);
}

#[test]
fn a_client_or_a_socket_that_is_not_handed_over_ends_its_allocation_alone() {
    let rig = Rig::new();
    rig.stream_client("192.0.2.1:1001", "alice").allocate();
    let gone = Restart { place: &|_, _| None, ..Restart::default() };
    let then = assert_left_out(&rig, &gone, LeftOut::ClientGone, EndReason::Disconnected);
    // The port rests.
    let now = then.now().tick;
    assert_eq!(then.shard(|shard| shard.parts.rules.ports.snapshot(now).resting.len()), 1);

    let lost = Restart { sockets: &|sockets| sockets.relays.clear(), ..Restart::default() };
    assert_left_out(&rig, &lost, LeftOut::RelaySocket, EndReason::NotRestored);
}

#[test]
fn half_of_the_sockets_is_not_enough() {
    let rig = Rig::new();
    let alice = rig.alice();
    let both = alice.allocation().attribute(T::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    both.send().assert_ok();
    let sockets = |sockets: &mut world::HandedOver| sockets.relays.retain(|at| at.is_ipv4());
    let lost = Restart { sockets: &sockets, ..Restart::default() };
    assert_left_out(&rig, &lost, LeftOut::RelaySocket, EndReason::NotRestored);
}

#[test]
fn another_configuration_may_have_no_place_for_it() {
    let rig = Rig::new();
    rig.alice().allocate();
    let address = |setup: &mut setup::Setup| {
        setup.v4 = Some(RelayAddress::plain("203.0.113.8".parse().unwrap()));
    };
    let moved = Restart { setup: &address, ..Restart::default() };
    assert_left_out(&rig, &moved, LeftOut::RelayAddress, EndReason::NotRestored);
    let none = |setup: &mut setup::Setup| setup.v4 = None;
    let v6_only = Restart { setup: &none, ..Restart::default() };
    assert_left_out(&rig, &v6_only, LeftOut::RelayAddress, EndReason::NotRestored);

    let without_alice = |_: &mut crate::Settings, rules: &mut crate::Rules| {
        rules.authenticator = credentials(&[("bob", "bob's password")], &[]);
    };
    let removed = Restart { rules: &without_alice, ..Restart::default() };
    assert_left_out(&rig, &removed, LeftOut::CredentialRemoved, EndReason::CredentialRemoved);
    let kept = |settings: &mut crate::Settings, rules: &mut crate::Rules| {
        without_alice(settings, rules);
        settings.keep_removed = true;
    };
    let (then, restored) = Restart { rules: &kept, ..Restart::default() }.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    let alice = then.alice();
    alice.refresh(600).assert_ok();
    then.client("192.0.2.1:1009", "alice").allocation().send().assert_error(401);
}

#[test]
fn a_port_that_is_no_more_of_the_range_stays_with_its_allocation() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    let ports = |setup: &mut setup::Setup| setup.ports = (51_000, 51_099);
    let (then, restored) = Restart { setup: &ports, ..Restart::default() }.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    let alice = alice.of(&then);
    alice.send(PEER, b"after").assert_reaches(PEER, b"after");
    assert_eq!(then.peer_sends(PEER, relayed, b"x").at(&alice), Received::data(PEER, b"x"));
    alice.refresh(0).assert_ok();
    // Nobody gets it, and nothing rests.
    let ports = then.shard(|shard| std::sync::Arc::clone(&shard.parts.rules.ports));
    assert_eq!(
        (ports.used(taciturn_stun::Family::V4), ports.snapshot(then.now().tick).resting.len()),
        (0, 0)
    );
    let bob = then.bob().allocate();
    assert!((51_000..=51_099).contains(&bob.port()), "{bob}");
}

#[test]
fn a_port_that_somebody_took_meanwhile_costs_that_allocation_alone() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let taken = alice.allocate();
    bob.allocate();
    let rules = |_: &mut crate::Settings, rules: &mut crate::Rules| {
        let lease = rules.ports.claim(taciturn_stun::Family::V4, taken.port(), Tick(0)).unwrap();
        std::mem::forget(lease);
    };
    let (then, restored) = Restart { rules: &rules, ..Restart::default() }.of_one(&rig);
    assert_eq!((restored.allocations, restored.left_out(LeftOut::RelayPort)), (1, 1));
    then.assert_consistent();
    bob.of(&then).refresh(600).assert_ok();
    alice.of(&then).refresh(600).assert_error(437);
}

#[test]
fn peers_that_are_denied_by_now_are_out_of_reach() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.permit(PEER);
    alice.bind(CHANNEL, OTHER_PEER);
    let setup = |setup: &mut setup::Setup| setup.deny = &["9.9.9.0/24"];
    let then = Restart { setup: &setup, ..Restart::default() }.of_one(&rig).0;
    let alice = alice.of(&then);
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    alice.send(OTHER_PEER, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn a_channel_that_ended_stays_reserved_for_its_peer() {
    let rig = Rig::with(|setup| setup.max_lifetime = seconds(7200));
    let alice = rig.alice();
    alice.allocation().lifetime(7200).send().assert_ok();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(590));
    alice.bind(CHANNEL + 1, OTHER_PEER);
    // The first ends on the way, and is held for 300 seconds from then.
    let then = Restart { passed: seconds(20), ..Restart::default() }.of_one(&rig).0;
    let alice = alice.of(&then);
    then.advance(seconds(289));
    alice.try_bind(CHANNEL, OTHER_PEER).assert_error(400);
    alice.try_bind(CHANNEL + 2, PEER).assert_error(400);
    then.advance(seconds(2));
    alice.try_bind(CHANNEL + 2, PEER).assert_ok();
    // And what was held there is held here.
    let again = restart(&then);
    let alice = alice.of(&again);
    alice.try_bind(CHANNEL + 1, PEER).assert_error(400);
}

#[test]
fn reservations_and_limits_of_users_go_along() {
    let rates = Rates { packets: Each { user: 100, ..Each::default() }, ..Rates::default() };
    let rig = Rig::with(|setup| {
        setup.quota = 2;
        setup.rates = rates;
    });
    let alice = rig.alice();
    let first = alice.allocation().even_port(true).send();
    alice.permit(PEER);
    while !matches!(alice.send(PEER, b"x"), Outcome::Dropped(_)) {}
    let setup = |setup: &mut setup::Setup| {
        setup.quota = 2;
        setup.rates = rates;
    };
    let at_once = Restart { passed: seconds(0), setup: &setup, ..Restart::default() };
    let then = at_once.of_one(&rig).0;
    let alice = alice.of(&then);
    alice.send(PEER, b"x").assert_dropped(DropReason::UserRate);
    assert_eq!((then.used_ports(), then.reserved_ports()), (2, 1));
    let other = then.client("192.0.2.1:1009", "alice");
    let redeemed = other.allocation().attribute(T::RESERVATION_TOKEN, &first.token()).send();
    assert_eq!(redeemed.relayed().port(), first.relayed().port() + 1);
    let third = then.client("192.0.2.1:1010", "alice");
    third.allocation().send().assert_error(486);
    // A retransmission is answered as it was.
    assert_eq!(then.shard(|shard| shard.parts.rules.quota.users()), 1);
}

#[test]
fn retransmissions_are_recognised_on_either_side() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (first, last) = (alice.fresh_tid(), bob.fresh_tid());
    let relayed = alice.allocation().tid(first).send().relayed();
    bob.allocate();
    let end = bob.request(Method::REFRESH).lifetime(0).tid(last);
    end.send().assert_ok();
    let then = restart(&rig);
    let (alice, bob) = (alice.of(&then), bob.of(&then));
    assert_eq!(alice.allocation().tid(first).send().relayed(), relayed);
    bob.request(Method::REFRESH).lifetime(0).tid(last).send().assert_ok();
    let late = Restart { passed: seconds(41), ..Restart::default() }.of_one(&rig).0;
    bob.of(&late).request(Method::REFRESH).lifetime(0).tid(last).send().assert_error(437);
}

#[test]
fn nonces_live_as_long_as_they_would_have() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    rig.advance(seconds(3000));
    alice.refresh(3600).assert_ok();
    // The ticks of the new process begin far from those of the old one, on either side.
    for begins in [Tick(0), Tick(u64::MAX / 2)] {
        let how = Restart { passed: seconds(500), begins, ..Restart::default() };
        let then = how.of_one(&rig).0;
        let alice = alice.of(&then);
        alice.request(Method::REFRESH).once().assert_ok();
        then.advance(seconds(100));
        alice.request(Method::REFRESH).once().assert_ok();
        then.advance(seconds(2));
        alice.request(Method::REFRESH).once().assert_error(438);
        alice.refresh(600).assert_ok();
    }
}

#[test]
fn tickets_stay_good_and_numbers_are_not_used_again() {
    let rig = Rig::with(|setup| setup.mobility = true);
    let mobile = |setup: &mut setup::Setup| setup.mobility = true;
    let (alice, bob) = (rig.alice(), rig.bob());
    let (relayed, of_alice) = allocate(&alice);
    let (_, of_bob) = allocate(&bob);
    bob.refresh(0).assert_ok();
    let how = Restart { setup: &mobile, ..Restart::default() };
    let then = how.of_one(&rig).0;
    // Bob's next allocation is another one than his ticket is for.
    let bob = bob.of(&then);
    allocate(&bob);
    resume(&then.client(ELSEWHERE, "bob"), &of_bob).assert_error(437);

    let moved = then.client(ELSEWHERE, "alice");
    let next = ticket(&resume(&moved, &of_alice));
    // Between Refresh and first use there is another restart: either 5-tuple is good.
    let again = how.of_one(&then).0;
    let (alice, moved) = (alice.of(&again), moved.of(&again));
    alice.refresh(600).assert_ok();
    moved.refresh(600).assert_ok();
    alice.refresh(600).assert_error(437);
    resume(&again.client("198.51.100.10:1", "alice"), &of_alice).assert_error(400);
    resume(&again.client("198.51.100.10:1", "alice"), &next).assert_ok();
    assert_eq!(again.sessions(&Whose::default())[0].relayed[0], Some(relayed));
    again.assert_consistent();
}

#[test]
fn a_mobile_allocation_waits_for_a_client_whose_connection_is_gone() {
    let rig = Rig::with(|setup| setup.mobility = true);
    let mobile = |setup: &mut setup::Setup| setup.mobility = true;
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    let (relayed, ticket) = allocate(&alice);
    alice.permit(PEER);
    let gone = Restart { setup: &mobile, place: &|_, _| None, ..Restart::default() };
    let (then, restored) = gone.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    then.assert_consistent();
    then.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoAllocation);
    let kept = Restart { setup: &mobile, ..Restart::default() };
    let then = kept.of_one(&then).0;
    let moved = then.client(ELSEWHERE, "alice");
    resume(&moved, &ticket).assert_ok();
    moved.send(PEER, b"back").assert_reaches(PEER, b"back");
    moved.refresh(0).assert_ok();
    then.assert_empty();
}

#[test]
fn shards_may_be_more_or_fewer() {
    let one = Rig::with(|setup| setup.mobility = true);
    let two = Rig::beside(&one);
    let clients = [one.alice(), one.bob(), two.client("192.0.2.3:1003", "alice")];
    let (relayed, first) = allocate(&clients[0]);
    clients[1].allocate();
    clients[2].allocate();
    clients.iter().for_each(|client| client.permit(PEER));
    // Alice is to move from the first shard to the second.
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    one.drain(true);
    two.drain(true);
    two.retire_listener(4, true);

    let mobile = |setup: &mut setup::Setup| setup.mobility = true;
    // By port, over three shards.
    let place = |_, client: Client| Some((ShardNumber(client.remote.0.port() % 3), client));
    let how = Restart { shards: 3, setup: &mobile, place: &place, ..Restart::default() };
    let (rigs, restored) = how.of(&[&one, &two]);
    assert_eq!(restored.allocations, 3);
    let lens: Vec<_> = rigs.iter().map(|rig| rig.shard(|shard| shard.len())).collect();
    assert_eq!(lens, [1, 1, 1]);
    rigs.iter().for_each(|rig| rig.assert_consistent());
    let at = |client: &TestClient| &rigs[usize::from(client.at.remote.0.port() % 3)];
    for client in &clients {
        client.of(at(client)).send(PEER, b"x").assert_reaches(PEER, b"x");
    }
    let other = rigs[1].client("192.0.2.8:1", "bob");
    other.allocation().send().assert_error(508);
    // The new 5-tuple is that of another shard again, and takes the allocation along.
    let (moved, from) = (moved.of(at(&moved)), at(&clients[0]));
    moved.send(PEER, b"knock").assert_dropped(DropReason::NoAllocation);
    assert_eq!(from.hand_over_to(at(&moved)), 1);
    moved.send(PEER, b"here").assert_reaches(PEER, b"here");
    assert_eq!(at(&moved).peer_sends(PEER, relayed, b"x").at(&moved), Received::data(PEER, b"x"));

    // And all on one again.
    rigs.iter().for_each(|rig| assert_eq!(rig.now(), rigs[0].now()));
    let all: Vec<&Rig> = rigs.iter().collect();
    let how = Restart { setup: &mobile, ..Restart::default() };
    let (rigs, restored) = how.of(&all);
    assert_eq!((rigs.len(), restored.allocations), (1, 3));
    rigs[0].assert_consistent();
}

#[test]
fn clients_may_have_other_names() {
    let rig = Rig::new();
    let alice = rig.stream_client("192.0.2.1:1001", "alice");
    let relayed = alice.allocate();
    alice.permit(PEER);
    let renamed = |_, client: Client| {
        let via = Via::Stream { connection: 99, listener: 3 };
        Some((ShardNumber(0), Client { via, ..client }))
    };
    let then = Restart { place: &renamed, ..Restart::default() }.of_one(&rig).0;
    let Outcome::ToClient { client, .. } = then.peer_sends(PEER, relayed, b"x") else { panic!() };
    assert_eq!(client.via, Via::Stream { connection: 99, listener: 3 });
    assert_eq!(client.remote, ClientAddr(addr("192.0.2.1:1001")));
    // Two clients of one name are not restored.
    let bob = rig.bob();
    bob.allocate();
    let same = bob.at;
    let place = move |_, _| Some((ShardNumber(0), same));
    let restored = Restart { place: &place, ..Restart::default() }.of_one(&rig).1;
    assert_eq!((restored.allocations, restored.left_out(LeftOut::ClientTaken)), (1, 1));
}

#[test]
fn a_shard_that_is_not_there_gets_nobody() {
    let rig = Rig::new();
    rig.alice().allocate();
    let place = |_, client| Some((ShardNumber(7), client));
    let how = Restart { place: &place, ..Restart::default() };
    assert_left_out(&rig, &how, LeftOut::ClientGone, EndReason::Disconnected);
}

#[test]
fn an_allocation_that_is_there_twice_is_restored_once() {
    // Each shard of a running server was asked for what it has while an allocation went from one to another.
    let one = Rig::with(|setup| setup.mobility = true);
    let two = Rig::beside(&one);
    let (_, first) = allocate(&one.alice());
    let tick = one.now().tick;
    let of_one = one.shard(|shard| shard.snapshot(tick, |_| true));
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    moved.send(PEER, b"knock").assert_dropped(DropReason::NoAllocation);
    one.hand_over_to(&two);
    let of_two = two.shard(|shard| shard.snapshot(tick, |_| true));
    let shared = one.shard(|shard| shard.parts.rules.snapshot(tick));
    let taken = Taken { tick, boot: restart::BOOT };
    let snapshot = Snapshot::new(taken, shared, vec![of_one, of_two]);
    let mobile = |setup: &mut setup::Setup| setup.mobility = true;
    let how = Restart { setup: &mobile, ..Restart::default() };
    let (rigs, restored) = how.from(&[&one, &two], snapshot);
    assert_eq!((restored.allocations, restored.left_out(LeftOut::Duplicate)), (1, 1));
    assert_eq!(rigs[0].events(), [], "it has not ended");
    rigs[0].assert_consistent();
}

#[test]
fn peer_connections_go_on_where_their_sockets_do() {
    let rig = tcp_allocations::rig();
    let tcp = |setup: &mut setup::Setup| setup.tcp_relay = true;
    let alice = rig.tcp_client(1, "alice");
    let relayed = alice.allocate_tcp();
    alice.permit(PEER);
    let bound = alice.connected(OTHER_PEER);
    let data = rig.tcp_client(2, "alice");
    data.bind_connection(bound.id).assert_ok();
    let arrived = rig.peer_connects(PEER, relayed).unwrap();
    rig.next_told(&alice).expect("ConnectionAttempt");
    let asked = alice.connect("8.8.8.8:5000").begin();
    let connecting = rig.world(|world| world.attempts.last().unwrap().id);

    let how = Restart { setup: &tcp, ..Restart::default() };
    let (then, restored) = how.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    then.assert_consistent();
    let (at, data) = (alice.of(&then), then.tcp_client(3, "alice"));
    data.bind_connection(bound.id).assert_error(400);
    data.bind_connection(arrived).assert_ok();
    then.with_shard(|shard, now, world| {
        let owner = world.attempts[0].owner;
        shard.peer_connected(now, owner, connecting, world);
    });
    let answer = asked.of(&at).answer();
    assert_eq!(answer.connection_id(), connecting);
    then.advance(seconds(27));
    at.refresh(0).assert_ok();
    then.assert_empty();

    // Without the sockets the request that waits is told, and the rest is given up.
    let none = |sockets: &mut world::HandedOver| sockets.peers.clear();
    let lost = Restart { setup: &tcp, sockets: &none, ..Restart::default() };
    let (then, restored) = lost.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    let at = alice.of(&then);
    asked.of(&at).answer().assert_error(447);
    then.assert_consistent();
    then.tcp_client(3, "alice").bind_connection(arrived).assert_error(400);
    assert!(then.shard(|shard| shard.parts.rules.connection_ids.is_empty()));

    // What was not bound in time is not there any more.
    let late = Restart { setup: &tcp, passed: seconds(31), ..Restart::default() };
    let then = late.of_one(&rig).0;
    asked.of(&alice.of(&then)).answer().assert_error(447);
    then.tcp_client(3, "alice").bind_connection(arrived).assert_error(400);
    let ids = then.shard(|shard| shard.parts.rules.connection_ids.len());
    assert_eq!(ids, 1, "that which is bound");
}

#[test]
fn some_clients_may_stay_with_the_old_process() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.stream_client("192.0.2.2:1002", "bob"));
    let relayed = alice.allocate();
    let kept = bob.allocate();
    [&alice, &bob].into_iter().for_each(|client| client.permit(PEER));
    rig.events();
    let goes = |client: &Client| !client.via.is_tcp();
    let (then, restored) = Restart { goes: &goes, ..Restart::default() }.of_one(&rig);
    assert_eq!(restored.allocations, 1);
    let forgotten = rig.with_shard(|shard, now, world| shard.forget(now, goes, world));
    assert_eq!(forgotten, 1);
    rig.assert_consistent();
    assert_eq!(rig.events(), [], "it has not ended");
    bob.send(PEER, b"x").assert_reaches(PEER, b"x");
    assert_eq!(rig.peer_sends(PEER, kept, b"x").at(&bob), Received::data(PEER, b"x"));
    assert_eq!(rig.peer_sends(PEER, relayed, b"x"), Outcome::NobodyListens);
    let alice = alice.of(&then);
    assert_eq!(then.peer_sends(PEER, relayed, b"x").at(&alice), Received::data(PEER, b"x"));
    bob.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn a_tcp_allocation_that_goes_is_closed_here_without_a_word() {
    let rig = tcp_allocations::rig();
    let alice = rig.tcp_client(1, "alice");
    alice.allocate_tcp();
    let _asked = alice.connect(PEER).begin();
    rig.events();
    let forgotten = rig.with_shard(|shard, now, world| shard.forget(now, |_| true, world));
    assert_eq!(forgotten, 1);
    assert_eq!((rig.events(), rig.next_told(&alice)), (vec![], None));
    rig.assert_empty();
}

#[test]
fn an_allocation_that_was_ended_from_another_shard_is_left_out() {
    let one = Rig::with(|setup| setup.mobility = true);
    let two = Rig::beside(&one);
    let (_, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    let end = moved.request(Method::REFRESH).attribute(T::MOBILITY_TICKET, &first).lifetime(0);
    end.send().assert_ok();
    // The first shard has not heard of it yet.
    let mobile = |setup: &mut setup::Setup| setup.mobility = true;
    let how = Restart { setup: &mobile, ..Restart::default() };
    let (rigs, restored) = how.of(&[&one, &two]);
    assert_eq!(restored.left_out(LeftOut::Released), 1);
    assert!(matches!(rigs[0].events()[..], [Happened::Ended { reason: EndReason::Released, .. }]));
    rigs[0].assert_empty();
}

#[test]
fn budgets_of_one_allocation_go_along() {
    let rates = Rates { packets: Each { allocation: 100, ..Each::default() }, ..Rates::default() };
    let limited = |setup: &mut setup::Setup| setup.rates = rates;
    let rig = Rig::with(limited);
    let alice = rig.alice();
    alice.allocate();
    alice.permit(PEER);
    while !matches!(alice.send(PEER, b"x"), Outcome::Dropped(_)) {}
    // What is answered without a credential, and what is judged with one.
    let stranger = rig.alice();
    let unsigned = || stranger.request(Method::REFRESH).outcome();
    while unsigned() != Outcome::Dropped(DropReason::Withheld) {}
    let judged = || alice.request(Method::REFRESH).outcome();
    while judged() != Outcome::Dropped(DropReason::RequestRate) {}

    let at_once = Restart { passed: seconds(0), setup: &limited, ..Restart::default() };
    let then = at_once.of_one(&rig).0;
    let (alice, stranger) = (alice.of(&then), stranger.of(&then));
    alice.send(PEER, b"x").assert_dropped(DropReason::AllocationRate);
    stranger.request(Method::REFRESH).outcome().assert_dropped(DropReason::Withheld);
    alice.request(Method::REFRESH).outcome().assert_dropped(DropReason::RequestRate);
    then.advance(seconds(3));
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
    stranger.request(Method::REFRESH).once().assert_error(401);
    alice.refresh(600).assert_ok();
}

#[test]
fn an_allocation_ends_with_its_credential_on_either_side_where_the_operator_wants_it() {
    let strict = |setup: &mut setup::Setup| setup.strict_expiry = true;
    let rig = Rig::with(strict);
    let carol = rig.rest_client("192.0.2.6:1006", "carol", 100);
    assert_eq!(carol.allocation().send().lifetime(), 100);
    rig.advance(seconds(10));
    let late = Restart { passed: seconds(200), setup: &strict, ..Restart::default() };
    assert_left_out(&rig, &late, LeftOut::Expired, EndReason::CredentialExpired);
    let then = Restart { setup: &strict, ..Restart::default() }.of_one(&rig).0;
    then.advance(seconds(88));
    let reasons: Vec<_> = then.events();
    assert!(
        matches!(reasons[..], [Happened::Ended { reason: EndReason::CredentialExpired, .. }]),
        "{reasons:?}"
    );
    then.assert_empty();
}
