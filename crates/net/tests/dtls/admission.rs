//! Strangers: RFC 6347 section 4.2.1.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taciturn_net::dtls::{Admission, is_client_hello};

use testkit::dtls::*;

const HOUR: Duration = Duration::from_secs(3600);

fn other_addr() -> SocketAddr {
    "192.0.2.8:4242".parse().unwrap()
}

/// No amplification: the answer is never longer than the question, whatever the question.
#[test]
fn the_answer_to_a_stranger_is_shorter_than_the_question() {
    let pki = Pki::new(Kind::Rsa2048);
    let mut listener = pki.listener();
    let hello = Client::new(&pki.root).step().remove(0);
    assert!(is_client_hello(&hello));
    let Admission::Reply(reply) = listener.datagram_from_unknown(addr(), &hello, Instant::now())
    else {
        panic!("no reply")
    };
    assert!(reply.len() <= hello.len());
    assert_eq!(reply.len(), 60);
}

#[test]
fn a_cookie_from_another_address_or_port_is_none() {
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let [_, second] = hellos(&mut listener, &mut Client::new(&pki.root), addr());
    for thief in [other_addr(), "192.0.2.7:4243".parse().unwrap()] {
        let verdict = listener.datagram_from_unknown(thief, &second, Instant::now());
        assert!(matches!(verdict, Admission::Reply(r) if r.len() <= second.len()), "{thief}");
    }
    let verdict = listener.datagram_from_unknown(addr(), &second, Instant::now());
    assert!(matches!(verdict, Admission::Accept(_)));
}

#[test]
fn a_wrong_cookie_is_none() {
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let [first, second] = hellos(&mut listener, &mut Client::new(&pki.root), addr());
    // The cookie is what the second ClientHello has more.
    assert_eq!(second.len(), first.len() + 32);
    let session = usize::from(second[13 + 12 + 34]);
    let cookie = 13 + 12 + 34 + 1 + session + 1;
    for at in cookie..cookie + 32 {
        let mut wrong = second.clone();
        wrong[at] ^= 1;
        let verdict = listener.datagram_from_unknown(addr(), &wrong, Instant::now());
        assert!(matches!(verdict, Admission::Reply(_)), "byte {at}");
    }
    // A cookie of another server, or of ours before a restart.
    let verdict = pki.listener().datagram_from_unknown(addr(), &second, Instant::now()).is_accept();
    assert!(!verdict);
}

trait IsAccept {
    fn is_accept(&self) -> bool;
}

impl IsAccept for Admission<'_> {
    fn is_accept(&self) -> bool {
        matches!(self, Admission::Accept(_))
    }
}

#[test]
fn a_cookie_is_good_over_one_rotation_and_not_two() {
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let start = Instant::now();
    let [_, second] = hellos(&mut listener, &mut Client::new(&pki.root), addr());
    assert!(listener.datagram_from_unknown(addr(), &second, start + HOUR).is_accept());
    assert!(!listener.datagram_from_unknown(addr(), &second, start + 2 * HOUR).is_accept());
}

#[test]
fn everything_but_a_whole_client_hello_is_dropped() {
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let (mut client, mut server) = connected(&pki, &Wants::default());
    let [first, second] = hellos(&mut listener, &mut Client::new(&pki.root), addr());
    let mut strange = vec![
        Vec::new(),
        vec![22],
        vec![0; 20],
        vec![0xff; 1500],
        b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl".to_vec(),
        client.send(b"application data").remove(0),
        [first.clone(), first.clone()].concat(),
    ];
    let _ = client.stream.shutdown();
    strange.extend(client.sent());
    let mut handshaking = Client::new(&pki.root);
    let mut half = admit(&mut listener, &mut handshaking);
    for flight in flush(&mut half) {
        strange.push(flight.clone());
        handshaking.deliver(&flight);
    }
    strange.extend(handshaking.step());
    server.close();
    strange.extend(flush(&mut server));
    for n in 0..second.len() {
        strange.push(second[..n].to_vec());
    }
    for datagram in strange {
        let verdict = listener.datagram_from_unknown(addr(), &datagram, Instant::now());
        assert!(matches!(verdict, Admission::Drop), "{datagram:02x?}");
    }
}

/// A client with an MTU below its ClientHello sends it in fragments; putting them together would
/// be state for a stranger.
#[test]
fn a_fragmented_client_hello_is_dropped() {
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let hello = Client::new(&pki.root).step().remove(0);
    let body = &hello[25..];
    let cut = body.len() / 2;
    for (offset, part) in [(0, &body[..cut]), (cut, &body[cut..])] {
        let mut fragment = hello[..25].to_vec();
        fragment[11..13].copy_from_slice(&((12 + part.len()) as u16).to_be_bytes());
        fragment[19..22].copy_from_slice(&(offset as u32).to_be_bytes()[1..]);
        fragment[22..25].copy_from_slice(&(part.len() as u32).to_be_bytes()[1..]);
        fragment.extend(part);
        let verdict = listener.datagram_from_unknown(addr(), &fragment, Instant::now());
        assert!(matches!(verdict, Admission::Drop));
    }
}

/// RFC 6347 section 4.2.8: a client that lost its state starts again from the same address.
#[test]
fn a_restarted_client_is_told_from_a_repeated_hello() {
    let pki = Pki::new(Kind::P256);
    let mut listener = pki.listener();
    let mut client = Client::new(&pki.root);
    let [first, second] = hellos(&mut listener, &mut client, addr());
    let Admission::Accept(mut server) =
        listener.datagram_from_unknown(addr(), &second, Instant::now())
    else {
        panic!("not accepted")
    };
    settle(&mut client, &mut server);
    assert!(!server.is_restart(&first) && !server.is_restart(&second));
    assert!(!server.is_restart(&client.send(b"data")[0]));
    let mut again = Client::new(&pki.root);
    let [first, second] = hellos(&mut listener, &mut again, addr());
    assert!(server.is_restart(&first) && server.is_restart(&second));
    assert!(listener.datagram_from_unknown(addr(), &second, Instant::now()).is_accept());
}
