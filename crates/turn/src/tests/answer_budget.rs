//! What sources get that have proven nothing, and those that guess.

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Class, Method, TransactionId, Writer};

fn request(method: Method, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 500];
    let tid = TransactionId(*b"a stranger's");
    let mut writer = Writer::new(&mut buffer, Class::Request, method, tid);
    write(&mut writer);
    let len = writer.finish().unwrap();
    buffer[..len].to_vec()
}

fn allocate() -> Vec<u8> {
    request(Method::ALLOCATE, |writer| {
        writer.requested_transport(17);
    })
}

/// With the integrity of nobody, and a nonce of nobody's.
fn forged() -> Vec<u8> {
    request(Method::REFRESH, |writer| {
        writer.attribute(T::USERNAME, b"alice");
        writer.attribute(T::REALM, b"example.org");
        writer.attribute(T::NONCE, b"0123456789abcdef");
        writer.integrity(&taciturn_stun::LongTermKey::md5([7; 16]));
    })
}

fn answered(client: &TestClient, packet: &[u8], tries: usize) -> usize {
    let outcomes = (0..tries).map(|_| client.raw(packet));
    outcomes
        .filter(|outcome| match outcome {
            Outcome::Reply(_) => true,
            Outcome::Dropped(DropReason::Withheld) => false,
            other => panic!("{other:?}"),
        })
        .count()
}

#[test]
fn a_stranger_gets_its_budget_and_then_silence_whatever_it_asks() {
    let binding = request(Method::BINDING, |_| {});
    for packet in [binding, allocate(), forged()] {
        let rig = Rig::with(|setup| setup.answers = (20, 0));
        let stranger = rig.alice();
        assert_eq!(answered(&stranger, &packet, 1000), 60);
        rig.advance(seconds(1));
        assert_eq!(answered(&stranger, &packet, 1000), 20);
    }
}

#[test]
fn ports_of_one_address_share_a_budget_and_other_addresses_have_theirs() {
    let rig = Rig::with(|setup| setup.answers = (1, 0));
    let asks = |from: &str| answered(&rig.client(from, "alice"), &allocate(), 10);
    assert_eq!(asks("192.0.2.1:1000"), 3);
    assert_eq!(asks("192.0.2.1:2000"), 0);
    assert_eq!(asks("192.0.2.2:1000"), 3);
}

#[test]
fn who_has_a_nonce_is_no_stranger() {
    let rig = Rig::with(|setup| setup.answers = (1, 0));
    let alice = rig.alice();
    alice.allocate();
    answered(&alice, &allocate(), 10);
    for _ in 0..50 {
        alice.refresh(600).assert_ok();
        alice.permit(PEER);
    }
    let binding = request(Method::BINDING, |_| {});
    assert_eq!(answered(&alice, &binding, 50), 50, "nor is who has an allocation");
}

#[test]
fn a_flood_of_strangers_does_not_stop_who_has_a_nonce() {
    let rig = Rig::with(|setup| setup.answers = (20, 100));
    let alice = rig.alice();
    alice.allocate();
    for n in 0..400 {
        answered(&rig.client(&format!("198.18.{}.{}:9", n / 200, n % 200), "bob"), &allocate(), 1);
    }
    assert_eq!(answered(&rig.bob(), &allocate(), 1), 0, "the budget of all is spent");
    alice.refresh(600).assert_ok();
}

#[test]
fn connections_prove_their_address() {
    let rig = Rig::with(|setup| setup.answers = (20, 1));
    let client = rig.tcp_client(7, "alice");
    assert_eq!(answered(&client, &allocate(), 50), 50);
}

#[test]
fn from_this_host_everybody_may_fail_for_a_proxy_may_stand_before_them() {
    let rig = Rig::with(|setup| setup.failures = 1);
    let mallory = rig.client("127.0.0.1:3", "mallory");
    for _ in 0..50 {
        mallory.allocation().send().assert_error(401);
    }
    rig.client("127.0.0.1:4", "bob").allocate();
}

/// How many of so many tries are judged: the others are dropped.
fn judged(client: &TestClient, tries: usize) -> usize {
    let asked = client.allocation().bytes();
    let outcomes = (0..tries).map(|_| client.raw(&asked));
    outcomes
        .filter(|outcome| match outcome {
            Outcome::Reply(_) => true,
            Outcome::Dropped(DropReason::WrongCredentials) => false,
            other => panic!("{other:?}"),
        })
        .count()
}

/// A client that has a nonce, and a password of its user's own making.
fn challenged(client: TestClient) -> TestClient {
    client.nonce.replace(client.allocation().once().nonce());
    client
}

//= 8489-16-rfc7616-5
#[test]
fn who_guesses_is_heard_no_more_and_its_neighbours_are() {
    let rig = Rig::with(|setup| setup.failures = 2);
    let at = |port: u16, user: &str| rig.client(&format!("192.0.2.1:{port}"), user);
    let (alice, bob) = (at(1, "alice"), at(2, "bob"));
    alice.allocate();
    let guessing = challenged(at(3, "mallory"));
    assert_eq!(judged(&guessing, 1000), 6, "of one port");
    assert_eq!(rig.events().len(), 1 + 6, "each is told");
    bob.allocate();
    alice.refresh(600).assert_ok();
    rig.advance(seconds(10));
    assert_eq!(judged(&guessing, 1000), 1);
    bob.refresh(0).assert_ok();
}

