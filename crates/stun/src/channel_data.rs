//! ChannelData (RFC 8656 section 12.4).

use std::fmt;

/// A channel number: 0x4000 to 0x4FFF (RFC 8656 section 12), or up to 0x7FFF, which RFC 5766
/// section 11 had and older clients still use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The number, if it is in one of the two ranges.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            //= 8656-12-reserved-numbers
            0x4000..=0x7FFF => Some(Self(number)),
            _ => None,
        }
    }

    /// Whether RFC 8656 still has it: not above 0x4FFF.
    #[must_use]
    pub const fn is_current(self) -> bool {
        self.0 <= 0x4FFF
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// A ChannelData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub channel: ChannelNumber,
    /// The application data, without padding.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Bytes in front of the data.
    pub const HEADER_LEN: usize = 4;

    /// Reads one message. Bytes after the data are padding and are ignored: RFC 8656 section
    /// 12.5 lets a client pad over UDP, and many do.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [n0, n1, l0, l1, rest @ ..] = bytes else { return None };
        let channel = ChannelNumber::new(u16::from_be_bytes([*n0, *n1]))?;
        //= 8656-12.6-too-short
        let data = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
        Some(Self { channel, data })
    }

    /// The four bytes in front of `len` bytes of data.
    #[must_use]
    pub const fn header(channel: ChannelNumber, len: u16) -> [u8; 4] {
        let [n0, n1] = channel.0.to_be_bytes();
        let [l0, l1] = len.to_be_bytes();
        [n0, n1, l0, l1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_cut_at_the_length_field() {
        let message = ChannelData::parse(&[0x40, 0x01, 0, 3, b'a', b'b', b'c', 0xFF]).unwrap();
        assert_eq!(message.channel.number(), 0x4001);
        assert_eq!(message.data, b"abc");
    }

    #[test]
    fn empty_data_is_a_message() {
        assert_eq!(ChannelData::parse(&[0x4F, 0xFF, 0, 0]).unwrap().data, b"");
    }

    //= 8656-12-reserved-numbers
    #[test]
    fn short_messages_and_numbers_out_of_range_are_refused() {
        assert_eq!(ChannelData::parse(&[]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0, 0]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0, 0, 1]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0, 0xFF, 0xFF, 0]), None);
        assert_eq!(ChannelData::parse(&[0x3F, 0xFF, 0, 0]), None);
        assert_eq!(ChannelData::parse(&[0x80, 0, 0, 0]), None);
    }
}
