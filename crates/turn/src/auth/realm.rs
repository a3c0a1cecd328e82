//! A realm: the static users and shared secrets whose credentials are valid in it, of one tenant or of several.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    Claim, Denied, Grant, LongTermKey, Origin, PasswordAlgorithm, RestName, SecretHash,
    SecurityFeatures, SharedSecret, StaticKey, StaticUser, long_term_key_by, userhash,
};
use crate::tenant::TenantName;
use crate::user::UserId;

/// The credentials of a realm.
#[derive(Debug)]
pub struct Realm {
    name: Arc<str>,
    /// By their names. Several tenants may have a user of the same name.
    users: HashMap<Box<str>, Vec<Keys>>,
    /// By their hashes, the names.
    names: HashMap<[u8; 32], Box<str>>,
    /// How many users of one name there are at most, and how many keys are tried for each name.
    tries: usize,
    secrets: Vec<SecretOf>,
    /// What passwords of the secrets may be made with.
    hashes: Vec<SecretHash>,
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
    fn new(realm: &Arc<str>, tenant: &TenantName, user: &StaticUser) -> Self {
        let md5 = user.long_term_key(PasswordAlgorithm::Md5, realm);
        let sha256 = user.long_term_key(PasswordAlgorithm::Sha256, realm);
        let password = match &user.key {
            StaticKey::Password(password) => Some(password.as_bytes()),
            StaticKey::Md5(_) => None,
        };
        let key = md5.as_ref().map(LongTermKey::bytes);
        let origin = Origin::of_user(&user.name, password, key);
        let user = UserId::new(realm, user.name.as_str()).of_tenant(tenant);
        Self { user, md5, sha256, origin }
    }

