//! Iterates over the attributes of a message (RFC 8489 section 14).

use super::HEADER_LEN;
use super::attribute::AttributeType as T;
use super::malformed::Malformed;

/// An attribute in its buffer.
pub(super) struct Attribute<'a> {
    pub(super) kind: T,
    pub(super) value: &'a [u8],
    /// Offset of its type field.
    pub(super) at: usize,
}

/// An iterator over attributes.
pub(super) struct Walk<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Attribute<'a>>, Malformed> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        let [t0, t1, l0, l1, tail @ ..] = rest else {
            return if rest.is_empty() { Ok(None) } else { Err(Malformed::Attribute) };
        };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = tail.get(..length).ok_or(Malformed::Attribute)?;
        //= 8489-14-tlv
        let padded = length.next_multiple_of(4);
        if padded > tail.len() {
            return Err(Malformed::Attribute);
        }
        self.at = at + 4 + padded;
        Ok(Some(Attribute { kind: T(u16::from_be_bytes([*t0, *t1])), value, at }))
    }
}

/// The value of the first attribute of a type in a message, or in the front part of one.
pub(super) fn find(bytes: &[u8], kind: T) -> Option<&[u8]> {
    let mut walk = Walk { bytes, at: HEADER_LEN };
    while let Ok(Some(attribute)) = walk.next() {
        if attribute.kind == kind {
            return Some(attribute.value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where attributes begin, their types and values; and whether the walk ended in order.
    type Walked<'a> = (Vec<(usize, u16, &'a [u8])>, bool);

    /// Attributes of `bytes` by RFC 8489 section 14, computed independently of [`Walk`].
    fn expected(bytes: &[u8]) -> Walked<'_> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            if bytes.len() - at < 4 {
                return (found, false);
            }
            let field = |at: usize| u16::from(bytes[at]) << 8 | u16::from(bytes[at + 1]);
            let (kind, len) = (field(at), usize::from(field(at + 2)));
            let padding = (4 - len % 4) % 4;
            if bytes.len() - at < 4 + len + padding {
                return (found, false);
            }
            found.push((at, kind, &bytes[at + 4..at + 4 + len]));
            at += 4 + len + padding;
        }
        (found, true)
    }

    fn walked(bytes: &[u8]) -> Walked<'_> {
        let (mut walk, mut found) = (Walk { bytes, at: 0 }, Vec::new());
        loop {
            match walk.next() {
                Ok(Some(Attribute { kind, value, at })) => found.push((at, kind.0, value)),
                Ok(None) => return (found, true),
                Err(_) => return (found, false),
            }
        }
    }

    /// Every length of one attribute (all of u16), cut after each of the first 12 bytes and each of those
    /// around its end and that of its padding.
    #[test]
    fn every_length_of_an_attribute_is_held_against_every_end() {
        let mut bytes = vec![0xAB; 0x1_0000 + 16];
        for length in 0..=u16::MAX {
            bytes[..4].copy_from_slice(&[
                0x80,
                0x22,
                length.to_be_bytes()[0],
                length.to_be_bytes()[1],
            ]);
            let end = 4 + usize::from(length);
            for cut in (0..=12).chain(end.saturating_sub(4)..end + 5) {
                let Some(cut) = bytes.get(..cut) else { continue };
                let (attributes, in_order) = walked(cut);
                // The bytes after a complete attribute are not one.
                assert_eq!((&attributes, in_order), (&expected(cut).0, expected(cut).1));
            }
        }
    }

    /// Three attributes, each of every length from 0 to 9 and of some that lead beyond the end, cut after each
    /// byte.
    #[test]
    fn attributes_follow_each_other_behind_their_padding() {
        let lengths = || (0..=9_u16).chain([0x0100, 0xFFFC, 0xFFFD, 0xFFFF]);
        for first in lengths() {
            for second in lengths() {
                for third in lengths() {
                    let mut bytes = Vec::new();
                    for (kind, length) in [(1, first), (2, second), (3, third)] {
                        let [high, low] = length.to_be_bytes();
                        bytes.extend([0, kind, high, low]);
                        let padded = usize::from(length.min(9)).next_multiple_of(4);
                        bytes.extend(std::iter::repeat_n(kind, padded));
                    }
                    for end in 0..=bytes.len() {
                        assert_eq!(walked(&bytes[..end]), expected(&bytes[..end]));
                    }
                }
            }
        }
    }

    /// Every offset to begin at, beyond the end as well.
    #[test]
    fn a_walk_that_begins_beyond_the_end_is_over() {
        for len in 0..=24 {
            let bytes = vec![0; len];
            for at in (0..=32).chain([usize::MAX]) {
                let step = Walk { bytes: &bytes, at }.next();
                match len.saturating_sub(at) {
                    0 => assert!(matches!(step, Ok(None))),
                    1..=3 => assert!(step.is_err()),
                    _ => assert!(matches!(step, Ok(Some(found)) if found.at == at)),
                }
            }
        }
    }
}
