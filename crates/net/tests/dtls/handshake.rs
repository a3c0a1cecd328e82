//! Certificates, negotiation, loss.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use openssl::rsa::Rsa;
use openssl::ssl::SslVersion;
use taciturn_net::dtls::{Admission, CloseReason, DtlsContext, DtlsError, Listener};

use testkit::dtls::*;

/// The extension of RFC 6066 section 3.
const SERVER_NAME: u16 = 0;

fn verifies_and_speaks(kind: Kind) {
    let pki = Pki::new(kind);
    let (client, server) = connected(&pki, &Wants::default());
    let seen: Vec<_> = client.stream.ssl().peer_cert_chain().unwrap().iter().collect();
    assert_eq!(seen.len(), 2, "leaf and intermediate");
    assert_eq!(seen[0].to_der().unwrap(), pki.chain[0]);
    assert_eq!(client.stream.ssl().version_str(), "DTLSv1.2");
    assert_eq!(server.cipher(), client.stream.ssl().current_cipher().map(|c| c.name()));
    assert!(client.stream.ssl().session().unwrap().id().is_empty(), "nothing to resume");
}

#[test]
fn ecdsa_p256_with_an_intermediate() {
    verifies_and_speaks(Kind::P256);
}

#[test]
fn ecdsa_p384_with_an_intermediate() {
    verifies_and_speaks(Kind::P384);
}

#[test]
fn rsa_2048_with_an_intermediate() {
    verifies_and_speaks(Kind::Rsa2048);
}

#[test]
fn a_client_with_another_root_refuses_us() {
    let pki = Pki::new(Kind::P256);
    let mut client = Client::new(&Pki::new(Kind::P256).root);
    let mut server = admit(&mut pki.listener(), &mut client);
    settle(&mut client, &mut server);
    assert!(client.failed.unwrap().contains("certificate verify failed"));
    let Some(CloseReason::Failed(why)) = server.close_reason() else {
        panic!("{:?}", server.close_reason())
    };
    assert!(why.contains("alert"), "{why}");
}

#[test]
fn keys_in_pkcs8_sec1_and_pkcs1() {
    let ec = Pki::new(Kind::P256);
    let sec1 = ec.key.ec_key().unwrap().private_key_to_der().unwrap();
    DtlsContext::new(&ec.chain, &sec1).unwrap();
    DtlsContext::new(&ec.chain, &ec.key.private_key_to_pkcs8().unwrap()).unwrap();
    let rsa = Pki::new(Kind::Rsa2048);
    let pkcs1 = rsa.key.rsa().unwrap().private_key_to_der().unwrap();
    DtlsContext::new(&rsa.chain, &pkcs1).unwrap();
    DtlsContext::new(&rsa.chain, &rsa.key.private_key_to_pkcs8().unwrap()).unwrap();
}

#[test]
fn wrong_files_are_named() {
    let pki = Pki::new(Kind::P256);
    let key = pki.key.private_key_to_pkcs8().unwrap();
    let none: &[Vec<u8>] = &[];
    assert!(matches!(DtlsContext::new(none, &key), Err(DtlsError::EmptyChain)));
    let torn = [pki.chain[0].clone(), pki.chain[1][..50].to_vec()];
    assert!(matches!(DtlsContext::new(&torn, &key), Err(DtlsError::Certificate { index: 1, .. })));
    assert!(matches!(DtlsContext::new(&pki.chain, b"no key"), Err(DtlsError::PrivateKey(_))));
    for other in [new_key(Kind::P256), new_key(Kind::Rsa2048)] {
        let other = other.private_key_to_pkcs8().unwrap();
        assert!(matches!(DtlsContext::new(&pki.chain, &other), Err(DtlsError::KeyMismatch)));
    }
    let weak = Rsa::generate(1024).unwrap().private_key_to_der().unwrap();
    let error = DtlsContext::new(&pki.chain, &weak).unwrap_err().to_string();
    assert!(!error.is_empty());
}

