//! Application records and the end of a connection.

use taciturn_net::dtls::{CloseReason, DtlsError, MAX_PAYLOAD, RECORD_OVERHEAD};

use testkit::dtls::*;

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

#[test]
fn records_of_1_to_1400_bytes_both_ways() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let mut buf = [0; 2000];
    for len in 1..=1400 {
        let data = payload(len);
        for datagram in client.send(&data) {
            server.handle_datagram(&datagram);
        }
        let n = server.recv(&mut buf).unwrap();
        assert_eq!(buf[..n], data);
        assert_eq!(server.recv(&mut buf), None);
        server.send(&buf[..n]).unwrap();
        let out = flush(&mut server);
        assert_eq!(out.len(), 1);
        assert!(out[0].len() <= len + RECORD_OVERHEAD);
        client.deliver(&out[0]);
        assert_eq!(client.recv(), Ok(Some(data)));
    }
}

#[test]
fn the_longest_record_and_one_byte_more() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let longest = payload(MAX_PAYLOAD.into());
    server.send(&longest).unwrap();
    client.deliver(&flush(&mut server)[0]);
    assert_eq!(client.recv(), Ok(Some(longest)));
    let more = payload(usize::from(MAX_PAYLOAD) + 1);
    assert!(matches!(server.send(&more), Err(DtlsError::TooLarge(4097))));
    server.send(&[]).unwrap();
    assert!(flush(&mut server).is_empty());
    assert!(server.is_established());
    // What comes in may be longer.
    let data = payload(16_000);
    client.send(&data).iter().for_each(|d| server.handle_datagram(d));
    let mut buf = vec![0; 16_384];
    assert_eq!(server.recv(&mut buf), Some(16_000));
    assert_eq!(buf[..16_000], data);
}

/// RFC 6066 section 4. Finished comes ahead of the rest, because OpenSSL up to 3.1 then cuts its
/// write buffer down to the agreed size; a longer write must not reach it.
#[test]
fn a_client_with_small_records_gets_no_long_ones() {
    for (mode, size) in [(1, 512), (2, 1024), (3, 2048), (4, 4096)] {
        let pki = Pki::new(Kind::P256);
        let wants = Wants { fragment: Some(mode), ..Wants::default() };
        let mut client = Client::that(&pki.root, &wants);
        let mut server = admit(&mut pki.listener(), &mut client);
        flush(&mut server).iter().for_each(|d| client.deliver(d));
        let last_flight = client.step().concat();
        let mut records = split(&last_flight);
        records.rotate_right(1);
        records.iter().for_each(|d| server.handle_datagram(d));
        settle(&mut client, &mut server);
        assert!(client.established && server.is_established());
        assert_eq!(server.max_payload(), size);
        let data = payload(size.into());
        server.send(&data).unwrap();
        client.deliver(&flush(&mut server)[0]);
        assert_eq!(client.recv(), Ok(Some(data)));
        let more = payload(usize::from(size) + 1);
        assert!(matches!(server.send(&more), Err(DtlsError::TooLarge(_))));
    }
}

/// The records of a datagram, one by one.
fn split(mut datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !datagram.is_empty() {
        let len = 13 + usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
        records.push(datagram[..len].to_vec());
        datagram = &datagram[len..];
    }
    records
}

#[test]
fn several_records_in_one_datagram_come_one_by_one() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let glued = [client.send(b"one"), client.send(b"two22"), client.send(b"3")].concat().concat();
    server.handle_datagram(&glued);
    let mut buf = [0; 64];
    for wanted in [&b"one"[..], b"two22", b"3"] {
        let n = server.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], wanted);
    }
    assert_eq!(server.recv(&mut buf), None);
}

#[test]
fn a_record_longer_than_the_buffer_is_dropped_whole() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let glued = [client.send(&payload(1200)), client.send(b"next")].concat().concat();
    server.handle_datagram(&glued);
    let mut buf = [0; 100];
    assert_eq!(server.recv(&mut buf), Some(4));
    assert_eq!(&buf[..4], b"next");
    client.send(&payload(100)).iter().for_each(|d| server.handle_datagram(d));
    assert_eq!(server.recv(&mut buf), Some(100), "one that just fits is taken");
    assert_eq!(server.recv(&mut []), None);
}

