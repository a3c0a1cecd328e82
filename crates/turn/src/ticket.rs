//! The tickets of mobility (RFC 8016 section 3.3): what MOBILITY-TICKET holds.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::mobile_allocations::MobileId;
use super::snapshot::wire::Secret;

/// Bytes of a nonce of ChaCha20-Poly1305.
pub(super) const NONCE: usize = 12;

/// The allocation and the serial number.
const PLAIN: usize = 12;

const TAG: usize = 16;

/// Bytes of a whole ticket.
pub(super) const LEN: usize = NONCE + PLAIN + TAG;

/// What a ticket says, once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: MobileId,
    /// Which of the allocation's tickets it is.
    pub(super) serial: u32,
}

/// The key that tickets are encrypted and authenticated with (ChaCha20-Poly1305). It lives as long
/// as allocations may: where another process takes these over, it takes the key over as well.
pub struct TicketKey(Zeroizing<[u8; 32]>);

impl TicketKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// The key, for another process.
    pub(super) fn snapshot(&self) -> Secret {
        Secret(self.0.clone())
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.0[..]).ok().map(LessSafeKey::new)
    }

    //= 8016-5-encrypted
    /// A ticket that nobody else can read or make. `nonce` must be random.
    pub(super) fn seal(&self, nonce: [u8; NONCE], ticket: Ticket) -> Option<[u8; LEN]> {
        let mut plain = [0; PLAIN];
        let (id, serial) = (ticket.id.0.to_be_bytes(), ticket.serial.to_be_bytes());
        plain.iter_mut().zip(id.iter().chain(&serial)).for_each(|(slot, byte)| *slot = *byte);
        let random = Nonce::assume_unique_for_key(nonce);
        let tag =
            self.cipher()?.seal_in_place_separate_tag(random, Aad::empty(), &mut plain).ok()?;
        let mut sealed = [0; LEN];
        let parts = nonce.iter().chain(&plain).chain(tag.as_ref());
        sealed.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = *byte);
        Some(sealed)
    }

    /// What a ticket says. `None` where it is not one of this server's.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Ticket> {
        let sealed: [u8; LEN] = sealed.try_into().ok()?;
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let mut rest: [u8; PLAIN + TAG] = rest.try_into().ok()?;
        let random = Nonce::assume_unique_for_key(*nonce);
        let plain = self.cipher()?.open_in_place(random, Aad::empty(), &mut rest).ok()?;
        let (id, serial) = plain.split_first_chunk::<8>()?;
        let id = MobileId(u64::from_be_bytes(*id));
        Some(Ticket { id, serial: u32::from_be_bytes(serial.try_into().ok()?) })
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Ticket = Ticket { id: MobileId(0x0700_0000_0009), serial: 3 };

    fn key(byte: u8) -> TicketKey {
        TicketKey::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_ticket_opens_whole_and_under_its_own_key() {
        let sealed = key(1).seal([5; NONCE], TICKET).unwrap();
        assert_eq!(key(1).open(&sealed), Some(TICKET));
        assert_eq!(key(2).open(&sealed), None);
        assert_eq!(key(1).open(&sealed[..LEN - 1]), None);
        assert_eq!(key(1).open(&[]), None);
    }

    //= 8016-5-encrypted
    #[test]
    fn a_changed_bit_anywhere_makes_it_worthless() {
        let sealed = key(1).seal([5; NONCE], TICKET).unwrap();
        for at in 0..LEN * 8 {
            let mut changed = sealed;
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(key(1).open(&changed), None, "bit {at}");
        }
    }

    //= 8016-5-encrypted
    #[test]
    fn nothing_of_it_can_be_read_and_the_key_is_never_shown() {
        let first = key(1).seal([5; NONCE], TICKET).unwrap();
        let second = key(1).seal([6; NONCE], TICKET).unwrap();
        assert_ne!(first[NONCE..], second[NONCE..]);
        assert_eq!(format!("{:?}", key(77)), "TicketKey(..)");
    }
}
