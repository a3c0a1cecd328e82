//! Any datagrams from a client without a connection, and from one that has returned its cookie.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Instant;

use taciturn_net::dtls::{
    Admission, DEFAULT_MTU, DtlsContext, Listener, MAX_PAYLOAD, RECORD_OVERHEAD, is_client_hello,
};
use taciturn_tls::{CertSource, load};

use testkit::unnamed_file;

use crate::datagrams;

/// Datagrams that one call may have sent: the connection's queue.
const QUEUED: usize = 32;

thread_local! {
    static LISTENER: RefCell<(Listener, Instant)> = RefCell::new({
        // A certificate of the inputs for another target, made for tests.
        let path = unnamed_file::holding(include_bytes!("../../fuzz/corpus/acme_json/one-certificate"));
        let chain = load(&CertSource::Acme { path, domain: "turn.example.org".into() }).unwrap();
        let context = DtlsContext::new(chain.certs_der(), chain.key_der()).unwrap();
        let now = Instant::now();
        (Listener::new(context, now).unwrap(), now)
    });
}

/// The first datagram is that of a stranger. Where it gets a cookie, it comes again with it, and the others
/// follow on the connection.
pub(crate) fn run(bytes: &[u8]) {
    drop(play(bytes));
}

/// Returns the datagrams that the connection sent; `None` where there was none.
fn play(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    LISTENER.with_borrow_mut(|(listener, now)| {
        let mut datagrams = datagrams::of(bytes);
        let first = datagrams.next()?;
        let (client, other) = (from(1), from(2));
        let cookie = match listener.datagram_from_unknown(client, first, *now) {
            // RFC 6347 section 4.2.2: the messages of a client begin with 0, and 1 is the next.
            Admission::Drop => {
                assert!(!is_client_hello(first) || first[17..19] > [0, 1][..]);
                return None;
            }
            Admission::Accept(_) => panic!("a connection without a cookie"),
            Admission::Reply(answer) => {
                assert!(is_client_hello(first) && answer.len() < first.len(), "amplified");
                assert_eq!((answer[13], &answer[3..11]), (3, &first[3..11]));
                answer[28..].to_vec()
            }
        };
        let second = with_cookie(first, &cookie)?;
        assert!(is_client_hello(&second));
        let stolen = listener.datagram_from_unknown(other, &second, *now);
        assert!(!matches!(stolen, Admission::Accept(_)), "the cookie of another address");
        let refused = listener.datagram_from_unknown_if(client, &second, *now, || false);
        assert!(matches!(refused, Admission::Drop), "a connection without room");
        let mut connection = match listener.datagram_from_unknown(client, &second, *now) {
            Admission::Accept(connection) => connection,
            // OpenSSL reads the ClientHello otherwise.
            Admission::Drop => return None,
            Admission::Reply(_) => panic!("the own cookie is refused"),
        };
        let mut sent = Vec::new();
        let mut buffer = [0; MAX_PAYLOAD as usize + RECORD_OVERHEAD];
        for datagram in std::iter::once(&[][..]).chain(datagrams) {
            connection.handle_datagram(datagram);
            assert_eq!(connection.recv(&mut buffer), None, "data without a handshake");
            assert!(!connection.is_established(), "a handshake without keys");
            let before = sent.len();
            while let Some(len) = connection.poll_transmit(&mut buffer) {
                assert!(len <= usize::from(DEFAULT_MTU));
                sent.push(buffer[..len].to_vec());
            }
            assert!(sent.len() - before <= QUEUED);
        }
        connection.close();
        assert!(connection.is_closed());
        Some(sent)
    })
}

fn from(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 5000))
}

/// The same ClientHello with a cookie, as the second message; `None` where that is longer than a record.
fn with_cookie(hello: &[u8], cookie: &[u8]) -> Option<Vec<u8>> {
    let (front, behind) = hello.split_at(60 + usize::from(hello[59]));
    let behind = &behind[1 + usize::from(behind[0])..];
    let mut out = [front, &[cookie.len() as u8], cookie, behind].concat();
    let record = u16::try_from(out.len() - 13).ok()?;
    let message = u32::try_from(out.len() - 25).ok()?.to_be_bytes();
    out[11..13].copy_from_slice(&record.to_be_bytes());
    out[14..17].copy_from_slice(&message[1..]);
    out[17..19].copy_from_slice(&[0, 1]);
    out[22..25].copy_from_slice(&message[1..]);
    Some(out)
}

#[test]
fn the_hello_that_is_kept_gets_a_connection_and_a_first_flight() {
    let sent = play(include_bytes!("../../fuzz/corpus/dtls_hello/of-openssl")).unwrap();
    // Records of a handshake, the first a ServerHello (RFC 5246 section 7.4).
    assert_eq!((sent[0][0], sent[0][13]), (22, 2));
    let refused = play(include_bytes!("../../fuzz/corpus/dtls_hello/no-shared-suite")).unwrap();
    assert_eq!(refused[0][0], 21, "an alert");
}
