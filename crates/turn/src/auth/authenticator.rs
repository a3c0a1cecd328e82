//! From a USERNAME to a key: static users and shared secrets, both at once, of all tenants.

use std::collections::{HashMap, HashSet};
use std::iter;

use super::origin::Fingerprint;
use super::{Origin, Realm, SecretHash, SharedSecret, StaticUser};
use crate::entrance::Entrance;
use crate::tenant::TenantName;
use crate::user::UserId;

/// The credentials of one tenant.
#[derive(Clone, Debug)]
pub struct TenantCredentials {
    /// Its name.
    pub name: TenantName,
    /// The realm that they are valid in: that of the server, or another.
    pub realm: String,
    /// In lower case: a client that asks for one of these by TLS gets this realm.
    pub server_names: Vec<String>,
    /// Static users.
    pub users: Vec<StaticUser>,
    /// Shared secrets.
    pub secrets: Vec<SharedSecret>,
}

/// Users and secrets of a database that are one tenant's.
#[derive(Clone, Copy, Debug)]
pub struct TenantRows<'a> {
    /// Its name.
    pub name: &'a TenantName,
    /// Its realm, which is not that of the server.
    pub realm: &'a str,
    /// Users.
    pub users: &'a [StaticUser],
    /// Shared secrets.
    pub secrets: &'a [SharedSecret],
}

/// One of the realms of an [`Authenticator`]; by default that of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RealmId(u8);

/// Knows every credential of the configuration.
#[derive(Debug)]
pub struct Authenticator {
    /// That of the server.
    realm: Realm,
    /// Those of tenants that have another, by their [`RealmId`] less one.
    others: Vec<Realm>,
    /// Which realm a client gets that asks for a name by TLS.
    server_names: HashMap<Box<str>, RealmId>,
    /// Of all users and secrets.
    origins: HashSet<Fingerprint>,
    strict_expiry: bool,
}

impl Authenticator {
    /// The server's own credentials. Derives the keys of the static users once. Passwords of the secrets are made
    /// with HMAC-SHA1; see [`Self::with_hashes`].
    #[must_use]
    pub fn new(
        realm: &str,
        users: &[StaticUser],
        secrets: Vec<SharedSecret>,
        strict_expiry: bool,
    ) -> Self {
        let mut realm = Realm::new(realm, vec![SecretHash::Sha1]);
        realm.add(&TenantName::default(), users, secrets);
        let (others, server_names) = (Vec::new(), HashMap::new());
        Self { realm, others, server_names, origins: HashSet::new(), strict_expiry }
            .with_origins_known()
    }

    /// Adds users and secrets of a database, for the server's own realm and the default tenant. What is there already
    /// counts: a user of the same name, the same secret.
    #[must_use]
    pub fn with_rows(mut self, users: &[StaticUser], secrets: &[SharedSecret]) -> Self {
        self.realm.add_rows(&TenantName::default(), users, secrets);
        self.with_origins_known()
    }

