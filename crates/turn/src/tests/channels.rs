//! Channels and ChannelData (section 12).

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Method};

use super::client::channel_data;

//= 8656-12.5-use-channel
#[test]
fn data_pass_both_ways() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    alice.channel_data(CHANNEL, b"out").assert_reaches(PEER, b"out");
    let received = rig.peer_sends(PEER, relayed, b"in").at(&alice);
    assert_eq!(received, Received::channel(CHANNEL, b"in"));
    alice.channel_data(CHANNEL, b"").assert_reaches(PEER, b"");
    let received = rig.peer_sends(PEER, relayed, b"").at(&alice);
    assert_eq!(received, Received::channel(CHANNEL, b""));
}

//= 8656-12-reserved-numbers, 8656-12.2-range
#[test]
fn channel_numbers_are_0x4000_to_0x4fff() {
    // Section 12: RFC 5766 allowed more.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    for number in [0, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF] {
        alice.try_bind(number, PEER).assert_error(400);
    }
    alice.send(PEER, b"x").assert_dropped(DropReason::NoPermission);
    alice.bind(0x4000, PEER);
    alice.bind(0x4FFF, OTHER_PEER);
    alice.channel_data(0x4FFF, b"x").assert_reaches(OTHER_PEER, b"x");
}

//= 8656-12.2-range
#[test]
fn channel_numbers_of_rfc_5766_are_served_where_the_operator_wants_it() {
    // RFC 5766 section 11: 0x4000 to 0x7FFF.
    let rig = Rig::with(|setup| setup.rfc5766_channels = true);
    let alice = rig.alice();
    let relayed = alice.allocate();
    for number in [0x3FFF, 0x8000] {
        alice.try_bind(number, PEER).assert_error(400);
    }
    alice.bind(0x7FFF, PEER);
    alice.channel_data(0x7FFF, b"out").assert_reaches(PEER, b"out");
    let received = rig.peer_sends(PEER, relayed, b"in").at(&alice);
    assert_eq!(received, Received::channel(0x7FFF, b"in"));
}

//= 8656-12-600-s, 8656-12.6-not-bound, 8656-12.6-no-refresh
#[test]
fn a_binding_lives_for_exactly_600_seconds() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocation().lifetime(3600).send().relayed();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(600) - MOMENT);
    alice.permit(PEER);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    rig.advance(MOMENT);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    // The permission holds on, so what the peer sends comes as an indication.
    let received = rig.peer_sends(PEER, relayed, b"x").at(&alice);
    assert_eq!(received, Received::data(PEER, b"x"));
}

//= 8656-12-600-s
#[test]
fn a_binding_ends_in_time_though_the_timer_is_late() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocation().lifetime(3600).send().relayed();
    alice.bind(CHANNEL, PEER);
    rig.oversleep(seconds(300));
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    alice.permit(PEER);
    rig.oversleep(seconds(299));
    alice.permit(PEER);
    rig.oversleep(seconds(1));
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    let received = rig.peer_sends(PEER, relayed, b"x").at(&alice);
    assert_eq!(received, Received::data(PEER, b"x"));
    alice.bind(CHANNEL, PEER);
    assert_eq!(rig.world(|world| world.channels.len()), 1);
    rig.advance(MOMENT);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
}

//= 8656-12.2-permission
#[test]
fn the_permission_of_a_channel_ends_after_300_seconds() {
    // Section 12: a binding does not keep its permission alive.
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(300) - MOMENT);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    rig.advance(MOMENT);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoPermission);
    rig.peer_sends(PEER, relayed, b"x").assert_dropped(DropReason::NoPermission);
    // CreatePermission opens it again, with any port.
    alice.permit("8.8.8.8:1");
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    let received = rig.peer_sends(PEER, relayed, b"x").at(&alice);
    assert_eq!(received, Received::channel(CHANNEL, b"x"));
}

//= 8656-12-600-s
#[test]
fn binding_the_pair_again_refreshes_binding_and_permission() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    alice.bind(CHANNEL, PEER);
    for _ in 0..4 {
        rig.advance(seconds(299));
        alice.bind(CHANNEL, PEER);
    }
    rig.advance(seconds(299));
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    assert_eq!(rig.world(|world| (world.opened_channels(), world.channels.len())), (1, 1));
}

