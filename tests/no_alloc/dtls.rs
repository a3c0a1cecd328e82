//! A record in and a record out allocate nothing on our side of OpenSSL: an allocator that counts
//! says so.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![cfg(feature = "dtls")]

use crate::counting::allocations;
use testkit::dtls::{Kind, Pki, Wants, connected};

#[test]
fn records_of_media_cost_no_allocation() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let (mut plain, mut datagram) = (vec![0; 16_384], vec![0; 4200]);
    for round in 0..20 {
        let up = client.send(&[7; 1200]).remove(0);
        let count = allocations(|| {
            server.handle_datagram(&up);
            assert_eq!(server.recv(&mut plain), Some(1200));
            assert_eq!(server.recv(&mut plain), None);
            server.send(&plain[..1200]).unwrap();
            assert!(server.poll_transmit(&mut datagram).is_some());
            assert!(server.poll_transmit(&mut datagram).is_none());
        });
        // The buffers of the connection come to be in the first rounds.
        assert!(round < 2 || count == 0, "{count} allocations in round {round}");
    }
}
