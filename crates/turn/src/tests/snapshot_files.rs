//! Snapshots as bytes: written and read again, damaged, of other versions.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::mobility::{resume, ticket};
use super::restart::{Restart, snapshot};
use super::*;
use crate::snapshot::records::{
    AllocationRecord, ChannelsRecord, EndedRecord, KindRecord, ShardRecord, SharedRecord,
};
use crate::snapshot::wire::Record;
use crate::snapshot::{FORMAT, LONGEST, Snapshot, SnapshotError, Taken};
use crate::{Restored, Session, ShardNumber, UserId, Via, Whose};
use taciturn_stun::AttributeType as T;

fn setup(setup: &mut setup::Setup) {
    setup.mobility = true;
    setup.tcp_relay = true;
    setup.rates.packets.user = 1000;
}

/// An allocation that lives for an hour.
fn allocated(request: client::Request<'_>) -> Answer {
    let answer = request.lifetime(3600).send();
    answer.assert_ok();
    answer
}

/// Two shards that have something of each kind. Those of one call are as those of any other.
fn everything() -> (Rig, Rig) {
    let one = Rig::with(setup);
    let two = Rig::beside(&one);
    let wait = |span| [&one, &two].map(|rig| rig.advance(seconds(span)));
    let alice = one.alice();
    let first = ticket(&allocated(alice.allocation().attribute(T::MOBILITY_TICKET, b"")));
    alice.bind(CHANNEL, OTHER_PEER);
    alice.bind(CHANNEL + 7, PEER);
    alice.send(PEER, b"data").assert_reaches(PEER, b"data");
    let away = one.stream_client("192.0.2.5:1005", "alice");
    allocated(away.allocation().attribute(T::MOBILITY_TICKET, b""));
    one.hang_up(&away);
    let both = two.rest_client("[2001:db8::99]:1005", "carol", 3600);
    allocated(both.allocation().attribute(T::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]));
    let dtls = two.dtls_client("192.0.2.4:1004", "bob");
    dtls.sha256.set(true);
    allocated(dtls.allocation());
    let tcp = one.tcp_client(1, "bob");
    let relayed = allocated(tcp.tcp_allocation()).relayed();
    let bound = tcp.connected(OTHER_PEER);
    one.tcp_client(2, "bob").bind_connection(bound.id).assert_ok();

    // One channel ends, the other is refreshed.
    wait(590);
    alice.bind(CHANNEL, OTHER_PEER);
    both.bind(CHANNEL + 1, PEER_V6);
    wait(11);
    alice.permit(PEER);
    tcp.permit(PEER);
    one.peer_connects(PEER, relayed).unwrap();
    tcp.connect("8.8.8.8:5000").begin();
    resume(&two.client("198.51.100.9:7777", "alice"), &first).assert_ok();
    let even = two.client("192.0.2.7:1007", "bob");
    allocated(even.allocation().even_port(true));
    let ended = one.client("192.0.2.6:1006", "bob");
    ended.allocate();
    ended.refresh(0).assert_ok();
    for rig in [&one, &two] {
        rig.drain(true);
        rig.retire_listener(5, true);
    }
    (one, two)
}

fn written() -> Vec<u8> {
    let (one, two) = everything();
    snapshot(&[&one, &two], &|_| true).write().unwrap().to_vec()
}

/// The bytes with a checksum that fits.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let sum = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    bytes
}

