//! MESSAGE-INTEGRITY (RFC 8489 section 14.5) and FINGERPRINT (section 14.7).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::FINGERPRINT_XOR;

/// The key of a long-term credential (RFC 8489 section 9.2.2), ready for use.
///
/// Holds a keyed HMAC-SHA1, so that checking a message costs no key schedule. `Debug` prints
/// nothing of it.
#[derive(Clone)]
pub struct LongTermKey {
    bytes: Zeroizing<[u8; 16]>,
    sha1: Hmac<Sha1>,
}

impl LongTermKey {
    /// Takes the 16 bytes of the key as they are.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self { bytes: Zeroizing::new(bytes), sha1: hmac_sha1(&bytes) }
    }

    /// The 16 key bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// HMAC-SHA1 over the concatenation of `parts`.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = self.sha1.clone();
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

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKey(..)")
    }
}

fn hmac_sha1(key: &[u8]) -> Hmac<Sha1> {
    // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
    #[allow(clippy::expect_used)]
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// FINGERPRINT's value over `parts`.
pub(super) fn fingerprint(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize() ^ FINGERPRINT_XOR
}
