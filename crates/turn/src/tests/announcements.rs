//! What another data path is told of channels (`DataPath`): `World` fails on an announcement that says
//! nothing new, and on an end without a beginning.

use std::sync::Arc;

use proptest::prelude::*;

use super::client::TestClient;
use super::mobility::{allocate, resume, ticket};
use super::outcome::Outcome;
use super::rig::{REALM, Rig};
use super::world::Announcement::{self, Closed, Moved, Opened};
use super::world::Happened;
use super::{CHANNEL, MOMENT, OTHER_PEER, PEER, PEER_V6, addr, seconds};
use crate::allocations::Allocation;
use crate::auth::{Authenticator, StaticKey, StaticUser};
use crate::clock::Tick;
use crate::policy::{Each, PeerPolicy, RateLimits, Rates};
use crate::{
    ChannelRoute, EndReason, OwnPeer, PeerAddr, Rules, Settings, Shard, Traffic, Usage, Whose,
};
use taciturn_stun::{AttributeType, ChannelNumber, Family, Method};

/// A client with an allocation of an hour, and a channel.
fn alice_with_channel() -> (Rig, TestClient) {
    let rig = Rig::with(|setup| setup.mobility = true);
    let alice = rig.alice();
    alice.allocation().lifetime(3600).send().assert_ok();
    alice.bind(CHANNEL, PEER);
    assert_eq!(news(&rig), [Opened(CHANNEL)]);
    (rig, alice)
}

/// What was announced since the last call.
fn news(rig: &Rig) -> Vec<Announcement> {
    rig.world(|world| std::mem::take(&mut world.announced))
}

/// The only channel that is announced as open: for how long, in seconds.
#[track_caller]
fn open_for(rig: &Rig) -> u64 {
    let [(_, until)] = rig.world(|world| world.channels.clone())[..] else {
        panic!("not one channel");
    };
    until.since(rig.now().tick).as_secs()
}

fn limit_bytes(rules: &mut Rules, per_second: u32) {
    let bytes = Each { allocation: per_second, ..Each::default() };
    rules.rates = Arc::new(RateLimits::new(Rates { bytes, ..Rates::default() }));
}

fn deny(rules: &mut Rules, nets: &[&str]) {
    let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
    rules.peers = Arc::new(PeerPolicy::new(Vec::new(), nets, Vec::new()));
}

#[test]
fn a_channel_is_announced_with_both_its_ends() {
    let rig = Rig::new();
    let alice = rig.alice();
    let relay = alice.allocate();
    alice.bind(CHANNEL, PEER);
    let (channel, peer) = (ChannelNumber::new(CHANNEL).unwrap(), PeerAddr(addr(PEER)));
    let route = ChannelRoute { client: alice.at, channel, relay, peer, between: None };
    let until = rig.now().tick + seconds(300);
    assert_eq!(rig.world(|world| world.channels.clone()), [(route, until)]);
}

#[test]
fn a_channel_that_could_not_be_bound_is_not_announced() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.try_bind(CHANNEL, "10.0.0.1:1").assert_error(403);
    alice.try_bind(0x5000, PEER).assert_error(400);
    assert_eq!(news(&rig), []);
}

#[test]
fn a_channel_closes_with_its_permission_and_opens_when_that_is_renewed() {
    let (rig, alice) = alice_with_channel();
    rig.advance(seconds(300) - MOMENT);
    assert_eq!(news(&rig), []);
    rig.advance(MOMENT);
    assert_eq!(news(&rig), [Closed(CHANNEL)], "although the binding goes on");
    // With any port.
    alice.permit("8.8.8.8:1");
    assert_eq!((news(&rig), open_for(&rig)), (vec![Opened(CHANNEL)], 300));
    // The binding ends before the permission that is renewed here.
    rig.advance(seconds(299));
    alice.permit(PEER);
    assert_eq!((news(&rig), open_for(&rig)), (vec![], 1));
    rig.advance(seconds(1));
    assert_eq!(news(&rig), [Closed(CHANNEL)], "although the permission goes on");
}