    /// Adds users and secrets of a database for tenants with a realm of their own, whose credentials are there already
    /// and count: a user of the same name, the same secret. Those of a realm that is not there are left out.
    #[must_use]
    pub fn with_rows_of_tenants(mut self, rows: &[TenantRows<'_>]) -> Self {
        for TenantRows { name, realm, users, secrets } in rows {
            let mut others = self.others.iter_mut();
            if let Some(realm) = others.find(|other| other.name() == *realm) {
                realm.add_rows(name, users, secrets);
            }
        }
        self.with_origins_known()
    }

    /// Accepts passwords of the secrets that were made with one of these instead.
    #[must_use]
    pub fn with_hashes(mut self, hashes: Vec<SecretHash>) -> Self {
        self.realm.set_hashes(&hashes);
        self.others.iter_mut().for_each(|realm| realm.set_hashes(&hashes));
        self
    }

    /// Adds the credentials of tenants; those of more than 255 realms besides the server's are left out.
    #[must_use]
    pub fn with_tenants(mut self, tenants: &[TenantCredentials]) -> Self {
        for tenant in tenants {
            let Some(id) = self.realm_of(&tenant.realm) else { continue };
            let realm = match self.others.get_mut(usize::from(id.0).wrapping_sub(1)) {
                Some(realm) => realm,
                None => &mut self.realm,
            };
            realm.add(&tenant.name, &tenant.users, tenant.secrets.clone());
            let names = tenant.server_names.iter().map(|name| (name.as_str().into(), id));
            self.server_names.extend(names);
        }
        self.with_origins_known()
    }

    /// The number of the realm of this name, made where there is none; `None` if there are too many.
    fn realm_of(&mut self, name: &str) -> Option<RealmId> {
        if let Some(id) = self.named(name) {
            return Some(id);
        }
        let id = u8::try_from(self.others.len() + 1).ok()?;
        self.others.push(Realm::new(name, self.realm.hashes().to_vec()));
        Some(RealmId(id))
    }

    fn with_origins_known(mut self) -> Self {
        let origins = self.realms().flat_map(Realm::origins);
        self.origins = origins.flat_map(|origin| origin.fingerprints()).collect();
        self
    }

    fn realms(&self) -> impl Iterator<Item = &Realm> {
        iter::once(&self.realm).chain(&self.others)
    }

    fn named(&self, name: &str) -> Option<RealmId> {
        let at = self.realms().position(|realm| realm.name() == name)?;
        u8::try_from(at).ok().map(RealmId)
    }

    /// One of the realms. A number of another [`Authenticator`] may be that of another realm; one that there is
    /// not is the server's own.
    #[must_use]
    pub fn realm(&self, RealmId(id): RealmId) -> &Realm {
        self.others.get(usize::from(id).wrapping_sub(1)).unwrap_or(&self.realm)
    }

    /// The realm for a client: that of the listener that it came in by, otherwise that of the name that it asked
    /// for by TLS, otherwise the server's. `entrance` is asked only where there are others than that.
    #[must_use]
    pub fn realm_at(&self, entrance: impl FnOnce() -> Entrance) -> RealmId {
        if self.others.is_empty() {
            return RealmId::default();
        }
        let Entrance { realm, server_name } = entrance();
        let by_listener = realm.and_then(|name| self.named(&name));
        let by_name = || server_name.and_then(|name| self.server_names.get(&*name).copied());
        by_listener.or_else(by_name).unwrap_or_default()
    }

    /// Whether the user or secret is among those that are configured, of whichever tenant.
    #[must_use]
    pub fn has(&self, origin: &Origin) -> bool {
        origin.fingerprints().iter().any(|fingerprint| self.origins.contains(fingerprint))
    }

    /// Whether a credential in the name of `granted` is one of `holder`'s. A reload may give the realm
    /// another name, which makes nobody another user: a realm that is not served any more does not tell
    /// users apart. Tenants always do.
    #[must_use]
    pub fn is_same(&self, granted: &UserId, holder: &UserId) -> bool {
        let is_served = || self.named(holder.realm()).is_some();
        granted.name() == holder.name()
            && granted.tenant() == holder.tenant()
            && (granted.realm() == holder.realm() || !is_served())
    }

    /// Whether an allocation ends with its credential.
    #[must_use]
    pub const fn strict_expiry(&self) -> bool {
        self.strict_expiry
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::{
        Claim, Denied, Grant, LongTermKey, PasswordAlgorithm, StaticKey, long_term_key,
        long_term_key_by, userhash,
    };

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
        authenticator().realm(RealmId::default()).authenticate(claim, algorithm, NOW, fits)
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
            let realm = authenticator.realm(RealmId::default());
            realm.authenticate(Claim::Name(name), PasswordAlgorithm::Md5, NOW, fits)
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
                .realm(RealmId::default())
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
        assert!(authenticator().realm(RealmId::default()).is_hash_of(&hash(rest), rest));
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
            let authenticator = Authenticator::new("example.org", users, secrets, false);
            let features = authenticator.realm(RealmId::default()).features();
            (features.password_algorithms, features.username_anonymity)
        };
        assert_eq!(offered(&[password()], &[]), (true, true));
        assert_eq!(offered(&[password()], &["a secret"]), (true, false));
        assert_eq!(offered(&[], &["a secret"]), (true, false));
        assert_eq!(offered(&[user(StaticKey::Md5([1; 16].into()))], &[]), (false, true));
    }

