//! MESSAGE-INTEGRITY (RFC 8489 section 14.5) and FINGERPRINT (section 14.7).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::FINGERPRINT_XOR;

/// What MESSAGE-INTEGRITY is made and checked with: a keyed HMAC-SHA1, so that a message costs no
/// key schedule. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct IntegrityKey(Hmac<Sha1>);

impl IntegrityKey {
    /// Takes a key of any length (RFC 2104 section 2). That of a short-term credential is the
    /// password itself (RFC 8489 section 9.1.1); TURN has long-term ones, see [`LongTermKey`].
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        // SAFE: HMAC takes a key of any length.
        #[allow(clippy::expect_used)]
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// HMAC-SHA1 over the concatenation of `parts`.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the HMAC-SHA1 over `parts`; takes the same time whatever the answer.
    pub(super) fn verify(&self, parts: &[&[u8]], tag: &[u8; 20]) -> bool {
        self.sign(parts)[..].ct_eq(tag).into()
    }
}

impl AsRef<Self> for IntegrityKey {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

/// The key of a long-term credential (RFC 8489 section 9.2.2), ready for use.
///
/// `Debug` prints nothing of it.
#[derive(Clone)]
pub struct LongTermKey {
    bytes: Zeroizing<[u8; 16]>,
    integrity: IntegrityKey,
}

impl LongTermKey {
    /// Takes the 16 bytes of the key as they are.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self { integrity: IntegrityKey::new(&bytes), bytes: Zeroizing::new(bytes) }
    }

    /// The 16 key bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }
}

impl AsRef<IntegrityKey> for LongTermKey {
    fn as_ref(&self) -> &IntegrityKey {
        &self.integrity
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKey(..)")
    }
}

/// FINGERPRINT's value over `parts`.
pub(super) fn fingerprint(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize() ^ FINGERPRINT_XOR
}
