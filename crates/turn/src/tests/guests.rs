//! Guests, who try out a call with a link of the operator's: what their credential is worth, and what it is not.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::restart::Restart;
use super::rig::udp;
use super::setup::Setup;
use super::*;
use crate::{DropReason, EndReason, Guest, NewGuest, Rules, SeenBy, Traffic};
use taciturn_stun::AttributeType as T;

/// A server whose operator allows users what guests may not have: a network, and a port beside the server.
fn generous() -> Rig {
    Rig::with(|setup: &mut Setup| {
        setup.allow = &["198.51.100.0/24"];
        setup.allow_ports = &[("203.0.113.7/32", "22"), ("203.0.113.7/32", "50000-50099")];
        setup.tcp_relay = true;
        setup.mobility = true;
    })
}

fn rules(rig: &Rig) -> Rules {
    rig.shard(|shard| shard.parts.rules.clone())
}

fn admit(rig: &Rig, name: &str) -> Option<Arc<Guest>> {
    let password = Zeroizing::new(format!("{name}'s password"));
    rules(rig).guests.admit(NewGuest { name: name.to_owned(), password }, rig.now().unix)
}

fn guest(rig: &Rig, from: &str, name: &str) -> (TestClient, Arc<Guest>) {
    let guest = admit(rig, name).expect("a place");
    (TestClient::new(rig.clone(), udp(from), name, &format!("{name}'s password")), guest)
}

/// Two guests, each with a relayed address.
fn two(rig: &Rig) -> [(TestClient, String); 2] {
    [("192.0.2.8:1008", "test-one"), ("192.0.2.9:1009", "test-two")].map(|(from, name)| {
        let (client, _) = guest(rig, from, name);
        let relayed = client.allocate().to_string();
        (client, relayed)
    })
}

#[test]
fn no_channel_of_a_guest_is_announced_to_another_data_path() {
    let rig = generous();
    let [(one, of_one), (two, of_two)] = two(&rig);
    one.bind(CHANNEL, &of_two);
    two.bind(CHANNEL, &of_one);
    assert!(rig.world(|world| world.channels.is_empty()));
}

#[test]
fn a_leaked_guest_reaches_no_host_whatever_users_may() {
    let rig = generous();
    let (client, _) = guest(&rig, "192.0.2.8:1008", "test-one");
    client.allocate();
    let alice = rig.alice();
    alice.allocate();
    for peer in [PEER, OTHER_PEER, "198.51.100.9:4000", "10.0.0.1:80", "127.0.0.1:80", "0.0.0.0:1"]
    {
        client.try_permit(&[peer]).assert_error(403);
        client.try_bind(CHANNEL, peer).assert_error(403);
        client.send(peer, b"x").assert_dropped(DropReason::NoPermission);
    }
    client.allocation().attribute(T::RESERVATION_TOKEN, &[1; 8]).send().assert_error(437);
    alice.permit(PEER);
    alice.permit("198.51.100.9:4000");
    alice.bind(CHANNEL, "203.0.113.7:22");
}

#[test]
fn a_leaked_guest_reaches_no_port_beside_the_server() {
    let rig = generous();
    let (client, _) = guest(&rig, "192.0.2.8:1008", "test-one");
    let own = client.allocate();
    // Permissions are for addresses, and this one has relayed addresses of guests.
    client.permit(&own.to_string());
    let idle = (50_000..50_099).find(|port| *port != own.port()).unwrap();
    for port in [22, 80, 3478, idle] {
        let beside = format!("203.0.113.7:{port}");
        client.try_bind(CHANNEL, &beside).assert_error(403);
        client.send(&beside, b"x").assert_dropped(DropReason::NoPermission);
        rig.peer_sends(&beside, own, b"x").assert_dropped(DropReason::NoPermission);
    }
}

#[test]
fn what_comes_to_a_guest_from_outside_goes_no_further_and_tells_that_its_port_is_open() {
    let rig = generous();
    let [(one, a), (two, b)] = two(&rig);
    let guest = rules(&rig).guests.seen("test-one").unwrap();
    assert_eq!(guest.outside, 0);
    one.permit(&b);
    two.permit(&a);
    two.send(&a, b"of a guest").at(&one);
    for _ in 0..3 {
        rig.peer_sends(PEER, addr(&a), b"x").assert_dropped(DropReason::NoPermission);
    }
    let seen = ["test-one", "test-two"].map(|name| rules(&rig).guests.seen(name).unwrap().outside);
    assert_eq!(seen, [3, 0]);
}

