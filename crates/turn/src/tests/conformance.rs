//! Rules of the RFCs that belong to no other file here.

use super::*;
use crate::DropReason;
use taciturn_stun::{AttributeType as T, Family, Method};

/// RFC 8489 section 6.3: known attributes where nobody expects them are ignored.
//= 8489-6.3-unexpected-ignored
#[test]
fn attributes_that_belong_elsewhere_are_ignored() {
    let rig = Rig::new();
    let alice = rig.alice();
    let asked = alice.allocation().attribute(T::CHANNEL_NUMBER, b"?").attribute(T::DATA, b"data");
    let relayed = asked.attribute(T::CONNECTION_ID, b"?").send().relayed();
    let asked = alice.request(Method::CREATE_PERMISSION).peer(addr(PEER)).lifetime(0);
    asked.attribute(T::EVEN_PORT, &[]).attribute(T::REQUESTED_TRANSPORT, b"?").send().assert_ok();
    let asked = alice.request(Method::REFRESH).peer(addr("10.0.0.1:1"));
    asked.attribute(T::RESERVATION_TOKEN, b"?").attribute(T::ERROR_CODE, b"").send().assert_ok();
    rig.peer_sends(PEER, relayed, b"still there").at(&alice);
}

/// Section 7.2: a server that can set DF takes DONT-FRAGMENT in Allocate, whatever the family.
//= 8656-7.2-dont-fragment
#[test]
fn dont_fragment_in_allocate_is_accepted() {
    let rig = Rig::new();
    for (client, family) in [(rig.alice(), Family::V4), (rig.bob(), Family::V6)] {
        let asked = client.allocation().attribute(T::DONT_FRAGMENT, &[]);
        asked.family(T::REQUESTED_ADDRESS_FAMILY, family).send().assert_ok();
    }
}

/// Section 21.4: a packet could go back and forth between the relay and a tunnel.
//= 8656-21.4-teredo-and-6to4
#[test]
fn clients_behind_teredo_and_6to4_are_refused() {
    let rig = Rig::new();
    for from in ["[2001:0:4136:e378::1]:1", "[2002:c000:201::1]:1"] {
        let client = rig.client(from, "alice");
        client.allocation().send().assert_error(403);
        client.try_bind(CHANNEL, PEER).assert_error(437);
    }
    rig.assert_empty();
    // Their neighbours are served.
    for from in ["[2001:1::1]:1", "[2001:200::1]:1", "[2003::1]:1"] {
        rig.client(from, "alice").allocate();
    }
}

/// A client whose ChannelBind succeeded unheard may try another number for the peer. It gets 400, as
/// section 12.2 has it; what was bound goes on.
#[test]
fn a_lost_answer_to_channel_bind_does_not_cost_the_channel() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relayed = alice.allocate();
    alice.bind(CHANNEL, PEER); // the answer is lost
    alice.try_bind(CHANNEL + 1, PEER).assert_error(400);
    alice.channel_data(CHANNEL, b"on").assert_reaches(PEER, b"on");
    assert_eq!(rig.peer_sends(PEER, relayed, b"on").at(&alice), Received::channel(CHANNEL, b"on"));
    alice.bind(CHANNEL, PEER);
}

/// RFC 8489 section 9.2.4: 438 with a nonce that is good, for whatever was asked.
#[test]
fn a_stale_nonce_on_any_request_is_438_and_changes_nothing() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    rig.advance(seconds(3500));
    alice.refresh(3600).assert_ok();
    rig.advance(seconds(200));
    let permit = alice.request(Method::CREATE_PERMISSION).peer(addr(PEER));
    permit.once().assert_error(438);
    let number = [0x40, 0, 0, 0];
    let bind = alice.request(Method::CHANNEL_BIND).attribute(T::CHANNEL_NUMBER, &number);
    let bind = bind.peer(addr(PEER));
    bind.once().assert_error(438);
    alice.request(Method::REFRESH).lifetime(0).once().assert_error(438);
    alice.channel_data(CHANNEL, b"no").assert_dropped(DropReason::NoChannel);
    alice.send(PEER, b"no").assert_dropped(DropReason::NoPermission);
    bind.send().assert_ok();
    alice.channel_data(CHANNEL, b"yes").assert_reaches(PEER, b"yes");
}

/// Section 5: 437 tells a client at once that its allocation is gone.
#[test]
fn after_a_restart_every_request_is_told_437() {
    let before = Rig::new();
    before.alice().allocate();
    let rig = Rig::new();
    let alice = rig.alice();
    alice.refresh(600).assert_error(437);
    alice.try_permit(&[PEER]).assert_error(437);
    alice.try_bind(CHANNEL, PEER).assert_error(437);
    alice.channel_data(CHANNEL, b"?").assert_dropped(DropReason::NoAllocation);
    alice.allocate();
}
