//! Which rows of a database are users and secrets, and whose, by the rules for configured ones.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest as _, Sha256};
use taciturn_config::{Config, rows};
use taciturn_database::{RowKey, Rows, SecretRow, UserRow};
use taciturn_turn::TenantName;
use taciturn_turn::auth::{StaticKey, StaticUser};

use super::super::rules::{Credentials, Extra, OfTenant};

/// How many secrets of a realm are used. Each is a hash for each credential that is checked.
pub(super) const MOST_SECRETS: usize = 32;

/// What the judgement needs of the configuration.
pub(super) struct Judge {
    allow_weak: bool,
    /// In the order of the numbers that rows name them by.
    realms: Vec<RealmOf>,
}

/// A realm whose rows are read.
struct RealmOf {
    realm: String,
    /// Whose it is; `None` if several tenants have it.
    tenant: Option<TenantName>,
    /// The names of the users of the configuration.
    taken: HashSet<String>,
    /// The names of those that are found.
    names: HashSet<String>,
    found: Credentials,
}

impl RealmOf {
    fn new(realm: &str, tenant: TenantName, users: &[StaticUser]) -> Self {
        Self {
            realm: realm.to_owned(),
            tenant: Some(tenant),
            taken: users.iter().map(|user| user.name.clone()).collect(),
            names: HashSet::new(),
            found: Credentials::default(),
        }
    }
}

/// The realms of tenants that are not the server's, each once.
pub(super) fn other_realms(config: &Config) -> Vec<String> {
    let mut realms: Vec<String> = Vec::new();
    for tenant in &config.tenants {
        if tenant.realm != config.realm && !realms.contains(&tenant.realm) {
            realms.push(tenant.realm.clone());
        }
    }
    realms
}

/// The outcome.
pub(super) struct Judged {
    pub(super) extra: Extra,
    /// How many users and secrets there are in all.
    pub(super) users: usize,
    pub(super) secrets: usize,
    /// Why rows are left out, and how many.
    pub(super) left_out: BTreeMap<&'static str, usize>,
    /// Tells these users and secrets from others.
    pub(super) digest: [u8; 32],
}

impl Judge {
    pub(super) fn new(config: &Config) -> Self {
        let own = RealmOf::new(&config.realm, TenantName::default(), &config.auth.users);
        let others = other_realms(config).into_iter().map(|realm| {
            let mut tenants = config.tenants.iter().filter(|tenant| tenant.realm == realm);
            let (first, second) = (tenants.next(), tenants.next());
            let users = first.map(|tenant| tenant.users.as_slice()).unwrap_or_default();
            let of = RealmOf::new(&realm, TenantName::default(), users);
            let tenant = first.filter(|_| second.is_none()).map(|tenant| tenant.name.clone());
            RealmOf { tenant, ..of }
        });
        Self {
            allow_weak: config.auth.allow_weak_credentials,
            realms: std::iter::once(own).chain(others).collect(),
        }
    }

    pub(super) fn judge(self, rows: Rows) -> Judged {
        let Self { allow_weak, mut realms } = self;
        let mut left_out: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut leave_out = |reason, number| {
            if number > 0 {
                *left_out.entry(reason).or_default() += number;
            }
        };
        leave_out("a column is empty or no text", rows.unreadable);
        for UserRow { realm, name, key } in rows.users {
            match realms.get_mut(realm).map(|of| of.take_user(&name, &key, allow_weak)) {
                Some(Ok(())) => {}
                Some(Err(reason)) => leave_out(reason, 1),
                None => leave_out(UNKNOWN, 1),
            }
        }
        for SecretRow { realm, value } in rows.secrets {
            match realms.get_mut(realm).map(|of| of.take_secret(&value, allow_weak)) {
                Some(Ok(())) => {}
                Some(Err(reason)) => leave_out(reason, 1),
                None => leave_out(UNKNOWN, 1),
            }
        }
        let digest = digest(&realms);
        let users = realms.iter().map(|of| of.found.users.len()).sum();
        let secrets = realms.iter().map(|of| of.found.secrets.len()).sum();
        let mut realms = realms.into_iter();
        let own = realms.next().map(|of| of.found).unwrap_or_default();
        let tenants = realms.filter_map(|RealmOf { realm, tenant, found, .. }| {
            Some(OfTenant { name: tenant?, realm, found })
        });
        let extra = Extra { own, tenants: tenants.collect() };
        Judged { extra, users, secrets, left_out, digest }
    }
}

const UNKNOWN: &str = "the realm is nobody's";
const SHARED: &str = "several tenants have this realm: whose it is cannot be told";

impl RealmOf {
    fn take_user(
        &mut self,
        name: &str,
        key: &RowKey,
        allow_weak: bool,
    ) -> Result<(), &'static str> {
        let user = match key {
            RowKey::Key(key) => rows::keyed_user(name, key, &self.realm, allow_weak),
            RowKey::Password(password) => rows::user_with_password(name, password, allow_weak),
        }?;
        if self.tenant.is_none() {
            return Err(SHARED);
        }
        if self.taken.contains(&user.name) {
            return Err("a user of this name is in the configuration");
        }
        if !self.names.insert(user.name.clone()) {
            return Err("another user has this name");
        }
        self.found.users.push(user);
        Ok(())
    }

    fn take_secret(&mut self, value: &str, allow_weak: bool) -> Result<(), &'static str> {
        let secret = rows::shared_secret(value, allow_weak)?;
        if self.tenant.is_none() {
            return Err(SHARED);
        }
        if self.found.secrets.len() == MOST_SECRETS {
            return Err("there are more than 32 secrets of a realm");
        }
        self.found.secrets.push(secret);
        Ok(())
    }
}

