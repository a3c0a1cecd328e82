//! Relaying a packet allocates nothing in the shard: an allocator that counts says so.

use std::net::SocketAddr;

use crate::counting::allocations;
use taciturn_turn::Verdict;
use testkit::shard::{PEER, Rig, channel_data, send_indication};

#[test]
fn relaying_allocates_nothing() {
    let peer = SocketAddr::from(PEER);
    // Permitted by its address, and without a channel.
    let other = SocketAddr::new(peer.ip(), 9);
    let (data, indication) = (channel_data(172), send_indication(peer, 172));
    let mut rig = Rig::new(100);
    assert!(matches!(rig.client_sends(7, &data), Verdict::ToPeer { .. }));
    assert!(matches!(rig.client_sends(7, &indication), Verdict::ToPeer { .. }));
    assert!(matches!(rig.peer_sends(7, peer, 172), Verdict::ToClient { .. }));
    assert!(matches!(rig.peer_sends(7, other, 172), Verdict::ToClient { .. }));
    let allocated = allocations(|| {
        for client in 0..100 {
            let _ = rig.client_sends(client, &data);
            let _ = rig.client_sends(client, &indication);
            let _ = rig.peer_sends(client, peer, 172);
            let _ = rig.peer_sends(client, other, 172);
        }
    });
    assert_eq!(allocated, 0);
}

#[test]
fn dropping_allocates_nothing() {
    let mut rig = Rig::new(1);
    let stranger = SocketAddr::from(([198, 51, 100, 200], 1));
    let mut unbound = channel_data(10);
    unbound[1] = 0x77;
    let not_permitted = send_indication(stranger, 10);
    let wrong: [&[u8]; 4] = [&unbound, &not_permitted, b"\x80", &[0x40]];
    let allocated = allocations(|| {
        for packet in wrong {
            assert!(matches!(rig.client_sends(0, packet), Verdict::Drop(_)));
        }
        assert!(matches!(rig.peer_sends(0, stranger, 10), Verdict::Drop(_)));
    });
    assert_eq!(allocated, 0);
}