#[test]
fn the_deadline_is_that_of_whatever_ends_first_and_moves_with_each_refresh() {
    let rig = Rig::new();
    let alice = rig.alice();
    // 600 s
    alice.allocate();
    alice.bind(CHANNEL, PEER);
    rig.advance(seconds(200));
    alice.bind(CHANNEL, PEER);
    assert_eq!(open_for(&rig), 300, "the permission");
    rig.advance(seconds(250));
    alice.bind(CHANNEL, PEER);
    assert_eq!(open_for(&rig), 150, "the allocation");
    alice.refresh(600).assert_ok();
    assert_eq!(open_for(&rig), 300, "the permission again");
    assert_eq!(news(&rig), [Opened(CHANNEL), Moved(CHANNEL), Moved(CHANNEL), Moved(CHANNEL)]);
    // Nothing moves, nothing is announced.
    alice.refresh(600).assert_ok();
    assert_eq!(news(&rig), []);
}

/// Something that closes the channel of a client.
type Close = fn(&Rig, &TestClient);

#[test]
fn who_closes_a_channel_when() {
    let table: [(&str, Close); 10] = [
        ("its permission lapses", |rig, _| rig.advance(seconds(300))),
        ("its binding ends", |rig, alice| {
            for _ in 0..2 {
                rig.advance(seconds(250));
                alice.permit(PEER);
            }
            rig.advance(seconds(100));
        }),
        ("its allocation is refreshed to zero", |_, alice| alice.refresh(0).assert_ok()),
        ("its allocation expires", |rig, _| {
            rig.oversleep(seconds(3600));
            rig.advance(MOMENT);
        }),
        ("its relayed address is given back", |_, alice| {
            let v4 = AttributeType::REQUESTED_ADDRESS_FAMILY;
            let request = alice.request(Method::REFRESH).lifetime(0).family(v4, Family::V4);
            request.send().assert_ok();
        }),
        ("its allocation is ended by the operator", |rig, _| {
            assert_eq!(rig.kick(&Whose::default()), 1);
        }),
        ("the server stops", |rig, _| rig.shut_down()),
        ("a reload denies its peer", |rig, _| {
            rig.reload(|_, rules| deny(rules, &["8.8.8.0/24"]));
        }),
        ("a reload limits bytes a second", |rig, _| {
            rig.reload(|_, rules| limit_bytes(rules, 1_000_000));
        }),
        ("a reload removes its user", |rig, _| {
            let key = StaticKey::Password(String::from("another").into());
            let bob = [StaticUser { name: "bob".into(), key }];
            let only_bob = Arc::new(Authenticator::new(REALM, &bob, Vec::new(), false));
            rig.reload(|_, rules| rules.authenticator = only_bob);
        }),
    ];
    for (what, close) in table {
        let (rig, alice) = alice_with_channel();
        close(&rig, &alice);
        assert_eq!(rig.world(|world| world.channels.clone()), [], "{what}");
        let news = news(&rig);
        assert_eq!(news.last(), Some(&Closed(CHANNEL)), "{what}");
        assert_eq!(
            news.iter().filter(|one| **one == Closed(CHANNEL)).count(),
            1,
            "{what}: {news:?}"
        );
    }
}

#[test]
fn a_reload_that_lifts_the_limits_opens_channels_again() {
    let (rig, alice) = alice_with_channel();
    rig.reload(|_, rules| limit_bytes(rules, 1_000_000));
    assert_eq!(news(&rig), [Closed(CHANNEL)]);
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    alice.bind(CHANNEL + 1, OTHER_PEER);
    assert_eq!(news(&rig), [], "while there are limits the shard relays");
    rig.reload(|_, rules| limit_bytes(rules, 0));
    assert_eq!(news(&rig), [Opened(CHANNEL), Opened(CHANNEL + 1)]);
}

#[test]
fn a_channel_to_a_relayed_address_of_the_server_is_announced_with_both_addresses() {
    let rig = Rig::new();
    let (alice, bob) = (rig.alice(), rig.bob());
    let (of_alice, of_bob) = (alice.allocate(), bob.allocate());
    alice.bind(CHANNEL, &of_bob.to_string());
    assert_eq!(news(&rig), [Opened(CHANNEL)]);
    let between = rig.world(|world| world.channels[0].0.between);
    assert_eq!(between, Some(OwnPeer { relay: of_alice, peer: of_bob }));
}

