//! From attribute to attribute (RFC 8489 section 14).

use super::HEADER_LEN;
use super::attribute::AttributeType as T;
use super::message::Malformed;

/// An attribute where it lies.
pub(super) struct Attribute<'a> {
    pub(super) kind: T,
    pub(super) value: &'a [u8],
    /// Offset of its type field.
    pub(super) at: usize,
}

/// Goes from attribute to attribute.
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
