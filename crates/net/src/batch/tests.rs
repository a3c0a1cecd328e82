//! Both implementations carry datagrams as they are.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use socket2::SockRef;

use super::datagrams::{Outgoing, Received, SLOT, Wishes};
use super::egress::{Destination, Egress};
use super::ip_fields::{IpFields, KeptFields};
use super::{linux, portable};
use crate::send_errors::Loss;
use taciturn_turn::Prefix;

/// The system's defaults.
const PLAIN: IpFields = IpFields { traffic_class: 0, hop_limit: None };

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
    portable::join_datagrams(&a, true);
    portable::dont_fragment(&a, false, true).unwrap();
    assert!(portable::tell_icmp_errors(&a, false, true).is_err());
    portable::tell_ip_fields(&a, false, KeptFields::default(), KeptFields::default());
    portable::remember_dscp(&a, false);
    assert_eq!(portable::dscp_of_connection(&a, false), 0);
    portable::icmp_errors(&a, |peer, error| panic!("{peer} {error:?}"));
    let outgoing =
        Outgoing { destination, source: None, parts: &parts, segment: 0, ip_fields: PLAIN };
    portable::send(&a, &outgoing).unwrap();
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
    let (destination, source) = (received.source, Some(local));
    let outgoing = Outgoing { destination, source, parts: &parts, segment: 0, ip_fields: PLAIN };
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
        egress.push(to(b.local_addr().unwrap()), PLAIN, None, n * 100..n * 100 + 100, 0);
    }
    egress.push(to(b.local_addr().unwrap()), PLAIN, None, 2000..2050, 0);
    egress.push(to(b.local_addr().unwrap()), PLAIN, None, 3000..3100, 0);
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
        egress.push(to(b.local_addr().unwrap()), PLAIN, None, range, 0);
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
        egress.push(to(peer.local_addr().unwrap()), PLAIN, None, n..n + len, 0);
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
            egress.push(to(peer.local_addr().unwrap()), PLAIN, prefix, n + at..n + at + 9, 3);
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
        egress.push(to(peer.local_addr().unwrap()), PLAIN, None, range, 0);
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
    egress.push(to(b.local_addr().unwrap()), PLAIN, None, 0..66_000, 0);
    egress.push(to(b.local_addr().unwrap()), PLAIN, None, 0..10, 0);
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

/// Two sockets of a family; the second tells all fields of IP headers.
fn pair(v6: bool) -> (UdpSocket, UdpSocket) {
    let own: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    let (a, b) = (UdpSocket::bind((own, 0)).unwrap(), UdpSocket::bind((own, 0)).unwrap());
    linux::prepare(&b, Wishes::default()).unwrap();
    let all = KeptFields { dscp: true, ecn: true, ttl: true };
    linux::tell_ip_fields(&b, v6, KeptFields::default(), all);
    (a, b)
}

/// Everything that is there: the first byte of each datagram, and what it came with.
fn all(socket: &UdpSocket) -> Vec<(u8, IpFields)> {
    let (mut seen, mut ingress) = (Vec::new(), linux::Ingress::default());
    while ingress.receive(socket).is_ok() {
        for received in ingress.received() {
            let first = |(start, _)| (ingress.bytes()[start], received.ip_fields);
            seen.extend(received.datagrams().map(first));
        }
    }
    seen
}

//= 8656-14-dscp, 8656-14-ecn
#[test]
fn datagrams_of_different_fields_are_not_joined_and_keep_their_order() {
    for v6 in [false, true] {
        let (a, b) = pair(v6);
        let fields = |n: usize| IpFields {
            traffic_class: [0xb9, 0xb9, 0xbb, 0xb9, 0, 0, 0x03, 0xb9][n % 8],
            hop_limit: [Some(40), Some(40), Some(40), None][n / 8],
        };
        let bytes: Vec<u8> = (0..32).flat_map(|n| [n; 100]).collect();
        let mut egress = Egress::default();
        for n in 0..32 {
            egress.push(to(b.local_addr().unwrap()), fields(n), None, n * 100..n * 100 + 100, 0);
        }
        egress.flush(&bytes, |_, _| Some(&a));
        assert_eq!((egress.statistics.datagrams, egress.statistics.sends), (32, 1));
        let seen = all(&b);
        assert_eq!(seen.len(), 32);
        let default =
            if v6 { SockRef::from(&a).unicast_hops_v6() } else { SockRef::from(&a).ttl_v4() };
        let default = u8::try_from(default.unwrap()).unwrap();
        for (n, (first, seen)) in seen.into_iter().enumerate() {
            let sent = fields(n);
            let hop_limit = Some(sent.hop_limit.unwrap_or(default) - 1);
            assert_eq!((usize::from(first), seen), (n, IpFields { hop_limit, ..sent }));
        }
    }
}

//= 8656-14-ttl
#[test]
fn a_datagram_without_a_hop_left_is_counted_and_not_sent() {
    let (a, b) = pair(false);
    let bytes = [1, 2, 3];
    let mut egress = Egress::default();
    for (n, hop_limit) in [(0, Some(1)), (1, Some(0)), (2, Some(1))] {
        let fields = IpFields { traffic_class: 0, hop_limit };
        egress.push(to(b.local_addr().unwrap()), fields, None, n..n + 1, 0);
    }
    egress.flush(&bytes, |_, _| Some(&a));
    let failed: Vec<_> = egress.statistics.failed.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!((failed, egress.statistics.datagrams), (vec![(Loss::HopLimit, 1)], 2));
    let used_up = IpFields { traffic_class: 0, hop_limit: Some(0) };
    assert_eq!(all(&b), [(1, used_up), (3, used_up)]);
}

#[test]
fn a_socket_is_asked_only_for_the_fields_that_are_kept() {
    let v4 = UdpSocket::bind("127.0.0.1:0").unwrap();
    let v6 = UdpSocket::bind("[::1]:0").unwrap();
    let asked = || {
        let (v4, v6) = (SockRef::from(&v4), SockRef::from(&v6));
        [v4.recv_tos_v4().unwrap(), v6.recv_tclass_v6().unwrap(), v6.recv_hoplimit_v6().unwrap()]
    };
    let none = KeptFields::default();
    let mut before = none;
    assert_eq!(asked(), [false; 3]);
    for (now, class, hops) in [
        (KeptFields { dscp: true, ..none }, true, false),
        (KeptFields { ecn: true, ..none }, true, false),
        (KeptFields { ttl: true, ..none }, false, true),
        (KeptFields { dscp: true, ecn: true, ttl: true }, true, true),
        (none, false, false),
    ] {
        linux::tell_ip_fields(&v4, false, before, now);
        linux::tell_ip_fields(&v6, true, before, now);
        assert_eq!(asked(), [class, class, hops], "{now:?}");
        before = now;
    }
}