#[test]
fn a_data_path_that_has_heard_of_none_is_told_all_channels() {
    let (rig, alice) = alice_with_channel();
    alice.bind(CHANNEL + 1, OTHER_PEER);
    news(&rig);
    rig.world(|world| world.channels.clear());
    rig.announce_anew();
    assert_eq!(news(&rig), [Opened(CHANNEL), Opened(CHANNEL + 1)]);
    alice.refresh(0).assert_ok();
    assert_eq!(news(&rig), [Closed(CHANNEL), Closed(CHANNEL + 1)]);
}

#[test]
fn a_channel_moves_with_its_allocation() {
    // RFC 8016: the old route closes when the new 5-tuple is made use of.
    let rig = Rig::with(|setup| setup.mobility = true);
    let before = rig.alice();
    let (_, ticket) = allocate(&before);
    before.bind(CHANNEL, PEER);
    let after = rig.client("198.51.100.77:7", "alice");
    resume(&after, &ticket).assert_ok();
    let of = |client: &TestClient| {
        rig.world(|world| world.channels.iter().all(|(route, _)| route.client == client.at))
    };
    assert!(of(&before), "until it is made use of");
    after.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    assert!(of(&after));
    assert_eq!(rig.world(|world| world.channels.len()), 1);
    assert_eq!(news(&rig), [Opened(CHANNEL), Closed(CHANNEL), Opened(CHANNEL)]);
}

#[test]
fn what_another_data_path_relays_counts_for_sessions_metrics_and_the_end_of_the_session() {
    let (rig, alice) = alice_with_channel();
    rig.advance(seconds(100));
    let traffic = Traffic {
        packets_to_peers: 3,
        bytes_to_peers: 300,
        packets_to_client: 2,
        bytes_to_client: 200,
    };
    let last = Tick(rig.now().tick.0 - 10_000);
    let (route, _) = rig.world(|world| world.channels[0]);
    assert!(rig.channel_used(&route, Usage { traffic, last }));
    let [session] = &rig.sessions(&Whose::default())[..] else { panic!("one session") };
    assert_eq!((session.traffic, session.idle), (traffic, seconds(10)));
    assert_eq!(rig.shard(|shard| shard.statistics().relayed[0]), traffic);
    // The shard relays as well, and both count.
    alice.channel_data(CHANNEL, b"1234").assert_reaches(PEER, b"1234");
    // What was not reported yet comes with the end.
    rig.world(|world| world.used = Usage { traffic, last });
    rig.events();
    alice.refresh(0).assert_ok();
    let mut all = traffic;
    all.add(traffic);
    all.packets_to_peers += 1;
    all.bytes_to_peers += 4;
    let [Happened::Ended { traffic, reason: EndReason::Released, .. }] = rig.events()[..] else {
        panic!("the end of the session");
    };
    assert_eq!(traffic, all);
    assert_eq!(rig.shard(|shard| shard.statistics().relayed[0]), all);
    assert!(!rig.channel_used(&route, Usage { traffic, last }), "it was closed");
}

#[test]
fn what_another_data_path_relayed_is_taken_out_of_the_rates() {
    let (rig, alice) = alice_with_channel();
    let (route, _) = rig.world(|world| world.channels[0]);
    rig.reload(|_, rules| limit_bytes(rules, 10_000));
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
    // A report that was under way when the limits came.
    let traffic = Traffic { bytes_to_peers: 100_000, packets_to_peers: 100, ..Traffic::default() };
    assert!(rig.channel_used(&route, Usage { traffic, last: rig.now().tick }));
    let dropped = alice.channel_data(CHANNEL, b"x");
    dropped.assert_dropped(crate::DropReason::AllocationRate);
    rig.advance(seconds(11));
    alice.channel_data(CHANNEL, b"x").assert_reaches(PEER, b"x");
}

/// Peers of the property below, with a channel each.
const PEERS: [&str; 3] = [PEER, OTHER_PEER, PEER_V6];