#[test]
fn a_leaked_guest_reaches_no_call_of_a_user_and_no_user_a_guest() {
    let rig = generous();
    let (client, _) = guest(&rig, "192.0.2.8:1008", "test-one");
    let alice = rig.alice();
    let (own, hers) = (client.allocate().to_string(), alice.allocate().to_string());
    client.permit(&hers);
    client.try_bind(CHANNEL, &hers).assert_error(403);
    client.send(&hers, b"x").assert_dropped(DropReason::NoPermission);
    alice.permit(&own);
    alice.bind(CHANNEL, &own);
    alice.send(&own, b"x").assert_dropped(DropReason::NoPermission);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoPermission);
}

#[test]
fn a_channel_to_a_guest_that_has_ended_leads_nowhere() {
    let rig = generous();
    let [(one, _), (two, b)] = two(&rig);
    one.bind(CHANNEL, &b);
    two.refresh(0).assert_ok();
    // Its port may be a user's now, or one that the operator allows to users.
    one.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoPermission);
    one.try_bind(CHANNEL, &b).assert_error(403);
}

#[test]
fn two_guests_meet() {
    let rig = Rig::new();
    let [(one, a), (two, b)] = two(&rig);
    one.permit(&b);
    two.permit(&a);
    assert_eq!(one.send(&b, b"hello").at(&two), Received::data(&a, b"hello"));
    two.bind(CHANNEL, &a);
    assert_eq!(two.channel_data(CHANNEL, b"too").at(&one), Received::data(&b, b"too"));
}

#[test]
fn two_guests_of_two_shards_meet() {
    let first = Rig::new();
    let second = Rig::beside(&first);
    let (one, _) = guest(&first, "192.0.2.8:1008", "test-one");
    let (two, _) = guest(&second, "192.0.2.9:1009", "test-two");
    let (a, b) = (one.allocate(), two.allocate());
    one.bind(CHANNEL, &b.to_string());
    two.permit(&a.to_string());
    let Outcome::ToPeer { from, data, .. } = one.channel_data(CHANNEL, b"across") else { panic!() };
    let received = second.socket_receives(from, b, &data).at(&two);
    assert_eq!(received, Received::data(&a.to_string(), b"across"));
}

#[test]
fn a_guest_ends_after_ten_minutes_with_all_that_it_has() {
    let rig = Rig::new();
    let (client, _) = guest(&rig, "192.0.2.8:1008", "test-one");
    assert_eq!(client.allocation().lifetime(3600).send().lifetime(), 600);
    rig.advance(seconds(400));
    assert_eq!(client.refresh(3600).lifetime(), 200);
    rig.advance(seconds(200));
    rig.assert_empty();
    client.allocation().send().assert_error(401);
    let (other, _) = guest(&rig, "192.0.2.9:1009", "test-two");
    rules(&rig).guests.end("test-two");
    other.allocation().send().assert_error(401);
}

#[test]
fn a_guest_holds_eight_allocations_and_makes_sixty_four() {
    let rig = Rig::new();
    let (_, guest) = guest(&rig, "192.0.2.8:1008", "test-one");
    let client = |port| {
        TestClient::new(
            rig.clone(),
            udp(&format!("192.0.2.8:{port}")),
            "test-one",
            "test-one's password",
        )
    };
    let held: Vec<_> = (1..=8).map(client).collect();
    held.iter().for_each(|client| assert_eq!(client.allocate().port() / 100, 500));
    client(9).allocation().send().assert_error(486);
    assert!(guest.seen().quota);
    held[0].refresh(0).assert_ok();
    for port in 9..=64 {
        let another = client(port);
        another.allocate();
        another.refresh(0).assert_ok();
    }
    client(65).allocation().send().assert_error(486);
}

#[test]
fn a_guest_relays_256_kib_a_second_whatever_users_may() {
    let rig = Rig::new();
    let [(one, a), (two, b)] = two(&rig);
    one.bind(CHANNEL, &b);
    two.bind(CHANNEL, &a);
    let passed = |_: &usize| match one.channel_data(CHANNEL, &[7; 1024]) {
        Outcome::Dropped(why) => {
            assert_eq!(why, DropReason::UserRate);
            false
        }
        _ => true,
    };
    assert_eq!((0..1000).filter(passed).count(), 256);
    rig.advance(seconds(1));
    assert_eq!((0..1000).filter(passed).count(), 256);
    // Others are not held back by it.
    let (alice, bob) = (rig.alice(), rig.bob());
    let (c, d) = (alice.allocate().to_string(), bob.allocate().to_string());
    alice.bind(CHANNEL, &d);
    bob.permit(&c);
    assert!(
        (0..1000)
            .all(|_| matches!(alice.channel_data(CHANNEL, &[7; 1024]), Outcome::ToClient { .. }))
    );
}

