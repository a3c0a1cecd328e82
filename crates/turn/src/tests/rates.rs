//! What one allocation, one user, and all together may relay in a second.

use super::*;
use crate::DropReason;
use crate::policy::{Counted, Exceeded, Rates, Scope};

/// Ten packets of this size are a limit of 10,000 bytes.
const PACKET: [u8; 1000] = [7; 1000];

pub(super) fn limited(set: impl FnOnce(&mut Rates)) -> Rig {
    Rig::with(|setup| set(&mut setup.rates))
}

/// A client with an allocation and a channel to `PEER`; its relayed address.
fn ready(client: TestClient) -> (TestClient, SocketAddr) {
    let relayed = client.allocate();
    client.bind(CHANNEL, PEER);
    (client, relayed)
}

/// How many of thirty packets reach the peer; all others are dropped for this reason.
#[track_caller]
fn sent(client: &TestClient, reason: DropReason) -> usize {
    let passed = |_: &usize| match client.channel_data(CHANNEL, &PACKET) {
        Outcome::Dropped(why) => {
            assert_eq!(why, reason);
            false
        }
        outcome => {
            outcome.assert_reaches(PEER, &PACKET);
            true
        }
    };
    (0..30).filter(passed).count()
}

/// How many of thirty packets of the peer reach the client.
fn received(rig: &Rig, relayed: SocketAddr) -> usize {
    let passes =
        |_: &usize| matches!(rig.peer_sends(PEER, relayed, &PACKET), Outcome::ToClient { .. });
    (0..30).filter(passes).count()
}

/// The lines of the log about packets that were held back.
fn held_back(rig: &Rig) -> Vec<(String, Exceeded, u64)> {
    let of = |event| match event {
        Happened::HeldBack { username, exceeded, packets } => Some((username, exceeded, packets)),
        _ => None,
    };
    rig.events().into_iter().filter_map(of).collect()
}

/// The operator changes the rates.
pub(super) fn reload_rates(rig: &Rig, set: impl FnOnce(&mut Rates)) {
    let mut rates = Rates::default();
    set(&mut rates);
    // As net::Shared::renewed does.
    rig.reload(|_, rules| rules.rates.set(rates));
}

#[test]
fn bytes_per_second_per_allocation_holds_in_each_direction() {
    let rig = limited(|rates| rates.bytes.allocation = 10_000);
    let ((alice, relayed), (second, _)) =
        (ready(rig.alice()), ready(rig.client("192.0.2.1:2", "alice")));
    assert_eq!(sent(&alice, DropReason::AllocationRate), 10);
    assert_eq!(received(&rig, relayed), 10);
    assert_eq!(sent(&second, DropReason::AllocationRate), 10, "another allocation of hers");
    rig.advance(seconds(1));
    assert_eq!(sent(&alice, DropReason::AllocationRate), 10);
    let dropped = rig.shard(|shard| shard.statistics().dropped);
    assert_eq!(dropped[DropReason::AllocationRate as usize], 4 * 20);
    alice.refresh(600).assert_ok();
    alice.refresh(0).assert_ok();
    second.refresh(0).assert_ok();
    rig.assert_empty();
}

//= 8656-5-bandwidth
#[test]
fn bytes_per_second_per_user_holds_over_allocations_and_shards() {
    let rig = limited(|rates| rates.bytes.user = 10_000);
    let beside = Rig::beside(&rig);
    let (alice, _) = ready(rig.alice());
    let (elsewhere, _) = ready(beside.client("192.0.2.1:2", "alice"));
    let (bob, _) = ready(rig.bob());
    assert_eq!(sent(&alice, DropReason::UserRate), 10);
    assert_eq!(sent(&elsewhere, DropReason::UserRate), 0);
    assert_eq!(sent(&bob, DropReason::UserRate), 10);
    // The name behind the expiry is one user, whatever the credential.
    let carol = ready(rig.rest_client("192.0.2.3:1", "carol", 100)).0;
    let again = ready(rig.rest_client("192.0.2.3:2", "carol", 200)).0;
    assert_eq!(sent(&carol, DropReason::UserRate), 10);
    assert_eq!(sent(&again, DropReason::UserRate), 0);
}

#[test]
fn bytes_per_second_holds_in_all() {
    let rig = limited(|rates| rates.bytes.in_all = 10_000);
    let beside = Rig::beside(&rig);
    let ((alice, _), (bob, _)) = (ready(rig.alice()), ready(beside.bob()));
    assert_eq!(sent(&alice, DropReason::TotalRate), 10);
    assert_eq!(sent(&bob, DropReason::TotalRate), 0);
    rig.advance(seconds(1));
    beside.advance(seconds(1));
    assert_eq!(sent(&bob, DropReason::TotalRate), 10);
}

#[test]
fn packets_per_second_hold_for_each_scope() {
    for (scope, reason) in [DropReason::AllocationRate, DropReason::UserRate, DropReason::TotalRate]
        .into_iter()
        .enumerate()
    {
        let rig = limited(|rates| {
            let each = &mut rates.packets;
            *[&mut each.allocation, &mut each.user, &mut each.in_all][scope] = 7;
        });
        let ((alice, relayed), (second, _), (bob, _)) =
            (ready(rig.alice()), ready(rig.client("192.0.2.1:2", "alice")), ready(rig.bob()));
        let passed = [&alice, &second, &bob].map(|client| sent(client, reason));
        assert_eq!(passed, [[7, 7, 7], [7, 0, 7], [7, 0, 0]][scope], "{reason:?}");
        assert_eq!(received(&rig, relayed), 7, "{reason:?}");
    }
}

