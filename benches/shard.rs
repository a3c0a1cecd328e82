//! What the shard takes for a packet, with few allocations and with many: the time must not grow with
//! their number, apart from what the processor's caches cost. `cargo bench --bench shard`.

use testkit::shard;

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use shard::{PEER, Rig, channel_data, send_indication};
use taciturn_turn::Verdict;

/// Payload of an audio packet.
const LEN: u16 = 172;

fn relay(criterion: &mut Criterion) {
    let peer = SocketAddr::from(PEER);
    // Of the permitted address, and without a channel.
    let other = SocketAddr::new(peer.ip(), 9);
    let (data, indication) = (channel_data(LEN), send_indication(peer, LEN.into()));
    for allocations in [1_u16, 100, 10_000] {
        let mut rig = Rig::new(allocations);
        // Each packet is another client's, in an order that no prefetcher guesses.
        let mut client = 0;
        let mut next = move || {
            client = (client + 7_919) % usize::from(allocations);
            client
        };
        let mut group = criterion.benchmark_group("shard");
        group.bench_function(BenchmarkId::new("ChannelData to a peer", allocations), |bencher| {
            bencher.iter(|| rig.client_sends(next(), black_box(&data)));
        });
        group.bench_function(BenchmarkId::new("Send indication", allocations), |bencher| {
            bencher.iter(|| rig.client_sends(next(), black_box(&indication)));
        });
        group.bench_function(BenchmarkId::new("ChannelData to a client", allocations), |bencher| {
            bencher.iter(|| rig.peer_sends(next(), black_box(peer), LEN.into()));
        });
        group.bench_function(BenchmarkId::new("Data indication", allocations), |bencher| {
            bencher.iter(|| rig.peer_sends(next(), black_box(other), LEN.into()));
        });
        group.finish();
        // The packets were relayed, not dropped.
        assert!(matches!(rig.client_sends(0, &data), Verdict::ToPeer { .. }));
        assert!(matches!(rig.client_sends(0, &indication), Verdict::ToPeer { .. }));
        assert!(matches!(rig.peer_sends(0, peer, 10), Verdict::ToClient { .. }));
        assert!(matches!(rig.peer_sends(0, other, 10), Verdict::ToClient { .. }));
    }
}

criterion_group!(benches, relay);
criterion_main!(benches);
