//! What the attributes of a message say (RFC 8489 section 14, RFC 8656 section 18, RFC 6062 section
//! 6.2, RFC 5780 section 7, RFC 8016 section 3). A server asks only for those it is about to use.

use std::net::SocketAddr;

use super::address::read_xored;
use super::attribute::{AttributeType as T, BadAttribute};
use super::message::Message;
use super::walk::Walk;
use super::{ChannelNumber, Family, HEADER_LEN};

/// The flags of CHANGE-REQUEST (RFC 5780 section 7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeRequest {
    /// Whether the client requests the answer from the other address.
    pub address: bool,
    /// Whether the client requests the answer from the other port.
    pub port: bool,
}

impl ChangeRequest {
    pub(super) fn read(value: &[u8]) -> Result<Self, BadAttribute> {
        let [.., flags]: [u8; 4] = fixed(value)?;
        Ok(Self { address: flags & 4 != 0, port: flags & 2 != 0 })
    }

    /// Whether the client requests no change.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        !self.address && !self.port
    }
}

impl<'a> Message<'a> {
    //= 8489-14.3-username-763
    /// USERNAME, at most 763 bytes of UTF-8: RFC 8489 section 14.3 requires that this many be read, though it
    /// lets a client send 508 only.
    ///
    /// # Errors
    /// When it is longer, or not UTF-8.
    pub fn username(&self) -> Result<Option<&'a str>, BadAttribute> {
        text(self.username, 763)
    }

    /// USERHASH (RFC 8489 section 14.4).
    ///
    /// # Errors
    /// When its value is not 32 bytes long.
    pub fn userhash(&self) -> Result<Option<[u8; 32]>, BadAttribute> {
        self.userhash.map(fixed).transpose()
    }

    /// The value of PASSWORD-ALGORITHM (RFC 8489 section 14.12), as it came.
    #[must_use]
    pub const fn password_algorithm(&self) -> Option<&'a [u8]> {
        self.password_algorithm
    }

    /// The value of PASSWORD-ALGORITHMS (RFC 8489 section 14.11), as it came.
    #[must_use]
    pub const fn password_algorithms(&self) -> Option<&'a [u8]> {
        self.password_algorithms
    }

    //= 8489-14.9-realm
    /// REALM, at most 763 bytes of UTF-8 (RFC 8489 section 14.9).
    ///
    /// # Errors
    /// When it is longer, or not UTF-8.
    pub fn realm(&self) -> Result<Option<&'a str>, BadAttribute> {
        text(self.realm, 763)
    }

    /// NONCE, as it came.
    #[must_use]
    pub const fn nonce(&self) -> Option<&'a [u8]> {
        self.nonce
    }

    /// LIFETIME in seconds (RFC 8656 section 18.2).
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn lifetime(&self) -> Result<Option<u32>, BadAttribute> {
        self.lifetime.map(|value| fixed(value).map(u32::from_be_bytes)).transpose()
    }

    //= 8656-18.7-transport-rffu
    /// REQUESTED-TRANSPORT: the protocol number, 17 for UDP (RFC 8656 section 18.7).
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn requested_transport(&self) -> Result<Option<u8>, BadAttribute> {
        self.requested_transport
            .map(|value| fixed(value).map(|[protocol, ..]: [u8; 4]| protocol))
            .transpose()
    }

    //= 8656-18.6-family-reserved
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.6): `Some(None)` is a family that is neither
    /// IPv4 nor IPv6.
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn requested_family(&self) -> Result<Option<Option<Family>>, BadAttribute> {
        family(self.requested_family)
    }

    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 section 18.11), read alike.
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn additional_family(&self) -> Result<Option<Option<Family>>, BadAttribute> {
        family(self.additional_family)
    }

    /// EVEN-PORT: whether the client asks to reserve the next port (the R bit, RFC 8656 section 18.5).
    ///
    /// # Errors
    /// When its value is empty. More than one byte is taken: clients have sent padding as value.
    pub fn even_port(&self) -> Result<Option<bool>, BadAttribute> {
        let first =
            |value: &[u8]| value.first().map(|byte| byte & 0x80 != 0).ok_or(BadAttribute::Length);
        self.even_port.map(first).transpose()
    }

    /// RESERVATION-TOKEN (RFC 8656 section 18.9).
    ///
    /// # Errors
    /// When its value is not 8 bytes long.
    pub fn reservation_token(&self) -> Result<Option<[u8; 8]>, BadAttribute> {
        self.reservation_token.map(fixed).transpose()
    }

    /// Whether DONT-FRAGMENT is there (RFC 8656 section 18.8).
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.dont_fragment
    }

    //= 8656-18.1-channel-number-rffu
    /// CHANNEL-NUMBER (RFC 8656 section 18.1): `Some(None)` is a number out of range.
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn channel_number(&self) -> Result<Option<Option<ChannelNumber>>, BadAttribute> {
        let read = |value: &[u8]| {
            fixed(value)
                .map(|[high, low, ..]: [u8; 4]| ChannelNumber::new(u16::from_be_bytes([high, low])))
        };
        self.channel_number.map(read).transpose()
    }

    /// The first XOR-PEER-ADDRESS (RFC 8656 section 18.3).
    ///
    /// # Errors
    /// If the value is not an address.
    pub fn peer(&self) -> Result<Option<SocketAddr>, BadAttribute> {
        self.peer.map(|value| read_xored(value, self.transaction_id())).transpose()
    }

    /// Every XOR-PEER-ADDRESS, in the order of the message.
    pub fn peers(&self) -> impl Iterator<Item = Result<SocketAddr, BadAttribute>> + use<'a> {
        let tid = self.transaction_id();
        let counted = self.bytes.get(..self.attributes_end).unwrap_or_default();
        let mut walk = Walk { bytes: counted, at: HEADER_LEN };
        std::iter::from_fn(move || {
            while let Ok(Some(attribute)) = walk.next() {
                if attribute.kind == T::XOR_PEER_ADDRESS {
                    return Some(read_xored(attribute.value, tid));
                }
            }
            None
        })
    }

    /// CONNECTION-ID (RFC 6062 section 6.2.1).
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn connection_id(&self) -> Result<Option<u32>, BadAttribute> {
        self.connection_id.map(|value| fixed(value).map(u32::from_be_bytes)).transpose()
    }

    /// CHANGE-REQUEST (RFC 5780 section 7.2): whether the client requests the answer from the other address,
    /// and whether from the other port.
    ///
    /// # Errors
    /// When its value is not 4 bytes long.
    pub fn change_request(&self) -> Result<Option<ChangeRequest>, BadAttribute> {
        self.change_request.map(ChangeRequest::read).transpose()
    }

    /// RESPONSE-PORT (RFC 5780 section 7.5).
    ///
    /// # Errors
    /// When its value is not 4 bytes long (2 and padding are taken too), or the port is 0.
    pub fn response_port(&self) -> Result<Option<u16>, BadAttribute> {
        let Some(value) = self.response_port else { return Ok(None) };
        match value {
            [0, 0, ..] => Err(BadAttribute::Value),
            [high, low] | [high, low, _, _] => Ok(Some(u16::from_be_bytes([*high, *low]))),
            _ => Err(BadAttribute::Length),
        }
    }

    /// The value of MOBILITY-TICKET (RFC 8016 section 3.3), as it came.
    #[must_use]
    pub const fn mobility_ticket(&self) -> Option<&'a [u8]> {
        self.mobility_ticket
    }

    /// The length of PADDING (RFC 5780 section 7.6).
    #[must_use]
    pub fn padding(&self) -> Option<usize> {
        self.padding.map(<[u8]>::len)
    }

    /// DATA (RFC 8656 section 18.4).
    #[must_use]
    pub const fn data(&self) -> Option<&'a [u8]> {
        self.data
    }
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], BadAttribute> {
    value.try_into().map_err(|_| BadAttribute::Length)
}

fn text(value: Option<&[u8]>, longest: usize) -> Result<Option<&str>, BadAttribute> {
    let read = |value| {
        if <[u8]>::len(value) > longest {
            return Err(BadAttribute::Length);
        }
        std::str::from_utf8(value).map_err(|_| BadAttribute::Text)
    };
    value.map(read).transpose()
}

fn family(value: Option<&[u8]>) -> Result<Option<Option<Family>>, BadAttribute> {
    let read = |value: &[u8]| fixed(value).map(|[number, ..]: [u8; 4]| Family::from_number(number));
    value.map(read).transpose()
}