//= 8656-12.2-other-peer, 8656-12.2-other-channel
#[test]
fn a_bound_channel_takes_no_other_peer_and_a_bound_peer_no_other_channel() {
    // Section 12.2: 400, and nothing changes.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.bind(CHANNEL, PEER);
    alice.try_bind(CHANNEL, OTHER_PEER).assert_error(400);
    alice.try_bind(CHANNEL, "8.8.8.8:4001").assert_error(400);
    alice.try_bind(CHANNEL + 1, PEER).assert_error(400);
    alice.try_bind(CHANNEL + 1, "[::ffff:8.8.8.8]:4000").assert_error(400);
    alice.send(OTHER_PEER, b"x").assert_dropped(DropReason::NoPermission);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    alice.channel_data(CHANNEL + 1, b"x").assert_dropped(DropReason::NoChannel);
    // Another port is another peer.
    alice.bind(CHANNEL + 1, "8.8.8.8:4001");
}

//= 8656-12-five-minutes
#[test]
fn channel_and_peer_are_free_300_seconds_after_expiry() {
    // Section 12: the client must wait so long; one that does not is refused, so that what is on
    // its way under the old binding reaches nobody else.
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocation().lifetime(3600).send().relayed();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(600) - MOMENT);
    alice.try_bind(CHANNEL, OTHER_PEER).assert_error(400);
    alice.try_bind(CHANNEL + 1, PEER).assert_error(400);
    rig.advance(seconds(300));
    alice.try_bind(CHANNEL, OTHER_PEER).assert_error(400);
    alice.try_bind(CHANNEL + 1, PEER).assert_error(400);
    alice.bind(CHANNEL + 2, "1.1.1.1:1");
    rig.advance(MOMENT);
    alice.bind(CHANNEL, OTHER_PEER);
    alice.bind(CHANNEL + 1, PEER);
    alice.channel_data(CHANNEL, b"x").assert_reaches(OTHER_PEER, b"x");
    let received = rig.peer_sends(PEER, relayed, b"x").at(&alice);
    assert_eq!(received, Received::channel(CHANNEL + 1, b"x"));
}

//= 8656-12-five-minutes
#[test]
fn the_same_pair_may_be_bound_again_at_once() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(700));
    alice.bind(CHANNEL, PEER);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
}

#[test]
fn what_is_remembered_of_channels_does_not_grow() {
    let rig = Rig::with(|setup| (setup.max_channels, setup.max_lifetime) = (4, seconds(86_400)));
    let alice = rig.alice();
    alice.allocation().lifetime(86_400).send().assert_ok();
    for round in 0..20 {
        for n in 0..4 {
            let at = 1 + round * 4 + n;
            alice.bind(CHANNEL + at, &format!("8.8.8.8:{at}"));
        }
        rig.advance(seconds(600));
    }
    let remembered = rig.shard(|shard| {
        let channels = shard.parts.allocations.iter().filter_map(|a| a.udp());
        channels.map(|udp| udp.channels().guarded()).sum::<usize>()
    });
    assert!(remembered <= 4, "{remembered}");
}

//= 8656-10.2-family-mismatch, 8656-12.2-family-mismatch, 8656-12.2-forbidden
#[test]
fn a_denied_peer_is_403_and_one_of_another_family_443() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    for peer in ["10.0.0.1:1", "127.0.0.1:1", "[::ffff:127.0.0.1]:1"] {
        alice.try_bind(CHANNEL, peer).assert_error(403);
    }
    alice.try_bind(CHANNEL, PEER_V6).assert_error(443);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoChannel);
    alice.bind(CHANNEL, PEER);
}

//= 8656-12.2-both-attributes
#[test]
fn missing_and_broken_attributes_are_a_bad_request() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let bind = || alice.request(Method::CHANNEL_BIND);
    bind().send().assert_error(400);
    bind().peer(addr(PEER)).send().assert_error(400);
    bind().attribute(T::CHANNEL_NUMBER, &[0x40, 0, 0, 0]).send().assert_error(400);
    bind().peer(addr(PEER)).attribute(T::CHANNEL_NUMBER, &[0x40, 0]).send().assert_error(400);
    alice.try_bind(CHANNEL, "8.8.8.8:0").assert_error(400);
}

//= 8656-5-no-allocation-request
#[test]
fn without_an_allocation_it_is_a_mismatch() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.try_bind(CHANNEL, PEER).assert_error(437);
    alice.channel_data(CHANNEL, b"x").assert_dropped(DropReason::NoAllocation);
}

