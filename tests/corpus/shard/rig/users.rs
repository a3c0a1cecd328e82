//! Who there is, and how each proves itself.

use std::sync::{Arc, LazyLock};

use taciturn_stun::Message;
use taciturn_turn::auth::{
    Authenticator, LongTermKey, PasswordAlgorithm, SharedSecret, StaticKey, StaticUser,
    long_term_key, long_term_key_by,
};
use zeroize::Zeroizing;

use super::{REALM, START};

/// Who there is: name, password.
pub(super) static USERS: LazyLock<Vec<User>> = LazyLock::new(|| {
    let rest = |name: &str| {
        let password = SharedSecret::new("a shared secret").password_for(name);
        User::new(name, &password)
    };
    vec![
        User::new("alice", "alice's password"),
        User::new("bob", "bob's password"),
        rest(&format!("{}:carol", START + 700)),
        rest(&format!("{}:dave", START + 1_000_000)),
    ]
});

pub(super) struct User {
    pub(super) name: String,
    password: String,
    pub(super) md5: LongTermKey,
    pub(super) sha256: LongTermKey,
}

impl User {
    fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.into(),
            password: password.into(),
            md5: long_term_key(name, REALM, password),
            sha256: long_term_key_by(PasswordAlgorithm::Sha256, name, REALM, password),
        }
    }

    pub(super) fn has_made(&self, message: &Message<'_>) -> bool {
        message.verify_integrity(&self.md5) || message.verify_integrity(&self.sha256)
    }
}

/// Keys are made once: they are most of what a server's start costs.
pub(super) static AUTHENTICATORS: LazyLock<[Arc<Authenticator>; 4]> = LazyLock::new(|| {
    std::array::from_fn(|number| {
        let users: Vec<StaticUser> = USERS[..2]
            .iter()
            .map(|user| StaticUser {
                name: user.name.clone(),
                key: StaticKey::Password(Zeroizing::new(user.password.clone())),
            })
            .collect();
        let secrets = match number & 1 {
            0 => Vec::new(),
            _ => vec![SharedSecret::new("a shared secret")],
        };
        Arc::new(Authenticator::new(REALM, &users, secrets, number & 2 != 0))
    })
});
