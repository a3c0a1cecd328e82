//! Reading a STUN message (RFC 8489 section 5).

use std::fmt;
use std::net::SocketAddr;

use super::address::read_xored;
use super::attribute::{AttributeType as T, BadAttribute};
use super::integrity::{fingerprint, same, sign_sha1, sign_sha256};
use super::{ChannelNumber, Family, HEADER_LEN, MAGIC_COOKIE};

/// The class bits of a message (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 0b00.
    Request,
    /// 0b01.
    Indication,
    /// 0b10.
    Success,
    /// 0b11.
    Error,
}

/// The method, 12 bits (RFC 8489 section 18.2, RFC 8656 section 17, RFC 6062 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(pub u16);

#[allow(missing_docs)] // the names are those of the RFCs
impl Method {
    pub const BINDING: Self = Self(0x001);
    pub const ALLOCATE: Self = Self(0x003);
    pub const REFRESH: Self = Self(0x004);
    pub const SEND: Self = Self(0x006);
    pub const DATA: Self = Self(0x007);
    pub const CREATE_PERMISSION: Self = Self(0x008);
    pub const CHANNEL_BIND: Self = Self(0x009);
    pub const CONNECT: Self = Self(0x00A);
    pub const CONNECTION_BIND: Self = Self(0x00B);
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// The method's name, for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BINDING => "Binding",
            Self::ALLOCATE => "Allocate",
            Self::REFRESH => "Refresh",
            Self::SEND => "Send",
            Self::DATA => "Data",
            Self::CREATE_PERMISSION => "CreatePermission",
            Self::CHANNEL_BIND => "ChannelBind",
            Self::CONNECT => "Connect",
            Self::CONNECTION_BIND => "ConnectionBind",
            Self::CONNECTION_ATTEMPT => "ConnectionAttempt",
            _ => "unknown method",
        }
    }
}

/// The 96 bits that pair a request with its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// Joins class and method into the first two bytes of a message.
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0b00,
        Class::Indication => 0b01,
        Class::Success => 0b10,
        Class::Error => 0b11,
    };
    let m = method.0;
    (m & 0x000F)
        | ((m & 0x0070) << 1)
        | ((m & 0x0F80) << 2)
        | ((class & 1) << 4)
        | ((class & 2) << 7)
}

//= 8489-5-class-and-method
const fn split_type(kind: u16) -> (Class, Method) {
    let method = (kind & 0x000F) | ((kind & 0x00E0) >> 1) | ((kind & 0x3E00) >> 2);
    let class = match ((kind >> 4) & 1) | ((kind >> 7) & 2) {
        0b00 => Class::Request,
        0b01 => Class::Indication,
        0b10 => Class::Success,
        _ => Class::Error,
    };
    (class, Method(method))
}

/// Why bytes are no STUN message. Nothing is ever answered to such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer than 20 bytes.
    #[error("shorter than a STUN header")]
    Short,
    /// One of the two top bits is set.
    #[error("the two top bits are not zero")]
    TopBits,
    /// RFC 3489, or something else altogether.
    #[error("no magic cookie")]
    Cookie,
    /// The length field and the bytes disagree, or the length is no multiple of 4.
    #[error("the length field does not match")]
    Length,
    /// An attribute reaches past the end.
    #[error("an attribute reaches past the end")]
    Attribute,
    /// RFC 8489 section 14.7: FINGERPRINT is the last attribute.
    #[error("an attribute follows FINGERPRINT")]
    AfterFingerprint,
    /// FINGERPRINT is there and wrong (RFC 8489 section 6.3).
    #[error("FINGERPRINT does not match")]
    Fingerprint,
}

/// The comprehension-required attributes that are not known, for UNKNOWN-ATTRIBUTES. Holds the
/// first eight: an answer must not grow with a stranger's message.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Unknown {
    types: [u16; 8],
    len: u8,
}

impl Unknown {
    fn push(&mut self, kind: T) {
        if self.types().contains(&kind.0) {
            return;
        }
        if let Some(slot) = self.types.get_mut(usize::from(self.len)) {
            *slot = kind.0;
            self.len += 1;
        }
    }

    /// These and one more.
    #[must_use]
    pub fn and(mut self, kind: T) -> Self {
        self.push(kind);
        self
    }

    /// One type alone.
    #[must_use]
    pub fn only(kind: T) -> Self {
        let mut unknown = Self::default();
        unknown.push(kind);
        unknown
    }