#[test]
fn replayed_records_are_not_delivered_twice() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let datagram = client.send(b"once").remove(0);
    let mut buf = [0; 64];
    server.handle_datagram(&datagram);
    assert_eq!(server.recv(&mut buf), Some(4));
    server.handle_datagram(&datagram);
    assert_eq!(server.recv(&mut buf), None);
}

#[test]
fn a_full_queue_refuses_and_the_connection_goes_on() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let mut taken = 0;
    while server.send(&payload(1000)).is_ok() {
        taken += 1;
        assert!(taken < 1000);
    }
    assert!(matches!(server.send(b"x"), Err(DtlsError::QueueFull)));
    assert_eq!(flush(&mut server).len(), taken);
    server.send(b"again").unwrap();
    client.deliver(&flush(&mut server)[0]);
    assert_eq!(client.recv(), Ok(Some(b"again".to_vec())));
}

/// RFC 5246 section 7.2.1: each side hears of the other's end, and answers it.
#[test]
fn close_notify_from_the_client() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let _ = client.stream.shutdown().unwrap();
    client.sent().iter().for_each(|d| server.handle_datagram(d));
    assert_eq!(server.recv(&mut [0; 64]), None);
    assert_eq!(server.close_reason(), Some(&CloseReason::Peer));
    let answer = flush(&mut server);
    assert_eq!(answer.len(), 1);
    client.deliver(&answer[0]);
    assert_eq!(client.recv(), Err(()));
    assert!(matches!(server.send(b"x"), Err(DtlsError::Closed)));
    assert_eq!(server.timeout(), None);
}

#[test]
fn close_notify_from_the_server() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    server.send(b"last words").unwrap();
    server.close();
    assert_eq!(server.close_reason(), Some(&CloseReason::Local));
    let out = flush(&mut server);
    assert_eq!(out.len(), 2);
    out.iter().for_each(|d| client.deliver(d));
    assert_eq!(client.recv(), Ok(Some(b"last words".to_vec())));
    assert_eq!(client.recv(), Err(()));
    server.close();
    assert!(flush(&mut server).is_empty());
}

#[test]
fn nothing_is_sent_or_received_before_the_handshake_is_done() {
    let pki = Pki::new(Kind::P256);
    let mut client = Client::new(&pki.root);
    let mut server = admit(&mut pki.listener(), &mut client);
    assert!(!server.is_established() && !server.is_closed());
    assert!(matches!(server.send(b"early"), Err(DtlsError::NotEstablished)));
    assert_eq!(server.recv(&mut [0; 64]), None);
    flush(&mut server);
    server.close();
    assert!(server.is_closed());
    assert!(flush(&mut server).is_empty());
}

#[test]
fn a_client_hello_in_the_clear_does_not_disturb_a_connection() {
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &Wants::default());
    let mut other = Client::new(&Pki::new(Kind::P256).root);
    let hello = other.step().remove(0);
    assert!(server.is_restart(&hello));
    server.handle_datagram(&hello);
    assert_eq!(server.recv(&mut [0; 64]), None);
    assert!(server.is_established());
    assert!(flush(&mut server).is_empty());
    client.send(b"still here").iter().for_each(|d| server.handle_datagram(d));
    assert_eq!(server.recv(&mut [0; 64]), Some(10));
}

/// pion/dtls chose the nonces of AES-GCM at random, so that two records could have the same: here
/// they go up (RFC 5288 section 3).
#[test]
fn cve_2026_26014_no_two_records_have_the_same_nonce() {
    let wants = Wants { ciphers: Some("ECDHE-ECDSA-AES128-GCM-SHA256"), ..Wants::default() };
    let (mut client, mut server) = connected(&Pki::new(Kind::P256), &wants);
    let mut last = None;
    for _ in 0..500 {
        server.send(b"the same plain text").unwrap();
        let record = flush(&mut server).concat();
        client.deliver(&record);
        assert!(client.recv().is_ok_and(|data| data.is_some()));
        // Behind the header (RFC 6347 section 4.1) stands the explicit part.
        let nonce = u64::from_be_bytes(record[13..21].try_into().unwrap());
        assert!(last.is_none_or(|last: u64| last.wrapping_add(1) == nonce), "{last:?} {nonce}");
        last = Some(nonce);
    }
}
