//! Both implementations carry datagrams as they are.

use std::io::IoSlice;
use std::net::UdpSocket;
use std::time::Duration;

use super::datagrams::{Outgoing, Received, SLOT, Wishes};
use super::egress::{Destination, Egress};
use super::{linux, portable};
use crate::send_errors::Loss;
use taciturn_turn::Prefix;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn read(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; SLOT];
    let len = socket.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn to(address: std::net::SocketAddr) -> Destination {
    Destination { socket: 0, address, source: None, dont_fragment: false }
}

#[test]
fn both_implementations_receive_what_was_sent() {
    let (a, b) = (socket(), socket());
    a.send_to(b"one", b.local_addr().unwrap()).unwrap();
    let mut ingress = linux::Ingress::default();
    ingress.receive(&b).unwrap();
    let received: Vec<Received> = ingress.received().collect();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].source, a.local_addr().unwrap());
    assert_eq!(&ingress.bytes()[received[0].start..][..received[0].len], b"one");

    let parts = [IoSlice::new(b"t"), IoSlice::new(b"wo")];
    let destination = b.local_addr().unwrap();
    portable::prepare(&a, Wishes::default()).unwrap();
    portable::dont_fragment(&a, false, true).unwrap();
    assert!(portable::tell_icmp_errors(&a, false).is_err());
    portable::icmp_errors(&a, |peer, error| panic!("{peer} {error:?}"));
    portable::send(&a, &Outgoing { destination, source: None, parts: &parts, segment: 0 }).unwrap();
    let mut ingress = portable::Ingress::default();
    ingress.receive(&b).unwrap();
    let received = ingress.received().next().unwrap();
    assert_eq!(&ingress.bytes()[..received.len], b"two");
}