    /// Their types, each once, in the order of the message.
    #[must_use]
    pub fn types(&self) -> &[u16] {
        self.types.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Those that are not among `understood`.
    #[must_use]
    pub fn without(&self, understood: &[T]) -> Self {
        let mut left = Self::default();
        let kinds = self.types().iter().map(|kind| T(*kind));
        kinds.filter(|kind| !understood.contains(kind)).for_each(|kind| left.push(kind));
        left
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.types().iter().map(|t| format!("{t:#06x}"))).finish()
    }
}

/// The flags of CHANGE-REQUEST (RFC 5780 section 7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeRequest {
    /// Whether the answer is to come from the other address.
    pub address: bool,
    /// Whether it is to come from the other port.
    pub port: bool,
}

impl ChangeRequest {
    pub(super) fn read(value: &[u8]) -> Result<Self, BadAttribute> {
        let [.., flags]: [u8; 4] = fixed(value)?;
        Ok(Self { address: flags & 4 != 0, port: flags & 2 != 0 })
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        !self.address && !self.port
    }
}

/// A STUN message, read in one pass, borrowing its bytes.
///
/// Of an attribute that occurs twice the first counts (RFC 8489 section 14), except
/// XOR-PEER-ADDRESS, of which CreatePermission takes several ([`Message::peers`]). What follows
/// MESSAGE-INTEGRITY is ignored, except MESSAGE-INTEGRITY-SHA256; what follows that is ignored too
/// (section 9).
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    /// Where the attributes end that count: at the first integrity, FINGERPRINT or the end.
    attributes_end: usize,
    /// Offset and value of MESSAGE-INTEGRITY.
    integrity: Option<(usize, &'a [u8])>,
    /// Offset and value of MESSAGE-INTEGRITY-SHA256.
    integrity_sha256: Option<(usize, &'a [u8])>,
    has_fingerprint: bool,
    unknown: Unknown,
    username: Option<&'a [u8]>,
    userhash: Option<&'a [u8]>,
    password_algorithm: Option<&'a [u8]>,
    password_algorithms: Option<&'a [u8]>,
    realm: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    lifetime: Option<&'a [u8]>,
    requested_transport: Option<&'a [u8]>,
    requested_family: Option<&'a [u8]>,
    additional_family: Option<&'a [u8]>,
    even_port: Option<&'a [u8]>,
    reservation_token: Option<&'a [u8]>,
    dont_fragment: bool,
    channel_number: Option<&'a [u8]>,
    peer: Option<&'a [u8]>,
    connection_id: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    change_request: Option<&'a [u8]>,
    response_port: Option<&'a [u8]>,
    padding: Option<&'a [u8]>,
    mobility_ticket: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads `bytes`, which must be one whole message and nothing else.
    ///
    /// # Errors
    /// When they are no STUN message, or FINGERPRINT is there and wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let [t0, t1, l0, l1, cookie @ .., _, _, _, _, _, _, _, _, _, _, _, _] =
            bytes.first_chunk::<HEADER_LEN>().ok_or(Malformed::Short)?;
        //= 8489-5-top-bits
        if t0 & 0xC0 != 0 {
            return Err(Malformed::TopBits);
        }
        //= 8489-5-cookie
        if *cookie != MAGIC_COOKIE {
            return Err(Malformed::Cookie);
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        //= 8489-5-length
        if !length.is_multiple_of(4) || bytes.len() != HEADER_LEN + length {
            return Err(Malformed::Length);
        }
        let (class, method) = split_type(u16::from_be_bytes([*t0, *t1]));
        let mut message = Self {
            bytes,
            class,
            method,
            attributes_end: bytes.len(),
            integrity: None,
            integrity_sha256: None,
            has_fingerprint: false,
            unknown: Unknown::default(),
            username: None,
            userhash: None,
            password_algorithm: None,
            password_algorithms: None,
            realm: None,
            nonce: None,
            lifetime: None,
            requested_transport: None,
            requested_family: None,
            additional_family: None,
            even_port: None,
            reservation_token: None,
            dont_fragment: false,
            channel_number: None,
            peer: None,
            connection_id: None,
            data: None,
            change_request: None,
            response_port: None,
            padding: None,
            mobility_ticket: None,
        };
        let mut walk = Walk { bytes, at: HEADER_LEN };
        while let Some(attribute) = walk.next()? {
            if message.has_fingerprint {
                //= 8489-14.7-fingerprint-last
                return Err(Malformed::AfterFingerprint);
            }
            if attribute.kind == T::FINGERPRINT {
                message.check_fingerprint(&attribute)?;
                if !message.has_integrity() {
                    message.attributes_end = attribute.at;
                }
            //= 8489-9-after-integrity, 8489-9-after-integrity-sha256
            } else if !message.has_integrity() {
                message.take(&attribute);
            } else if attribute.kind == T::MESSAGE_INTEGRITY_SHA256
                && message.integrity_sha256.is_none()
            {
                message.integrity_sha256 = Some((attribute.at, attribute.value));
            }
        }
        Ok(message)
    }

    /// Puts an attribute into its slot.
    fn take(&mut self, attribute: &Attribute<'a>) {
        let value = attribute.value;
        //= 8489-14-first-counts
        let first = |slot: &mut Option<&'a [u8]>| {
            slot.get_or_insert(value);
        };
        match attribute.kind {
            T::USERNAME => first(&mut self.username),
            T::REALM => first(&mut self.realm),
            T::NONCE => first(&mut self.nonce),
            T::LIFETIME => first(&mut self.lifetime),
            T::REQUESTED_TRANSPORT => first(&mut self.requested_transport),
            T::REQUESTED_ADDRESS_FAMILY => first(&mut self.requested_family),
            T::ADDITIONAL_ADDRESS_FAMILY => first(&mut self.additional_family),
            T::EVEN_PORT => first(&mut self.even_port),
            T::RESERVATION_TOKEN => first(&mut self.reservation_token),
            T::CHANNEL_NUMBER => first(&mut self.channel_number),
            T::XOR_PEER_ADDRESS => first(&mut self.peer),
            T::CONNECTION_ID => first(&mut self.connection_id),
            T::DATA => first(&mut self.data),
            //= 8656-7.2-dont-fragment
            T::DONT_FRAGMENT => self.dont_fragment = true,
            T::USERHASH => first(&mut self.userhash),
            T::PASSWORD_ALGORITHM => first(&mut self.password_algorithm),
            T::PASSWORD_ALGORITHMS => first(&mut self.password_algorithms),
            T::MESSAGE_INTEGRITY => {
                self.attributes_end = attribute.at;
                self.integrity = Some((attribute.at, value));
            }
            T::MESSAGE_INTEGRITY_SHA256 => {
                self.attributes_end = attribute.at;
                self.integrity_sha256 = Some((attribute.at, value));
            }
            T::MOBILITY_TICKET => first(&mut self.mobility_ticket),
            // RFC 5780: understood by Binding alone, and there only where it is served.
            T::CHANGE_REQUEST => {
                first(&mut self.change_request);
                self.unknown.push(attribute.kind);
            }
            T::RESPONSE_PORT => {
                first(&mut self.response_port);
                self.unknown.push(attribute.kind);
            }
            T::PADDING => {
                first(&mut self.padding);
                self.unknown.push(attribute.kind);
            }
            //= 8489-6.3-unexpected-ignored
            // Known, and of no use in what a client sends.
            T::MAPPED_ADDRESS
            | T::ERROR_CODE
            | T::UNKNOWN_ATTRIBUTES
            | T::XOR_RELAYED_ADDRESS
            | T::XOR_MAPPED_ADDRESS => {}
            //= 8489-6.3-optional-ignored
            kind if kind.comprehension_required() => self.unknown.push(kind),
            _ => {}
        }
    }

    fn check_fingerprint(&mut self, attribute: &Attribute<'_>) -> Result<(), Malformed> {
        let found: [u8; 4] = attribute.value.try_into().map_err(|_| Malformed::Fingerprint)?;
        let covered = self.bytes.get(..attribute.at).unwrap_or_default();
        if u32::from_be_bytes(found) != fingerprint(&[covered]) {
            return Err(Malformed::Fingerprint);
        }
        self.has_fingerprint = true;
        Ok(())
    }

    /// Request, indication or answer.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What it asks for.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Its transaction id.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let mut tid = [0; 12];
        if let Some(bytes) = self.bytes.get(8..HEADER_LEN) {
            tid.copy_from_slice(bytes);
        }
        TransactionId(tid)
    }

    /// Whether it ends with a FINGERPRINT (which then is right).
    #[must_use]
    pub const fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// Whether it holds a MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, be it right or wrong.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity.is_some() || self.integrity_sha256.is_some()
    }

    /// Whether it holds a MESSAGE-INTEGRITY-SHA256, be it right or wrong.
    #[must_use]
    pub const fn has_integrity_sha256(&self) -> bool {
        self.integrity_sha256.is_some()
    }

    /// Whether it was made with `key`: by MESSAGE-INTEGRITY-SHA256 where that is there, otherwise
    /// by MESSAGE-INTEGRITY (RFC 8489 section 9.2.4). Takes the same time for each key.
    ///
    /// A MESSAGE-INTEGRITY-SHA256 of fewer than 32 bytes is wrong: section 14.6 lets a usage allow
    /// that, and RFC 8656 does not.
    #[must_use]
    //= 8489-16-rfc7616-5
    pub fn verify_integrity(&self, key: &impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        if let Some((at, tag)) = self.integrity_sha256 {
            //= 8489-14.6-integrity-sha256-length
            return self.signed(at, 32, |parts| same(&sign_sha256(key, parts), tag));
        }
        let Some((at, tag)) = self.integrity else { return false };
        self.signed(at, 20, |parts| same(&sign_sha1(key, parts), tag))
    }

    //= 8489-14.5-integrity, 8489-14.6-integrity-sha256
    /// Judges what an integrity attribute at `at`, with a value of `len` bytes, covers: the length
    /// field as if that attribute were the end (RFC 8489 sections 14.5 and 14.6).
    fn signed(&self, at: usize, len: usize, judge: impl FnOnce(&[&[u8]]) -> bool) -> bool {
        let Ok(length) = u16::try_from(at + 4 + len - HEADER_LEN) else { return false };
        let (Some(kind), Some(rest)) = (self.bytes.get(..2), self.bytes.get(4..at)) else {
            return false;
        };
        judge(&[kind, &length.to_be_bytes(), rest])
    }

    /// The comprehension-required attributes that are not known (RFC 8489 section 6.3.1).
    #[must_use]
    pub const fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    //= 8489-14.3-username-763
    /// USERNAME, at most 763 bytes of UTF-8: RFC 8489 section 14.3 wants so many read, though it
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

    /// EVEN-PORT: whether the next port is to be reserved (the R bit, RFC 8656 section 18.5).
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
    /// When it is no address.
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

    /// CHANGE-REQUEST (RFC 5780 section 7.2): whether the answer is to come from the other address,
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

    /// All of it, as it came.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
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

    /// XOR-MAPPED-ADDRESS of an answer; for clients and tests.
    #[must_use]
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.find_address(T::XOR_MAPPED_ADDRESS)
    }

    /// XOR-RELAYED-ADDRESS of an answer; for clients and tests.
    #[must_use]
    pub fn relayed_address(&self) -> Option<SocketAddr> {
        self.find_address(T::XOR_RELAYED_ADDRESS)
    }

    fn find_address(&self, kind: T) -> Option<SocketAddr> {
        self.find_counted(kind).and_then(|value| read_xored(value, self.transaction_id()).ok())
    }

    /// ERROR-CODE of an answer; for clients and tests.
    #[must_use]
    //= 8489-14.8-reserved-ignored
    pub fn error_code(&self) -> Option<u16> {
        match self.find_counted(T::ERROR_CODE)? {
            [_, _, class, number, ..] => Some(u16::from(class & 7) * 100 + u16::from(*number)),
            _ => None,
        }
    }

    /// The value of the first attribute of a type, counted or not; for clients and tests.
    #[must_use]
    pub fn find(&self, kind: T) -> Option<&'a [u8]> {
        find(self.bytes, kind)
    }

    /// RFC 8489 section 14.5: what follows MESSAGE-INTEGRITY is ignored in answers too.
    fn find_counted(&self, kind: T) -> Option<&'a [u8]> {
        find(self.bytes.get(..self.attributes_end)?, kind)
    }

    /// The types of all attributes, in the order of the message; for tests.
    #[must_use]
    pub fn attribute_types(&self) -> Vec<u16> {
        let mut walk = Walk { bytes: self.bytes, at: HEADER_LEN };
        std::iter::from_fn(|| walk.next().ok().flatten())
            .map(|attribute| attribute.kind.0)
            .collect()
    }
}

struct Attribute<'a> {
    kind: T,
    value: &'a [u8],
    /// Offset of its type field.
    at: usize,
}

/// Goes from attribute to attribute.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Result<Option<Attribute<'a>>, Malformed> {
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
fn find(bytes: &[u8], kind: T) -> Option<&[u8]> {
    let mut walk = Walk { bytes, at: HEADER_LEN };
    while let Ok(Some(attribute)) = walk.next() {
        if attribute.kind == kind {
            return Some(attribute.value);
        }
    }
    None
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
