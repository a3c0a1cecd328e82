//! What OpenSSL is not shown.
//!
//! **Forged records.** Anyone may forge a source address. RFC 6347 section 4.1.2.7 has records that
//! are not authentic discarded, but OpenSSL 3.6 takes one too short for its nonce and tag for an
//! error of its own and ends the connection. So these stop here.
//!
//! **Limits on an unfinished handshake.**
//! OpenSSL keeps up to 100 records of the next epoch (a 17 KiB buffer each) and up to ten
//! messages out of order (memory for the length each one claims). A client of ours needs none of
//! that beyond its last flight: ClientKeyExchange, ChangeCipherSpec, Finished.
#![forbid(unsafe_code)]

use super::hello::{HANDSHAKE, MAJOR, Reader};

/// Datagrams of one handshake, retransmissions and strays together.
const MAX_DATAGRAMS: u16 = 128;
/// Records of the next epoch before the handshake is finished: Finished and its retransmissions.
const MAX_NEXT_EPOCH: u16 = 8;
/// Bytes that a handshake message may claim: a ClientHello with large key shares fits.
const MAX_MESSAGE: usize = 4096;
/// Bytes of a datagram before the handshake is finished.
const MAX_DATAGRAM: usize = 8192;

/// Bytes of an encrypted Finished, at least: message header and 12 bytes, with a tag.
const MIN_FINISHED: usize = 40;

/// Returns true if a datagram for an established connection is made of whole records, of which the
/// encrypted ones are no shorter than `overhead` (nonce and tag, in bytes).
#[must_use]
pub fn plausible(datagram: &[u8], overhead: usize) -> bool {
    let mut rest = Reader(datagram);
    while !rest.0.is_empty() {
        match record(&mut rest) {
            Some(Record::Encrypted { len }) if len <= overhead => return false,
            Some(_) => {}
            None => return false,
        }
    }
    true
}

/// What an unfinished handshake has used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guard {
    datagrams: u16,
    next_epoch: u16,
}

impl Guard {
    /// Returns true if this datagram may go on to OpenSSL.
    pub fn admits(&mut self, datagram: &[u8]) -> bool {
        if self.datagrams >= MAX_DATAGRAMS || datagram.len() > MAX_DATAGRAM {
            return false;
        }
        self.datagrams += 1;
        let mut rest = Reader(datagram);
        let mut next_epoch = 0;
        while !rest.0.is_empty() {
            match record(&mut rest) {
                Some(Record::Plain { claims }) if claims <= MAX_MESSAGE => {}
                Some(Record::Encrypted { len }) if len >= MIN_FINISHED => next_epoch += 1,
                _ => return false,
            }
        }
        if self.next_epoch + next_epoch > MAX_NEXT_EPOCH {
            return false;
        }
        self.next_epoch += next_epoch;
        true
    }
}

enum Record {
    /// Unencrypted; the longest handshake message in it claims so many bytes.
    Plain { claims: usize },
    /// Of a later epoch, so nothing of it can be read here; so many bytes.
    Encrypted { len: usize },
}

/// Takes one record off the front; `None` where it is not one.
fn record(rest: &mut Reader<'_>) -> Option<Record> {
    let kind = rest.u8()?;
    if rest.u8()? != MAJOR {
        return None;
    }
    rest.u8()?;
    let epoch = rest.u16()?;
    rest.take(6)?;
    let mut body = rest.block16()?;
    if epoch != 0 {
        return Some(Record::Encrypted { len: body.0.len() });
    }
    let mut claims = 0;
    while kind == HANDSHAKE && !body.0.is_empty() {
        body.u8()?;
        claims = claims.max(body.u24()?);
        body.take(5)?;
        let fragment = body.u24()?;
        body.take(fragment)?;
    }
    Some(Record::Plain { claims })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(claims: u32, fragment: &[u8]) -> Vec<u8> {
        let mut out = vec![HANDSHAKE, MAJOR, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1];
        out.extend((12 + fragment.len() as u16).to_be_bytes());
        out.push(16);
        out.extend(&claims.to_be_bytes()[1..]);
        out.extend([0, 2, 0, 0, 0, 0, 0, fragment.len() as u8]);
        out.extend(fragment);
        out
    }

    fn next_epoch() -> Vec<u8> {
        encrypted(40)
    }

    fn encrypted(len: u8) -> Vec<u8> {
        let mut out = vec![HANDSHAKE, MAJOR, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, len];
        out.extend(vec![9; len.into()]);
        out
    }

    #[test]
    fn encrypted_records_without_room_for_nonce_and_tag_are_refused() {
        assert!(plausible(&encrypted(25), 24));
        assert!(!plausible(&encrypted(24), 24));
        assert!(!plausible(&[encrypted(60), encrypted(3)].concat(), 24));
        assert!(!plausible(&encrypted(60)[..50], 24));
        assert!(!Guard::default().admits(&encrypted(39)));
    }

    #[test]
    fn a_usual_last_flight_passes() {
        let mut guard = Guard::default();
        let mut flight = plain(70, &[0; 70]);
        flight.extend([20, MAJOR, 0xfd, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1]);
        flight.extend(next_epoch());
        for _ in 0..MAX_NEXT_EPOCH {
            assert!(guard.admits(&flight));
        }
        assert!(!guard.admits(&flight), "sent again too often");
    }

    #[test]
    fn a_message_that_claims_much_is_refused() {
        assert!(Guard::default().admits(&plain(4096, &[0; 8])));
        assert!(!Guard::default().admits(&plain(4097, &[0; 8])));
        assert!(!Guard::default().admits(&plain(0xff_ffff, &[])));
    }

    #[test]
    fn many_records_of_the_next_epoch_in_one_datagram_are_refused() {
        let flood: Vec<u8> = std::iter::repeat_n(next_epoch(), 100).flatten().collect();
        assert!(!Guard::default().admits(&flood));
    }

    #[test]
    fn datagrams_are_counted_and_torn_records_refused() {
        let mut guard = Guard::default();
        for _ in 0..MAX_DATAGRAMS {
            assert!(guard.admits(&plain(8, &[0; 8])));
        }
        assert!(!guard.admits(&plain(8, &[0; 8])));
        let whole = plain(8, &[0; 8]);
        for n in 1..whole.len() {
            assert!(!Guard::default().admits(&whole[..n]), "cut to {n}");
        }
    }
}
