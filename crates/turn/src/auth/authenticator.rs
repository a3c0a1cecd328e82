//! From a USERNAME to a key: static users and shared secrets, both at once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::origin::Fingerprint;
use super::{
    LongTermKey, Origin, PasswordAlgorithm, RestName, SecretHash, SecurityFeatures, SharedSecret,
    StaticKey, StaticUser, long_term_key_by, userhash,
};
use crate::guests::Guest;
use crate::user::UserId;

/// What a good credential grants.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The key, for this and later messages of the same user.
    pub key: LongTermKey,
    /// The username itself, be it that the client sent a hash of it.
    pub username: UserId,
    /// The user behind the username, that limits go by: for REST credentials what stands beside the
    /// expiry, so that a new credential of the same person counts as the same user.
    pub user: UserId,
    /// When the credential expires, in seconds since 1970; `None` for static users.
    pub expires: Option<u64>,
    /// The user or secret of the configuration; `None` where the key of an allocation was good.
    pub origin: Option<Origin>,
    /// What the password of a shared secret was made with; `None` for all others.
    pub hash: Option<SecretHash>,
    /// The guest whose credential it is, if it is one's.
    pub guest: Option<Arc<Guest>>,
}

/// Who a client says it is.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'a> {
    /// USERNAME, [bare](super::bare).
    Name(&'a str),
    /// USERHASH. Static users are found by it. Names of the REST scheme are not known before a
    /// client sends one, so their hashes are of no use, and are not offered where there are secrets.
    Hash([u8; 32]),
}

/// Why a credential is refused, for the log. The client is told 401 in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No static user of this name, and no shared secret could have made it.
    UnknownUser,
    /// A shared secret has made the password, and the name holds no time that it ends at.
    NoExpiry,
    /// The name is known, or has the REST form, but no key fits.
    WrongPassword,
    /// A REST credential that was good.
    Expired {
        /// For how long it has been expired.
        seconds: u64,
    },
}

impl Denied {
    /// The names among the metrics.
    pub const NAMES: [&'static str; 3] = ["unknown_user", "wrong_password", "expired"];

    /// Its name among the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        let [unknown_user, wrong_password, expired] = Self::NAMES;
        match self {
            Self::UnknownUser | Self::NoExpiry => unknown_user,
            Self::WrongPassword => wrong_password,
            Self::Expired { .. } => expired,
        }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownUser => f.write_str("unknown user"),
            Self::NoExpiry => f.write_str(
                "the password is right, but the part of the username before the colon is no whole number of seconds",
            ),
            Self::WrongPassword => f.write_str("wrong password or secret"),
            Self::Expired { seconds } => write!(f, "credential expired {seconds} s ago"),
        }
    }
}

/// Knows every credential of the configuration.
#[derive(Debug)]
pub struct Authenticator {
    realm: Arc<str>,
    users: HashMap<Box<str>, Keys>,
    names: HashMap<[u8; 32], Box<str>>,
    secrets: Vec<(SharedSecret, Origin)>,
    /// What passwords of the secrets may be made with.
    hashes: Vec<SecretHash>,
    /// Of all users and secrets.
    origins: HashSet<Fingerprint>,
    strict_expiry: bool,
}

/// The keys of a static user, as far as its entry in the configuration yields them.
#[derive(Debug)]
struct Keys {
    user: UserId,
    md5: Option<LongTermKey>,
    sha256: Option<LongTermKey>,
    origin: Origin,
}

