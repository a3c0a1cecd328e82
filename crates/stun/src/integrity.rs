//! MESSAGE-INTEGRITY (RFC 8489 section 14.5), MESSAGE-INTEGRITY-SHA256 (section 14.6) and
//! FINGERPRINT (section 14.7).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::FINGERPRINT_XOR;

/// How a long-term key is made of a password (RFC 8489 section 18.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasswordAlgorithm {
    /// 0x0001: what everybody had before RFC 8489.
    Md5,
    /// 0x0002.
    Sha256,
}

impl PasswordAlgorithm {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }

    //= 8489-14.12-algorithm-padding
    /// The value of PASSWORD-ALGORITHM (RFC 8489 section 14.12); neither algorithm has parameters.
    #[must_use]
    pub const fn value(self) -> [u8; 4] {
        let [high, low] = self.number().to_be_bytes();
        [high, low, 0, 0]
    }

    /// Reads a value of PASSWORD-ALGORITHM; `None` for any other algorithm.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|algorithm| algorithm.value()[..] == *value)
    }
}

/// The key of a long-term credential (RFC 8489 section 9.2.2). Either integrity attribute can be
/// made with either kind of key.
///
/// `Debug` prints nothing of it.
#[derive(Clone)]
pub struct LongTermKey {
    bytes: Zeroizing<[u8; 32]>,
    algorithm: PasswordAlgorithm,
}

impl LongTermKey {
    /// The 16 bytes of `MD5(username ":" realm ":" password)`.
    #[must_use]
    pub fn md5(key: [u8; 16]) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes[..16].copy_from_slice(&key);
        Self { bytes, algorithm: PasswordAlgorithm::Md5 }
    }

    /// The 32 bytes of `SHA-256(username ":" realm ":" password)`.
    #[must_use]
    pub fn sha256(key: [u8; 32]) -> Self {
        Self { bytes: Zeroizing::new(key), algorithm: PasswordAlgorithm::Sha256 }
    }

    /// The bytes of the key: 16 or 32.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self.algorithm {
            PasswordAlgorithm::Md5 => &self.bytes[..16],
            PasswordAlgorithm::Sha256 => &self.bytes[..],
        }
    }

    /// How it was made.
    #[must_use]
    pub const fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }
}

impl AsRef<[u8]> for LongTermKey {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKey(..)")
    }
}

/// HMAC-SHA1 over the concatenation of `parts`.
pub(super) fn sign_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 over the concatenation of `parts`.
pub(super) fn sign_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Returns true if two tags are equal, in constant time. A different length is
/// another tag.
pub(super) fn same(ours: &[u8], theirs: &[u8]) -> bool {
    ours.ct_eq(theirs).into()
}

/// FINGERPRINT's value over `parts`.
pub(super) fn fingerprint(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize() ^ FINGERPRINT_XOR
}