#[derive(Clone, Debug)]
enum Step {
    Allocate,
    Bind(usize),
    Permit(usize),
    Refresh(u32),
    GiveBack(Family),
    Move,
    Advance(u64),
    Oversleep(u64),
    Deny(bool),
    Kick,
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..PEERS.len();
    prop_oneof![
        2 => Just(Step::Allocate),
        6 => peer.clone().prop_map(Step::Bind),
        6 => peer.prop_map(Step::Permit),
        2 => prop_oneof![Just(0_u32), 600..4000_u32].prop_map(Step::Refresh),
        1 => prop_oneof![Just(Family::V4), Just(Family::V6)].prop_map(Step::GiveBack),
        2 => Just(Step::Move),
        8 => (1..320_u64).prop_map(Step::Advance),
        2 => (1..320_u64).prop_map(Step::Oversleep),
        1 => any::<bool>().prop_map(Step::Deny),
        1 => Just(Step::Kick),
    ]
}

/// Two 5-tuples of one user: the allocation moves to the one that does not have it.
struct Model {
    rig: Rig,
    clients: [TestClient; 2],
    at: usize,
    ticket: Vec<u8>,
}

impl Model {
    fn new() -> Self {
        let rig = Rig::with(|setup| setup.mobility = true);
        let clients = [rig.alice(), rig.client("198.51.100.77:7", "alice")];
        Self { rig, clients, at: 0, ticket: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        let alice = &self.clients[self.at];
        // Each may fail: what counts is that the announcements and the shard agree.
        match step {
            Step::Allocate => {
                let additional = AttributeType::ADDITIONAL_ADDRESS_FAMILY;
                let request = alice.allocation().attribute(AttributeType::MOBILITY_TICKET, b"");
                let answer = request.family(additional, Family::V6).send();
                if answer.code().is_none() {
                    self.ticket = ticket(&answer);
                }
            }
            Step::Bind(peer) => drop(alice.try_bind(number(*peer), PEERS[*peer])),
            Step::Permit(peer) => drop(alice.try_permit(&[PEERS[*peer]])),
            Step::Refresh(lifetime) => drop(alice.refresh(*lifetime)),
            Step::GiveBack(family) => {
                let requested = AttributeType::REQUESTED_ADDRESS_FAMILY;
                let request = alice.request(Method::REFRESH).lifetime(0);
                drop(request.family(requested, *family).send());
            }
            Step::Move => self.change_sides(),
            Step::Advance(span) => self.rig.advance(seconds(*span)),
            Step::Oversleep(span) => {
                self.rig.oversleep(seconds(*span));
            }
            Step::Deny(on) => {
                let nets: &[&str] = if *on { &["8.8.8.0/24"] } else { &[] };
                self.rig.reload(|_: &mut Settings, rules| deny(rules, nets));
            }
            Step::Kick => {
                self.rig.kick(&Whose::default());
            }
        }
    }

    fn change_sides(&mut self) {
        let to = &self.clients[1 - self.at];
        let answer = resume(to, &self.ticket);
        if answer.code().is_none() {
            self.ticket = ticket(&answer);
            // The first packet moves it, whatever becomes of that.
            to.channel_data(CHANNEL, b"x");
            self.at = 1 - self.at;
        }
    }

    /// What is announced as open is what the shard relays.
    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.rig.now().tick;
        let announced = self.rig.world(|world| world.channels.clone());
        for client in &self.clients {
            for (peer, at) in PEERS.iter().enumerate() {
                let of_it =
                    |route: &ChannelRoute| (route.client, route.peer.0) == (client.at, addr(at));
                let says = announced.iter().any(|(route, until)| of_it(route) && now < *until);
                let sent = client.channel_data(number(peer), b"x");
                let relays = matches!(sent, Outcome::ToPeer { .. });
                // An allocation lives until the shard is woken; the other data path stops in time.
                let is_over = |a: &Allocation| a.expires() <= now;
                let of =
                    |shard: &Shard| shard.parts.allocations.of(&client.at).is_some_and(is_over);
                let is_over = self.rig.shard(of);
                prop_assert_eq!(says, relays && !is_over, "{:?} to {}", client.at, at);
            }
        }
        Ok(())
    }
}

/// The channel of a peer.
fn number(peer: usize) -> u16 {
    CHANNEL + u16::try_from(peer).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_announced_is_what_is_relayed(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
            model.check()?;
        }
        model.rig.shut_down();
        prop_assert!(model.rig.world(|world| world.channels.is_empty()));
    }
}
