//! How long it takes to hand 10,000 allocations over, step by step, and how many bytes they are:
//! `cargo bench --bench snapshot`. Each has one channel and one permission.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use taciturn_turn::recorder::Recorder;
use taciturn_turn::snapshot::{Share, SharedSnapshot, Snapshot, Taken};
use taciturn_turn::{Rules, Shard, ShardNumber};
use testkit::shard::{self, Rig, rules};

const ALLOCATIONS: u16 = 10_000;

/// How many shards restore it.
const SHARDS: u16 = 2;

fn own() -> IpAddr {
    IpAddr::from([203, 0, 113, 7])
}

fn empty() -> Rules {
    rules(ALLOCATIONS, own(), vec!["198.51.100.0/24".parse().unwrap()])
}

fn take(rig: &Rig, rules: &Rules) -> Snapshot {
    let tick = rig.now.tick;
    let shard = rig.shard.snapshot(tick, |_| true);
    Snapshot::new(Taken { tick, boot: Duration::ZERO }, rules.snapshot(tick), vec![shard])
}

fn divide(bytes: &[u8]) -> (SharedSnapshot, Vec<Share>) {
    let snapshot = Snapshot::read(bytes).unwrap();
    snapshot.divide(SHARDS, |_, client| {
        let [.., last] = client.remote.0.ip().to_canonical().to_string().into_bytes()[..] else {
            return None;
        };
        Some((ShardNumber(u16::from(last) % SHARDS), client))
    })
}

fn hand_over(criterion: &mut Criterion) {
    let rig = Rig::new(ALLOCATIONS);
    let there = Taken { tick: rig.now.tick, boot: Duration::ZERO }
        .take_over(rig.now.tick, Duration::from_millis(50));
    let shared = empty();
    let bytes = take(&rig, &shared).write().unwrap();
    println!(
        "{ALLOCATIONS} allocations: {} bytes, {} each",
        bytes.len(),
        bytes.len() / usize::from(ALLOCATIONS)
    );
    let mut group = criterion.benchmark_group("snapshot of 10,000 allocations");
    group.sample_size(20);
    group.bench_function("take", |bencher| bencher.iter(|| black_box(take(&rig, &shared))));
    let snapshot = take(&rig, &shared);
    group.bench_function("write", |bencher| bencher.iter(|| snapshot.write().unwrap()));
    group.bench_function("read", |bencher| bencher.iter(|| Snapshot::read(&bytes).unwrap()));
    group.bench_function("divide and restore", |bencher| {
        bencher.iter_batched(
            || (divide(&bytes), empty()),
            |((shared, shares), mut rules)| {
                rules.restore(shared, &there);
                let mut world = Recorder::default();
                let shards: Vec<_> = (0..SHARDS)
                    .map(ShardNumber)
                    .zip(shares)
                    .map(|(number, share)| {
                        let mut shard =
                            Shard::numbered(number, shard::settings(own()), rules.clone());
                        let _ = shard.restore(rig.now, share, &there, &mut world);
                        shard
                    })
                    .collect();
                assert_eq!(shards.iter().map(Shard::len).sum::<usize>(), usize::from(ALLOCATIONS));
                (shards, world)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, hand_over);
criterion_main!(benches);
