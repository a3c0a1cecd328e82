//! Messages on a stream, one after another (RFC 8489 section 6.2.2, RFC 8656 section 12.5).

use super::{ChannelData, HEADER_LEN, Kind, MAGIC_COOKIE};

/// What stands at the front of a stream's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The front of a message; so many bytes are known to belong to it.
    Incomplete {
        /// As far as can be told yet; at least one more than there are.
        needed: usize,
    },
    /// A whole message.
    Whole {
        /// Its length.
        len: usize,
        /// Its length with the padding that follows it.
        padded: usize,
    },
    /// Neither STUN nor ChannelData: the stream cannot be read any further.
    Foreign,
}

impl Frame {
    /// Looks at the front of `bytes`.
    #[must_use]
    //= 8489-6.2.2-framing
    pub fn of(bytes: &[u8]) -> Self {
        let [_, _, high, low, rest @ ..] = bytes else {
            return match Kind::of(bytes) {
                Kind::Other if !bytes.is_empty() => Self::Foreign,
                _ => Self::Incomplete { needed: 4 },
            };
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (len, padded) = match Kind::of(bytes) {
            Kind::Stun => {
                let cookie = rest.get(..4).unwrap_or(rest);
                if !length.is_multiple_of(4) || !MAGIC_COOKIE.starts_with(cookie) {
                    return Self::Foreign;
                }
                (HEADER_LEN + length, HEADER_LEN + length)
            }
            Kind::ChannelData => {
                let len = ChannelData::HEADER_LEN + length;
                (len, len.next_multiple_of(4))
            }
            Kind::Other => return Self::Foreign,
        };
        if bytes.len() < padded {
            Self::Incomplete { needed: padded }
        } else {
            Self::Whole { len, padded }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![0, 1, high, low];
        bytes.extend(MAGIC_COOKIE);
        bytes.extend([0; 12]);
        bytes.resize(20 + usize::from(length), 0);
        bytes
    }

    //= 8489-6.2.2-framing
    #[test]
    fn a_stun_message_is_whole_with_its_last_byte() {
        let bytes = stun(8);
        for len in 0..28 {
            let frame = Frame::of(&bytes[..len]);
            let needed = if len < 4 { 4 } else { 28 };
            assert_eq!(frame, Frame::Incomplete { needed }, "{len}");
        }
        assert_eq!(Frame::of(&bytes), Frame::Whole { len: 28, padded: 28 });
        assert_eq!(Frame::of(&[bytes, vec![0x40]].concat()), Frame::Whole { len: 28, padded: 28 });
    }

    //= 8489-6.2.2-framing
    #[test]
    fn channel_data_wait_for_their_padding() {
        // RFC 8656 section 12.5: over TCP and TLS it must be padded to a multiple of four.
        let bytes = [0x40, 0, 0, 1, b'x', 0, 0, 0];
        assert_eq!(Frame::of(&bytes[..7]), Frame::Incomplete { needed: 8 });
        assert_eq!(Frame::of(&bytes), Frame::Whole { len: 5, padded: 8 });
        assert_eq!(Frame::of(&[0x40, 0, 0, 0]), Frame::Whole { len: 4, padded: 4 });
    }

    #[test]
    fn lengths_near_the_end_of_u16_do_not_wrap() {
        // CVE-2026-68552: length + 20 in 16 bits loses the stream's rhythm.
        assert_eq!(Frame::of(&stun(0xFFFC)[..100]), Frame::Incomplete { needed: 0xFFFC + 20 });
        assert_eq!(Frame::of(&[0x40, 0, 0xFF, 0xFF]), Frame::Incomplete { needed: 0x1_0004 });
    }

    //= 8489-6.2.2-framing
    #[test]
    fn what_is_neither_ends_the_stream() {
        for bytes in [&b"\r\n\r\n"[..], &[0x16, 3, 1, 0, 0x7C], &[0xFF], &[0x80; 20]] {
            assert!(matches!(Frame::of(bytes), Frame::Foreign), "{bytes:?}");
        }
        let mut no_cookie = stun(0);
        no_cookie[4] = 0;
        assert_eq!(Frame::of(&no_cookie), Frame::Foreign);
        assert_eq!(Frame::of(&no_cookie[..5]), Frame::Foreign);
        assert_eq!(Frame::of(&[0, 1, 0, 3]), Frame::Foreign, "no multiple of four");
    }
}
