//! From a USERNAME to a key: static users and shared secrets, both at once.

use std::collections::HashMap;

use super::{LongTermKey, RestName, SharedSecret, StaticUser, long_term_key};

/// What a good credential grants.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The key, for this and later messages of the same user.
    pub key: LongTermKey,
    /// The stable name behind the username: for REST credentials what stands beside the expiry, so
    /// that a new credential of the same person counts as the same user.
    pub name: Box<str>,
    /// When the credential expires, in seconds since 1970; `None` for static users.
    pub expires: Option<u64>,
}

/// Why a credential is refused, for the log. The client is told 401 in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No static user of this name, and no shared secret could have made it.
    UnknownUser,
    /// The name is known, or has the REST form, but no key fits.
    WrongPassword,
    /// A REST credential that was good.
    Expired {
        /// For how long it has been expired.
        seconds: u64,
    },
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownUser => f.write_str("unknown user"),
            Self::WrongPassword => f.write_str("wrong password or secret"),
            Self::Expired { seconds } => write!(f, "credential expired {seconds} s ago"),
        }
    }
}

/// Knows every credential of the configuration.
#[derive(Debug)]
pub struct Authenticator {
    realm: Box<str>,
    users: HashMap<Box<str>, LongTermKey>,
    secrets: Vec<SharedSecret>,
    strict_expiry: bool,
}

impl Authenticator {
    /// Derives the keys of the static users once.
    #[must_use]
    pub fn new(
        realm: &str,
        users: &[StaticUser],
        secrets: Vec<SharedSecret>,
        strict_expiry: bool,
    ) -> Self {
        let users = users
            .iter()
            .map(|user| (user.name.as_str().into(), user.long_term_key(realm)))
            .collect();
        Self { realm: realm.into(), users, secrets, strict_expiry }
    }

    /// The realm of every challenge.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether an allocation ends with its credential.
    #[must_use]
    pub const fn strict_expiry(&self) -> bool {
        self.strict_expiry
    }

    /// Looks for the key of `username` with which `fits` holds.
    ///
    /// The work is the same for a known and an unknown user, a right and a wrong password, and an
    /// expired credential: one check against a static key (its own or a dummy), one for each secret.
    ///
    /// # Errors
    /// When no key fits, or the credential has expired at `unix` (seconds since 1970).
    pub fn authenticate(
        &self,
        username: &str,
        unix: u64,
        fits: impl Fn(&LongTermKey) -> bool,
    ) -> Result<Grant, Denied> {
        let known = self.users.get(username);
        let dummy;
        let key = match known {
            Some(key) => key,
            None => {
                dummy = LongTermKey::new([0; 16]);
                &dummy
            }
        };
        let static_fits = fits(key) & known.is_some();
        let static_grant =
            static_fits.then(|| Grant { key: key.clone(), name: username.into(), expires: None });

        let mut made_by_secret = None;
        for secret in &self.secrets {
            let key = long_term_key(username, &self.realm, &secret.password_for(username));
            if fits(&key) && made_by_secret.is_none() {
                made_by_secret = Some(key);
            }
        }
        if let Some(grant) = static_grant {
            return Ok(grant);
        }
        let Some(rest) = RestName::parse(username) else {
            return Err(if known.is_some() { Denied::WrongPassword } else { Denied::UnknownUser });
        };
        let Some(key) = made_by_secret else {
            let possible = known.is_some() || !self.secrets.is_empty();
            return Err(if possible { Denied::WrongPassword } else { Denied::UnknownUser });
        };
        if unix > rest.expires {
            return Err(Denied::Expired { seconds: unix - rest.expires });
        }
        Ok(Grant { key, name: rest.name.into(), expires: Some(rest.expires) })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::StaticKey;

    const NOW: u64 = 1_700_000_000;

    fn authenticator() -> Authenticator {
        let user = |name: &str, key| StaticUser { name: name.into(), key };
        let password = |text: &str| StaticKey::Password(Zeroizing::new(text.into()));
        let md5 = *long_term_key("bob", "example.org", "bobs password").bytes();
        let users = [user("alice", password("correct horse")), user("bob", StaticKey::Md5(md5))];
        let secrets = vec![SharedSecret::new("old secret"), SharedSecret::new("new secret")];
        Authenticator::new("example.org", &users, secrets, false)
    }

    fn with_password(username: &str, password: &str) -> Result<Grant, Denied> {
        let sent = long_term_key(username, "example.org", password);
        authenticator().authenticate(username, NOW, |key| key.bytes() == sent.bytes())
    }

    fn with_secret(username: &str, secret: &str) -> Result<Grant, Denied> {
        with_password(username, &SharedSecret::new(secret).password_for(username))
    }

    #[test]
    fn static_users_by_password_and_by_key() {
        assert_eq!(&*with_password("alice", "correct horse").unwrap().name, "alice");
        assert_eq!(&*with_password("bob", "bobs password").unwrap().name, "bob");
        assert_eq!(with_password("alice", "wrong").unwrap_err(), Denied::WrongPassword);
        assert_eq!(with_password("carol", "correct horse").unwrap_err(), Denied::UnknownUser);
    }

    #[test]
    fn rest_credentials_of_each_secret_in_each_form() {
        for secret in ["old secret", "new secret"] {
            for (username, name) in [
                ("1700000000:@alice:domain.org", "@alice:domain.org"),
                ("alice:1700000600", "alice"),
                ("1700000600", ""),
            ] {
                let grant = with_secret(username, secret).unwrap();
                assert_eq!(&*grant.name, name);
                assert!(grant.expires.unwrap() >= NOW);
            }
        }
        let wrong = with_secret("1700000000:@alice:domain.org", "another secret").unwrap_err();
        assert_eq!(wrong, Denied::WrongPassword);
    }

    #[test]
    fn an_expired_credential_says_for_how_long() {
        let late = with_secret("1699999940:alice", "new secret").unwrap_err();
        assert_eq!(late, Denied::Expired { seconds: 60 });
        // ... but only to who holds the secret.
        let guess = with_secret("1699999940:alice", "guess").unwrap_err();
        assert_eq!(guess, Denied::WrongPassword);
    }

    #[test]
    fn a_name_without_expiry_is_no_rest_credential_even_with_the_secret() {
        assert_eq!(with_secret("mallory", "new secret").unwrap_err(), Denied::UnknownUser);
    }

    #[test]
    fn every_failure_takes_the_same_number_of_checks() {
        let checks = |username: &str| {
            let count = Cell::new(0);
            let _ = authenticator().authenticate(username, NOW, |_| {
                count.set(count.get() + 1);
                false
            });
            count.get()
        };
        for name in ["alice", "carol", "1700000600:alice", "1:alice", ""] {
            assert_eq!(checks(name), 3, "{name}");
        }
    }
}
