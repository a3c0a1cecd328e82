//! Records of what sessions have used.

use super::mobility::{allocate, resume, ticket};
use super::reload::credentials;
use super::restart::{Restart, snapshot};
use super::*;
use crate::policy::Banned;
use crate::{DropReason, EndReason, RelayAddress, Traffic, UsageRecord, Whose};
use taciturn_stun::AttributeType as T;

const HOUR: Duration = seconds(3600);

fn recording() -> Rig {
    recording_with(|_| {})
}

fn recording_with(change: impl FnOnce(&mut setup::Setup)) -> Rig {
    Rig::with(|setup| {
        setup.records = true;
        change(setup);
    })
}

impl Rig {
    fn ended(&self) -> Vec<UsageRecord> {
        self.world(|world| std::mem::take(&mut world.records))
    }

    /// Of sessions that go on and have had none for so long.
    fn interim(&self, every: Duration) -> Vec<UsageRecord> {
        self.with_shard(|shard, now, world| {
            let (mut all, mut from) = (Vec::new(), Some(0));
            while let Some(place) = from {
                let some;
                (some, from) = shard.interim_records(now, every, place, world);
                all.extend(some);
            }
            all
        })
    }

    /// All that the metrics say was relayed.
    fn relayed(&self) -> Traffic {
        let mut all = Traffic::default();
        self.shard(|shard| shard.statistics().relayed.iter().for_each(|some| all.add(*some)));
        all
    }
}

fn sum(records: &[UsageRecord]) -> Traffic {
    let mut all = Traffic::default();
    records.iter().for_each(|record| all.add(record.accounted.used));
    all
}

fn to_peers(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets_to_peers: packets, bytes_to_peers: bytes, ..Traffic::default() }
}

/// An allocation that has relayed four bytes and ends for this reason; the shard that it has ended on.
fn ended_by(reason: EndReason) -> Rig {
    let talking = |client: &TestClient| {
        client.allocate();
        client.permit(PEER);
        client.send(PEER, b"data").assert_reaches(PEER, b"data");
    };
    let rig = recording_with(|setup| setup.strict_expiry = reason == EndReason::CredentialExpired);
    match reason {
        EndReason::Disconnected => {
            let client = rig.stream_client("192.0.2.1:1001", "alice");
            talking(&client);
            rig.hang_up(&client);
            return rig;
        }
        EndReason::CredentialExpired => {
            talking(&rig.rest_client("192.0.2.9:9", "carol", 300));
            rig.advance(seconds(400));
            return rig;
        }
        _ => talking(&rig.alice()),
    }
    match reason {
        EndReason::Released => rig.alice().refresh(0).assert_ok(),
        EndReason::Expired => rig.advance(seconds(700)),
        EndReason::CredentialRemoved => {
            rig.reload(|_, rules| {
                rules.authenticator = credentials(&[], &["another secret of some length"])
            });
        }
        EndReason::Kicked => assert_eq!(rig.kick(&Whose::default()), 1),
        EndReason::Banned => rig.with_shard(|shard, now, world| {
            shard.parts.rules.bans.set(&[Banned::of("user", "alice").unwrap()]);
            assert_eq!(shard.end_banned(now, world), 1);
        }),
        EndReason::Shutdown => rig.shut_down(),
        EndReason::NotRestored => {
            let address = |setup: &mut setup::Setup| {
                setup.v4 = Some(RelayAddress::plain("203.0.113.8".parse().unwrap()));
            };
            return Restart { setup: &address, ..Restart::default() }.of_one(&rig).0;
        }
        EndReason::Disconnected | EndReason::CredentialExpired => unreachable!("above"),
    }
    rig
}

#[test]
fn each_end_of_each_kind_makes_one_record() {
    for reason in EndReason::ALL {
        let rig = ended_by(reason);
        let records = rig.ended();
        let [record] = &records[..] else { panic!("{reason:?}: {records:?}") };
        assert_eq!(record.ended, Some(reason));
        assert_eq!(
            (record.total, record.accounted.used),
            (to_peers(1, 4), to_peers(1, 4)),
            "{reason:?}"
        );
        assert_eq!(record.accounted.sequence, 1);
        assert_eq!(record.accounted.relayed.iter().flatten().count(), 1);
        // What is said in the log is said in a record, and the other way round.
        let ends =
            rig.events().iter().filter(|event| matches!(event, Happened::Ended { .. })).count();
        assert_eq!(ends, 1, "{reason:?}");
        rig.assert_empty();
    }
}