impl Keys {
    const fn by(&self, algorithm: PasswordAlgorithm) -> Option<&LongTermKey> {
        match algorithm {
            PasswordAlgorithm::Md5 => self.md5.as_ref(),
            PasswordAlgorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

impl Authenticator {
    /// Derives the keys of the static users once. Passwords of the secrets are made with HMAC-SHA1; see
    /// [`Self::with_hashes`].
    #[must_use]
    pub fn new(
        realm: &str,
        users: &[StaticUser],
        secrets: Vec<SharedSecret>,
        strict_expiry: bool,
    ) -> Self {
        let none = Self {
            realm: realm.into(),
            users: HashMap::with_capacity(users.len()),
            names: HashMap::with_capacity(users.len()),
            secrets: Vec::new(),
            hashes: vec![SecretHash::Sha1],
            origins: HashSet::with_capacity(users.len()),
            strict_expiry,
        };
        none.with(users, secrets, |origin| origin)
    }

    /// Adds users and secrets of a database. Of two users of one name the one that is there already counts.
    #[must_use]
    pub fn with_rows(self, users: &[StaticUser], secrets: &[SharedSecret]) -> Self {
        self.with(users, secrets.to_vec(), Origin::of_database)
    }

    fn with(
        mut self,
        users: &[StaticUser],
        secrets: Vec<SharedSecret>,
        marked: impl Fn(Origin) -> Origin,
    ) -> Self {
        for user in users {
            let md5 = user.long_term_key(PasswordAlgorithm::Md5, &self.realm);
            let sha256 = user.long_term_key(PasswordAlgorithm::Sha256, &self.realm);
            let password = match &user.key {
                StaticKey::Password(password) => Some(password.as_bytes()),
                StaticKey::Md5(_) => None,
            };
            let key = md5.as_ref().map(LongTermKey::bytes);
            let origin = marked(Origin::of_user(&user.name, password, key));
            let name = || Box::from(user.name.as_str());
            if let Entry::Vacant(vacant) = self.users.entry(name()) {
                let user_id = UserId::new(&self.realm, user.name.as_str());
                vacant.insert(Keys { user: user_id, md5, sha256, origin });
                self.names.insert(userhash(&user.name, &self.realm), name());
                self.origins.extend(origin.fingerprints());
            }
        }
        for secret in secrets {
            let origin = marked(Origin::of_secret(secret.expose()));
            // Once is enough, and each is work for every wrong password.
            if !self.has(&origin) {
                self.origins.extend(origin.fingerprints());
                self.secrets.push((secret, origin));
            }
        }
        self
    }

    /// Accepts passwords of the secrets that were made with one of these instead.
    #[must_use]
    pub fn with_hashes(self, hashes: Vec<SecretHash>) -> Self {
        Self { hashes, ..self }
    }

    /// What clients can be offered such that it works for each of them.
    ///
    /// A client chooses an algorithm before it says who it is: SHA-256 is offered only where every
    /// user has a key of it. A client that is told of hashed usernames must use them: they are
    /// offered only where all users are static.
    #[must_use]
    //= 8489-9.2.4-anonymity-bit
    pub fn features(&self) -> SecurityFeatures {
        SecurityFeatures {
            password_algorithms: self.users.values().all(|keys| keys.sha256.is_some()),
            username_anonymity: self.secrets.is_empty() && !self.users.is_empty(),
        }
    }

    /// Whether a USERHASH is that of `username`.
    #[must_use]
    pub fn is_hash_of(&self, hash: &[u8; 32], username: &str) -> bool {
        userhash(username, &self.realm) == *hash
    }

    /// Whether the user or secret is among those that are configured.
    #[must_use]
    pub fn has(&self, origin: &Origin) -> bool {
        origin.fingerprints().iter().any(|fingerprint| self.origins.contains(fingerprint))
    }

    /// The realm of every challenge.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether a credential in the name of `granted` is one of `holder`'s. A reload may give the realm
    /// another name, which makes nobody another user: a realm that is not served any more does not tell
    /// users apart.
    #[must_use]
    pub fn is_same(&self, granted: &UserId, holder: &UserId) -> bool {
        let is_served = *self.realm == *holder.realm();
        granted.name() == holder.name() && (granted.realm() == holder.realm() || !is_served)
    }

    /// Whether an allocation ends with its credential.
    #[must_use]
    pub const fn strict_expiry(&self) -> bool {
        self.strict_expiry
    }

    /// The static user of a USERHASH.
    #[must_use]
    pub fn name_of(&self, hash: &[u8; 32]) -> Option<&str> {
        self.names.get(hash).map(AsRef::as_ref)
    }

    /// Looks for the key of a user with which `fits` holds.
    ///
    /// The work is the same for a known and an unknown user, a right and a wrong password, and an
    /// expired credential: one check against a static key (its own or a dummy), one for each secret and hash.
    ///
    /// # Errors
    /// When no key fits, or the credential has expired at `unix` (seconds since 1970).
    pub fn authenticate(
        &self,
        claim: Claim<'_>,
        algorithm: PasswordAlgorithm,
        unix: u64,
        fits: impl Fn(&LongTermKey) -> bool,
    ) -> Result<Grant, Denied> {
        // No user has the empty name, so a hash of nobody fares like a name of nobody.
        let username = match claim {
            Claim::Name(name) => name,
            Claim::Hash(hash) => self.name_of(&hash).unwrap_or_default(),
        };
        let known = self.users.get(username);
        let own = known.and_then(|keys| keys.by(algorithm));
        let dummy;
        let key = match own {
            Some(key) => key,
            None => {
                dummy = LongTermKey::md5([0; 16]);
                &dummy
            }
        };
        let static_fits = fits(key) & own.is_some();
        let static_grant = known.filter(|_| static_fits).map(|keys| Grant {
            key: key.clone(),
            username: keys.user.clone(),
            user: keys.user.clone(),
            expires: None,
            origin: Some(keys.origin),
            hash: None,
            guest: None,
        });

        let mut made_by_secret = None;
        let ways =
            || self.secrets.iter().flat_map(|secret| self.hashes.iter().map(move |h| (secret, *h)));
        for ((secret, origin), hash) in ways() {
            let password = secret.password_by(hash, username);
            let key = long_term_key_by(algorithm, username, &self.realm, &password);
            if fits(&key) && made_by_secret.is_none() {
                made_by_secret = Some((key, *origin, hash));
            }
        }
        if let Some(grant) = static_grant {
            return Ok(grant);
        }
        let Some(rest) = RestName::parse(username) else {
            return Err(match (known, made_by_secret) {
                (Some(_), _) => Denied::WrongPassword,
                (None, Some(_)) if !username.is_empty() => Denied::NoExpiry,
                (None, _) => Denied::UnknownUser,
            });
        };
        let Some((key, origin, hash)) = made_by_secret else {
            let possible = known.is_some() || !self.secrets.is_empty();
            return Err(if possible { Denied::WrongPassword } else { Denied::UnknownUser });
        };
        if unix > rest.expires {
            return Err(Denied::Expired { seconds: unix - rest.expires });
        }
        Ok(Grant {
            key,
            username: UserId::new(&self.realm, username),
            user: UserId::new(&self.realm, rest.name),
            expires: Some(rest.expires),
            origin: Some(origin),
            hash: Some(hash),
            guest: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::{StaticKey, long_term_key};

    const NOW: u64 = 1_700_000_000;

    fn authenticator() -> Authenticator {
        let user = |name: &str, key| StaticUser { name: name.into(), key };
        let password = |text: &str| StaticKey::Password(Zeroizing::new(text.into()));
        let md5 = long_term_key("bob", "example.org", "bobs password");
        let md5: [u8; 16] = md5.bytes().try_into().unwrap();
        let users =
            [user("alice", password("correct horse")), user("bob", StaticKey::Md5(md5.into()))];
        let secrets = vec![SharedSecret::new("old secret"), SharedSecret::new("new secret")];
        Authenticator::new("example.org", &users, secrets, false)
    }

    fn with_password(username: &str, password: &str) -> Result<Grant, Denied> {
        with(Claim::Name(username), username, password, PasswordAlgorithm::Md5)
    }

    fn with(
        claim: Claim<'_>,
        username: &str,
        password: &str,
        algorithm: PasswordAlgorithm,
    ) -> Result<Grant, Denied> {
        let sent = long_term_key_by(algorithm, username, "example.org", password);
        let fits = |key: &LongTermKey| key.bytes() == sent.bytes();
        authenticator().authenticate(claim, algorithm, NOW, fits)
    }

    fn with_secret(username: &str, secret: &str) -> Result<Grant, Denied> {
        with_password(username, &SharedSecret::new(secret).password_for(username))
    }

    #[test]
    fn static_users_by_password_and_by_key() {
        assert_eq!(with_password("alice", "correct horse").unwrap().user.name(), "alice");
        assert_eq!(with_password("bob", "bobs password").unwrap().user.name(), "bob");
        assert_eq!(with_password("alice", "wrong").unwrap_err(), Denied::WrongPassword);
        assert_eq!(with_password("carol", "correct horse").unwrap_err(), Denied::UnknownUser);
    }

    #[test]
    fn rows_of_a_database_stand_beside_the_configuration_and_replace_nothing_of_it() {
        let key = |password| {
            let key = long_term_key("alice", "example.org", password);
            StaticKey::Md5(<[u8; 16]>::try_from(key.bytes()).unwrap().into())
        };
        let user = |name: &str, key| StaticUser { name: name.into(), key };
        let rows = [
            user("alice", key("another password")),
            user("dora", StaticKey::Password(Zeroizing::new("doras password".into()))),
        ];
        let authenticator =
            authenticator().with_rows(&rows, &[SharedSecret::new("a secret of a row")]);
        let by = |name: &str, password: &str| {
            let sent = long_term_key(name, "example.org", password);
            let fits = |key: &LongTermKey| key.bytes() == sent.bytes();
            authenticator.authenticate(Claim::Name(name), PasswordAlgorithm::Md5, NOW, fits)
        };
        let of_database = |grant: Grant| grant.origin.unwrap().is_of_database();
        assert!(!of_database(by("alice", "correct horse").unwrap()));
        assert_eq!(by("alice", "another password").unwrap_err(), Denied::WrongPassword);
        assert!(of_database(by("dora", "doras password").unwrap()));
        for (secret, is_of_database) in [("new secret", false), ("a secret of a row", true)] {
            let username = "1700000600:carol";
            let password = SharedSecret::new(secret).password_for(username);
            assert_eq!(of_database(by(username, &password).unwrap()), is_of_database);
        }
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
                assert_eq!((grant.username.name(), grant.user.name()), (username, name));
                assert_eq!(grant.user.realm(), "example.org");
                assert!(grant.expires.unwrap() >= NOW);
            }
        }
        let wrong = with_secret("1700000000:@alice:domain.org", "another secret").unwrap_err();
        assert_eq!(wrong, Denied::WrongPassword);
    }

    #[test]
    fn passwords_are_made_with_the_hashes_that_are_allowed() {
        let username = "1700000600:alice";
        let with = |allowed: &[SecretHash], hash| {
            let password = SharedSecret::new("new secret").password_by(hash, username);
            let sent = long_term_key(username, "example.org", &password);
            let fits = |key: &LongTermKey| key.bytes() == sent.bytes();
            let authenticator = authenticator().with_hashes(allowed.to_vec());
            authenticator
                .authenticate(Claim::Name(username), PasswordAlgorithm::Md5, NOW, fits)
                .map(|grant| grant.hash)
        };
        for hash in SecretHash::ALL {
            assert_eq!(with(&SecretHash::ALL, hash).unwrap(), Some(hash));
            assert_eq!(with(&[hash], hash).unwrap(), Some(hash));
            for other in SecretHash::ALL.into_iter().filter(|other| *other != hash) {
                assert_eq!(with(&[other], hash).unwrap_err(), Denied::WrongPassword);
            }
        }
        assert_eq!(with_password("alice", "correct horse").unwrap().hash, None);
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
        for name in ["mallory", "1700000600.5:alice", "1.7e9:alice", "-1700000600:alice"] {
            assert_eq!(with_secret(name, "new secret").unwrap_err(), Denied::NoExpiry, "{name}");
            // Who does not hold the secret is told of nothing in the log.
            assert_eq!(with_secret(name, "guess").unwrap_err(), Denied::UnknownUser, "{name}");
        }
        let (known, reason) = (Denied::NoExpiry.name(), Denied::NoExpiry.to_string());
        assert_eq!(known, "unknown_user");
        assert!(reason.contains("no whole number of seconds"), "{reason}");
    }

    #[test]
    fn keys_of_both_algorithms_as_far_as_they_can_be_made() {
        let sha256 = PasswordAlgorithm::Sha256;
        let by = |name, password| with(Claim::Name(name), name, password, sha256);
        assert_eq!(by("alice", "correct horse").unwrap().key.algorithm(), sha256);
        // A precomputed MD5 key cannot be turned into another.
        assert_eq!(by("bob", "bobs password").unwrap_err(), Denied::WrongPassword);
        let rest = "1700000600:carol";
        let password = SharedSecret::new("new secret").password_for(rest);
        assert_eq!(by(rest, &password).unwrap().key.bytes().len(), 32);
    }

    //= 8489-14.4-userhash
    #[test]
    fn a_userhash_finds_a_static_user_and_nobody_else() {
        // RFC 8489 section 14.4.
        let hash = |name| userhash(name, "example.org");
        let by =
            |hash, name, password| with(Claim::Hash(hash), name, password, PasswordAlgorithm::Md5);
        let grant = by(hash("alice"), "alice", "correct horse").unwrap();
        assert_eq!((grant.username.name(), grant.user.name()), ("alice", "alice"));
        let rest = "1700000600:carol";
        let password = SharedSecret::new("new secret").password_for(rest);
        assert_eq!(by(hash(rest), rest, &password).unwrap_err(), Denied::UnknownUser);
        let of_nobody = SharedSecret::new("new secret").password_for("");
        assert_eq!(by([7; 32], "", &of_nobody).unwrap_err(), Denied::UnknownUser);
        assert!(authenticator().is_hash_of(&hash(rest), rest));
    }

    #[test]
    fn names_of_a_realm_that_is_served_are_of_no_other() {
        let user = |realm: &str, name: &str| UserId::new(&realm.into(), name);
        let here = user("example.org", "alice");
        let same = |granted: &UserId, holder: &UserId| authenticator().is_same(granted, holder);
        assert!(same(&here, &here.clone()) && !same(&here, &user("example.org", "bob")));
        assert!(!same(&user("example.net", "alice"), &here), "of a realm that is served");
        assert!(same(&here, &user("old.example", "alice")), "of one that is not, or not any more");
        assert!(!same(&here, &user("old.example", "bob")));
    }

    //= 8489-9.2.4-anonymity-bit
    #[test]
    fn what_is_offered_works_for_every_user() {
        let user = |key| StaticUser { name: "alice".into(), key };
        let password = || user(StaticKey::Password(Zeroizing::new("correct horse".into())));
        let offered = |users: &[StaticUser], secrets: &[&str]| {
            let secrets = secrets.iter().copied().map(SharedSecret::new).collect();
            let features = Authenticator::new("example.org", users, secrets, false).features();
            (features.password_algorithms, features.username_anonymity)
        };
        assert_eq!(offered(&[password()], &[]), (true, true));
        assert_eq!(offered(&[password()], &["a secret"]), (true, false));
        assert_eq!(offered(&[], &["a secret"]), (true, false));
        assert_eq!(offered(&[user(StaticKey::Md5([1; 16].into()))], &[]), (false, true));
    }

    //= 8489-16-rfc7616-5
    #[test]
    fn every_failure_takes_the_same_number_of_checks() {
        let checks = |claim| {
            let count = Cell::new(0);
            for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
                let _ = authenticator().authenticate(claim, algorithm, NOW, |_| {
                    count.set(count.get() + 1);
                    false
                });
            }
            count.get()
        };
        for name in ["alice", "bob", "carol", "1700000600:alice", "1:alice", ""] {
            assert_eq!(checks(Claim::Name(name)), 6, "{name}");
            assert_eq!(checks(Claim::Hash(userhash(name, "example.org"))), 6, "{name}");
        }
    }
}
