//! Long-term credential keys (RFC 8489 section 9.2.2) and the static users that own them.

use std::fmt;

use md5::{Digest, Md5};
use sha2::Sha256;
use zeroize::Zeroizing;

use taciturn_stun::{LongTermKey, PasswordAlgorithm};

/// Computes the key that every client can: `MD5(username ":" realm ":" password)`.
#[must_use]
pub fn long_term_key(username: &str, realm: &str, password: &str) -> LongTermKey {
    long_term_key_by(PasswordAlgorithm::Md5, username, realm, password)
}

/// Computes the key of RFC 8489 sections 9.2.2 and 18.5.1: a hash of
/// `username ":" realm ":" password`, each as OpaqueString has it ([`super::prepared`]).
#[must_use]
//= 8489-9.2.2-key
pub fn long_term_key_by(
    algorithm: PasswordAlgorithm,
    username: &str,
    realm: &str,
    password: &str,
) -> LongTermKey {
    let parts = [username, ":", realm, ":", password].map(str::as_bytes);
    match algorithm {
        PasswordAlgorithm::Md5 => LongTermKey::md5(hash::<Md5>(&parts).into()),
        PasswordAlgorithm::Sha256 => LongTermKey::sha256(hash::<Sha256>(&parts).into()),
    }
}

/// Computes USERHASH (RFC 8489 section 14.4): `SHA-256(username ":" realm)`.
#[must_use]
//= 8489-14.4-userhash
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    hash::<Sha256>(&[username, ":", realm].map(str::as_bytes)).into()
}

fn hash<D: Digest>(parts: &[&[u8]]) -> md5::digest::Output<D> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}

/// A username as RFC 8489 section 9.2.2 takes it from USERNAME: without quotes around it, and
/// without zero bytes behind it.
#[must_use]
pub fn bare(username: &str) -> &str {
    let ended = username.trim_end_matches('\0');
    ended.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(ended)
}

/// What a static user proves itself with.
#[derive(Clone)]
pub enum StaticKey {
    /// A clear password.
    Password(Zeroizing<String>),
    /// A precomputed key, so that no password need be in the file.
    Md5(Zeroizing<[u8; 16]>),
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
    /// The long-term key of this user in `realm`; `None` where only the key of another algorithm
    /// is known.
    #[must_use]
    pub fn long_term_key(&self, algorithm: PasswordAlgorithm, realm: &str) -> Option<LongTermKey> {
        match (&self.key, algorithm) {
            (StaticKey::Password(password), _) => {
                Some(long_term_key_by(algorithm, &self.name, realm, password))
            }
            (StaticKey::Md5(bytes), PasswordAlgorithm::Md5) => Some(LongTermKey::md5(**bytes)),
            (StaticKey::Md5(_), PasswordAlgorithm::Sha256) => None,
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

    //= 8489-9.2.2-key
    #[test]
    fn key_of_the_example_in_rfc_8489_section_9_2_2() {
        let key = long_term_key("user", "realm", "pass");
        assert_eq!(hex(key.bytes()), "8493fbc53ba582fb4c044c456bdc40eb");
    }

    //= 8489-9.2.2-key
    #[test]
    fn quotes_and_zero_bytes_around_a_username_do_not_count() {
        // RFC 8489 section 9.2.2.
        for written in ["alice", "\"alice\"", "alice\0", "\"alice\"\0\0\0"] {
            assert_eq!(bare(written), "alice", "{written:?}");
        }
        for whole in ["al\"ice", "\"alice", "alice\"", "al\0ice", "\"", ""] {
            assert_eq!(bare(whole), whole);
        }
    }

    //= 8656-6-no-password
    #[test]
    fn debug_output_shows_no_secret() {
        let user = StaticUser {
            name: "alice".into(),
            key: StaticKey::Password(Zeroizing::new("correct horse".into())),
        };
        let key = user.long_term_key(PasswordAlgorithm::Sha256, "r");
        let keyed = StaticUser { name: "bob".into(), key: StaticKey::Md5([0x7B; 16].into()) };
        let secret = crate::auth::SharedSecret::new("battery staple");
        let nonces = crate::auth::NonceKeys::new(
            std::time::Duration::from_secs(60),
            [[0x7B; 32]; 2],
            crate::clock::Tick(0),
        );
        let key_of_keyed = keyed.long_term_key(PasswordAlgorithm::Md5, "r");
        let shown = format!("{user:?} {key:?} {keyed:?} {key_of_keyed:?} {secret:?} {nonces:?}");
        for secret in ["horse", "staple", "123", "7b", "7B"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}