#[test]
fn what_is_read_is_what_was_written() {
    let bytes = written();
    let read = Snapshot::read(&bytes).unwrap();
    assert_eq!(read.write().unwrap()[..], bytes[..]);
    assert_eq!((read.writer(), read.shards()), (env!("CARGO_PKG_VERSION"), 2));
    assert_eq!((read.len(), read.is_draining()), (6, true));
    let retired: Vec<_> = read.retired_listeners().into_iter().collect();
    assert_eq!(retired, [(ShardNumber(0), 5), (ShardNumber(1), 5)]);
    let sockets: Vec<_> = read.sockets().collect();
    assert_eq!(sockets.len(), 6);
    let tcp = sockets.iter().find(|held| held.is_tcp).unwrap();
    assert_eq!((tcp.shard, tcp.connections.len()), (ShardNumber(0), 3));
    assert_eq!(sockets.iter().filter(|held| held.client.is_none()).count(), 1);
    let with_both = sockets.iter().filter(|held| held.relays.iter().all(Option::is_some));
    assert_eq!(with_both.count(), 1);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let bytes = written();
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let error = Snapshot::read(&flipped).unwrap_err();
            let text = error.to_string();
            assert!(!text.is_empty());
            match at {
                0..8 => assert_eq!(error, SnapshotError::Foreign),
                8..10 => assert!(
                    matches!(error, SnapshotError::Newer { .. } | SnapshotError::Length { .. }),
                    "{error:?}"
                ),
                _ => {
                    assert!(!matches!(error, SnapshotError::Foreign | SnapshotError::Newer { .. }))
                }
            }
        }
    }
}

#[test]
fn a_snapshot_that_is_cut_short_or_goes_on_is_refused() {
    let mut bytes = written();
    for len in 0..bytes.len() {
        assert!(Snapshot::read(&bytes[..len]).is_err(), "{len}");
    }
    bytes.push(0);
    let error = Snapshot::read(&bytes).unwrap_err();
    let (found, expected) = (bytes.len() as u64, bytes.len() as u64 - 1);
    assert_eq!(error, SnapshotError::Length { found, expected });
}

#[test]
fn a_wrong_value_is_refused_though_the_checksum_fits() {
    let bytes = written();
    let (mut refused, body) = (0, 10 + 1 + env!("CARGO_PKG_VERSION").len() + 8);
    for at in body..bytes.len() - 32 {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0xFF;
        // Another value may do: a counter, a key. What is read can be written, and restored.
        match Snapshot::read(&sealed(wrong)) {
            Err(SnapshotError::Invalid(_)) => refused += 1,
            Err(other) => panic!("{at}: {other:?}"),
            Ok(read) => assert_eq!(read.write().unwrap().len(), bytes.len(), "{at}"),
        }
    }
    assert!(refused > 500, "{refused}");
}

/// What is said of a snapshot whose records were changed before they were written.
fn refused(change: impl FnOnce(&mut SharedRecord, &mut ShardRecord)) -> String {
    let (one, two) = everything();
    let tick = one.now().tick;
    let of = |rig: &Rig| rig.shard(|shard| shard.snapshot(tick, |_| true));
    let mut shared = one.shard(|shard| shard.parts.rules.snapshot(tick));
    let (mut first, second) = (of(&one), of(&two));
    change(&mut shared.0, &mut first.0);
    let bytes = Snapshot::new(Taken::default(), shared, vec![first, second]).write().unwrap();
    match Snapshot::read(&bytes) {
        Err(SnapshotError::Invalid(what)) => what,
        other => panic!("{other:?}"),
    }
}

/// The first allocation that fits.
fn allocation(
    shard: &mut ShardRecord,
    fits: impl Fn(&AllocationRecord) -> bool,
) -> &mut AllocationRecord {
    shard.allocations.iter_mut().map(|record| &mut record.0).find(|record| fits(record)).unwrap()
}

fn channels(shard: &mut ShardRecord) -> &mut ChannelsRecord {
    let with_channels = |record: &AllocationRecord| match &record.kind {
        KindRecord::Udp { channels, .. } => !channels.bound.is_empty(),
        KindRecord::Tcp { .. } => false,
    };
    match &mut allocation(shard, with_channels).kind {
        KindRecord::Udp { channels, .. } => channels,
        KindRecord::Tcp { .. } => panic!("it has channels"),
    }
}

