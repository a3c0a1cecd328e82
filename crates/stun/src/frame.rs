//! Messages on a stream, one after another (RFC 8489 section 6.2.2, RFC 8656 section 12.5).

use super::{ChannelData, HEADER_LEN, Kind, MAGIC_COOKIE};

/// The front of the bytes read from a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The front of a message; this number of bytes is known to belong to it.
    Incomplete {
        /// A lower bound: at least one more than the bytes that have arrived.
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

    /// The expected result of [`Frame::of`], by RFC 8489 section 5 and RFC 8656 section 12: the first two bits
    /// tell the protocol, and nothing is decided that bytes to come could change.
    fn expected(bytes: &[u8]) -> Frame {
        let Some(&first) = bytes.first() else { return Frame::Incomplete { needed: 4 } };
        let stun = first < 0x40;
        if !stun && first >= 0x80 {
            return Frame::Foreign;
        }
        if bytes.len() < 4 {
            return Frame::Incomplete { needed: 4 };
        }
        let length = usize::from(bytes[2]) * 256 + usize::from(bytes[3]);
        let cookie = &bytes[4..bytes.len().min(8)];
        if stun && (length % 4 != 0 || cookie != &MAGIC_COOKIE[..cookie.len()]) {
            return Frame::Foreign;
        }
        let len = if stun { 20 + length } else { 4 + length };
        let padded = len.div_ceil(4) * 4;
        if bytes.len() < padded {
            Frame::Incomplete { needed: padded }
        } else {
            Frame::Whole { len, padded }
        }
    }

    /// Every length (all of u16) behind a first byte of each kind and at the borders of the kinds, cut after
    /// each of the first 24 bytes and each of those around the end and that of the padding.
    #[test]
    fn every_length_is_held_against_every_end() {
        let mut bytes = vec![0; 0x1_0000 + 32];
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
        for first in [0, 0x3F, 0x40, 0x7F, 0x80, 0xFF] {
            bytes[0] = first;
            for length in 0..=u16::MAX {
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                let header = if first < 0x40 { 20 } else { 4 };
                let end = header + usize::from(length);
                for cut in (0..=24).chain(end.saturating_sub(4)..end + 5) {
                    let Some(cut) = bytes.get(..cut) else { continue };
                    assert_eq!(Frame::of(cut), expected(cut), "{first:#x} {length} {}", cut.len());
                }
            }
        }
    }

    /// Every first byte, and each wrong bit of the magic cookie, cut after each byte that is looked at.
    #[test]
    fn every_first_byte_and_every_bit_of_the_cookie_decides_as_early_as_it_can() {
        for first in 0..=u8::MAX {
            for second in [0, 1, 0x7F, 0xFF] {
                for wrong in (0..32).map(|bit| 1_u32 << bit).chain([0]) {
                    let mut bytes = vec![first, second, 0, 4];
                    let cookie = u32::from_be_bytes(MAGIC_COOKIE) ^ wrong;
                    bytes.extend(cookie.to_be_bytes());
                    bytes.extend([0; 20]);
                    for end in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 23, 24, 28] {
                        assert_eq!(Frame::of(&bytes[..end]), expected(&bytes[..end]));
                    }
                }
            }
        }
    }
}