#[test]
fn allocations_of_tcp_and_of_two_families_have_one_record_each() {
    let rig = recording_with(|setup| setup.tcp_relay = true);
    let tcp = rig.tcp_client(1, "bob");
    tcp.allocate_tcp();
    let attempt = tcp.connected(PEER);
    rig.tcp_client(2, "bob").bind_connection(attempt.id).assert_ok();
    let relayed = Traffic { bytes_to_peers: 100, bytes_to_client: 7, ..Traffic::default() };
    rig.world(|world| world.relayed = relayed);
    tcp.refresh(0).assert_ok();
    let records = rig.ended();
    assert_eq!((records.len(), records[0].total), (1, relayed));

    let both = rig.alice();
    both.allocation().attribute(T::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]).send().assert_ok();
    // An address that was given up is in the record.
    both.request(taciturn_stun::Method::REFRESH)
        .lifetime(0)
        .family(T::REQUESTED_ADDRESS_FAMILY, taciturn_stun::Family::V6)
        .send()
        .assert_ok();
    both.refresh(0).assert_ok();
    let records = rig.ended();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].accounted.relayed.iter().flatten().count(), 2);
}

#[test]
fn a_user_with_a_time_in_the_name_is_recorded_with_and_without_it() {
    let rig = recording();
    let carol = rig.rest_client("192.0.2.9:9", "carol", 3600);
    carol.allocate();
    carol.refresh(0).assert_ok();
    let records = rig.ended();
    assert_eq!(records[0].user.name(), "carol");
    assert!(records[0].username.name().ends_with(":carol"));
    assert_eq!(records[0].client, carol.at.remote);
}

#[test]
fn a_session_that_goes_on_has_a_record_an_hour_of_what_was_relayed_since() {
    let rig = recording_with(|setup| setup.max_lifetime = seconds(86_400));
    let alice = rig.alice();
    alice.allocation().lifetime(86_400).send().assert_ok();
    let short = rig.bob();
    short.allocate();
    let mut all = Vec::new();
    for hour in 1..=3_u32 {
        alice.permit(PEER);
        alice.send(PEER, b"data").assert_reaches(PEER, b"data");
        assert_eq!(rig.interim(HOUR), []);
        rig.advance(HOUR);
        let records = rig.interim(HOUR);
        assert_eq!(rig.interim(HOUR), [], "it has one by now");
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.accounted.sequence, record.ended), (hour, None));
        assert_eq!(
            (record.accounted.used, record.total),
            (to_peers(1, 4), to_peers(hour.into(), 4 * u64::from(hour)))
        );
        all.extend(records);
    }
    alice.permit(PEER);
    alice.send(PEER, b"last").assert_reaches(PEER, b"last");
    alice.refresh(0).assert_ok();
    let last = rig.ended();
    // The other one has ended before.
    let last: Vec<_> = last.into_iter().filter(|record| record.client == alice.at.remote).collect();
    assert_eq!((last[0].accounted.sequence, last[0].ended), (4, Some(EndReason::Released)));
    all.extend(last);
    assert!(all.iter().all(|record| record.accounted.session == all[0].accounted.session));
    assert_eq!(sum(&all), rig.relayed());
    assert_eq!(sum(&all), all[3].total);
}

#[test]
fn what_tcp_connections_relay_is_in_the_records_meanwhile() {
    let rig = recording_with(|setup| setup.tcp_relay = true);
    let tcp = rig.tcp_client(1, "bob");
    tcp.allocate_tcp();
    let attempt = tcp.connected(PEER);
    rig.tcp_client(2, "bob").bind_connection(attempt.id).assert_ok();
    let relayed = |bytes| Traffic { bytes_to_peers: bytes, ..Traffic::default() };
    rig.world(|world| world.relayed = relayed(100));
    let records = rig.interim(seconds(0));
    assert_eq!((records[0].accounted.used, rig.relayed()), (relayed(100), relayed(100)));
    rig.pipe_ends(attempt, relayed(11));
    tcp.refresh(0).assert_ok();
    let last = rig.ended();
    assert_eq!((last[0].accounted.used, last[0].total), (relayed(11), relayed(111)));
    assert_eq!(rig.relayed(), relayed(111));
}