#[test]
fn what_cannot_be_is_refused_and_said() {
    let any = |_: &AllocationRecord| true;
    let says = |what: String, expected: &str| assert!(what.contains(expected), "{what}");
    says(refused(|shared, _| shared.last_mobile = 1), "never given out");
    says(refused(|shared, _| shared.last_mobile = u64::MAX), "never given out");
    says(refused(|_, shard| allocation(shard, any).granted.lifetime = 0), "never granted");
    says(refused(|_, shard| allocation(shard, any).traffic.bytes_to_peers = u64::MAX), "too much");
    let tcp = AllocationRecord::is_tcp;
    says(refused(|_, shard| allocation(shard, tcp).is_away = true), "has no client");
    says(
        refused(|_, shard| allocation(shard, tcp).client.via = Via::Udp(0)),
        "without a connection has an allocation for TCP",
    );
    says(
        refused(|_, shard| match &mut allocation(shard, tcp).kind {
            KindRecord::Tcp { connections } => connections[0].id = connections[1].id,
            KindRecord::Udp { .. } => panic!("it is for TCP"),
        }),
        "the same number",
    );
    says(refused(|_, shard| allocation(shard, any).relays = [None; 2]), "no relayed");
    says(
        refused(|_, shard| allocation(shard, any).relays.swap(0, 1)),
        "address and its port do not fit",
    );
    says(
        refused(|_, shard| {
            let relay = allocation(shard, any).relays[0].as_mut().unwrap();
            relay.lease.port += 1;
        }),
        "address and its port do not fit",
    );
    says(
        refused(|_, shard| {
            let client = allocation(shard, tcp).client;
            shard.allocations.iter_mut().for_each(|record| record.0.client = client);
        }),
        "two allocations",
    );
    says(
        refused(|_, shard| {
            let record = allocation(shard, |record| record.permissions.len() > 1);
            record.permissions.reverse();
        }),
        "not in order",
    );
    says(
        refused(|_, shard| {
            let bound = &mut channels(shard).bound;
            bound.push(bound[0]);
        }),
        "bound twice",
    );
    says(
        refused(|_, shard| {
            let mut other = channels(shard).bound[0];
            other.number = taciturn_stun::ChannelNumber::new(CHANNEL + 99).unwrap();
            channels(shard).bound.push(other);
        }),
        "bound twice",
    );
    says(
        refused(|_, shard| {
            let one = channels(shard).bound[0];
            channels(shard).guard = vec![one; 10_000];
        }),
        "too many channels",
    );
    says(
        refused(|_, shard| {
            let arriving = |record: &mut AllocationRecord| match &mut record.kind {
                KindRecord::Udp { mobility: Some(mobility), .. } => {
                    mobility.arriving = Some((ShardNumber(2), record.client));
                }
                _ => panic!("it may move"),
            };
            arriving(allocation(shard, |record| record.mobility().is_some()));
        }),
        "a shard that there is not",
    );
    says(refused(|_, shard| shard.intake.0.retired = vec![1; 70_000]), "too many listeners");
    says(
        refused(|_, shard| {
            let EndedRecord { client, tid, left } = shard.ended.remove(0).0;
            let many = std::iter::repeat_with(|| Record(EndedRecord { client, tid, left }));
            shard.ended.extend(many.take(300));
        }),
        "too many requests",
    );
    says(
        refused(|_, shard| {
            let user = "x".repeat(1025);
            allocation(shard, any).username = UserId::of_tests(&user);
        }),
        "a name is too long",
    );
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut bytes = written();
    let version = env!("CARGO_PKG_VERSION").len();
    bytes[8..10].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    bytes[11..11 + version].copy_from_slice(&b"9.9.9+later"[..version]);
    // Whatever follows: its checksum may be another one.
    let error = Snapshot::read(&bytes).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("newer version, taciturn 9.9.9"), "{text}");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    for other in [&b""[..], b"TACITURN", b"not a snapshot at all, but of some length"] {
        assert!(Snapshot::read(other).is_err());
    }
    assert_eq!(Snapshot::read(b"#!/bin/sh").unwrap_err(), SnapshotError::Foreign);
}