#[test]
fn clients_over_tcp_and_dtls_have_the_same_limits() {
    let rig = limited(|rates| rates.bytes.allocation = 10_000);
    for client in
        [rig.stream_client("192.0.2.1:1", "alice"), rig.dtls_client("192.0.2.1:2", "alice")]
    {
        let (client, relayed) = ready(client);
        assert_eq!(sent(&client, DropReason::AllocationRate), 10);
        assert_eq!(received(&rig, relayed), 10);
    }
}

#[test]
fn two_users_of_one_relay_have_a_limit_each() {
    let rig = limited(|rates| rates.packets.user = 5);
    let (alice, bob) = (rig.alice(), rig.bob());
    let (a, b) = (alice.allocate(), bob.allocate());
    alice.bind(CHANNEL, &b.to_string());
    bob.bind(CHANNEL, &a.to_string());
    bob.permit(PEER);
    // Three packets from elsewhere leave Bob room for two of Alice's.
    for _ in 0..3 {
        rig.peer_sends(PEER, b, b"x").at(&bob);
    }
    for _ in 0..2 {
        alice.channel_data(CHANNEL, b"x").at(&bob);
    }
    for _ in 0..3 {
        alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::UserRate);
    }
    let of = |username: &str| {
        (username.to_owned(), Exceeded { scope: Scope::User, counted: Counted::Packets }, 1)
    };
    assert_eq!(held_back(&rig), [of("bob")]);
    // Alice has sent all five of hers.
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::UserRate);
    assert_eq!(held_back(&rig), [of("alice")]);
}

#[test]
fn what_is_dropped_for_another_reason_costs_nothing() {
    let rig = limited(|rates| {
        rates.packets.allocation = 5;
        rates.packets.in_all = 5;
    });
    let (alice, relayed) = ready(rig.alice());
    for _ in 0..50 {
        rig.peer_sends(OTHER_PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
        alice.channel_data(CHANNEL + 1, b"x").assert_dropped(DropReason::NoChannel);
        alice.send(OTHER_PEER, b"x").assert_dropped(DropReason::NoPermission);
        alice.send("203.0.113.7:3478", b"x").assert_dropped(DropReason::NoPermission);
    }
    assert_eq!((sent(&alice, DropReason::AllocationRate), received(&rig, relayed)), (5, 5));
}

#[test]
fn dropped_data_are_not_counted_as_relayed() {
    let rig = limited(|rates| rates.bytes.allocation = 10_000);
    let (alice, relayed) = ready(rig.alice());
    assert_eq!((sent(&alice, DropReason::AllocationRate), received(&rig, relayed)), (10, 10));
    alice.refresh(0).assert_ok();
    let events = rig.events();
    let Some(Happened::Ended { traffic, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!((traffic.packets_to_peers, traffic.bytes_to_peers), (10, 10_000));
    assert_eq!((traffic.packets_to_client, traffic.bytes_to_client), (10, 10_000));
}

#[test]
fn the_log_names_user_and_limit_once_a_minute() {
    let rig = limited(|rates| rates.bytes.allocation = 10_000);
    let (alice, _) = ready(rig.alice());
    rig.events();
    assert_eq!(sent(&alice, DropReason::AllocationRate), 10);
    let exceeded = Exceeded { scope: Scope::Allocation, counted: Counted::Bytes };
    let line = |packets| ("alice".into(), exceeded, packets);
    assert_eq!(held_back(&rig), [line(1)]);
    rig.advance(seconds(59));
    assert_eq!(sent(&alice, DropReason::AllocationRate), 10);
    assert_eq!(held_back(&rig), []);
    rig.advance(seconds(1));
    assert_eq!(sent(&alice, DropReason::AllocationRate), 10);
    assert_eq!(held_back(&rig), [line(19 + 20 + 1)]);
}

#[test]
fn who_allocates_anew_has_not_more_to_spend() {
    let rig = limited(|rates| rates.bytes.user = 10_000);
    let (alice, _) = ready(rig.alice());
    assert_eq!(sent(&alice, DropReason::UserRate), 10);
    alice.refresh(0).assert_ok();
    let (alice, _) = ready(alice);
    assert_eq!(sent(&alice, DropReason::UserRate), 0);
    alice.refresh(0).assert_ok();
    rig.assert_empty();
}

#[test]
fn rates_change_while_calls_run() {
    let rig = Rig::new();
    let (alice, relayed) = ready(rig.alice());
    assert_eq!(sent(&alice, DropReason::UserRate), 30);
    reload_rates(&rig, |rates| rates.bytes.user = 10_000);
    assert_eq!((sent(&alice, DropReason::UserRate), received(&rig, relayed)), (10, 10));
    reload_rates(&rig, |rates| rates.bytes.user = 20_000);
    assert_eq!(sent(&alice, DropReason::UserRate), 0, "what is spent is spent");
    rig.advance(seconds(1));
    assert_eq!(sent(&alice, DropReason::UserRate), 20);
    rig.advance(seconds(1));
    reload_rates(&rig, |rates| rates.bytes.user = 5_000);
    assert_eq!(sent(&alice, DropReason::UserRate), 5);
    reload_rates(&rig, |_| {});
    assert_eq!(sent(&alice, DropReason::UserRate), 30);
}
