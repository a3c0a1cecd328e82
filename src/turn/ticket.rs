//! The tickets of mobility (RFC 8016 section 3.4): what MOBILITY-TICKET holds.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::types::AllocationId;

/// Bytes of a nonce of ChaCha20-Poly1305.
pub(super) const NONCE: usize = 12;

/// Index, generation and serial number.
const PLAIN: usize = 12;

const TAG: usize = 16;

/// Bytes of a whole ticket.
pub(super) const LEN: usize = NONCE + PLAIN + TAG;

/// What a ticket says, once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: AllocationId,
    /// Which of the allocation's tickets it is.
    pub(super) serial: u32,
}

/// The key that tickets are encrypted and authenticated with (ChaCha20-Poly1305). It lives as long
/// as the process, as the allocations do.
pub struct TicketKey(Zeroizing<[u8; 32]>);

impl TicketKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.0[..]).ok().map(LessSafeKey::new)
    }

    /// A ticket that only this user can make use of. `nonce` must be random.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE],
        ticket: Ticket,
        username: &str,
    ) -> Option<[u8; LEN]> {
        let mut plain = [0; PLAIN];
        let words = [ticket.id.index, ticket.id.generation, ticket.serial];
        for (slot, word) in plain.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
        let (random, owner) = (Nonce::assume_unique_for_key(nonce), Aad::from(username.as_bytes()));
        let tag = self.cipher()?.seal_in_place_separate_tag(random, owner, &mut plain).ok()?;
        let mut sealed = [0; LEN];
        let parts = nonce.iter().chain(&plain).chain(tag.as_ref());
        sealed.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = *byte);
        Some(sealed)
    }

    /// What a ticket of this user's says. `None` where it is not one of this server's, or not one of
    /// this user's.
    pub(super) fn open(&self, sealed: &[u8], username: &str) -> Option<Ticket> {
        let sealed: [u8; LEN] = sealed.try_into().ok()?;
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let mut rest: [u8; PLAIN + TAG] = rest.try_into().ok()?;
        let (random, owner) =
            (Nonce::assume_unique_for_key(*nonce), Aad::from(username.as_bytes()));
        let plain = self.cipher()?.open_in_place(random, owner, &mut rest).ok()?;
        let mut words = plain.chunks_exact(4).filter_map(|word| word.try_into().ok());
        let mut next = || words.next().map(u32::from_be_bytes);
        let id = AllocationId { index: next()?, generation: next()? };
        Some(Ticket { id, serial: next()? })
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

    const TICKET: Ticket = Ticket { id: AllocationId { index: 7, generation: 9 }, serial: 3 };

    fn key(byte: u8) -> TicketKey {
        TicketKey::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_ticket_opens_for_its_owner_alone_and_under_its_own_key() {
        let sealed = key(1).seal([5; NONCE], TICKET, "alice").unwrap();
        assert_eq!(key(1).open(&sealed, "alice"), Some(TICKET));
        assert_eq!(key(1).open(&sealed, "bob"), None);
        assert_eq!(key(2).open(&sealed, "alice"), None);
        assert_eq!(key(1).open(&sealed[..LEN - 1], "alice"), None);
        assert_eq!(key(1).open(&[], "alice"), None);
    }

    #[test]
    fn a_changed_bit_anywhere_makes_it_worthless() {
        let sealed = key(1).seal([5; NONCE], TICKET, "alice").unwrap();
        for at in 0..LEN * 8 {
            let mut changed = sealed;
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(key(1).open(&changed, "alice"), None, "bit {at}");
        }
    }

    #[test]
    fn nothing_of_it_can_be_read_and_the_key_is_never_shown() {
        let first = key(1).seal([5; NONCE], TICKET, "alice").unwrap();
        let second = key(1).seal([6; NONCE], TICKET, "alice").unwrap();
        assert_ne!(first[NONCE..], second[NONCE..]);
        assert_eq!(format!("{:?}", key(77)), "TicketKey(..)");
    }
}