#[test]
fn a_session_goes_on_in_another_process_with_its_number_and_what_was_recorded() {
    let rig = recording();
    let alice = rig.alice();
    alice.allocate();
    alice.permit(PEER);
    alice.send(PEER, b"one").assert_reaches(PEER, b"one");
    let first = rig.interim(seconds(0));
    alice.send(PEER, b"more").assert_reaches(PEER, b"more");
    let records = |setup: &mut setup::Setup| setup.records = true;
    let (then, _) = Restart { setup: &records, ..Restart::default() }.of_one(&rig);
    let alice = alice.of(&then);
    alice.send(PEER, b"after").assert_reaches(PEER, b"after");
    alice.refresh(0).assert_ok();
    let last = then.ended();
    assert_eq!(last[0].accounted.session, first[0].accounted.session);
    assert_eq!(last[0].accounted.sequence, 2);
    assert_eq!(last[0].accounted.began, first[0].accounted.began);
    assert_eq!((sum(&first), sum(&last)), (to_peers(1, 3), to_peers(2, 9)));
    assert_eq!(last[0].total, to_peers(3, 12));
    // Nothing was said in the process before.
    assert_eq!(rig.ended(), []);
}

/// A process that was killed goes on from what was kept a moment before: the same record comes again, with the same
/// number.
#[test]
fn what_was_recorded_after_the_last_snapshot_is_recorded_again_with_its_number() {
    let rig = recording();
    let alice = rig.alice();
    alice.allocate();
    alice.permit(PEER);
    let kept = snapshot(&[&rig], &|_| true);
    alice.send(PEER, b"data").assert_reaches(PEER, b"data");
    alice.refresh(0).assert_ok();
    let lost = rig.ended();
    let records = |setup: &mut setup::Setup| setup.records = true;
    // Its sockets are there: what was handed over is what was kept.
    let other = Rig::with(|setup| setup.records = true);
    other.alice().allocate();
    let (then, restored) = {
        let how = Restart { setup: &records, ..Restart::default() };
        let (mut rigs, restored) = how.from(&[&other], kept);
        (rigs.remove(0), restored)
    };
    if restored.allocations == 1 {
        then.advance(seconds(700));
    }
    let again = then.ended();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].accounted.session, lost[0].accounted.session);
    assert_eq!(again[0].accounted.sequence, lost[0].accounted.sequence);
}

#[test]
fn a_session_of_a_process_that_kept_no_records_is_recorded_from_its_beginning() {
    let rig = Rig::new();
    let alice = rig.alice();
    alice.allocate();
    alice.permit(PEER);
    alice.send(PEER, b"data").assert_reaches(PEER, b"data");
    rig.advance(seconds(60));
    let records = |setup: &mut setup::Setup| setup.records = true;
    let (then, _) = Restart { setup: &records, ..Restart::default() }.of_one(&rig);
    alice.of(&then).refresh(0).assert_ok();
    let last = then.ended();
    assert_eq!((last[0].accounted.used, last[0].accounted.sequence), (to_peers(1, 4), 1));
    let began =
        i64::try_from(last[0].accounted.began).unwrap() - i64::try_from(rig::START).unwrap();
    assert!((-1..=1).contains(&began), "{began}");

    let off = Rig::new();
    off.alice().allocate();
    off.alice().refresh(0).assert_ok();
    assert_eq!((off.ended(), off.interim(seconds(0))), (vec![], vec![]));
}

#[test]
fn a_session_that_moves_to_another_shard_has_one_number_and_one_end() {
    let one = recording_with(|setup| setup.mobility = true);
    let two = Rig::beside(&one);
    let alice = one.alice();
    let (_, first) = allocate(&alice);
    alice.permit(PEER);
    alice.send(PEER, b"data").assert_reaches(PEER, b"data");
    let interim = one.interim(seconds(0));
    let moved = two.client("198.51.100.9:7777", "alice");
    let _ = ticket(&resume(&moved, &first));
    moved.send(PEER, b"knock").assert_dropped(DropReason::NoAllocation);
    assert_eq!(one.hand_over_to(&two), 1);
    moved.send(PEER, b"here").assert_reaches(PEER, b"here");
    moved.refresh(0).assert_ok();
    assert_eq!(one.ended(), []);
    let last = two.ended();
    assert_eq!((last.len(), last[0].accounted.session), (1, interim[0].accounted.session));
    assert_eq!((last[0].accounted.used, last[0].client), (to_peers(1, 4), moved.at.remote));
    // What both shards have counted is what the records say.
    let mut counted = one.relayed();
    counted.add(two.relayed());
    assert_eq!(counted, to_peers(2, 8));
}

#[test]
fn each_session_has_another_number() {
    let rig = recording();
    for _ in 0..3 {
        rig.alice().allocate();
        rig.alice().refresh(0).assert_ok();
        rig.advance(seconds(60));
    }
    let numbers: Vec<_> =
        rig.ended().iter().map(|record| record.accounted.session.to_string()).collect();
    assert_eq!(numbers, ["0000000000000abc-1", "0000000000000abc-2", "0000000000000abc-3"]);
}