    /// alice in both, with passwords of their own; and a third with the same alice in another realm.
    fn with_tenants() -> Authenticator {
        let user = |name: &str, password: &str| {
            let key = StaticKey::Password(Zeroizing::new(password.into()));
            StaticUser { name: name.into(), key }
        };
        let tenant = |name: &str, realm: &str, users, secret| TenantCredentials {
            name: name.parse().unwrap(),
            realm: realm.into(),
            server_names: vec![format!("turn.{name}.example")],
            users,
            secrets: vec![SharedSecret::new(secret)],
        };
        authenticator().with_tenants(&[
            tenant("acme", "example.org", vec![user("alice", "of acme")], "secret of acme"),
            tenant("beta", "beta.example", vec![user("alice", "correct horse")], "secret of beta"),
        ])
    }

    #[test]
    fn rows_of_a_tenant_s_realm_are_its_own_and_replace_nothing_of_it() {
        let user = |name: &str, password: &str| {
            let key = StaticKey::Password(Zeroizing::new(password.into()));
            StaticUser { name: name.into(), key }
        };
        let users = [user("alice", "of a row"), user("dora", "doras password")];
        let secrets = [SharedSecret::new("a secret of a row"), SharedSecret::new("secret of beta")];
        let beta = "beta".parse().unwrap();
        let rows = |realm| TenantRows { name: &beta, realm, users: &users, secrets: &secrets };
        let authenticator =
            with_tenants().with_rows_of_tenants(&[rows("beta.example"), rows("nowhere.example")]);
        let granted = |realm: &str, name: &str, password: &str| -> Result<(String, bool), Denied> {
            let realm = authenticator.realm(authenticator.named(realm).unwrap());
            let sent = long_term_key(name, realm.name(), password);
            let fits = |key: &LongTermKey| key.bytes() == sent.bytes();
            let grant = realm.authenticate(Claim::Name(name), PasswordAlgorithm::Md5, NOW, fits)?;
            Ok((grant.user.tenant().to_string(), grant.origin.unwrap().is_of_database()))
        };
        let of_beta = |is_of_database| Ok(("beta".to_owned(), is_of_database));
        assert_eq!(granted("beta.example", "dora", "doras password"), of_beta(true));
        assert_eq!(granted("beta.example", "alice", "correct horse"), of_beta(false));
        assert_eq!(granted("beta.example", "alice", "of a row"), Err(Denied::WrongPassword));
        let rest = "1700000600:carol";
        for (secret, is_of_database) in [("a secret of a row", true), ("secret of beta", false)] {
            let password = SharedSecret::new(secret).password_for(rest);
            assert_eq!(granted("beta.example", rest, &password), of_beta(is_of_database));
            assert_eq!(granted("example.org", rest, &password), Err(Denied::WrongPassword));
        }
        assert_eq!(granted("example.org", "dora", "doras password"), Err(Denied::UnknownUser));
        assert!(authenticator.named("nowhere.example").is_none());
    }

    fn entered(realm: Option<&str>, server_name: Option<&str>) -> RealmId {
        let entrance =
            || Entrance { realm: realm.map(Into::into), server_name: server_name.map(Into::into) };
        with_tenants().realm_at(entrance)
    }

    fn granted(realm: RealmId, username: &str, password: &str) -> Result<(String, String), Denied> {
        let authenticator = with_tenants();
        let realm = authenticator.realm(realm);
        let sent = long_term_key(username, realm.name(), password);
        let fits = |key: &LongTermKey| key.bytes() == sent.bytes();
        let algorithm = PasswordAlgorithm::Md5;
        let grant = realm.authenticate(Claim::Name(username), algorithm, NOW, fits)?;
        assert_eq!(grant.user.tenant(), grant.username.tenant());
        Ok((grant.user.tenant().to_string(), grant.user.realm().to_owned()))
    }