//= 8656-12.2-no-capacity
#[test]
fn the_limit_stops_new_channels_and_no_refresh() {
    let rig = Rig::with(|setup| setup.max_channels = 2);
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    alice.bind(CHANNEL, PEER);
    alice.bind(CHANNEL + 1, OTHER_PEER);
    alice.try_bind(CHANNEL + 2, "1.1.1.1:1").assert_error(508);
    alice.send("1.1.1.1:1", b"x").assert_dropped(DropReason::NoPermission);
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(600));
    alice.bind(CHANNEL + 2, "1.1.1.1:1");
}

//= 8489-6.3.1-retransmissions
#[test]
fn a_retransmitted_channel_bind_succeeds_again() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    let asked = alice
        .request(Method::CHANNEL_BIND)
        .attribute(T::CHANNEL_NUMBER, &[0x40, 0, 0, 0])
        .peer(addr(PEER));
    let answer = asked.send();
    assert_eq!(asked.once(), answer);
}

//= 8656-5-no-allocation-data, 8656-12.6-too-short
#[test]
fn channel_data_that_are_not_whole_are_dropped() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.bind(CHANNEL, PEER);
    alice.raw(&[0x40, 0x00, 0, 4, b'a', b'b', b'c']).assert_dropped(DropReason::Malformed);
    alice.raw(&[0x40, 0x00, 0xFF, 0xFF]).assert_dropped(DropReason::Malformed);
    alice.raw(&[0x40, 0x00, 0]).assert_dropped(DropReason::Malformed);
    alice.raw(&[0x80, 0x00, 0, 1, b'a']).assert_dropped(DropReason::Malformed);
    alice.channel_data(CHANNEL + 1, b"x").assert_dropped(DropReason::NoChannel);
    alice.channel_data(0x5000, b"x").assert_dropped(DropReason::NoChannel);
}

//= 8656-12.5-padding
#[test]
fn padding_from_a_client_is_taken_off_over_udp_too() {
    // Section 12.5: a client may pad over UDP.
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.bind(CHANNEL, PEER);
    let mut packet = channel_data(CHANNEL, b"five!");
    packet.extend([0xEE; 3]);
    alice.raw(&packet).assert_reaches(PEER, b"five!");
}

//= 8656-12.5-padding, 8656-12.6-empty
#[test]
fn data_of_any_length_come_unpadded_over_datagrams_and_padded_over_streams() {
    // Section 12.5. `Received::read` holds the framing.
    let rig = Rig::new();
    let clients = [
        rig.alice(),
        rig.stream_client("192.0.2.9:9", "bob"),
        rig.dtls_client("192.0.2.9:9", "bob"),
    ];
    for client in &clients {
        let relayed = client.allocate();
        client.bind(CHANNEL, PEER);
        client.permit(OTHER_PEER);
        for len in (0..=9).chain([1199, 1200, 65_000]) {
            let data = vec![b'x'; len];
            let received = rig.peer_sends(PEER, relayed, &data).at(client);
            assert_eq!(received, Received::channel(CHANNEL, &data));
            let received = rig.peer_sends(OTHER_PEER, relayed, &data).at(client);
            assert_eq!(received, Received::data(OTHER_PEER, &data));
            let mut packet = channel_data(CHANNEL, &data);
            packet.resize(packet.len().next_multiple_of(4), 0);
            client.raw(&packet).assert_reaches(PEER, &data);
        }
    }
}

//= 8656-11.3-channel-first, 8656-12.5-use-channel
#[test]
fn a_peer_with_a_channel_comes_by_it_and_another_by_indication() {
    // Section 12.7. The other may share the address: a channel is for a port as well.
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER);
    alice.permit(OTHER_PEER);
    let receives = |peer| rig.peer_sends(peer, relayed, b"x").at(&alice);
    assert_eq!(receives(PEER), Received::channel(CHANNEL, b"x"));
    assert_eq!(receives(OTHER_PEER), Received::data(OTHER_PEER, b"x"));
    assert_eq!(receives("8.8.8.8:4001"), Received::data("8.8.8.8:4001", b"x"));
    // Both framings are open to the client, channel or not.
    alice.send(PEER, b"x").assert_reaches(PEER, b"x");
}
