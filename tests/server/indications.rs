//! Send and Data indications (RFC 8656 sections 10 and 11) over each transport.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "dtls")]

use testkit::everywhere::{Site, TRANSPORTS};
use testkit::server::PATIENCE;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// A connectivity check that carries a handshake of DTLS, as browsers begin to send it.
const LONG_CHECK: usize = 1200;

#[tokio::test]
async fn indications_of_1200_bytes_pass_both_ways_over_each_transport() {
    const BURST: u8 = 20;
    let site = Site::new("");
    for transport in TRANSPORTS {
        let mut client = site.connect(transport).await.unwrap();
        let relayed = client.allocate().await;
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = peer.local_addr().unwrap();
        client.permit(at).await;
        for n in 0..BURST {
            client.indicate(at, &[n; LONG_CHECK]).await;
        }
        let mut buffer = [0; 2000];
        for n in 0..BURST {
            let received = timeout(PATIENCE, peer.recv_from(&mut buffer)).await;
            let (len, from) = received.unwrap().unwrap();
            assert_eq!((&buffer[..len], from), (&[n; LONG_CHECK][..], relayed), "{transport}");
        }
        for n in 0..BURST {
            peer.send_to(&[n; LONG_CHECK], relayed).await.unwrap();
        }
        for n in 0..BURST {
            assert_eq!(client.indicated().await, (at, vec![n; LONG_CHECK]), "{transport}");
        }
    }
}
