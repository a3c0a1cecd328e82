//! What the servers of a fleet know and their board does not: keys made of the credentials that all have.

use std::num::NonZeroU32;

use ring::{hmac, pbkdf2};
use sha2::{Digest as _, Sha256};
use taciturn_config::{Config, Secret, Tenant};
use taciturn_turn::auth::{PasswordAlgorithm, StaticUser};
use zeroize::Zeroizing;

/// How often the hash is repeated, so that who reads the board and has a guess at all passwords pays for it: some tens of
/// milliseconds, here once.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// The keys of a fleet.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct FleetKeys {
    /// What the tags of users are made with.
    pub(super) tags: Zeroizing<[u8; 32]>,
    /// What counts and records of nodes are sealed with.
    pub(super) seal: Zeroizing<[u8; 32]>,
    /// What nonces are made with for clients that are sent to another node.
    pub(super) nonces: Zeroizing<[u8; 32]>,
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
        Self { tags: key(b"tags of users"), seal: key(b"seals"), nonces: key(b"nonces") }
    }
}

/// The keys of the fleet, as long as its servers have the same credentials.
pub(super) struct KeyRing {
    prefix: String,
    credentials: CredentialsHash,
    keys: FleetKeys,
}

impl KeyRing {
    /// Of the servers that meet below this prefix.
    pub(super) fn new(config: &Config) -> Self {
        let (prefix, credentials) = (config.fleet.prefix.as_str(), CredentialsHash::of(config));
        let keys = FleetKeys::of(&credentials, prefix);
        Self { prefix: prefix.to_owned(), credentials, keys }
    }

    /// The keys of this configuration.
    pub(super) fn of(&mut self, config: &Config) -> &FleetKeys {
        let credentials = CredentialsHash::of(config);
        if self.credentials != credentials {
            self.keys = FleetKeys::of(&credentials, &self.prefix);
            self.credentials = credentials;
        }
        &self.keys
    }
}

/// A hash of all users and secrets of a configuration. It is as secret as they are.
#[derive(PartialEq, Eq)]
pub(super) struct CredentialsHash(Zeroizing<[u8; 32]>);

impl CredentialsHash {
    /// Of all of them, in whatever order.
    pub(super) fn of(config: &Config) -> Self {
        let mut all = credentials_of("", &config.realm, &config.auth.secrets, &config.auth.users);
        for Tenant { name, realm, secrets, users, .. } in &config.tenants {
            all.extend(credentials_of(&format!("{name}/"), realm, secrets, users));
        }
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

/// The credentials of one tenant, which begin like no other's.
fn credentials_of(
    prefix: &str,
    realm: &str,
    secrets: &[Secret],
    users: &[StaticUser],
) -> Vec<Zeroizing<Vec<u8>>> {
    let secrets = secrets
        .iter()
        .map(|secret| Zeroizing::new([prefix.as_bytes(), secret.secret.expose()].concat()));
    let users = users.iter().map(|user| {
        let key = user.long_term_key(PasswordAlgorithm::Md5, realm);
        let key = key.as_ref().map_or(&[][..], |key| key.bytes());
        Zeroizing::new([prefix.as_bytes(), user.name.as_bytes(), b":", key].concat())
    });
    secrets.chain(users).collect()
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
            "users = [\"alice:s3cret-of-alice\"]\n[[tenant]]\nname = \"acme\"\nusers = [\"bob:s3cret-of-bob\"]",
            "users = [\"alice:s3cret-of-alice\"]\n[[tenant]]\nname = \"umbrella\"\nusers = [\"bob:s3cret-of-bob\"]",
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
        let mut keys: Vec<_> =
            all.iter().flat_map(|keys| [*keys.tags, *keys.seal, *keys.nonces]).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 9);
    }
}