#[test]
fn all_ports_of_a_source_together_have_a_bound_and_sessions_that_run_have_none() {
    let rig = Rig::with(|setup| setup.failures = 2);
    let at = |port: u16, user: &str| rig.client(&format!("192.0.2.1:{port}"), user);
    let alice = at(1, "alice");
    alice.allocate();
    let all: usize = (100..200).map(|port| judged(&challenged(at(port, "mallory")), 10)).sum();
    assert!(
        (12..=18).contains(&all),
        "{all}: 12 of ports that have not failed, 6 of those that have"
    );
    let bob = challenged(at(2, "bob"));
    assert_eq!(judged(&bob, 5), 0, "there is no telling who guesses");
    alice.refresh(600).assert_ok();
    // Nor is who has a session let guess.
    let impostor = alice.impostor("bob");
    impostor.nonce.replace(alice.nonce.borrow().clone());
    assert_eq!(judged(&impostor, 5), 0);
    let elsewhere = rig.client("192.0.2.2:1", "bob");
    elsewhere.allocate();
    rig.advance(seconds(3));
    bob.allocate();
}

#[test]
fn guesses_count_alike_over_whatever_they_come() {
    for via in 0..3 {
        let rig = Rig::with(|setup| setup.failures = 2);
        let guessing = challenged(match via {
            0 => rig.client("192.0.2.1:7", "mallory"),
            1 => rig.tcp_client(7, "mallory"),
            _ => rig.dtls_client("192.0.2.1:7", "mallory"),
        });
        assert_eq!(judged(&guessing, 1000), 6);
        assert_eq!(rig.events().len(), 6);
    }
}

#[test]
fn a_connection_without_a_login_has_a_budget_and_its_neighbours_have_theirs() {
    let rig = Rig::with(|setup| setup.answers = (20, 1));
    for packet in [request(Method::BINDING, |_| {}), allocate(), forged()] {
        rig.advance(seconds(10));
        let flood = rig.tcp_client(7, "alice");
        assert_eq!(answered(&flood, &packet, 1000), 60);
        assert_eq!(answered(&rig.tcp_client(8, "alice"), &packet, 5), 5);
        rig.advance(seconds(1));
        assert_eq!(answered(&flood, &packet, 1000), 20);
        let others = (100..200).map(|n| answered(&rig.tcp_client(n, "alice"), &packet, 60));
        let others: usize = others.sum();
        assert!((400..=600).contains(&others), "{others}");
    }
}

#[test]
fn who_sends_in_the_name_of_a_session_gets_fifty_answers_a_second() {
    let rig = Rig::with(|setup| setup.answers = (20, 10));
    let alice = rig.alice();
    alice.allocate();
    // The budget of strangers is spent, which is nothing to her.
    for n in 0..100 {
        answered(&rig.client(&format!("198.18.0.{n}:9"), "bob"), &allocate(), 1);
    }
    for packet in [request(Method::BINDING, |_| {}), allocate(), forged()] {
        rig.advance(seconds(3));
        assert_eq!(answered(&alice, &packet, 1000), 150);
        rig.advance(seconds(1));
        assert_eq!(answered(&alice, &packet, 1000), 50);
        alice.refresh(600).assert_ok();
    }
}

/// How many of 5,000 requests at one moment are answered.
fn served(client: &TestClient) -> usize {
    let is_answered =
        |_: &usize| matches!(client.request(Method::REFRESH).outcome(), Outcome::Reply(_));
    (0..5000).filter(is_answered).count()
}

#[test]
fn a_client_has_a_thousand_requests_a_second_judged_and_its_neighbours_theirs() {
    let rig = Rig::new();
    let (alice, second) = (rig.alice(), rig.client("192.0.2.1:2", "alice"));
    alice.allocate();
    alice.bind(CHANNEL, PEER);
    // A hundred peers at once, each with a permission and a channel, are not near it.
    for n in 0..100 {
        alice.try_permit(&[&format!("8.8.4.{n}:1")]).assert_ok();
        alice.refresh(600).assert_ok();
    }
    let first = served(&alice);
    assert!((2700..3000).contains(&first), "{first}");
    assert_eq!(served(&alice), 0);
    let dropped = rig.shard(|shard| shard.statistics().dropped[DropReason::RequestRate as usize]);
    assert_eq!(dropped, 10_000 - first as u64);
    // Data pass, and so do the requests of others, of the same user as well.
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    second.allocate();
    rig.bob().allocate();
    rig.advance(seconds(1));
    assert_eq!(served(&alice), 1000);
}

#[test]
fn a_client_without_an_allocation_has_a_thousand_requests_a_second_judged() {
    let rig = Rig::new();
    let alice = rig.alice();
    // Each costs an HMAC all the same.
    alice.refresh(600).assert_error(437);
    let first = served(&alice);
    assert!((2990..=3000).contains(&first), "{first}");
    assert_eq!(served(&alice), 0);
    rig.bob().allocate();
    rig.advance(seconds(1));
    assert_eq!(served(&alice), 1000);
}