//= 8656-12.6-empty
#[test]
fn an_empty_datagram_is_a_datagram() {
    let (a, b) = (socket(), socket());
    a.send_to(b"", b.local_addr().unwrap()).unwrap();
    let mut ingress = linux::Ingress::default();
    ingress.receive(&b).unwrap();
    let received = ingress.received().next().unwrap();
    assert_eq!(received.datagrams().map(|(start, end)| end - start).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_listener_on_all_addresses_is_told_which_one_was_meant() {
    let all = UdpSocket::bind("0.0.0.0:0").unwrap();
    linux::prepare(&all, Wishes { local_address: true }).unwrap();
    let port = all.local_addr().unwrap().port();
    let client = socket();
    client.send_to(b"x", ("127.0.0.7", port)).unwrap();
    let mut ingress = linux::Ingress::default();
    ingress.receive(&all).unwrap();
    let received = ingress.received().next().unwrap();
    let local = received.local.unwrap();
    assert_eq!(local.to_string(), "127.0.0.7");
    // ... and answers from it.
    let parts = [IoSlice::new(b"answer")];
    let outgoing =
        Outgoing { destination: received.source, source: Some(local), parts: &parts, segment: 0 };
    linux::send(&all, &outgoing).unwrap();
    let mut buffer = [0; 16];
    let (_, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(from.to_string(), format!("127.0.0.7:{port}"));
}

#[test]
fn runs_of_one_size_leave_in_one_send_and_arrive_as_datagrams() {
    let (a, b) = (socket(), socket());
    let bytes: Vec<u8> = (0..=255).cycle().take(4 * SLOT).map(|n| n as u8).collect();
    let mut egress = Egress::default();
    for n in 0..20 {
        egress.push(to(b.local_addr().unwrap()), None, n * 100..n * 100 + 100, 0);
    }
    egress.push(to(b.local_addr().unwrap()), None, 2000..2050, 0);
    egress.push(to(b.local_addr().unwrap()), None, 3000..3100, 0);
    egress.flush(&bytes, |_, _| Some(&a));
    assert_eq!(egress.statistics.datagrams, 22);
    assert_eq!(egress.statistics.sends, 1, "the shorter one ends the first run, not the call");
    for n in 0..20 {
        assert_eq!(read(&b), &bytes[n * 100..n * 100 + 100]);
    }
    assert_eq!(read(&b), &bytes[2000..2050]);
    assert_eq!(read(&b), &bytes[3000..3100]);
}

#[test]
fn a_joined_run_is_received_as_the_datagrams_it_was() {
    let (a, b) = (socket(), socket());
    linux::prepare(&b, Wishes::default()).unwrap();
    let bytes = vec![7; 2500];
    let mut egress = Egress::default();
    for range in [0..1000, 1000..2000, 2000..2500] {
        egress.push(to(b.local_addr().unwrap()), None, range, 0);
    }
    egress.flush(&bytes, |_, _| Some(&a));
    let mut lengths = Vec::new();
    let mut ingress = linux::Ingress::default();
    while ingress.receive(&b).is_ok() {
        for received in ingress.received() {
            lengths.extend(received.datagrams().map(|(start, end)| end - start));
        }
    }
    assert_eq!(lengths, [1000, 1000, 500]);
}

#[test]
fn order_within_a_destination_is_kept_and_destinations_do_not_mix() {
    let (a, b, c) = (socket(), socket(), socket());
    let bytes: Vec<u8> = (0..60).collect();
    let mut egress = Egress::default();
    for n in 0..30_usize {
        let peer = if n % 2 == 0 { &b } else { &c };
        // Sizes go up and down, so runs end again and again.
        let len = [10, 20, 20, 5][n % 4];
        egress.push(to(peer.local_addr().unwrap()), None, n..n + len, 0);
    }
    egress.flush(&bytes, |_, _| Some(&a));
    for n in 0..30_usize {
        let peer = if n % 2 == 0 { &b } else { &c };
        let len = [10, 20, 20, 5][n % 4];
        assert_eq!(read(peer), &bytes[n..n + len], "{n}");
    }
}

#[test]
fn datagrams_for_many_leave_by_one_socket_in_few_sends() {
    let a = socket();
    // More than one call takes, of messages and of pieces.
    let peers: Vec<_> = (0..40).map(|_| socket()).collect();
    let bytes: Vec<u8> = (0..=255).cycle().take(SLOT).collect();
    let prefix = Some(Prefix::new(b"abcd"));
    let mut egress = Egress::default();
    for (n, peer) in peers.iter().enumerate() {
        // Each a run of so many datagrams, of three pieces.
        for at in 0..=n % 20 {
            egress.push(to(peer.local_addr().unwrap()), prefix, n + at..n + at + 9, 3);
        }
    }
    egress.flush(&bytes, |_, _| Some(&a));
    assert_eq!(egress.statistics.datagrams, 420);
    assert!(egress.statistics.sends < 10, "{:?}", egress.statistics);
    assert!(egress.statistics.failed.iter().all(|(_, count)| count == 0));
    for (n, peer) in peers.iter().enumerate() {
        for at in 0..=n % 20 {
            let expected = [b"abcd", &bytes[n + at..n + at + 9], &[0; 3]].concat();
            assert_eq!(read(peer), expected, "{n} {at}");
        }
    }
}

#[test]
fn two_that_cannot_be_sent_do_not_hold_up_those_around_them() {
    let (a, b) = (socket(), socket());
    let bytes = vec![1; 70_000];
    let mut egress = Egress::default();
    let other = socket();
    let too_long = 0..66_000;
    for (peer, range) in
        [(&b, 0..10), (&other, too_long.clone()), (&b, 0..11), (&other, too_long), (&b, 0..12)]
    {
        egress.push(to(peer.local_addr().unwrap()), None, range, 0);
    }
    egress.flush(&bytes, |_, _| Some(&a));
    let failed: Vec<_> = egress.statistics.failed.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!((failed, egress.statistics.datagrams), (vec![(Loss::TooLong, 2)], 3));
    assert_eq!([read(&b).len(), read(&b).len(), read(&b).len()], [10, 11, 12]);
}

#[test]
fn several_sockets_are_read_into_one_batch() {
    let (a, b, c) = (socket(), socket(), socket());
    let mut ingress = linux::Ingress::default();
    let read_more = |ingress: &mut linux::Ingress, socket: &UdpSocket| {
        ingress.receive_more(socket).unwrap();
        ingress.received().map(|received| received.start..received.start + received.len).collect()
    };
    a.send_to(b"one", b.local_addr().unwrap()).unwrap();
    a.send_to(b"two", b.local_addr().unwrap()).unwrap();
    a.send_to(b"three", c.local_addr().unwrap()).unwrap();
    let of_b: Vec<_> = read_more(&mut ingress, &b);
    let of_c: Vec<_> = read_more(&mut ingress, &c);
    let texts = of_b.iter().chain(&of_c).map(|range| &ingress.bytes()[range.clone()]);
    assert_eq!(texts.collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    // A socket that has nothing brings nothing, and takes nothing away.
    assert!(ingress.receive_more(&b).is_err());
    assert_eq!(ingress.received().count(), 0);
    assert_eq!(&ingress.bytes()[of_b[0].clone()], b"one");

    for _ in 0..30 {
        a.send_to(b"more", c.local_addr().unwrap()).unwrap();
    }
    assert!(ingress.has_room());
    assert!(ingress.receive_more(&c).unwrap(), "29 fit");
    assert!(!ingress.has_room());
    ingress.clear();
    assert!(ingress.has_room());
    assert!(!ingress.receive_more(&c).unwrap());
    assert_eq!(ingress.received().count(), 1);
    // What the kernel had written over was set back: lengths and addresses are right.
    assert_eq!(ingress.received().next().unwrap().source, a.local_addr().unwrap());

    let mut one = portable::Ingress::default();
    assert!(one.has_room());
    a.send_to(b"one", b.local_addr().unwrap()).unwrap();
    one.receive_more(&b).unwrap();
    assert!(!one.has_room());
}

#[test]
fn what_cannot_be_sent_is_counted_and_the_rest_goes_out() {
    let (a, b) = (socket(), socket());
    let bytes = vec![1; 70_000];
    let mut egress = Egress::default();
    egress.push(to(b.local_addr().unwrap()), None, 0..66_000, 0);
    egress.push(to(b.local_addr().unwrap()), None, 0..10, 0);
    egress.flush(&bytes, |_, _| Some(&a));
    let failed: Vec<_> = egress.statistics.failed.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!((failed, egress.statistics.datagrams), (vec![(Loss::TooLong, 1)], 1));
    assert_eq!(read(&b).len(), 10);
}

#[test]
fn datagrams_that_find_the_buffer_full_are_counted_by_the_kernel() {
    let (a, b) = (socket(), socket());
    assert_eq!(linux::overflowed(&b), 0);
    let sent: u32 = 20_000;
    for _ in 0..sent {
        a.send_to(&[0; 1000], b.local_addr().unwrap()).unwrap();
    }
    b.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1000];
    let received = std::iter::from_fn(|| b.recv(&mut buffer).ok()).count();
    let missed = linux::overflowed(&b);
    assert!(missed > 0 && missed as usize + received == sent as usize, "{missed} {received}");
    assert_eq!(portable::overflowed(&b), 0);
}