/// RFC 7443: both names are taken; none at all too; a foreign one is refused (RFC 7301 3.2).
#[test]
fn alpn_names() {
    let pki = Pki::new(Kind::P256);
    for (offer, chosen) in [
        (None, None),
        (Some(&b"\x09stun.turn"[..]), Some(&b"stun.turn"[..])),
        (Some(b"\x02h2\x12stun.nat-discovery"), Some(b"stun.nat-discovery")),
        (Some(b"\x12stun.nat-discovery\x09stun.turn"), Some(b"stun.turn")),
    ] {
        let (_, server) = connected(&pki, &Wants { alpn: offer, ..Wants::default() });
        assert_eq!(server.alpn(), chosen);
    }
    let wants = Wants { alpn: Some(b"\x02h2"), ..Wants::default() };
    let mut client = Client::that(&pki.root, &wants);
    let mut server = admit(&mut pki.listener(), &mut client);
    settle(&mut client, &mut server);
    assert!(client.failed.unwrap().contains("no application protocol"));
}

//= 8489-16-bcp195
#[test]
fn a_client_without_forward_secrecy_or_aead_gets_an_alert() {
    let pki = Pki::new(Kind::Rsa2048);
    for ciphers in ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"] {
        let wants = Wants { ciphers: Some(ciphers), ..Wants::default() };
        let mut client = Client::that(&pki.root, &wants);
        let mut server = admit(&mut pki.listener(), &mut client);
        assert!(server.is_closed(), "{ciphers}");
        assert_eq!(
            server.close_reason(),
            Some(&CloseReason::Failed("no shared cipher".into())),
            "{ciphers}"
        );
        settle(&mut client, &mut server);
        assert!(client.failed.unwrap().contains("handshake failure"), "{ciphers}");
    }
}

//= 8489-16-bcp195, 8656-3.1-bcp195
#[test]
fn dtls_1_0_gets_an_alert() {
    let pki = Pki::new(Kind::Rsa2048);
    // Security level 0, else OpenSSL 3 does not offer DTLS 1.0 itself.
    let wants =
        Wants { version: SslVersion::DTLS1, ciphers: Some("ALL:@SECLEVEL=0"), ..Wants::default() };
    let mut client = Client::that(&pki.root, &wants);
    let mut server = admit(&mut pki.listener(), &mut client);
    assert!(server.is_closed());
    settle(&mut client, &mut server);
    assert!(client.failed.unwrap().contains("protocol version"));
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let (old, new) = (Pki::new(Kind::P256), Pki::new(Kind::Rsa2048));
    let mut listener = old.listener();
    let mut before = Client::new(&old.root);
    let mut running = admit(&mut listener, &mut before);
    listener.set_context(new.context());
    settle(&mut before, &mut running);
    assert!(before.established && running.is_established());
    let mut after = Client::new(&new.root);
    let mut fresh = admit(&mut listener, &mut after);
    settle(&mut after, &mut fresh);
    assert!(after.established);
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let usual = Pki::new(Kind::P256);
    let other = Pki::for_host(Kind::P384, "other.example.org");
    let context = other.context();
    let names = Arc::new(move |name: &str| (name == "other.example.org").then(|| context.clone()));
    let key = usual.key.private_key_to_pkcs8().unwrap();
    let context = DtlsContext::with_names(&usual.chain, &key, names).unwrap();
    let mut listener = Listener::new(context, Instant::now()).unwrap();
    for (pki, host) in [(&usual, HOST), (&other, "other.example.org")] {
        let wants = Wants { host, alpn: Some(b"\x09stun.turn"), ..Wants::default() };
        let mut client = Client::that(&pki.root, &wants);
        let mut server = admit(&mut listener, &mut client);
        let flight = flush(&mut server);
        // RFC 6066 section 3: acknowledged where it made a difference.
        assert_eq!(server_hello_has(&flight, SERVER_NAME), host != HOST, "{host}");
        flight.iter().for_each(|d| client.deliver(d));
        settle(&mut client, &mut server);
        assert_eq!(client.failed, None, "{host}");
        assert_eq!(server.alpn(), Some(&b"stun.turn"[..]));
        assert_eq!(server.server_name(), Some(host));
    }
}

