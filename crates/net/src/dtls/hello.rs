//! The first three messages on the wire: reading a ClientHello, writing a HelloVerifyRequest
//! (RFC 6347 sections 4.1, 4.2.1, 4.2.2). Nothing here allocates.
#![forbid(unsafe_code)]

use super::cookie::{COOKIE_LEN, Cookie};

/// `ContentType` handshake.
pub(super) const HANDSHAKE: u8 = 22;
/// Bytes of a record header.
pub(super) const RECORD_HEADER: usize = 13;
/// Bytes of a handshake message header.
const MESSAGE_HEADER: usize = 12;
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// The major version byte of every DTLS record (one's complement of 1).
pub(super) const MAJOR: u8 = 0xfe;

/// Bytes of our HelloVerifyRequest. The shortest ClientHello that [`ClientHello::parse`] takes has
/// 67, so the answer to a stranger is always the smaller one.
pub(super) const VERIFY_REQUEST_LEN: usize = RECORD_HEADER + MESSAGE_HEADER + 3 + COOKIE_LEN;

const _: () = assert!(VERIFY_REQUEST_LEN <= RECORD_HEADER + MESSAGE_HEADER + 42);

/// What the cookie exchange needs of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientHello<'a> {
    /// The record's epoch (0) and sequence number, as they stand.
    record_seq: [u8; 8],
    /// The handshake message's number: 0 at first, 1 with the cookie.
    pub(super) message_seq: u16,
    /// The client's random bytes.
    pub(super) random: [u8; 32],
    /// The cookie, empty at first.
    pub(super) cookie: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Reads a datagram that holds one record with one whole ClientHello and nothing else; `None`
    /// for everything else. A ClientHello in fragments is none: putting it together would take
    /// state for a stranger.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut record = Reader(datagram);
        if record.u8()? != HANDSHAKE || record.u8()? != MAJOR {
            return None;
        }
        record.u8()?;
        let record_seq: [u8; 8] = record.array()?;
        let mut message = record.block16()?;
        record.end()?;
        let [epoch_high, epoch_low, ..] = record_seq;
        if epoch_high != 0 || epoch_low != 0 || message.u8()? != CLIENT_HELLO {
            return None;
        }
        let length = message.u24()?;
        let message_seq = message.u16()?;
        let fragment_offset = message.u24()?;
        let fragment_length = message.u24()?;
        if fragment_offset != 0 || fragment_length != length || message.0.len() != length {
            return None;
        }
        if message.u8()? != MAJOR {
            return None;
        }
        message.u8()?;
        let random = message.array()?;
        if message.block8()?.0.len() > 32 {
            return None;
        }
        let cookie = message.block8()?.0;
        let suites = message.block16()?.0.len();
        if suites == 0 || suites % 2 != 0 || message.block8()?.0.is_empty() {
            return None;
        }
        if !message.0.is_empty() {
            message.block16()?;
            message.end()?;
        }
        Some(Self { record_seq, message_seq, random, cookie })
    }

    /// Returns the HelloVerifyRequest that answers this ClientHello.
    pub(super) fn verify_request(&self, cookie: &Cookie) -> [u8; VERIFY_REQUEST_LEN] {
        // Both lengths are constants far below their fields' limits.
        const BODY: u8 = (3 + COOKIE_LEN) as u8;
        const RECORD: u8 = BODY + MESSAGE_HEADER as u8;
        let mut out = [0; VERIFY_REQUEST_LEN];
        let parts: [&[u8]; 6] = [
            // RFC 6347 section 4.2.1: version DTLS 1.0 here, whatever is negotiated later.
            &[HANDSHAKE, MAJOR, 0xff],
            // The same section: the record sequence number of the ClientHello, MUST.
            &self.record_seq,
            &[0, RECORD, HELLO_VERIFY_REQUEST, 0, 0, BODY],
            // message_seq 0, fragment_offset 0, fragment_length.
            &[0, 0, 0, 0, 0, 0, 0, BODY],
            &[MAJOR, 0xff, COOKIE_LEN as u8],
            cookie,
        ];
        for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        out
    }
}

/// Returns true if `datagram` is one whole, unencrypted ClientHello: what a client sends that starts again
/// from an address that already has a connection (see [`super::Connection::is_restart`]).
#[must_use]
pub fn is_client_hello(datagram: &[u8]) -> bool {
    ClientHello::parse(datagram).is_some()
}

/// Reads big-endian fields off the front; every step says `None` where bytes are missing.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u24(&mut self) -> Option<usize> {
        self.array::<3>()
            .map(|[a, b, c]| (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c))
    }

    fn block8(&mut self) -> Option<Self> {
        let n = self.u8()?;
        self.take(n.into()).map(Self)
    }

    pub(super) fn block16(&mut self) -> Option<Self> {
        let n = self.u16()?;
        self.take(n.into()).map(Self)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A ClientHello with no session, one cipher suite, no extensions.
    pub(crate) fn hello(message_seq: u16, cookie: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.push(0);
        body.push(cookie.len() as u8);
        body.extend(cookie);
        body.extend([0, 2, 0xc0, 0x2b, 1, 0]);
        let len = [0, (body.len() >> 8) as u8, body.len() as u8];
        let mut message = vec![CLIENT_HELLO];
        message.extend(len);
        message.extend(message_seq.to_be_bytes());
        message.extend([0, 0, 0]);
        message.extend(len);
        message.extend(body);
        let mut record = vec![HANDSHAKE, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 9];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        record
    }

    #[test]
    fn the_shortest_client_hello_is_longer_than_our_answer() {
        let shortest = hello(0, &[]);
        assert_eq!(shortest.len(), 67);
        let parsed = ClientHello::parse(&shortest).unwrap();
        assert_eq!(parsed.verify_request(&[0; COOKIE_LEN]).len(), 60);
    }

    /// RFC 6347 section 4.2.1: the answer carries the record sequence number of the question.
    #[test]
    fn the_answer_is_laid_out_as_rfc_6347_section_4_2_1_has_it() {
        let question = hello(0, &[]);
        let answer = ClientHello::parse(&question).unwrap().verify_request(&[0xcc; COOKIE_LEN]);
        let mut wanted = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 9, 0, 47];
        wanted.extend([3, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 35, 0xfe, 0xff, 32]);
        wanted.extend([0xcc; 32]);
        assert_eq!(answer[..], wanted[..]);
    }

    #[test]
    fn reads_cookie_and_message_number() {
        let datagram = hello(1, &[1, 2, 3]);
        let parsed = ClientHello::parse(&datagram).unwrap();
        assert_eq!((parsed.message_seq, parsed.cookie), (1, &[1, 2, 3][..]));
        assert_eq!(parsed.random, [7; 32]);
    }

    #[test]
    fn everything_else_is_refused() {
        let good = hello(0, &[]);
        assert!(is_client_hello(&good));
        for (at, value, why) in [
            (0, 23, "application data"),
            (0, 21, "an alert"),
            (1, 3, "TLS"),
            (4, 1, "an encrypted epoch"),
            (13, 2, "a ServerHello"),
            (21, 1, "a later fragment"),
            (24, 1, "a shorter fragment"),
            (12, 60, "a short record"),
            (25, 3, "a TLS version"),
            (59, 33, "a session id over 32 bytes"),
            (62, 3, "an odd cipher suite list"),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(!is_client_hello(&bad), "{why}");
        }
        for n in 0..good.len() {
            assert!(!is_client_hello(&good[..n]), "cut to {n}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(!is_client_hello(&longer), "a trailing byte");
    }
}
