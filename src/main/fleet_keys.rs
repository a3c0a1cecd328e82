//! What the servers of a fleet know and their board does not: keys made of the credentials that all have.

use std::num::NonZeroU32;

use ring::{hmac, pbkdf2};
use sha2::{Digest as _, Sha256};
use taciturn_config::Config;
use taciturn_turn::auth::PasswordAlgorithm;
use zeroize::Zeroizing;

/// How often the hash is repeated, so that who reads the board and has a guess at all passwords pays for it: some tens of
/// milliseconds, here once.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// The keys of a fleet.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct FleetKeys {
    /// What the tags of users are made with.
    pub(super) tags: Zeroizing<[u8; 32]>,
    /// What counts are sealed with.
    pub(super) seal: Zeroizing<[u8; 32]>,
}

impl FleetKeys {
    /// Those of servers with these credentials. They take a while to make.
    pub(super) fn of(credentials: &CredentialsHash, prefix: &str) -> Self {
        let mut master = Zeroizing::new([0; 32]);
        let salt = format!("taciturn fleet {prefix}");
        let hash = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(hash, ROUNDS, salt.as_bytes(), &credentials.0[..], &mut master[..]);
        let master = hmac::Key::new(hmac::HMAC_SHA256, &master[..]);
        let key = |purpose: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            key.copy_from_slice(hmac::sign(&master, purpose).as_ref());
            key
        };
        Self { tags: key(b"tags of users"), seal: key(b"seals of counts") }
    }
}

/// A hash of all users and secrets of a configuration. It is as secret as they are.
#[derive(PartialEq, Eq)]
pub(super) struct CredentialsHash(Zeroizing<[u8; 32]>);

impl CredentialsHash {
    /// Of all of them, in whatever order.
    pub(super) fn of(config: &Config) -> Self {
        let secrets = config.auth.secrets.iter();
        let mut all: Vec<Zeroizing<Vec<u8>>> =
            secrets.map(|secret| Zeroizing::new(secret.secret.expose().to_vec())).collect();
        all.extend(config.auth.users.iter().map(|user| {
            let key = user.long_term_key(PasswordAlgorithm::Md5, &config.realm);
            let key = key.as_ref().map_or(&[][..], |key| key.bytes());
            Zeroizing::new([user.name.as_bytes(), b":", key].concat())
        }));
        all.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
        let mut hash = Sha256::new();
        for one in &all {
            hash.update((one.len() as u64).to_be_bytes());
            hash.update(one);
        }
        Self(Zeroizing::new(hash.finalize().into()))
    }

    /// Two bytes of it: other credentials have others, but for one in 65,536. Who reads the board cannot tell by it whether
    /// a password was guessed.
    pub(super) fn shown(&self) -> String {
        self.0.iter().take(2).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hash(auth: &str) -> CredentialsHash {
        let toml = format!("realm = \"example.org\"\n[auth]\n{auth}\n");
        CredentialsHash::of(&Config::from_toml(&toml).unwrap().config)
    }

    #[test]
    fn all_credentials_count_and_their_order_does_not() {
        let both = hash("users = [\"alice:s3cret-of-alice\", \"bob:s3cret-of-bob\"]");
        let turned = hash("users = [\"bob:s3cret-of-bob\", \"alice:s3cret-of-alice\"]");
        assert!(both == turned);
        for other in [
            "users = [\"alice:s3cret-of-alice\"]",
            "users = [\"alice:s3cret-of-alice\", \"bob:s3cret-of-bob2\"]",
            "users = [\"alice:s3cret-of-alice\", \"bob:s3cret-of-bob\"]\nsecrets = [\"kept-by-both-9f31b07ac2\"]",
        ] {
            assert!(both != hash(other), "{other}");
        }
    }

    #[test]
    fn keys_differ_by_credentials_prefix_and_purpose() {
        let of = |auth: &str, prefix: &str| FleetKeys::of(&hash(auth), prefix);
        let (one, other) = ("users = [\"a:s3cret-of-a1\"]", "users = [\"a:s3cret-of-a2\"]");
        let all = [of(one, "turn"), of(other, "turn"), of(one, "turn2")];
        assert!(all[0] == of(one, "turn"));
        let mut keys: Vec<_> = all.iter().flat_map(|keys| [*keys.tags, *keys.seal]).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }
}
