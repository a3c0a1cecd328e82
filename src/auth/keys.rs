//! Long-term credential keys (RFC 8489 section 9.2.2) and the static users that own them.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The key of RFC 8489 section 9.2.2: `MD5(username ":" realm ":" OpaqueString(password))`.
///
/// Holds a keyed HMAC-SHA1 as well, so that checking a message costs no key schedule.
/// `Debug` prints nothing of it.
#[derive(Clone)]
pub struct LongTermKey {
    bytes: Zeroizing<[u8; 16]>,
    sha1: Hmac<Sha1>,
}

impl LongTermKey {
    /// Takes the 16 bytes of the key as they are.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
        #[allow(clippy::expect_used)]
        let sha1 = Hmac::<Sha1>::new_from_slice(&bytes).expect("HMAC takes any key length");
        Self { bytes: Zeroizing::new(bytes), sha1 }
    }

    /// The 16 key bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// HMAC-SHA1 over the concatenation of `parts`.
    #[must_use]
    pub fn hmac_sha1(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = self.sha1.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the HMAC-SHA1 over `parts`; constant time.
    #[must_use]
    pub fn verify_sha1(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.hmac_sha1(parts)[..].ct_eq(tag).into()
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKey(..)")
    }
}

/// Computes the key of RFC 8489 section 9.2.2.
#[must_use]
pub fn long_term_key(username: &str, realm: &str, password: &str) -> LongTermKey {
    let mut md5 = Md5::new();
    md5.update(username.as_bytes());
    md5.update(b":");
    md5.update(realm.as_bytes());
    md5.update(b":");
    md5.update(password.as_bytes());
    LongTermKey::new(md5.finalize().into())
}

/// What a static user proves itself with.
#[derive(Clone)]
pub enum StaticKey {
    /// A clear password.
    Password(Zeroizing<String>),
    /// A precomputed key, so that no password need be in the file.
    Md5([u8; 16]),
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Md5(_) => "Md5(..)",
        })
    }
}

/// A user named in the configuration.
#[derive(Clone, Debug)]
pub struct StaticUser {
    /// The USERNAME it sends.
    pub name: String,
    /// Its password or key.
    pub key: StaticKey,
}

impl StaticUser {
    /// The long-term key of this user in `realm`.
    #[must_use]
    pub fn long_term_key(&self, realm: &str) -> LongTermKey {
        match &self.key {
            StaticKey::Password(password) => long_term_key(&self.name, realm, password),
            StaticKey::Md5(bytes) => LongTermKey::new(*bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_the_static_user_from_the_coturn_article() {
        let key = long_term_key("test", "turn.domain.org", "test");
        assert_eq!(hex(key.bytes()), "0fb8f3958acf2cb0b8128026c1f18d3a");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let user = StaticUser {
            name: "alice".into(),
            key: StaticKey::Password(Zeroizing::new("correct horse".into())),
        };
        let shown = format!("{user:?} {:?}", user.long_term_key("r"));
        assert!(!shown.contains("horse"), "{shown}");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}
