//! Long-term credential keys (RFC 8489 section 9.2.2) and the static users that own them.

use std::fmt;

use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use crate::stun::LongTermKey;

/// Computes the key of RFC 8489 section 9.2.2: `MD5(username ":" realm ":" password)`.
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
