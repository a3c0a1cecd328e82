//! What strangers and connections cost in memory. A process of its own, because it looks at the
//! resident size of the whole process.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![cfg(all(feature = "dtls", target_os = "linux"))]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use taciturn_net::dtls::{Admission, Listener};
use testkit::dtls::*;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn spoof(listener: &mut Listener, hello: &[u8], from: u32, to: u32) -> usize {
    let mut replies = 0;
    for n in from..to {
        let client = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n), 1024 + n as u16));
        match listener.datagram_from_unknown(client, hello, Instant::now()) {
            Admission::Reply(reply) => replies += usize::from(reply.len() <= hello.len()),
            other => panic!("{other:?}"),
        }
    }
    replies
}

#[test]
fn strangers_leave_nothing_and_connections_are_small() {
    let _alone = crate::alone();
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let hello = Client::new(&pki.root).step().remove(0);
    // Once around, so that what is made once is there.
    spoof(&mut listener, &hello, 0, 100);
    drop(connected(&pki, &Wants::default()));

    let before = resident();
    assert_eq!(spoof(&mut listener, &hello, 100, 10_100), 10_000);
    let grown = resident().saturating_sub(before);
    println!("10000 spoofed ClientHellos: {grown} bytes");
    assert!(grown < 100_000, "{grown} bytes for 10000 strangers");

    const N: usize = 300;
    let before = resident();
    let servers: Vec<_> = (0..N)
        .map(|_| {
            let mut client = Client::new(&pki.root);
            let mut server = admit(&mut listener, &mut client);
            settle(&mut client, &mut server);
            assert!(server.is_established());
            client.send(&[0; 1000]).iter().for_each(|d| server.handle_datagram(d));
            assert_eq!(server.recv(&mut [0; 2000]), Some(1000));
            server
        })
        .collect();
    let each = resident().saturating_sub(before) / servers.len();
    println!("one established connection: {each} bytes");
    assert!(each < 96 * 1024, "{each} bytes a connection");

    let before = resident();
    let half_open: Vec<_> = (0..N)
        .map(|_| {
            let mut server = admit(&mut listener, &mut Client::new(&pki.root));
            flush(&mut server);
            server
        })
        .collect();
    let each = resident().saturating_sub(before) / half_open.len();
    println!("one half-open connection: {each} bytes");
    assert!(each < 96 * 1024, "{each} bytes a half-open connection");

    // The worst that a peer can do without finishing: records of the next epoch, and pieces of
    // messages that claim to be long.
    let before = resident();
    let mut flooded = half_open;
    for server in &mut flooded {
        for n in 0..200_u8 {
            let sequence = [0, 0, 0, 0, 0, n];
            let next_epoch = [&[22, 0xfe, 0xfd, 0, 1][..], &sequence, &[0, 64], &[7; 64]].concat();
            server.handle_datagram(&next_epoch);
            let piece = [16, 0, 0x10, 0, 0, n % 12 + 1, 0, 0, 0, 0, 0, 1, 9];
            let message = [&[22, 0xfe, 0xfd, 0, 0][..], &sequence, &[0, 13], &piece].concat();
            server.handle_datagram(&message);
        }
    }
    let each = resident().saturating_sub(before) / flooded.len();
    println!("one half-open connection under a flood: {each} bytes more");
    assert!(each < 256 * 1024, "{each} bytes more");
    assert!(servers.iter().all(taciturn_net::dtls::Connection::is_established));
}
