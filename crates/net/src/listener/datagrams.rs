//! What the datagrams of a UDP port are, and which of two protocols on one port each belongs to.

/// What is spoken on a UDP listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// STUN and TURN.
    Udp,
    /// DTLS, and STUN and TURN within it.
    Dtls,
    /// Both, told apart by [`is_dtls`].
    UdpAndDtls,
}

impl Spoken {
    /// Its name: `udp`, `dtls`, `udp+dtls`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Dtls => "dtls",
            Self::UdpAndDtls => "udp+dtls",
        }
    }
}

//= 7983-7-dtls
/// Returns true if a datagram is for DTLS, where STUN, TURN and DTLS share a port: its first byte is 20 to 63
/// (RFC 7983 section 7). STUN begins with 0 to 3, ChannelData with 64 to 79.
#[inline]
pub(crate) fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use taciturn_stun::{ChannelData, ChannelNumber, Kind};

    //= 7983-7-dtls
    #[test]
    fn the_first_byte_says_whose_a_datagram_is_and_no_byte_is_of_two() {
        for byte in 0..=255 {
            let datagram = [byte; 20];
            let is_of_turn = byte <= 3 || Kind::of(&datagram) == Kind::ChannelData;
            assert_eq!(is_dtls(&datagram), (20..=63).contains(&byte), "{byte}");
            assert!(!(is_dtls(&datagram) && is_of_turn), "{byte}");
        }
        // The content types of DTLS 1.2, and the unified header of DTLS 1.3 (RFC 9147 section 4.1).
        assert!([20, 21, 22, 23, 24, 25, 0x2c, 0x3f].iter().all(|byte| is_dtls(&[*byte])));
        assert!(!is_dtls(&[]));
    }

    #[test]
    fn no_channel_looks_like_dtls_not_even_one_of_rfc_5766() {
        for number in 0x4000..=0x7fff {
            let Some(number) = ChannelNumber::new(number) else { continue };
            assert!(!is_dtls(&ChannelData::header(number, 100)), "{number:?}");
        }
    }
}
