//! Which rows of a database are users and secrets, by the rules for configured ones.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest as _, Sha256};
use taciturn_config::{Config, rows};
use taciturn_database::{RowKey, Rows, UserRow};
use taciturn_turn::auth::{StaticKey, StaticUser};

use super::super::rules::Extra;

/// How many secrets of a database are used. Each is a hash for each credential that is checked.
pub(super) const MOST_SECRETS: usize = 32;

/// What the judgement needs of the configuration.
pub(super) struct Judge {
    realm: String,
    allow_weak: bool,
    /// The names of its users.
    taken: HashSet<String>,
}

/// The outcome.
pub(super) struct Judged {
    pub(super) extra: Extra,
    /// Why rows are left out, and how many.
    pub(super) left_out: BTreeMap<&'static str, usize>,
    /// Tells these users and secrets from others.
    pub(super) digest: [u8; 32],
}

impl Judge {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            realm: config.realm.clone(),
            allow_weak: config.auth.allow_weak_credentials,
            taken: config.auth.users.iter().map(|user| user.name.clone()).collect(),
        }
    }

    pub(super) fn judge(self, rows: Rows) -> Judged {
        let Self { realm, allow_weak, taken } = self;
        let mut left_out: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut leave_out = |reason, number| {
            if number > 0 {
                *left_out.entry(reason).or_default() += number;
            }
        };
        leave_out("a column is empty or no text", rows.unreadable);
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        let mut users: Vec<StaticUser> = Vec::with_capacity(rows.users.len());
        let mut names = HashSet::with_capacity(rows.users.len());
        for UserRow { name, key } in rows.users {
            let judged = match &key {
                RowKey::Key(key) => rows::keyed_user(&name, key, &realm, allow_weak),
                RowKey::Password(password) => rows::user_with_password(&name, password, allow_weak),
            };
            let user = match judged {
                Ok(user) => user,
                Err(reason) => {
                    leave_out(reason, 1);
                    continue;
                }
            };
            if taken.contains(&user.name) {
                leave_out("a user of this name is in the configuration", 1);
            } else if names.insert(user.name.clone()) {
                let (kind, key) = match &user.key {
                    StaticKey::Md5(key) => (&b"k"[..], &key[..]),
                    StaticKey::Password(password) => (&b"p"[..], password.as_bytes()),
                };
                [user.name.as_bytes(), kind, key].into_iter().for_each(&mut add);
                users.push(user);
            } else {
                leave_out("another user has this name", 1);
            }
        }
        add(b"secrets");
        let mut secrets = Vec::new();
        for value in rows.secrets {
            match rows::shared_secret(&value, allow_weak) {
                Ok(_) if secrets.len() == MOST_SECRETS => {
                    leave_out("there are more than 32 secrets", 1);
                }
                Ok(secret) => {
                    add(value.as_bytes());
                    secrets.push(secret);
                }
                Err(reason) => leave_out(reason, 1),
            }
        }
        Judged { extra: Extra { users, secrets }, left_out, digest: hash.finalize().into() }
    }
}