fn digest(realms: &[RealmOf]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    for RealmOf { realm, tenant, found, .. } in realms {
        let tenant = tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        [&b"realm"[..], realm.as_bytes(), tenant.as_bytes()].into_iter().for_each(&mut add);
        for user in &found.users {
            let (kind, key) = match &user.key {
                StaticKey::Md5(key) => (&b"k"[..], &key[..]),
                StaticKey::Password(password) => (&b"p"[..], password.as_bytes()),
            };
            [user.name.as_bytes(), kind, key].into_iter().for_each(&mut add);
        }
        add(b"secrets");
        found.secrets.iter().for_each(|secret| add(secret.expose()));
    }
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn config(more: &str) -> Config {
        let toml = format!(
            r#"
            realm = "example.org"
            auth.users = ["static:correct horse"]
            [[tenant]]
            name = "acme"
            secrets = ["a secret of acme, and long"]
            [[tenant]]
            name = "beta"
            realm = "beta.example"
            users = ["alice:correct horse"]
            {more}
            "#
        );
        Config::from_toml(&toml).unwrap().config
    }

    fn rows(users: &[(usize, &str)], secrets: &[(usize, &str)]) -> Rows {
        let key = |realm: &usize, name: &str| {
            RowKey::Password(Zeroizing::new(format!("{name} has a password of realm {realm}")))
        };
        let user = |(realm, name): &(usize, &str)| UserRow {
            realm: *realm,
            name: (*name).to_owned(),
            key: key(realm, name),
        };
        let secret = |(realm, value): &(usize, &str)| SecretRow {
            realm: *realm,
            value: Zeroizing::new((*value).to_owned()),
        };
        Rows {
            users: users.iter().map(user).collect(),
            secrets: secrets.iter().map(secret).collect(),
            ..Rows::default()
        }
    }

    fn names(found: &Credentials) -> Vec<&str> {
        found.users.iter().map(|user| user.name.as_str()).collect()
    }

    #[test]
    fn rows_are_whose_realm_it_is_and_the_configuration_comes_first() {
        let config = config("");
        assert_eq!(other_realms(&config), ["beta.example"]);
        let read = rows(
            &[(0, "alice"), (0, "static"), (1, "alice"), (1, "static"), (1, "dora"), (2, "eve")],
            &[(0, "a secret of the server"), (1, "a secret of beta, long")],
        );
        let judged = Judge::new(&config).judge(read);
        assert_eq!(names(&judged.extra.own), ["alice"]);
        let [beta] = judged.extra.tenants.as_slice() else { unreachable!() };
        assert_eq!((beta.name.to_string(), beta.realm.as_str()), ("beta".into(), "beta.example"));
        assert_eq!((names(&beta.found), beta.found.secrets.len()), (vec!["static", "dora"], 1));
        assert_eq!((judged.users, judged.secrets), (3, 2));
        let left_out: Vec<_> = judged.left_out.into_iter().collect();
        assert_eq!(left_out, [("a user of this name is in the configuration", 2), (UNKNOWN, 1)]);
    }

    #[test]
    fn rows_of_a_realm_that_several_tenants_have_are_nobody_s() {
        let config = config(
            "[[tenant]]\nname = \"gamma\"\nrealm = \"beta.example\"\nsecrets = [\"a secret of gamma, long\"]",
        );
        let judged =
            Judge::new(&config).judge(rows(&[(1, "dora")], &[(1, "a secret of beta, long")]));
        assert_eq!((judged.users, judged.secrets, judged.extra.tenants.len()), (0, 0, 0));
        assert_eq!(judged.left_out.into_iter().collect::<Vec<_>>(), [(SHARED, 2)]);
    }

    #[test]
    fn each_realm_has_so_many_secrets_and_whose_they_are_tells_contents_apart() {
        let secrets: Vec<_> = (0..2 * MOST_SECRETS)
            .map(|n| (n % 2, format!("a secret with the number {n}")))
            .chain([(1, "one more than there may be".to_owned())])
            .collect();
        let secrets: Vec<_> = secrets.iter().map(|(realm, text)| (*realm, text.as_str())).collect();
        let judged = Judge::new(&config("")).judge(rows(&[], &secrets));
        assert_eq!(judged.secrets, 2 * MOST_SECRETS);
        assert_eq!(judged.left_out.values().sum::<usize>(), 1);
        let digest =
            |config: &Config, realm| Judge::new(config).judge(rows(&[(realm, "dora")], &[])).digest;
        assert_ne!(digest(&config(""), 0), digest(&config(""), 1));
        let mut renamed = config("");
        renamed.tenants[1].name = "delta".parse().unwrap();
        assert_ne!(digest(&config(""), 1), digest(&renamed, 1));
    }
}
