//! Reading a STUN message (RFC 8489 section 5). What its attributes say is in `values.rs`.

use std::net::SocketAddr;

use super::address::read_xored;
use super::attribute::AttributeType as T;
use super::header::{Class, Method, TransactionId, split_type};
use super::integrity::{fingerprint, same, sign_sha1, sign_sha256};
use super::malformed::Malformed;
use super::unknown::Unknown;
use super::walk::{Attribute, Walk, find};
use super::{HEADER_LEN, MAGIC_COOKIE};

/// A STUN message, read in one pass, borrowing its bytes.
///
/// Of an attribute that occurs twice the first counts (RFC 8489 section 14), except
/// XOR-PEER-ADDRESS, of which CreatePermission takes several ([`Message::peers`]). What follows
/// MESSAGE-INTEGRITY is ignored, except MESSAGE-INTEGRITY-SHA256; what follows that is ignored too
/// (section 9).
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub(super) bytes: &'a [u8],
    class: Class,
    method: Method,
    /// Where the attributes end that count: at the first integrity, FINGERPRINT or the end.
    pub(super) attributes_end: usize,
    /// Offset and value of MESSAGE-INTEGRITY.
    integrity: Option<(usize, &'a [u8])>,
    /// Offset and value of MESSAGE-INTEGRITY-SHA256.
    integrity_sha256: Option<(usize, &'a [u8])>,
    has_fingerprint: bool,
    unknown: Unknown,
    pub(super) username: Option<&'a [u8]>,
    pub(super) userhash: Option<&'a [u8]>,
    pub(super) password_algorithm: Option<&'a [u8]>,
    pub(super) password_algorithms: Option<&'a [u8]>,
    pub(super) realm: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) lifetime: Option<&'a [u8]>,
    pub(super) requested_transport: Option<&'a [u8]>,
    pub(super) requested_family: Option<&'a [u8]>,
    pub(super) additional_family: Option<&'a [u8]>,
    pub(super) even_port: Option<&'a [u8]>,
    pub(super) reservation_token: Option<&'a [u8]>,
    pub(super) dont_fragment: bool,
    pub(super) channel_number: Option<&'a [u8]>,
    pub(super) peer: Option<&'a [u8]>,
    pub(super) connection_id: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
    pub(super) change_request: Option<&'a [u8]>,
    pub(super) response_port: Option<&'a [u8]>,
    pub(super) padding: Option<&'a [u8]>,
    pub(super) mobility_ticket: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads `bytes`, which must be one whole message and nothing else.
    ///
    /// # Errors
    /// If the bytes are not a STUN message, or FINGERPRINT is present and wrong.
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

    /// The method.
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

    /// All of it, as it came.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
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
