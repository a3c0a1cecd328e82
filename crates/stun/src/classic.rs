//! STUN as RFC 3489 had it: no magic cookie, a transaction id of 16 bytes, no padding.

use std::net::SocketAddr;

use super::header::{Class, Method, TransactionId};
use super::unknown::Unknown;
use super::values::ChangeRequest;
use super::{AttributeType as T, BufferFull, ErrorCode, HEADER_LEN, MAGIC_COOKIE, Writer};

/// A Binding request without the magic cookie (RFC 8489 section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicRequest {
    /// The first 4 bytes are at the position of the magic cookie.
    id: [u8; 16],
    unknown: Unknown,
}

impl ClassicRequest {
    /// Reads `bytes`, which must be one whole Binding request. `None` for anything else.
    ///
    /// RESPONSE-ADDRESS counts as unknown, and so does CHANGE-REQUEST, unless it changes nothing:
    /// some clients always send it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ([0, 1, high, low, id @ ..], mut rest) = bytes.split_first_chunk::<HEADER_LEN>()?
        else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if id.starts_with(&MAGIC_COOKIE) || rest.len() != length || !length.is_multiple_of(4) {
            return None;
        }
        let mut unknown = Unknown::default();
        while !rest.is_empty() {
            let ([k0, k1, l0, l1], after) = rest.split_first_chunk::<4>()?;
            let kind = T(u16::from_be_bytes([*k0, *k1]));
            let (value, after) =
                after.split_at_checked(usize::from(u16::from_be_bytes([*l0, *l1])))?;
            rest = after;
            let is_known = match kind {
                T::USERNAME | T::MESSAGE_INTEGRITY => true,
                T::CHANGE_REQUEST => {
                    ChangeRequest::read(value).is_ok_and(ChangeRequest::is_nothing)
                }
                kind => !kind.comprehension_required(),
            };
            if !is_known {
                unknown = unknown.and(kind);
            }
        }
        Some(Self { id: *id, unknown })
    }

    /// The transaction id, of 16 bytes.
    #[must_use]
    pub const fn id(&self) -> &[u8] {
        &self.id
    }

    /// Writes an answer of 500 into `reply`: over DTLS such requests are refused (RFC 8489 section
    /// 11). Returns its length.
    ///
    /// # Errors
    /// When the buffer is too small.
    //= 8489-11-classic-over-dtls
    pub fn refusal(&self, reply: &mut [u8]) -> Result<usize, BufferFull> {
        self.write(Class::Error, reply, |writer| {
            writer.error(ErrorCode::SERVER_ERROR, "");
        })
    }

    /// Writes the answer into `reply`: MAPPED-ADDRESS, or 420 with what was not understood. Returns
    /// its length.
    ///
    /// # Errors
    /// When the buffer is too small.
    //= 8489-11-classic
    pub fn answer(&self, mapped: SocketAddr, reply: &mut [u8]) -> Result<usize, BufferFull> {
        if self.unknown.is_empty() {
            return self.write(Class::Success, reply, |writer| {
                writer.plain_address(T::MAPPED_ADDRESS, mapped);
            });
        }
        self.write(Class::Error, reply, |writer| {
            writer.error(ErrorCode::UNKNOWN_ATTRIBUTE, "").classic_unknown(&self.unknown);
        })
    }

    fn write(
        &self,
        class: Class,
        reply: &mut [u8],
        attributes: impl FnOnce(&mut Writer<'_>),
    ) -> Result<usize, BufferFull> {
        let [c0, c1, c2, c3, tid @ ..] = self.id;
        let mut writer = Writer::new(reply, class, Method::BINDING, TransactionId(tid));
        attributes(&mut writer);
        let len = writer.finish()?;
        reply.get_mut(4..8).ok_or(BufferFull)?.copy_from_slice(&[c0, c1, c2, c3]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let len = u8::try_from(attributes.len()).unwrap();
        [&[0, 1, 0, len], &b"0123456789abcdef"[..], attributes].concat()
    }

    fn answer(attributes: &[u8]) -> Vec<u8> {
        let mut reply = [0xAA; 100];
        let request = ClassicRequest::parse(&request(attributes)).unwrap();
        let len = request.answer("192.0.2.1:258".parse().unwrap(), &mut reply).unwrap();
        reply[..len].to_vec()
    }

    const SUCCESS: &[u8] = b"\x01\x01\x00\x0C0123456789abcdef\
                             \x00\x01\x00\x08\x00\x01\x01\x02\xC0\x00\x02\x01";

    #[test]
    fn a_binding_request_without_the_cookie_is_answered_with_mapped_address() {
        assert_eq!(answer(b""), SUCCESS);
        assert_eq!(answer(&[0x80, 0x99, 0, 4, 1, 2, 3, 4]), SUCCESS, "optional");
        assert_eq!(answer(&[0, 3, 0, 4, 0, 0, 0, 0]), SUCCESS, "changes nothing");
    }

    #[test]
    fn what_is_not_understood_is_420_and_each_type_is_padded_by_repetition() {
        let change = [0, 3, 0, 4, 0, 0, 0, 6];
        let expected = b"\x01\x11\x00\x100123456789abcdef\
                         \x00\x09\x00\x04\x00\x00\x04\x14\x00\x0A\x00\x04\x00\x03\x00\x03";
        assert_eq!(answer(&change), expected);
        let response_address = [0, 2, 0, 8, 0, 1, 0, 9, 192, 0, 2, 9];
        assert_eq!(&answer(&[&response_address[..], &change].concat())[32..], [0, 2, 0, 3]);
    }

    #[test]
    fn anything_else_is_none_of_it() {
        let good = request(b"");
        for at in [0, 1, 3] {
            let mut bad = good.clone();
            bad[at] ^= 2;
            assert_eq!(ClassicRequest::parse(&bad), None, "byte {at}");
        }
        assert_eq!(ClassicRequest::parse(&good[..19]), None);
        let mut cookie = good;
        cookie[4..8].copy_from_slice(&MAGIC_COOKIE);
        assert_eq!(ClassicRequest::parse(&cookie), None);
        assert_eq!(ClassicRequest::parse(&request(&[0, 6, 0, 8, 1, 2, 3, 4])), None, "too long");
    }
}