    const fn by(&self, algorithm: PasswordAlgorithm) -> Option<&LongTermKey> {
        match algorithm {
            PasswordAlgorithm::Md5 => self.md5.as_ref(),
            PasswordAlgorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

/// A shared secret and whose it is.
#[derive(Debug)]
struct SecretOf {
    tenant: TenantName,
    secret: SharedSecret,
    origin: Origin,
}

impl Realm {
    /// A realm without credentials.
    pub(super) fn new(name: &str, hashes: Vec<SecretHash>) -> Self {
        Self {
            name: name.into(),
            users: HashMap::new(),
            names: HashMap::new(),
            tries: 1,
            secrets: Vec::new(),
            hashes,
        }
    }

    /// What passwords of the secrets may be made with.
    pub(super) fn hashes(&self) -> &[SecretHash] {
        &self.hashes
    }

    /// Accepts passwords of the secrets that were made with one of these.
    pub(super) fn set_hashes(&mut self, hashes: &[SecretHash]) {
        self.hashes = hashes.to_vec();
    }

    /// Adds the credentials of a tenant. Derives the keys of its users once.
    pub(super) fn add(
        &mut self,
        tenant: &TenantName,
        users: &[StaticUser],
        secrets: Vec<SharedSecret>,
    ) {
        for user in users {
            let all = self.users.entry(user.name.as_str().into()).or_default();
            all.push(Keys::new(&self.name, tenant, user));
            self.tries = self.tries.max(all.len());
            self.names.insert(userhash(&user.name, &self.name), user.name.as_str().into());
        }
        self.secrets.extend(secrets.into_iter().map(|secret| {
            let origin = Origin::of_secret(secret.expose());
            SecretOf { tenant: tenant.clone(), secret, origin }
        }));
    }

    /// Adds users and secrets of a database, of this tenant, as far as they are not there already.
    pub(super) fn add_rows(
        &mut self,
        tenant: &TenantName,
        users: &[StaticUser],
        secrets: &[SharedSecret],
    ) {
        for user in users {
            let all = self.users.entry(user.name.as_str().into()).or_default();
            if all.iter().any(|keys| keys.user.tenant() == tenant) {
                continue;
            }
            let keys = Keys::new(&self.name, tenant, user);
            all.push(Keys { origin: keys.origin.of_database(), ..keys });
            self.tries = self.tries.max(all.len());
            self.names.insert(userhash(&user.name, &self.name), user.name.as_str().into());
        }
        for secret in secrets {
            let origin = Origin::of_secret(secret.expose());
            // Once is enough, and each is work for every wrong password.
            let is_there = |of: &SecretOf| of.origin.fingerprints() == origin.fingerprints();
            if !self.secrets.iter().any(is_there) {
                let (tenant, secret) = (tenant.clone(), secret.clone());
                self.secrets.push(SecretOf { tenant, secret, origin: origin.of_database() });
            }
        }
    }

    /// Where its credentials came from.
    pub(super) fn origins(&self) -> impl Iterator<Item = Origin> {
        let users = self.users.values().flatten().map(|keys| keys.origin);
        users.chain(self.secrets.iter().map(|secret| secret.origin))
    }

    /// The realm of every challenge.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What clients can be offered such that it works for each of them.
    ///
    /// A client chooses an algorithm before it says who it is: SHA-256 is offered only where every
    /// user has a key of it. A client that is told of hashed usernames must use them: they are
    /// offered only where all users are static.
    #[must_use]
    //= 8489-9.2.4-anonymity-bit
    pub fn features(&self) -> SecurityFeatures {
        let mut users = self.users.values().flatten();
        SecurityFeatures {
            password_algorithms: users.all(|keys| keys.sha256.is_some()),
            username_anonymity: self.secrets.is_empty() && !self.users.is_empty(),
        }
    }

    /// Whether a USERHASH is that of `username`.
    #[must_use]
    pub fn is_hash_of(&self, hash: &[u8; 32], username: &str) -> bool {
        userhash(username, &self.name) == *hash
    }

    /// The static user of a USERHASH.
    #[must_use]
    pub fn name_of(&self, hash: &[u8; 32]) -> Option<&str> {
        self.names.get(hash).map(AsRef::as_ref)
    }

    /// Looks for the key of a user with which `fits` holds. The key decides which tenant it is, where several have
    /// a user of this name.
    ///
    /// The work is the same for a known and an unknown user, a right and a wrong password, and an
    /// expired credential: so many checks against static keys (its own or a dummy) as there are users of one name at
    /// the most, which is one without tenants; and one for each secret and hash.
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
        let static_grant = self.by_user(known.map_or(&[], Vec::as_slice), algorithm, &fits);
        let made_by_secret = self.by_secret(username, algorithm, &fits);
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
        let Some((key, SecretOf { tenant, origin, .. }, hash)) = made_by_secret else {
            let possible = known.is_some() || !self.secrets.is_empty();
            return Err(if possible { Denied::WrongPassword } else { Denied::UnknownUser });
        };
        if unix > rest.expires {
            return Err(Denied::Expired { seconds: unix - rest.expires });
        }
        Ok(Grant {
            key,
            username: UserId::new(&self.name, username).of_tenant(tenant),
            user: UserId::new(&self.name, rest.name).of_tenant(tenant),
            expires: Some(rest.expires),
            origin: Some(*origin),
            hash: Some(hash),
            guest: None,
        })
    }

    /// What the key of one of these users grants, if it fits.
    fn by_user(
        &self,
        known: &[Keys],
        algorithm: PasswordAlgorithm,
        fits: impl Fn(&LongTermKey) -> bool,
    ) -> Option<Grant> {
        let dummy = LongTermKey::md5([0; 16]);
        let mut found = None;
        for number in 0..self.tries {
            let own = known.get(number).and_then(|keys| Some((keys, keys.by(algorithm)?)));
            let is_good = fits(own.map_or(&dummy, |(_, key)| key)) & own.is_some();
            if is_good && found.is_none() {
                found = own;
            }
        }
        found.map(|(keys, key)| Grant {
            key: key.clone(),
            username: keys.user.clone(),
            user: keys.user.clone(),
            expires: None,
            origin: Some(keys.origin),
            hash: None,
            guest: None,
        })
    }

    /// The key of a name that one of the secrets makes, if it fits.
    fn by_secret(
        &self,
        username: &str,
        algorithm: PasswordAlgorithm,
        fits: impl Fn(&LongTermKey) -> bool,
    ) -> Option<(LongTermKey, &SecretOf, SecretHash)> {
        let mut found = None;
        let ways = self.secrets.iter().flat_map(|of| self.hashes.iter().map(move |h| (of, *h)));
        for (of, hash) in ways {
            let password = of.secret.password_by(hash, username);
            let key = long_term_key_by(algorithm, username, &self.name, &password);
            if fits(&key) && found.is_none() {
                found = Some((key, of, hash));
            }
        }
        found
    }
}