#[test]
fn counts_and_lengths_take_no_memory_before_they_are_there() {
    // Every four bytes, as if they were a length.
    let bytes = written();
    let body = 10 + 1 + env!("CARGO_PKG_VERSION").len() + 8;
    for at in body..bytes.len() - 36 {
        let mut wrong = bytes.clone();
        wrong[at..at + 4].copy_from_slice(&[0xF0, 0xFF, 0xFF, 0xFF]);
        let _ = Snapshot::read(&sealed(wrong));
    }
    assert!(LONGEST < u64::from(u32::MAX));
}

#[test]
fn nothing_secret_is_shown() {
    let (one, two) = everything();
    let shown = format!("{:?}", snapshot(&[&one, &two], &|_| true));
    let keys = [one.alice().key, one.bob().key].map(|key| format!("{:?}", key.bytes()));
    // The keys of nonces, and of tickets.
    let repeated = [1, 2, 3].map(|byte| format!("{:?}", [byte; 32]));
    for secret in keys.iter().chain(&repeated) {
        let inner = secret.trim_matches(['[', ']']);
        assert!(!shown.contains(inner), "{inner}");
    }
    assert!(shown.contains("Secret(..)"));
}

/// Where the snapshots are that earlier versions have written: each with one of its shards, in a file by the
/// number of the format and the version.
fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/snapshots")
}

#[test]
#[allow(clippy::disallowed_methods)] // fixtures are files
fn snapshots_of_every_earlier_version_are_read() {
    let own = fixtures().join(format!("format-{FORMAT}-of-{}", env!("CARGO_PKG_VERSION")));
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !own.exists() {
        fs::create_dir_all(fixtures()).unwrap();
        fs::write(&own, written()).unwrap();
    }
    let mut read = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let snapshot = Snapshot::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(name.ends_with(&format!("-of-{}", snapshot.writer())), "{name}");
        // All in it that is not over goes on.
        let (one, two) = everything();
        let how = Restart { passed: seconds(1), setup: &setup, ..Restart::default() };
        let (rigs, restored) = how.from(&[&one, &two], snapshot);
        assert_eq!(restored, Restored { allocations: 6, ..Restored::default() }, "{name}");
        let rig = &rigs[0];
        rig.assert_consistent();
        let alice = rig.alice();
        alice.channel_data(CHANNEL, b"x").assert_reaches(OTHER_PEER, b"x");
        alice.try_bind(CHANNEL + 8, PEER).assert_error(400);
        alice.refresh(600).assert_ok();
        let carol = rig.rest_client("[2001:db8::99]:1005", "carol", 3600);
        carol.channel_data(CHANNEL + 1, b"x").assert_reaches(PEER_V6, b"x");
        let sessions = rig.sessions(&Whose::default());
        let relays = |session: &Session| session.relayed.iter().flatten().count();
        assert_eq!(sessions.iter().map(relays).sum::<usize>(), 7, "{name}");
        let tcp = rig.tcp_client(1, "bob");
        tcp.refresh(3600).assert_ok();
        assert_eq!(rig.world(|world| world.peers.len()), 3, "{name}");
        assert_eq!((rig.reserved_ports(), rig.used_ports()), (1, 8), "{name}");
        rig.client("192.0.2.9:9", "bob").allocation().send().assert_error(508);
        // The key of the tickets, and the 5-tuple that waits.
        rig.client("198.51.100.9:7777", "alice").refresh(600).assert_ok();
        alice.refresh(600).assert_error(437);
        read += 1;
    }
    assert!(read > 0 && own.exists(), "UPDATE_GOLDEN=1 writes the snapshot of this version");
}
