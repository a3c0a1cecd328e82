//! Any datagrams before what keeps them from OpenSSL.

use taciturn_net::dtls::{Guard, plausible};

use crate::datagrams;

/// What an unfinished handshake may use: datagrams, records of the next epoch.
const MOST: (usize, usize) = (128, 8);
/// Bytes that a message may claim, that a datagram may have, that an encrypted record has at least.
const BYTES: (usize, usize, usize) = (4096, 8192, 40);

/// Sends the datagrams of `bytes` through the guard of one handshake. The first byte is how long nonce and
/// tag of an established connection are.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&overhead, bytes)) = bytes.split_first() else { return };
    let overhead = usize::from(overhead);
    let mut guard = Guard::default();
    let (mut looked_at, mut of_next_epoch) = (0, 0);
    for datagram in datagrams::of(bytes) {
        let records = records(datagram);
        let whole = records.as_deref().unwrap_or_default();
        let long_enough = |least: usize| {
            whole.iter().all(|record| !matches!(record, Record::Encrypted(len) if *len < least))
        };
        assert_eq!(plausible(datagram, overhead), records.is_some() && long_enough(overhead + 1));

        let counted = looked_at < MOST.0 && datagram.len() <= BYTES.1;
        looked_at += usize::from(counted);
        let claims_little = !whole
            .iter()
            .any(|record| matches!(record, Record::Plain(claims) if *claims > BYTES.0));
        let next = whole.iter().filter(|record| matches!(record, Record::Encrypted(_))).count();
        let few = of_next_epoch + next <= MOST.1;
        let good = counted && records.is_some() && long_enough(BYTES.2) && claims_little && few;
        assert_eq!(guard.admits(datagram), good);
        if good {
            of_next_epoch += next;
        }
    }
}

enum Record {
    /// The longest message in it claims so many bytes.
    Plain(usize),
    /// So many bytes.
    Encrypted(usize),
}

/// The records of a datagram (RFC 6347 section 4.1) and of those that can be read the messages (section
/// 4.2.2); `None` unless it is made of whole ones.
fn records(datagram: &[u8]) -> Option<Vec<Record>> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
    let (mut found, mut rest) = (Vec::new(), datagram);
    while !rest.is_empty() {
        let (header, behind) = rest.split_at_checked(13)?;
        let (mut body, behind) = behind.split_at_checked(number(&header[11..13]))?;
        rest = behind;
        if header[1] != 0xFE {
            return None;
        }
        if header[3..5] != [0, 0] {
            found.push(Record::Encrypted(body.len()));
            continue;
        }
        let mut claims = 0;
        while header[0] == 22 && !body.is_empty() {
            let (message, fragment) = body.split_at_checked(12)?;
            claims = claims.max(number(&message[1..4]));
            body = fragment.split_at_checked(number(&message[9..12]))?.1;
        }
        found.push(Record::Plain(claims));
    }
    Some(found)
}
