//! Nothing that comes in may panic, and nothing that is not authentic may end a connection.

use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;
use taciturn_net::dtls::Admission;

use testkit::dtls::*;

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new(Kind::P256));

/// Arbitrary bytes, and bytes that begin like a record.
fn datagrams() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let record = (20..26_u8, any::<[u8; 8]>(), 0..3_u8, prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(kind, mut sequence, epoch, body)| {
            sequence[0] = 0;
            sequence[1] = epoch;
            let mut out = vec![kind, 0xfe, 0xfd];
            out.extend(sequence);
            out.extend((body.len() as u16).to_be_bytes());
            out.extend(body);
            out
        });
    prop_oneof![bytes, record]
}

/// Where to change a good datagram, and how.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

fn changed(datagram: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut out = datagram.to_vec();
    for (at, value) in changes {
        let at = at.index(out.len());
        out[at] = *value;
    }
    out
}

/// No file of failures: what they find becomes a test with a name.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn strangers_cannot_panic_the_listener(datagram in datagrams()) {
        let mut listener = PKI.listener();
        match listener.datagram_from_unknown(addr(), &datagram, Instant::now()) {
            Admission::Reply(reply) => prop_assert!(reply.len() <= datagram.len()),
            Admission::Drop => {}
            Admission::Accept(_) => prop_assert!(false, "accepted without a cookie"),
        }
    }

    #[test]
    fn a_changed_client_hello_cannot_panic(changes in changes()) {
        let mut listener = PKI.listener();
        let [_, second] = hellos(&mut listener, &mut Client::new(&PKI.root), addr());
        let datagram = changed(&second, &changes);
        match listener.datagram_from_unknown(addr(), &datagram, Instant::now()) {
            Admission::Reply(reply) => prop_assert!(reply.len() <= datagram.len()),
            Admission::Drop => {}
            Admission::Accept(mut server) => { flush(&mut server); }
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn a_handshake_survives_or_ends_but_never_panics(
        junk in prop::collection::vec(datagrams(), 1..8),
        changes in changes(),
    ) {
        let mut client = Client::new(&PKI.root);
        let mut server = admit(&mut PKI.listener(), &mut client);
        for datagram in flush(&mut server) {
            client.deliver(&datagram);
        }
        for datagram in &junk {
            server.handle_datagram(datagram);
        }
        for datagram in client.step() {
            server.handle_datagram(&changed(&datagram, &changes));
            server.handle_datagram(&datagram);
        }
        server.recv(&mut [0; 2000]);
        server.handle_timeout();
        flush(&mut server);
        server.close();
    }

    /// RFC 6347 section 4.1.2.7: what is not authentic is discarded, and the connection goes on.
    #[test]
    fn an_established_connection_ignores_what_is_not_authentic(
        junk in prop::collection::vec(datagrams(), 1..8),
        changes in changes(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut client, mut server) = connected(&PKI, &Wants::default());
        let mut buf = [0; 2000];
        let good = client.send(b"some data").remove(0);
        let broken = changed(&good, &changes);
        prop_assume!(broken != good);
        for datagram in junk.iter().chain([&broken, &good[..cut.index(good.len())].to_vec()]) {
            server.handle_datagram(datagram);
            prop_assert_eq!(server.recv(&mut buf), None);
        }
        prop_assert!(server.is_established(), "{:?}", server.close_reason());
        for datagram in client.send(b"more data") {
            server.handle_datagram(&datagram);
        }
        let n = server.recv(&mut buf);
        prop_assert_eq!(n, Some(9));
    }
}

/// Errors of one connection must not show in another: OpenSSL keeps them per thread.
#[test]
fn a_failing_handshake_does_not_disturb_its_neighbour() {
    let (mut client, mut server) = connected(&PKI, &Wants::default());
    let mut buf = [0; 64];
    for _ in 0..50 {
        let wants = Wants { ciphers: Some("ECDHE-ECDSA-AES128-SHA"), ..Wants::default() };
        let failed = admit(&mut PKI.listener(), &mut Client::that(&PKI.root, &wants));
        assert!(failed.is_closed());
        assert_eq!(server.recv(&mut buf), None);
        client.send(b"fine").iter().for_each(|d| server.handle_datagram(d));
        assert_eq!(server.recv(&mut buf), Some(4));
        server.send(b"fine").unwrap();
        client.deliver(&flush(&mut server)[0]);
        assert_eq!(client.recv(), Ok(Some(b"fine".to_vec())));
        assert!(openssl::error::ErrorStack::get().errors().is_empty());
    }
}

/// RFC 6347 section 4.1.2.7. Records too short for nonce and tag: OpenSSL 3.6 takes those for an
/// error of its own, which would let anyone who can forge a source address end a connection.
#[test]
fn forged_short_records_do_not_end_a_connection() {
    for ciphers in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let wants = Wants { ciphers: Some(ciphers), ..Wants::default() };
        let mut client = Client::that(&PKI.root, &wants);
        let mut server = admit(&mut PKI.listener(), &mut client);
        let forged = |kind: u8, len: u8| {
            let header = [kind, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 1, len, 0, len];
            [&header[..], &vec![7; len.into()]].concat()
        };
        server.handle_datagram(&forged(22, 4));
        server.handle_datagram(&forged(22, 70));
        settle(&mut client, &mut server);
        assert!(client.established && server.is_established());
        let mut buf = [0; 64];
        for (kind, len) in (20..25).flat_map(|kind| (0..60).map(move |len| (kind, len))) {
            server.handle_datagram(&forged(kind, len));
            assert_eq!(server.recv(&mut buf), None);
            assert!(server.is_established(), "{ciphers}, type {kind}, {len} bytes");
        }
        client.send(b"x").iter().for_each(|d| server.handle_datagram(d));
        assert_eq!(server.recv(&mut buf), Some(1));
        let _ = client.stream.shutdown();
        client.sent().iter().for_each(|d| server.handle_datagram(d));
        assert_eq!(server.recv(&mut buf), None);
        assert!(server.is_closed(), "a real alert passes");
    }
}
