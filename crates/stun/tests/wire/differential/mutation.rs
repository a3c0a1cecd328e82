//! Well-formed messages made wrong, a little at a time.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// One thing done to a message.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    FlipBit(Index),
    SetByte(Index, u8),
    Truncate(Index),
    Extra(Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Copies four bytes, such as the header of an attribute, to another place.
    Copy(Index, Index),
    LengthField(u16),
    LengthFieldBy(i8),
    /// Makes the length field right again, so that the next reader gets further.
    Mend,
}

/// A few of them.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    use Mutation as M;
    let one = prop_oneof![
        4 => any::<Index>().prop_map(M::FlipBit),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| M::SetByte(at, byte)),
        1 => any::<Index>().prop_map(M::Truncate),
        1 => vec(any::<u8>(), 1..9).prop_map(M::Extra),
        1 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, new)| M::Insert(at, new)),
        1 => (any::<Index>(), 1_usize..9).prop_map(|(at, len)| M::Remove(at, len)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| M::Copy(from, to)),
        1 => any::<u16>().prop_map(M::LengthField),
        1 => any::<i8>().prop_map(M::LengthFieldBy),
        3 => Just(M::Mend),
    ];
    vec(one, 1..5)
}

/// The message after all of them.
pub(crate) fn mutated(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        apply(&mut bytes, mutation);
    }
    bytes
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let words = bytes.len() / 4;
    match mutation {
        Mutation::FlipBit(bit) => {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Mutation::SetByte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        Mutation::Extra(extra) => bytes.extend(extra),
        Mutation::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        Mutation::Remove(at, len) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + len).min(bytes.len()));
        }
        Mutation::Copy(from, to) if words > 0 => {
            let (from, to) = (from.index(words) * 4, to.index(words) * 4);
            bytes.copy_within(from..from + 4, to);
        }
        Mutation::LengthField(length) => set_length(bytes, *length),
        Mutation::LengthFieldBy(by) => {
            let length = match bytes[..] {
                [_, _, high, low, ..] => u16::from_be_bytes([high, low]),
                _ => 0,
            };
            set_length(bytes, length.wrapping_add_signed(i16::from(*by)));
        }
        Mutation::Mend => {
            let length = bytes.len().saturating_sub(20) as u16;
            set_length(bytes, length);
        }
        Mutation::Copy(..) => {}
    }
}

fn set_length(bytes: &mut [u8], length: u16) {
    if let Some(field) = bytes.get_mut(2..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}
