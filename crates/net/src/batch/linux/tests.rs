//! The pointers that the kernel is handed, with functions in the place of the system calls: they read and
//! write through the headers as the kernel does. No socket is made, so that Miri can run them
//! (CONTRIBUTING.md) and tell of a pointer that is not valid any more.

use std::net::IpAddr;

use super::*;

/// What a datagram that "comes in" holds: its source, its bytes and its control messages.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    source: SocketAddr,
    bytes: &'a [u8],
    local: IpAddr,
    /// What else is told of it.
    asked: Asked,
}

/// Writes datagrams as recvmmsg does.
fn deliver(headers: *mut libc::mmsghdr, count: libc::c_uint, datagrams: &[Incoming<'_>]) -> i32 {
    let taken = datagrams.len().min(count as usize);
    for (n, incoming) in datagrams.iter().take(taken).enumerate() {
        // SAFETY: there are `count` headers, and each points at a name, one vector with its bytes, and a
        // control buffer, of the lengths that are checked here.
        unsafe {
            let header = &mut *headers.add(n);
            let message = &mut header.msg_hdr;
            assert_eq!(message.msg_namelen as usize, size_of::<libc::sockaddr_storage>());
            assert_eq!(message.msg_controllen as usize, CONTROL);
            let (name, len) = Name::of(incoming.source);
            message.msg_name.cast::<Name>().write(name);
            message.msg_namelen = len;

            let vector = &*message.msg_iov;
            assert_eq!((message.msg_iovlen as usize, vector.iov_len), (1, SLOT));
            let (from, len) = (incoming.bytes.as_ptr(), incoming.bytes.len());
            ptr::copy_nonoverlapping(from, vector.iov_base.cast::<u8>(), len);
            header.msg_len = len as _;

            let mut control = Control([0; CONTROL]);
            let asked = Asked { source: Some(incoming.local), ..incoming.asked };
            let used = write_control(&mut control, asked);
            message.msg_control.cast::<Control>().write(control);
            message.msg_controllen = used as _;
        }
    }
    i32::try_from(taken).unwrap()
}

/// Reads what sendmmsg would send: destination, bytes and control messages of each message.
fn collect(
    headers: *mut libc::mmsghdr,
    count: libc::c_uint,
) -> Vec<(SocketAddr, Vec<u8>, Vec<u8>)> {
    // SAFETY: there are `count` headers, and what they point at has the lengths that they tell; a name
    // is no longer than a sockaddr_storage.
    let read = |n| unsafe {
        let message = &(*headers.add(n)).msg_hdr;
        let mut name: libc::sockaddr_storage = mem::zeroed();
        let (to, len) = (ptr::from_mut(&mut name).cast::<u8>(), message.msg_namelen as usize);
        ptr::copy_nonoverlapping(message.msg_name.cast::<u8>(), to, len);
        let mut bytes = Vec::new();
        for n in 0..message.msg_iovlen as usize {
            let piece = &*message.msg_iov.add(n);
            let piece = std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len);
            bytes.extend_from_slice(piece);
        }
        let control = match message.msg_controllen as usize {
            0 => Vec::new(),
            len => std::slice::from_raw_parts(message.msg_control.cast::<u8>(), len).to_vec(),
        };
        (address(&name).unwrap(), bytes, control)
    };
    (0..count as usize).map(read).collect()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_kernel_may_write_by_the_headers_for_as_long_as_the_batch_lives() {
    let (v4, v6) = (at("192.0.2.1:5000"), at("[2001:db8::1]:6000"));
    let asked = Asked { traffic_class: 0xb9, hop_limit: Some(7), v6: false, ..Asked::default() };
    let one = Incoming { source: v4, bytes: b"one", local: v4.ip(), asked };
    let asked = Asked { v6: true, ..asked };
    let two = Incoming { source: v6, bytes: b"two, longer", local: v6.ip(), asked };
    let asked = Asked { traffic_class: 0, hop_limit: Some(0), ..asked };
    let three = Incoming { source: v4, bytes: b"", local: v6.ip(), asked };
    // Moved after the headers were written, and again between two reads.
    let mut ingress = Some(Box::new(Ingress::default()));
    for _ in 0..2 {
        let mut batch = ingress.take().unwrap();
        batch.clear();
        assert!(!batch.receive_by(|headers, n| deliver(headers, n, &[one, two])).unwrap());
        let first: Vec<Received> = batch.received().collect();
        let texts: Vec<_> =
            first.iter().map(|got| &batch.bytes()[got.start..got.start + got.len]).collect();
        assert_eq!(texts, [&b"one"[..], b"two, longer"]);
        let ends: Vec<_> = first.iter().map(|got| (got.source, got.local)).collect();
        assert_eq!(ends, [(v4, Some(v4.ip())), (v6, Some(v6.ip()))]);
        let fields = IpFields { traffic_class: 0xb9, hop_limit: Some(6) };
        assert_eq!([first[0].ip_fields, first[1].ip_fields], [fields; 2]);

        let mut moved = *batch;
        assert!(!moved.receive_by(|headers, n| deliver(headers, n, &[three])).unwrap());
        let second: Vec<Received> = moved.received().collect();
        assert_eq!((second.len(), second[0].start, second[0].len), (1, 2 * SLOT, 0));
        assert_eq!(second[0].local, Some(v6.ip()));
        let fields = IpFields { traffic_class: 0, hop_limit: Some(0) };
        assert_eq!(second[0].ip_fields, fields);
        // What was received before is where it was.
        assert_eq!(&moved.bytes()[first[1].start..][..3], b"two");
        ingress = Some(Box::new(moved));
    }
}

#[test]
fn a_full_batch_says_that_there_may_be_more_and_leaves_no_header_free() {
    let (source, asked) = (at("192.0.2.1:5000"), Asked::default());
    let many: Vec<_> =
        (0..=BATCH).map(|_| Incoming { source, bytes: b"x", local: source.ip(), asked }).collect();
    let mut ingress = Ingress::default();
    assert!(ingress.receive_by(|headers, n| deliver(headers, n, &many)).unwrap());
    assert_eq!((ingress.received().count(), ingress.has_room()), (BATCH, false));
    assert!(ingress.receive_by(|headers, n| deliver(headers, n, &many)).unwrap());
    assert_eq!(ingress.received().count(), 0);
    assert!(ingress.receive_by(|_, _| -1).is_err());
    assert_eq!(ingress.received().count(), 0);
    ingress.clear();
    assert!(ingress.receive_by(|headers, n| deliver(headers, n, &many)).unwrap());
    assert_eq!(ingress.received().count(), BATCH);
}

#[test]
fn the_kernel_reads_each_message_as_it_was_added() {
    let bytes: Vec<u8> = (0..=255).collect();
    let destination = |n: usize| match n % 2 {
        0 => SocketAddr::from(([192, 0, 2, 1], 1000 + n as u16)),
        _ => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1000 + n as u16)),
    };
    let source = |n: usize| (!n.is_multiple_of(3)).then(|| destination(n / 3).ip());
    let parts = |n: usize| (0..=n % 5).map(move |part| (part, n + part));
    let fields =
        |n: usize| IpFields { traffic_class: (n % 4) as u8, hop_limit: (n % 7 == 3).then_some(9) };
    let outgoing = |n: usize| Outgoing {
        destination: destination(n),
        source: source(n),
        parts: &[],
        segment: n as u16,
        ip_fields: fields(n),
    };
    let mut batch = SendBatch::default();
    for _ in 0..2 {
        // Moved between two uses.
        let mut moved = Box::new(batch);
        let mut letters = moved.open();
        let added = (0..)
            .take_while(|&n| {
                let pieces = parts(n).map(|(start, end)| &bytes[start..end]);
                letters.add(&outgoing(n), pieces)
            })
            .count();
        assert_eq!(added, BATCH);
        let mut seen = Vec::new();
        let sent = letters.send_by(|headers, count| {
            seen = collect(headers, count);
            i32::try_from(count).unwrap()
        });
        assert_eq!(sent, BATCH);
        for (n, (to, sent, control)) in seen.into_iter().enumerate() {
            let expected: Vec<u8> =
                parts(n).flat_map(|(start, end)| &bytes[start..end]).copied().collect();
            assert_eq!((to, sent), (destination(n), expected), "{n}");
            let mut own = Control([0; CONTROL]);
            let used = write_control(&mut own, asked_for(&outgoing(n)));
            assert_eq!(control, own.0[..used], "{n}");
        }
        batch = *moved;
    }
}

#[test]
fn a_message_whose_pieces_do_not_fit_is_not_added_and_leaves_those_before_it() {
    let destination = at("192.0.2.1:5000");
    let ip_fields = IpFields::default();
    let to = Outgoing { destination, source: None, parts: &[], segment: 0, ip_fields };
    let mut batch = SendBatch::default();
    let mut letters = batch.open();
    let pieces = |count| std::iter::repeat_n(&b"x"[..], count);
    assert!(letters.add(&to, pieces(PIECES - 1)));
    assert!(!letters.add(&to, pieces(2)));
    assert!(letters.add(&to, pieces(1)));
    assert!(!letters.add(&to, pieces(1)));
    assert!(letters.add(&to, pieces(0)), "an empty datagram has no piece");
    let mut lengths = Vec::new();
    letters.send_by(|headers, count| {
        lengths = collect(headers, count).iter().map(|(_, bytes, _)| bytes.len()).collect();
        -1
    });
    assert_eq!(lengths, [PIECES - 1, 1, 0]);
}
