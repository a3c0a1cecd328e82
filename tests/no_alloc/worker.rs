//! A worker that relays allocates nothing: not while it waits, reads, decides or sends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests

use crate::counting::worker_allocations;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use taciturn_net::{KeptFields, LimitNames, ListenerId, Listeners, Shared, Wanted};
use taciturn_stun::{Class, Message, Method};
use taciturn_turn::policy::{Connections, HandshakeLimit};
use testkit::shard::{allocate, channel_bind, channel_data, rules, send_indication, settings};

/// Packets of one burst.
const BURST: usize = 10;

/// A client with a channel to a peer, and another peer of the same address.
struct Call {
    client: UdpSocket,
    peer: UdpSocket,
    other: UdpSocket,
    relayed: SocketAddr,
    data: Vec<u8>,
    indication: Vec<u8>,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

impl Call {
    fn open(server: SocketAddr) -> Self {
        let (client, peer, other) = (socket(), socket(), socket());
        client.connect(server).unwrap();
        let ask = |request: &[u8]| {
            client.send(request).unwrap();
            let mut answer = vec![0; 1500];
            let len = client.recv(&mut answer).unwrap();
            answer.truncate(len);
            answer
        };
        let challenge = ask(&allocate(None));
        let nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        let allocated = ask(&allocate(Some(&nonce)));
        let relayed = Message::parse(&allocated).unwrap().relayed_address().unwrap();
        let bound = ask(&channel_bind(&nonce, peer.local_addr().unwrap()));
        assert_eq!(Message::parse(&bound).unwrap().class(), Class::Success);
        let indication = send_indication(peer.local_addr().unwrap(), 172);
        Self { client, peer, other, relayed, data: channel_data(172), indication }
    }

    /// Bursts both ways, by channel and by indications. Allocates nothing itself, for it is as well
    /// if it does not.
    fn talk(&self) {
        let mut packet = [0; 1500];
        for message in [&self.data, &self.indication] {
            for _ in 0..BURST {
                self.client.send(message).unwrap();
            }
            for _ in 0..BURST {
                let (len, from) = self.peer.recv_from(&mut packet).unwrap();
                assert_eq!((len, from), (172, self.relayed));
            }
        }
        for (peer, indicated) in [(&self.peer, false), (&self.other, true)] {
            for _ in 0..BURST {
                peer.send_to(&self.data[4..], self.relayed).unwrap();
            }
            for _ in 0..BURST {
                let len = self.client.recv(&mut packet).unwrap();
                let method = Message::parse(&packet[..len]).ok().map(|message| message.method());
                assert_eq!(method == Some(Method::DATA), indicated);
            }
        }
    }
}

#[test]
fn a_worker_that_relays_allocates_nothing() {
    let own = IpAddr::from([127, 0, 0, 1]);
    let wanted = (ListenerId(0), Wanted::Udp(SocketAddr::new(own, 0)));
    let bound = Listeners::bind(&[wanted], 1).unwrap();
    let address = bound[0].addresses()[0].trim_end_matches("/udp").parse().unwrap();
    let running = taciturn_net::start(bound, Duration::from_secs(3600), None, |nonces| {
        let mut rules = rules(100, own, vec!["127.0.0.0/8".parse().unwrap()]);
        rules.nonces = Arc::new(nonces);
        Shared {
            settings: settings(own),
            rules,
            entrances: Arc::default(),
            connections: Arc::new(Connections::new(10, 10)),
            handshakes: Arc::new(HandshakeLimit::new(0, Vec::new())),
            failed_logins: Arc::default(),
            usage: None,
            reception: Arc::default(),
            limit_names: LimitNames::default(),
            wake_delay: Duration::ZERO,
            kept_fields: KeptFields { dscp: true, ecn: true, ttl: true },
            kernel: None,
        }
    });
    let running = running.unwrap().go();
    let call = Call::open(address);
    assert!(worker_allocations() > 0, "the worker's allocations are counted");
    for _ in 0..20 {
        call.talk();
    }
    let before = worker_allocations();
    for _ in 0..100 {
        call.talk();
    }
    assert_eq!(worker_allocations() - before, 0);
    running.stop().unwrap();
}
