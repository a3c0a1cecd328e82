//! The REST scheme: time-limited credentials made from a shared secret
//! (draft-uberti-behave-turn-rest), as Synapse, LiveKit, Nextcloud Talk and others use it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::digest::Output;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

/// The hash function of the HMAC that makes a password from a shared secret.
///
/// The draft has SHA-1, and so have all homeservers. An application that makes its own credentials may take another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SecretHash {
    /// HMAC-SHA1.
    #[default]
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

impl SecretHash {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    /// Its name in the configuration and among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A secret shared with a homeserver. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    /// Takes the secret's raw bytes: they are the HMAC key as they stand, never decoded.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The secret itself, for printing it where the user asked for it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The password that belongs to `username`: padded base64 of HMAC-SHA1(secret, username).
    #[must_use]
    pub fn password_for(&self, username: &str) -> Zeroizing<String> {
        self.password_by(SecretHash::Sha1, username)
    }

    /// The same with another hash function.
    #[must_use]
    pub fn password_by(&self, hash: SecretHash, username: &str) -> Zeroizing<String> {
        Zeroizing::new(match hash {
            SecretHash::Sha1 => STANDARD.encode(self.tag::<Hmac<Sha1>>(username)),
            SecretHash::Sha256 => STANDARD.encode(self.tag::<Hmac<Sha256>>(username)),
            SecretHash::Sha512 => STANDARD.encode(self.tag::<Hmac<Sha512>>(username)),
        })
    }

    fn tag<M: Mac + KeyInit>(&self, username: &str) -> Output<M> {
        // SAFE: HMAC takes a key of any length (RFC 2104 section 2).
        #[allow(clippy::expect_used)]
        let mut mac = <M as KeyInit>::new_from_slice(&self.0).expect("HMAC takes any key length");
        mac.update(username.as_bytes());
        mac.finalize().into_bytes()
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

/// A username of the REST scheme, taken apart.
///
/// Three forms are accepted: `expiry:name` (Synapse), `name:expiry`, and a bare `expiry`. The name
/// is split at the first colon, because Matrix names hold colons of their own
/// (`1700000000:@alice:domain.org`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestName<'a> {
    /// When the credential ends, in seconds since 1970.
    pub expires: u64,
    /// The stable name behind it (empty for a bare expiry); quotas are counted on it.
    pub name: &'a str,
}

impl<'a> RestName<'a> {
    /// Takes `username` apart; `None` where it holds no expiry.
    #[must_use]
    pub fn parse(username: &'a str) -> Option<Self> {
        let Some((first, rest)) = username.split_once(':') else {
            return seconds(username).map(|expires| Self { expires, name: "" });
        };
        if let Some(expires) = seconds(first) {
            return Some(Self { expires, name: rest });
        }
        seconds(rest).map(|expires| Self { expires, name: first })
    }
}

/// From here on a time in seconds is beyond the year 5000: it is one in milliseconds.
const MILLISECONDS: u64 = 100_000_000_000;

/// Whether the time in `username` can only be one in milliseconds, so that the credential is good for thousands of
/// years.
#[must_use]
pub fn is_in_milliseconds(username: &str) -> bool {
    RestName::parse(username).is_some_and(|name| name.expires >= MILLISECONDS)
}

/// Decimal digits only: `u64::from_str` would take a leading `+` as well.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_as_synapse_makes_it() {
        let secret = SharedSecret::new("s3cret");
        assert_eq!(
            *secret.password_for("1700000000:@alice:domain.org"),
            "50TfR1MtIiRPp/Eno7I1arJ4dzs="
        );
    }

    /// As `printf '%s' "$username" | openssl dgst -sha256 -hmac s3cret -binary | base64` has them.
    #[test]
    fn passwords_by_other_hashes() {
        let by =
            |hash| SharedSecret::new("s3cret").password_by(hash, "1700000000:@alice:domain.org");
        assert_eq!(*by(SecretHash::Sha1), "50TfR1MtIiRPp/Eno7I1arJ4dzs=");
        assert_eq!(*by(SecretHash::Sha256), "w5od/pl0RXaHeWvBpM5ZKABZzHsx7EDUMVmQjGM5stI=");
        assert_eq!(
            *by(SecretHash::Sha512),
            "7qImYvIBUYTw9ZzR1E3PaUSopG+uv3cVkvYMASNCt+lXAE/ZodSvM4we6HIWjzMjyJ0THeYRBuFAf9S7iPQ02A=="
        );
    }

    #[test]
    fn names_split_at_the_first_colon() {
        let parse = |s| RestName::parse(s).map(|n| (n.expires, n.name));
        assert_eq!(
            parse("1700000000:@alice:domain.org"),
            Some((1_700_000_000, "@alice:domain.org"))
        );
        assert_eq!(parse("alice:1700000000"), Some((1_700_000_000, "alice")));
        assert_eq!(parse("1700000000"), Some((1_700_000_000, "")));
        assert_eq!(parse("1700000000:"), Some((1_700_000_000, "")));
    }

    #[test]
    fn milliseconds_are_told_from_seconds() {
        assert!(is_in_milliseconds("1796025845000:x") && is_in_milliseconds("x:1796025845000"));
        for name in ["1796025845:x", "99999999999:x", "x", "", "1796025845.5:x"] {
            assert!(!is_in_milliseconds(name), "{name}");
        }
    }

    #[test]
    fn names_without_an_expiry_are_not_rest_names() {
        for name in [
            "",
            "alice",
            "@alice:domain.org",
            "+1700000000:x",
            ":1x",
            "-1",
            "99999999999999999999999",
        ] {
            assert_eq!(RestName::parse(name), None, "{name}");
        }
    }
}