#[test]
fn a_guest_has_neither_tcp_allocations_nor_mobile_ones() {
    let rig = generous();
    admit(&rig, "test-one").unwrap();
    let at = rig.tcp_client(1008, "").at;
    let client = TestClient::new(rig.clone(), at, "test-one", "test-one's password");
    client.tcp_allocation().send().assert_error(442);
    client.allocation().attribute(T::MOBILITY_TICKET, &[]).send().assert_ok();
    assert_eq!(rules(&rig).mobile.last(), 0, "none is registered");
}

#[test]
fn there_are_as_many_guests_as_may_be() {
    let rig = Rig::new();
    for number in 0..crate::GUESTS {
        assert!(admit(&rig, &format!("test-{number}")).is_some());
    }
    assert!(admit(&rig, "test-more").is_none());
    rig.advance(seconds(600));
    assert!(admit(&rig, "test-more").is_some());
    assert_eq!(rules(&rig).guests.number(), 1);
}

#[test]
fn a_guest_is_found_by_the_hash_of_its_name_too() {
    let rig = Rig::with(|setup| setup.shared_secret = false);
    admit(&rig, "test-one").unwrap();
    let at = rig.stream_client("192.0.2.8:1008", "").at;
    let client = TestClient::new(rig.clone(), at, "test-one", "test-one's password");
    client.hashed.set(true);
    client.sha256.set(true);
    client.allocate();
}

#[test]
fn nothing_of_a_guest_goes_to_another_process() {
    let rig = Rig::new();
    let [(one, _), _] = two(&rig);
    rig.alice().allocate();
    let (then, restored) = Restart::default().of_one(&rig);
    assert_eq!(restored.allocations, 1, "{restored:?}");
    assert_eq!(restored.left_out.iter().sum::<usize>(), 0, "{restored:?}");
    one.of(&then).refresh(600).assert_error(401);
}

#[test]
fn a_reload_leaves_guests_what_they_have_and_no_more() {
    let rig = Rig::new();
    let [(one, a), (two, b)] = two(&rig);
    one.permit(&b);
    two.permit(&a);
    let peers =
        crate::policy::PeerPolicy::new(vec!["0.0.0.0/0".parse().unwrap()], Vec::new(), Vec::new());
    rig.reload(|_, rules| rules.peers = Arc::new(peers));
    assert_eq!(one.send(&b, b"still").at(&two), Received::data(&a, b"still"));
    one.try_permit(&[PEER]).assert_error(403);
}

#[test]
fn what_was_seen_of_a_guest_tells_why_a_call_fails() {
    let rig = Rig::new();
    let (one, seen_of_one) = guest(&rig, "192.0.2.8:1008", "test-one");
    let (two, _) = guest(&rig, "192.0.2.9:1009", "test-two");
    let nothing = seen_of_one.seen();
    assert_eq!(nothing.by, [SeenBy::default(); 4]);
    let (a, b) = (one.allocate().to_string(), two.allocate().to_string());
    one.permit(&b);
    two.permit(&a);
    one.send(&b, b"12345").at(&two);
    two.send(&a, b"123").at(&one);
    one.refresh(0).assert_ok();
    let [udp, tcp, ..] = seen_of_one.seen().by;
    let relayed = Traffic {
        packets_to_peers: 1,
        bytes_to_peers: 5,
        packets_to_client: 1,
        bytes_to_client: 3,
    };
    assert_eq!((udp.allocations, udp.traffic, tcp), (1, relayed, SeenBy::default()));
    assert!(udp.requests >= 1 && udp.address == Some("192.0.2.8".parse().unwrap()));
    TestClient::new(rig.clone(), one.at, "test-one", "a guess")
        .allocation()
        .send()
        .assert_error(401);
    assert_eq!(seen_of_one.seen().wrong, 1);
    rig.drain(true);
    one.allocation().send().assert_error(508);
    assert!(seen_of_one.seen().draining);
    let ended = rig
        .events()
        .into_iter()
        .any(|event| matches!(event, Happened::Ended { reason: EndReason::Released, .. }));
    assert!(ended);
}