    #[test]
    fn the_key_that_fits_decides_the_tenant() {
        let of = |tenant: &str, realm: &str| Ok((tenant.to_owned(), realm.to_owned()));
        let here = RealmId::default();
        assert_eq!(granted(here, "alice", "correct horse"), of("default", "example.org"));
        assert_eq!(granted(here, "alice", "of acme"), of("acme", "example.org"));
        assert_eq!(granted(here, "alice", "of nobody"), Err(Denied::WrongPassword));
        let rest = "1700000600:alice";
        for (secret, tenant) in [("old secret", "default"), ("secret of acme", "acme")] {
            let password = SharedSecret::new(secret).password_for(rest);
            assert_eq!(granted(here, rest, &password), of(tenant, "example.org"));
        }
        // One of another realm is none here, be it in the name of the same user.
        let password = SharedSecret::new("secret of beta").password_for(rest);
        assert_eq!(granted(here, rest, &password), Err(Denied::WrongPassword));
        let beta = entered(Some("beta.example"), None);
        assert_eq!(granted(beta, rest, &password), of("beta", "beta.example"));
        assert_eq!(granted(beta, "alice", "correct horse"), of("beta", "beta.example"));
        assert_eq!(granted(beta, "alice", "of acme"), Err(Denied::WrongPassword));
    }

    #[test]
    fn the_listener_decides_the_realm_and_otherwise_the_name_that_a_client_asks_for() {
        let name = |id| with_tenants().realm(id).name().to_owned();
        for (realm, server_name, expected) in [
            (None, None, "example.org"),
            (Some("beta.example"), None, "beta.example"),
            (None, Some("turn.beta.example"), "beta.example"),
            (None, Some("turn.acme.example"), "example.org"),
            (None, Some("turn.example.net"), "example.org"),
            (Some("example.org"), Some("turn.beta.example"), "example.org"),
            (Some("not.configured"), Some("turn.beta.example"), "beta.example"),
        ] {
            assert_eq!(name(entered(realm, server_name)), expected, "{realm:?} {server_name:?}");
        }
        let asked = Cell::new(false);
        let id = authenticator().realm_at(|| {
            asked.set(true);
            Entrance { realm: Some("beta.example".into()), server_name: None }
        });
        assert!(id == RealmId::default() && !asked.get(), "nobody asks where there is one realm");
    }

    #[test]
    fn tenants_always_tell_users_apart() {
        let user = |realm: &str, tenant: &str| {
            UserId::new(&realm.into(), "alice").of_tenant(&tenant.parse().unwrap())
        };
        let same = |granted: &UserId, holder: &UserId| with_tenants().is_same(granted, holder);
        let here = user("example.org", "acme");
        assert!(same(&here, &here.clone()) && same(&here, &user("old.example", "acme")));
        for other in [user("example.org", "default"), user("example.org", "beta")] {
            assert!(!same(&here, &other) && !same(&other, &here));
        }
        assert!(!same(&here, &user("beta.example", "acme")) && !same(&here, &user("x", "beta")));
    }

    #[test]
    fn with_tenants_every_name_takes_the_same_number_of_checks() {
        let checks = |realm, claim| {
            let count = Cell::new(0);
            let authenticator = with_tenants();
            let realm = authenticator.realm(realm);
            let _ = realm.authenticate(claim, PasswordAlgorithm::Md5, NOW, |_| {
                count.set(count.get() + 1);
                false
            });
            count.get()
        };
        // Two of one name, and three secrets; in the other realm one of each.
        for name in ["alice", "bob", "carol", "1700000600:alice", "1:alice", ""] {
            assert_eq!(checks(RealmId::default(), Claim::Name(name)), 5, "{name}");
            let hash = Claim::Hash(userhash(name, "example.org"));
            assert_eq!(checks(RealmId::default(), hash), 5, "{name}");
            assert_eq!(checks(entered(Some("beta.example"), None), Claim::Name(name)), 2, "{name}");
        }
    }

    //= 8489-16-rfc7616-5
    #[test]
    fn every_failure_takes_the_same_number_of_checks() {
        let checks = |claim| {
            let count = Cell::new(0);
            for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
                let _ = authenticator().realm(RealmId::default()).authenticate(
                    claim,
                    algorithm,
                    NOW,
                    |_| {
                        count.set(count.get() + 1);
                        false
                    },
                );
            }
            count.get()
        };
        for name in ["alice", "bob", "carol", "1700000600:alice", "1:alice", ""] {
            assert_eq!(checks(Claim::Name(name)), 6, "{name}");
            assert_eq!(checks(Claim::Hash(userhash(name, "example.org"))), 6, "{name}");
        }
    }
}