#[test]
fn flights_keep_to_the_mtu_and_never_glue_datagrams() {
    let pki = Pki::new(Kind::Rsa2048);
    let mut listener = pki.listener();
    for mtu in [256, 600, 1200, 4096] {
        listener.set_mtu(mtu).unwrap();
        let mut client = Client::new(&pki.root);
        let mut server = admit(&mut listener, &mut client);
        let flight = flush(&mut server);
        assert!(flight.iter().all(|d| d.len() <= mtu.into()), "mtu {mtu}");
        assert!(flight.iter().all(|d| records(d)), "mtu {mtu}");
        flight.iter().for_each(|d| client.deliver(d));
        settle(&mut client, &mut server);
        assert!(client.established, "mtu {mtu}");
    }
    assert!(matches!(listener.set_mtu(255), Err(DtlsError::Mtu(255))));
    assert!(matches!(listener.set_mtu(4097), Err(DtlsError::Mtu(4097))));
}

/// Whether a datagram is made of whole records.
fn records(mut datagram: &[u8]) -> bool {
    while let Some((header, rest)) = datagram.split_at_checked(13) {
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some((_, rest)) = rest.split_at_checked(len) else { return false };
        datagram = rest;
    }
    datagram.is_empty()
}

/// RFC 6347 section 4.2.4: a lost flight is sent again when the timer has run out.
#[test]
fn a_lost_flight_is_sent_again() {
    let pki = Pki::new(Kind::P256);
    let mut client = Client::new(&pki.root);
    let mut server = admit(&mut pki.listener(), &mut client);
    let lost = flush(&mut server);
    assert!(!lost.is_empty());
    let wait = server.timeout().unwrap();
    assert!(wait > Duration::from_millis(500) && wait <= Duration::from_secs(1), "{wait:?}");
    server.handle_timeout();
    assert!(flush(&mut server).is_empty(), "not before its time");
    sleep(wait);
    server.handle_timeout();
    let again = flush(&mut server);
    assert!(again.iter().all(|d| d.len() <= 1200));
    let again_wait = server.timeout().unwrap();
    assert!(again_wait > Duration::from_millis(1500), "doubled: {again_wait:?}");
    again.iter().for_each(|d| client.deliver(d));
    settle(&mut client, &mut server);
    assert!(client.established && server.is_established());
    assert_eq!(server.timeout(), None);
}

#[test]
fn our_lost_last_flight_is_sent_again_when_the_client_repeats_its_own() {
    let pki = Pki::new(Kind::P256);
    let mut client = Client::new(&pki.root);
    let mut server = admit(&mut pki.listener(), &mut client);
    flush(&mut server).iter().for_each(|d| client.deliver(d));
    client.step().iter().for_each(|d| server.handle_datagram(d));
    assert!(server.is_established());
    assert!(!flush(&mut server).is_empty(), "lost");
    sleep(Duration::from_millis(1050));
    let again = client.step();
    assert!(!again.is_empty());
    for datagram in again {
        server.handle_datagram(&datagram);
        assert_eq!(server.recv(&mut [0; 64]), None);
    }
    settle(&mut client, &mut server);
    assert!(client.established && server.is_established());
}

#[test]
fn a_flight_out_of_order_and_doubled_is_put_in_order() {
    let pki = Pki::new(Kind::Rsa2048);
    let mut listener = pki.listener();
    listener.set_mtu(400).unwrap();
    let mut client = Client::new(&pki.root);
    let mut server = admit(&mut listener, &mut client);
    let flight = flush(&mut server);
    assert!(flight.len() > 3);
    for datagram in flight.iter().rev().chain(&flight) {
        client.deliver(datagram);
        for up in client.step() {
            server.handle_datagram(&up);
            server.handle_datagram(&up);
        }
    }
    settle(&mut client, &mut server);
    assert!(client.established && server.is_established());
}

/// RFC 6347 section 4.2.1: the version of a ClientHello's record says nothing. OpenSSL's client
/// writes that of DTLS 1.0 there, others (pion) that of 1.2.
#[test]
fn a_client_hello_in_a_record_of_dtls_1_2_is_taken() {
    let pki = Pki::new(Kind::P256);
    let (mut listener, mut client) = (pki.listener(), Client::new(&pki.root));
    let [_, mut second] = hellos(&mut listener, &mut client, addr());
    second[1..3].copy_from_slice(&[0xfe, 0xfd]);
    let Admission::Accept(mut server) =
        listener.datagram_from_unknown(addr(), &second, Instant::now())
    else {
        panic!("not taken")
    };
    settle(&mut client, &mut server);
    assert!(server.is_established());
}
