//! Mobility (RFC 8016) between two shards of one server: the client's new 5-tuple is the other's.

use super::mobility::{allocate, resume, ticket};
use super::reload::credentials;
use super::*;
use crate::{DropReason, EndReason, Whose};
use taciturn_stun::{AttributeType as T, Method};

const ELSEWHERE: &str = "198.51.100.9:7777";
const FURTHER: &str = "198.51.100.10:8888";

/// Two shards of one server.
fn pair() -> (Rig, Rig) {
    pair_with(|_| {})
}

fn pair_with(change: impl FnOnce(&mut setup::Setup)) -> (Rig, Rig) {
    let first = Rig::with(|setup| {
        setup.mobility = true;
        change(setup);
    });
    let second = Rig::beside(&first);
    (first, second)
}

/// Uses a 5-tuple that an allocation of the other shard waits for.
#[track_caller]
fn knock(client: &TestClient) {
    client.send(PEER, b"knock").assert_dropped(DropReason::NoAllocation);
}

#[track_caller]
fn assert_consistent(rigs: &[&Rig]) {
    rigs.iter().for_each(|rig| rig.assert_consistent());
}

//= 8016-3.2.2-old-until-use
#[test]
fn all_that_an_allocation_has_goes_with_it() {
    let (one, two) = pair_with(|setup| setup.quota = 1);
    let alice = one.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    alice.bind(CHANNEL, OTHER_PEER);
    alice.send(PEER, b"before").assert_reaches(PEER, b"before");
    one.advance(seconds(60));
    two.advance(seconds(60));
    let moved = two.client(ELSEWHERE, "alice");
    let answer = resume(&moved, &first);
    assert_eq!((answer.lifetime(), answer.count(T::MOBILITY_TICKET)), (600, 1));
    // Until the new 5-tuple is made use of, nothing goes from shard to shard.
    assert!(two.world(|world| world.fetches.is_empty()));
    alice.send(PEER, b"still").assert_reaches(PEER, b"still");
    assert_eq!(one.peer_sends(PEER, relayed, b"x").at(&alice), Received::data(PEER, b"x"));

    knock(&moved);
    assert_eq!(one.hand_over_to(&two), 1);
    assert_consistent(&[&one, &two]);
    assert_eq!((one.shard(|shard| shard.len()), two.shard(|shard| shard.len())), (0, 1));
    moved.send(PEER, b"here").assert_reaches(PEER, b"here");
    moved.channel_data(CHANNEL, b"there").assert_reaches(OTHER_PEER, b"there");
    let received = two.peer_sends(OTHER_PEER, relayed, b"back").at(&moved);
    assert_eq!(received, Received::channel(CHANNEL, b"back"));
    assert_eq!(one.peer_sends(PEER, relayed, b"y"), Outcome::NobodyListens);
    // The old 5-tuple has nothing any more.
    alice.send(PEER, b"z").assert_dropped(DropReason::NoAllocation);
    alice.refresh(700).assert_error(437);
    // It is counted once, with what it has relayed, and its place in the quota is taken.
    assert_eq!(one.sessions(&Whose::default()).len(), 0);
    let sessions = two.sessions(&Whose::default());
    let session = &sessions[0];
    assert_eq!((sessions.len(), session.traffic.packets_to_peers), (1, 4));
    assert_eq!((session.client, session.age), (moved.at.remote, seconds(60)));
    assert_eq!((session.relayed[0], session.permissions), (Some(relayed), 2));
    moved.impostor("alice").allocation().send().assert_error(437);
    alice.allocation().send().assert_error(486);
    assert!(one.events().iter().all(|event| !matches!(event, Happened::Ended { .. })));
    moved.refresh(0).assert_ok();
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn deadlines_go_on_where_the_allocation_is() {
    let (one, two) = pair();
    let alice = one.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    one.hand_over_to(&two);
    one.advance(seconds(301));
    two.advance(seconds(301));
    two.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    two.advance(seconds(300));
    assert!(matches!(two.events()[..], [Happened::Ended { reason: EndReason::Expired, .. }]));
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn a_refresh_that_came_to_another_shard_keeps_the_allocation_alive() {
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    one.advance(seconds(500));
    two.advance(seconds(500));
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    one.advance(seconds(400));
    assert_eq!(one.shard(|shard| shard.len()), 1);
    two.advance(seconds(400));
    knock(&moved);
    one.hand_over_to(&two);
    two.advance(seconds(199));
    assert_eq!(two.shard(|shard| shard.len()), 1);
    two.advance(seconds(2));
    two.assert_empty();
}

#[test]
fn of_two_that_redeem_a_ticket_on_two_shards_one_gets_the_allocation() {
    // RFC 8016 section 3.2.2.
    let (one, two) = pair();
    let three = Rig::beside(&two);
    let (relayed, first) = allocate(&one.alice());
    let (early, late) = (two.client(ELSEWHERE, "alice"), three.client(FURTHER, "alice"));
    let of_early = ticket(&resume(&early, &first));
    resume(&late, &first).assert_ok();
    late.send(PEER, b"x").assert_dropped(DropReason::NoAllocation);
    early.send(PEER, b"x").assert_dropped(DropReason::NoAllocation);
    assert_eq!(two.world(|world| world.fetches.len()), 0, "it is not to come here any more");
    one.hand_over_to(&three);
    early.try_permit(&[PEER]).assert_error(437);
    resume(&early, &of_early).assert_error(400);
    resume(&early, &first).assert_error(400);
    late.permit(PEER);
    three.peer_sends(PEER, relayed, b"x").at(&late);
    assert_consistent(&[&one, &two, &three]);
    late.refresh(0).assert_ok();
    [one, two, three].iter().for_each(Rig::assert_empty);
}

#[test]
fn what_was_asked_for_too_late_does_not_come() {
    let (one, two) = pair();
    let three = Rig::beside(&two);
    let (relayed, first) = allocate(&one.alice());
    let (early, late) = (two.client(ELSEWHERE, "alice"), three.client(FURTHER, "alice"));
    resume(&early, &first).assert_ok();
    let asked = early.request(Method::CREATE_PERMISSION).peer(addr(PEER)).begin();
    resume(&late, &first).assert_ok();
    late.send(PEER, b"x").assert_dropped(DropReason::NoAllocation);
    assert_eq!(one.hand_over_to(&two), 1);
    asked.answer().assert_error(437);
    assert_eq!(one.hand_over_to(&three), 1);
    late.permit(PEER);
    three.peer_sends(PEER, relayed, b"x").at(&late);
    assert_consistent(&[&one, &two, &three]);
}

//= 8016-3.2.2-retransmission
#[test]
fn a_retransmitted_refresh_during_the_hand_over_neither_moves_nor_fails() {
    let (one, two) = pair();
    let alice = one.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = two.client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    resume(&moved, &first).assert_ok();
    knock(&moved);
    // Asked for.
    resume(&moved, &first).assert_ok();
    knock(&moved);
    assert_eq!(two.world(|world| world.fetches.len()), 1, "asked for once");
    // On its way.
    let (departed, id, client) = one.give_away(&two);
    assert_eq!(resume(&moved, &first).lifetime(), 600);
    knock(&moved);
    two.take_in(&one, departed, id, client);
    // Here.
    assert_eq!(resume(&moved, &first).lifetime(), 600);
    two.peer_sends(PEER, relayed, b"x").at(&moved);
    assert_consistent(&[&one, &two]);
    // And back, with the ticket of the first answer.
    let home = one.alice();
    resume(&home, &second).assert_ok();
    knock(&home);
    two.hand_over_to(&one);
    one.peer_sends(PEER, relayed, b"y").at(&home);
    home.refresh(0).assert_ok();
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn a_client_that_has_moved_on_before_its_allocation_came_gets_it() {
    let (one, two) = pair();
    let three = Rig::beside(&two);
    let (relayed, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    knock(&moved);
    let (departed, id, client) = one.give_away(&two);
    let further = three.client(FURTHER, "alice");
    resume(&further, &second).assert_ok();
    // Nobody has it yet who could be asked.
    knock(&further);
    assert_eq!(three.world(|world| world.fetches.len()), 0);
    two.take_in(&one, departed, id, client);
    moved.permit(PEER);
    two.peer_sends(PEER, relayed, b"x").at(&moved);
    knock(&further);
    two.hand_over_to(&three);
    three.peer_sends(PEER, relayed, b"y").at(&further);
    assert_consistent(&[&one, &two, &three]);
}

#[test]
fn requests_wait_for_the_allocation_and_are_answered_in_their_order() {
    // Over a connection nothing is sent again.
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    let moved = two.stream_client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    let permission = moved.request(Method::CREATE_PERMISSION).peer(addr(PEER)).begin();
    let [high, low] = CHANNEL.to_be_bytes();
    let channel = moved.request(Method::CHANNEL_BIND);
    let channel =
        channel.attribute(T::CHANNEL_NUMBER, &[high, low, 0, 0]).peer(addr(OTHER_PEER)).begin();
    // No more than eight: what is beyond gets no answer.
    for _ in 0..6 {
        moved.request(Method::CREATE_PERMISSION).peer(addr(PEER)).begin();
    }
    let beyond = moved.request(Method::CREATE_PERMISSION).peer(addr(PEER)).outcome();
    beyond.assert_dropped(DropReason::NoAllocation);
    one.hand_over_to(&two);
    permission.answer().assert_ok();
    channel.answer().assert_ok();
    moved.channel_data(CHANNEL, b"x").assert_reaches(OTHER_PEER, b"x");
}

//= 8016-5-long-term
#[test]
fn nobody_makes_shards_talk_without_a_ticket_of_his_own() {
    let (one, two) = pair();
    let (_, hers) = allocate(&one.alice());
    resume(&two.client(ELSEWHERE, "bob"), &hers).assert_error(441);
    let stranger = two.client(ELSEWHERE, "alice").impostor("nobody");
    resume(&stranger, &hers).assert_error(401);
    resume(&two.client(ELSEWHERE, "alice"), &[7; 40]).assert_error(400);
    knock(&two.client(ELSEWHERE, "alice"));
    // On a 5-tuple that waits for her, another user has nothing.
    resume(&two.client(ELSEWHERE, "alice"), &hers).assert_ok();
    two.client(ELSEWHERE, "bob").try_permit(&[PEER]).assert_error(437);
    two.world(|world| assert_eq!((world.fetches.len(), world.releases.len()), (0, 0)));
}

#[test]
fn a_shard_that_has_too_much_to_do_is_asked_again() {
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    two.world(|world| world.busy = true);
    knock(&moved);
    let request = moved.request(Method::CREATE_PERMISSION).peer(addr(PEER)).outcome();
    request.assert_dropped(DropReason::NoAllocation);
    let end = moved.request(Method::REFRESH).attribute(T::MOBILITY_TICKET, &first).lifetime(0);
    end.outcome().assert_dropped(DropReason::NoAllocation);
    assert_eq!(one.shard(|shard| shard.len()), 1);
    two.world(|world| world.busy = false);
    knock(&moved);
    one.hand_over_to(&two);
    moved.permit(PEER);
}

#[test]
fn what_ends_before_the_hand_over_leaves_nothing() {
    let ends: [fn(&Rig); 3] = [
        |one| assert_eq!(one.kick(&Whose::default()), 1),
        |one| one.advance(seconds(601)),
        |one| one.shut_down(),
    ];
    for end in ends {
        let (one, two) = pair();
        let alice = one.alice();
        let (_, first) = allocate(&alice);
        alice.permit(PEER);
        let moved = two.client(ELSEWHERE, "alice");
        resume(&moved, &first).assert_ok();
        let asked = moved.request(Method::CREATE_PERMISSION).peer(addr(PEER)).begin();
        end(&one);
        one.hand_over_to(&two);
        asked.answer().assert_error(437);
        resume(&moved, &first).assert_error(437);
        one.assert_empty();
        two.assert_empty();
        assert_eq!(two.shard(|shard| shard.parts.moves.len()), 0);
    }
}

#[test]
fn a_user_that_is_removed_while_its_allocation_is_on_its_way_loses_it() {
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    let (departed, id, client) = one.give_away(&two);
    for rig in [&one, &two] {
        let bob = credentials(&[("bob", "bob's password")], &[]);
        rig.reload(|_, rules| rules.authenticator = bob);
    }
    two.take_in(&one, departed, id, client);
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn what_ends_on_its_way_leaves_nothing() {
    // Its deadline passes.
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    let (departed, id, client) = one.give_away(&two);
    two.advance(seconds(601));
    two.take_in(&one, departed, id, client);
    two.advance(seconds(0));
    one.advance(seconds(601));
    one.assert_empty();
    two.assert_empty();

    // Nobody takes it: the other worker has ended.
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    let moved = two.client(FURTHER, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    let (departed, ..) = one.give_away(&two);
    assert_eq!(one.used_ports(), 1);
    one.world(|world| world.open.clear());
    drop(departed);
    one.assert_empty();

    // The other has no room for its socket.
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    two.world(|world| world.impossible = vec![taciturn_stun::Family::V4]);
    one.hand_over_to(&two);
    one.assert_empty();
    two.assert_empty();
}

#[test]
fn an_allocation_that_its_client_ends_from_another_shard_ends() {
    let (one, two) = pair();
    let end = |client: &TestClient, ticket: &[u8]| {
        let request = client.request(Method::REFRESH).attribute(T::MOBILITY_TICKET, ticket);
        assert_eq!(request.lifetime(0).send().lifetime(), 0);
    };
    let (_, first) = allocate(&one.alice());
    let moved = two.client(ELSEWHERE, "alice");
    end(&moved, &first);
    resume(&moved, &first).assert_error(437);
    one.hear(&two);
    one.assert_empty();

    // While it is asked for, and on its way.
    let rounds = [(true, false), (false, false), (false, true)];
    for (port, (release_first, by_owner)) in (2000..).zip(rounds) {
        let three = Rig::beside(&two);
        let moved = two.client(&format!("198.51.100.9:{port}"), "alice");
        let (_, first) = allocate(&one.alice());
        let second = ticket(&resume(&moved, &first));
        knock(&moved);
        let gone = (!release_first).then(|| one.give_away(&two));
        match gone {
            None => {
                end(&three.client(FURTHER, "alice"), &first);
                one.hear(&three);
                one.hand_over_to(&two);
            }
            Some((departed, id, client)) => {
                // On its way: the ticket before is spent.
                let other = if by_owner { moved } else { three.client(FURTHER, "alice") };
                if !by_owner {
                    resume(&other, &first).assert_error(400);
                }
                end(&other, &second);
                two.hear(&three);
                two.take_in(&one, departed, id, client);
            }
        }
        one.assert_empty();
        two.assert_empty();
    }
}

#[test]
fn a_server_that_drains_lets_running_calls_move() {
    let (one, two) = pair();
    let (_, first) = allocate(&one.alice());
    one.drain(true);
    two.drain(true);
    two.retire_listener(0, true);
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    one.hand_over_to(&two);
    moved.permit(PEER);
    // The listener is closed, with what is on it and what was to come.
    let (_, first) = {
        one.drain(false);
        allocate(&one.bob())
    };
    let late = two.client(FURTHER, "bob");
    resume(&late, &first).assert_ok();
    two.close_listener(0);
    assert_eq!(two.shard(|shard| (shard.len(), shard.parts.moves.len())), (0, 0));
    assert_eq!(one.shard(|shard| shard.len()), 1);
}

#[test]
fn the_peer_rules_of_the_other_shard_hold() {
    // A reload has come to one shard, and not yet to the other.
    let (one, two) = pair();
    let alice = one.alice();
    let (relayed, first) = allocate(&alice);
    alice.bind(CHANNEL, PEER);
    two.deny_everybody();
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    one.hand_over_to(&two);
    two.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    moved.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    assert_consistent(&[&one, &two]);
}

#[test]
fn streams_and_dtls_move_as_udp_does() {
    let (one, two) = pair();
    for (n, from) in ["udp", "tcp", "dtls"].into_iter().enumerate() {
        for to in ["udp", "tcp", "dtls"] {
            let client = |rig: &Rig, kind, at| match kind {
                "tcp" => rig.stream_client(at, "alice"),
                "dtls" => rig.dtls_client(at, "alice"),
                _ => rig.client(at, "alice"),
            };
            let alice = client(&one, from, "192.0.2.1:1001");
            let (relayed, first) = allocate(&alice);
            alice.permit(PEER);
            let moved = client(&two, to, &format!("198.51.100.9:{}", 7000 + n));
            resume(&moved, &first).assert_ok();
            knock(&moved);
            one.hand_over_to(&two);
            two.peer_sends(PEER, relayed, b"x").at(&moved);
            assert_eq!(two.sessions(&Whose::default())[0].carrier.name(), to);
            // The end of the old connection does nothing to it any more.
            one.hang_up(&alice);
            two.peer_sends(PEER, relayed, b"y").at(&moved);
            moved.refresh(0).assert_ok();
            one.assert_empty();
            two.assert_empty();
        }
    }
}

//= 8016-3.2.2-old-connection-closed
#[test]
fn when_the_old_connection_closes_the_other_shard_is_told() {
    let (one, two) = pair();
    let alice = one.stream_client("192.0.2.1:1001", "alice");
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    one.hang_up(&alice);
    two.hear(&one);
    one.hand_over_to(&two);
    two.peer_sends(PEER, relayed, b"x").at(&moved);
    assert_consistent(&[&one, &two]);
}

#[test]
fn a_connection_that_closes_while_its_allocation_comes_leaves_it_waiting() {
    let (one, two) = pair();
    let (relayed, first) = allocate(&one.alice());
    let moved = two.stream_client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    knock(&moved);
    let (departed, id, client) = one.give_away(&two);
    two.hang_up(&moved);
    two.take_in(&one, departed, id, client);
    assert_consistent(&[&one, &two]);
    two.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoAllocation);
    let back = one.client(FURTHER, "alice");
    resume(&back, &second).assert_ok();
    knock(&back);
    two.hand_over_to(&one);
    back.permit(PEER);
    one.peer_sends(PEER, relayed, b"x").at(&back);
    assert_consistent(&[&one, &two]);
}

#[test]
fn a_connection_that_closes_before_its_allocation_comes_leaves_it_where_it_was() {
    let (one, two) = pair();
    let alice = one.alice();
    let (relayed, first) = allocate(&alice);
    alice.permit(PEER);
    let moved = two.stream_client(ELSEWHERE, "alice");
    let second = ticket(&resume(&moved, &first));
    knock(&moved);
    two.hang_up(&moved);
    one.hand_over_to(&two);
    one.peer_sends(PEER, relayed, b"x").at(&alice);
    // The client goes on with the ticket that it was given last.
    let further = two.client(FURTHER, "alice");
    resume(&further, &second).assert_ok();
    knock(&further);
    one.hand_over_to(&two);
    two.peer_sends(PEER, relayed, b"y").at(&further);
    assert_consistent(&[&one, &two]);
}

#[test]
fn own_relays_reach_each_other_after_a_move() {
    let (one, two) = pair();
    let (alice, bob) = (one.alice(), one.bob());
    let ((hers, first), (his, _)) = (allocate(&alice), allocate(&bob));
    alice.permit(&his.to_string());
    bob.permit(&hers.to_string());
    // On one shard: straight to the client.
    bob.send(&hers.to_string(), b"1").at(&alice);
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    moved.send(&his.to_string(), b"2").assert_dropped(DropReason::NoAllocation);
    one.hand_over_to(&two);
    // On two: by the relay sockets.
    bob.send(&hers.to_string(), b"3").assert_reaches(&hers.to_string(), b"3");
    two.socket_receives(his, hers, b"3").at(&moved);
    moved.send(&his.to_string(), b"4").assert_reaches(&his.to_string(), b"4");
    one.socket_receives(hers, his, b"4").at(&bob);
    assert_consistent(&[&one, &two]);
}

#[test]
fn a_reserved_port_is_had_after_a_move() {
    let (one, two) = pair();
    let alice = one.alice();
    let answer = alice.allocation();
    let answer = answer.attribute(T::EVEN_PORT, &[0x80]).attribute(T::MOBILITY_TICKET, b"").send();
    let first = ticket(&answer);
    let token = answer.message().find(T::RESERVATION_TOKEN).expect("a token").to_vec();
    let moved = two.client(ELSEWHERE, "alice");
    resume(&moved, &first).assert_ok();
    knock(&moved);
    one.hand_over_to(&two);
    let other = two.client(FURTHER, "alice");
    let next = other.allocation().attribute(T::RESERVATION_TOKEN, &token).send().relayed();
    assert_eq!(next.port(), answer.relayed().port() + 1);
}

#[test]
fn five_tuples_that_nothing_comes_to_any_more_are_forgotten() {
    let (one, two) = pair();
    for n in 0..1000 {
        let alice = one.alice();
        let (_, first) = allocate(&alice);
        let moved = two.client(&format!("198.51.100.9:{}", 1000 + n), "alice");
        resume(&moved, &first).assert_ok();
        alice.refresh(0).assert_ok();
        // The ports rest for a while.
        one.advance(seconds(120));
        two.oversleep(seconds(120));
    }
    assert!(two.shard(|shard| shard.parts.moves.len()) <= 64);
    one.assert_empty();
}
