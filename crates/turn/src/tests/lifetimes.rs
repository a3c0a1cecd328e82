//! Lifetimes of allocations (sections 3.2, 7.2 and 8).

use super::*;
use crate::EndReason;
use taciturn_stun::{Family, Method};

//= 8656-6-lifetime-600
#[test]
fn the_default_lifetime_is_ten_minutes() {
    let rig = Rig::new();
    assert_eq!(rig.alice().allocation().send().lifetime(), 600);
}

//= 8656-7.2-lifetime
#[test]
fn a_shorter_lifetime_is_raised_to_ten_minutes() {
    // Section 7.2: a lifetime below the default is not granted; that holds for 0 too.
    let rig = Rig::new();
    assert_eq!(rig.alice().allocation().lifetime(10).send().lifetime(), 600);
    assert_eq!(rig.bob().allocation().lifetime(0).send().lifetime(), 600);
    assert_eq!(rig.alice().refresh(1).lifetime(), 600);
}

//= 8656-7.2-lifetime
#[test]
fn a_longer_lifetime_is_cut_to_the_maximum() {
    let rig = Rig::with(|setup| setup.max_lifetime = seconds(1800));
    let alice = rig.alice();
    assert_eq!(alice.allocation().lifetime(u32::MAX).send().lifetime(), 1800);
    assert_eq!(alice.refresh(3600).lifetime(), 1800);
    assert_eq!(alice.refresh(1200).lifetime(), 1200);
}

//= 8656-6-expiry
#[test]
fn an_allocation_ends_exactly_at_its_deadline() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.permit(PEER);
    rig.advance(seconds(299));
    alice.permit(PEER);
    rig.advance(seconds(301) - MOMENT);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
    rig.events();
    rig.advance(MOMENT);
    rig.assert_empty();
    let ended = rig.events();
    let [Happened::Ended { relayed: which, lived, reason, .. }] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!((*which, *lived, *reason), (relayed, seconds(600), EndReason::Expired));
    assert_eq!(rig.peer_sends(PEER, relayed, b"late"), Outcome::NobodyListens);
}

//= 8656-8.2-lifetime
#[test]
fn a_refresh_counts_from_its_own_moment() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    rig.advance(seconds(500));
    assert_eq!(alice.refresh(600).lifetime(), 600);
    rig.advance(seconds(600) - MOMENT);
    assert_eq!(alice.refresh(1000).lifetime(), 1000);
    rig.advance(seconds(1000) - MOMENT);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
    rig.advance(MOMENT);
    rig.assert_empty();
}

//= 8656-8.2-lifetime
#[test]
fn a_refresh_can_shorten_the_lifetime() {
    let rig = Rig::new();
    let alice = rig.alice();
    assert_eq!(alice.allocation().lifetime(3600).send().lifetime(), 3600);
    assert_eq!(alice.refresh(700).lifetime(), 700);
    rig.advance(seconds(700));
    rig.assert_empty();
}

//= 8656-8.2-lifetime, 8656-8.2-answer
#[test]
fn a_refresh_without_lifetime_asks_for_the_default() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    assert_eq!(alice.request(Method::REFRESH).send().lifetime(), 600);
}

//= 8656-8.2-zero
#[test]
fn refresh_to_zero_ends_at_once_and_frees_everything() {
    let rig = Rig::with(|setup| setup.ports = (50_000, 50_000));
    let (alice, bob) = (rig.alice(), rig.bob());
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    assert_eq!(alice.refresh(0).lifetime(), 0);
    rig.assert_empty();
    alice.channel_data(CHANNEL, b"late").assert_dropped(crate::DropReason::NoAllocation);
    assert_eq!(bob.allocate(), relayed, "the only port there is");
}

//= 8489-6.3.1-retransmissions
#[test]
fn a_retransmitted_refresh_to_zero_succeeds_again() {
    // RFC 8489 section 6.3.1.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let refresh = alice.request(Method::REFRESH).lifetime(0);
    let answer = refresh.send();
    assert_eq!(answer.lifetime(), 0);
    rig.advance(seconds(39));
    assert_eq!(refresh.once(), answer);
    // Another request is none, and a retransmission does not come after 39.5 s.
    alice.refresh(0).assert_error(437);
    rig.advance(seconds(1));
    refresh.once().assert_error(437);
}

//= 8489-6.3.1-retransmissions
#[test]
fn a_late_duplicate_of_refresh_to_zero_does_not_end_the_next_allocation() {
    // RFC 8489 section 6.3.1: UDP duplicates and reorders; the same request acts once.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let refresh = alice.request(Method::REFRESH).lifetime(0);
    refresh.send().assert_ok();
    alice.allocate();
    assert_eq!(refresh.once().lifetime(), 0);
    assert_eq!(rig.shard(|shard| shard.len()), 1);
    assert_eq!(alice.refresh(600).lifetime(), 600);
}

//= 8656-5-no-allocation-request
#[test]
fn refresh_without_an_allocation_is_a_mismatch() {
    // Section 8.2: 437, never silence: a client finds out that the server was restarted.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.refresh(600).assert_error(437);
    alice.refresh(0).assert_error(437);
    alice.allocate();
    rig.advance(seconds(600));
    alice.refresh(600).assert_error(437);
}

//= 8656-8.2-family-mismatch
#[test]
fn refresh_names_a_family_that_the_allocation_has() {
    // Section 8.2: otherwise 443.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let refresh = |family| {
        alice
            .request(Method::REFRESH)
            .family(taciturn_stun::AttributeType::REQUESTED_ADDRESS_FAMILY, family)
            .send()
    };
    assert_eq!(refresh(Family::V4).lifetime(), 600);
    refresh(Family::V6).assert_error(443);
}
