//! Which user or secret of the configuration a credential came from, so that its sessions can be
//! found when it is removed.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};

/// A part of a hash: enough to tell one credential from another, and nothing to sign with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub(super) struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Of `parts`, none of which may run into the next.
    fn of(parts: [&[u8]; 3]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let full: [u8; 32] = hash.finalize().into();
        let mut short = [0; 8];
        short.copy_from_slice(&full[..8]);
        Self(short).marked(false)
    }

    /// With the mark of a database or without it: one bit of what is no part of the hash.
    const fn marked(self, mark: bool) -> Self {
        let Self([a, b, c, d, e, f, g, last]) = self;
        Self([a, b, c, d, e, f, g, (last & !DATABASE) | if mark { DATABASE } else { 0 }])
    }

    const fn is_marked(self) -> bool {
        let Self([.., last]) = self;
        last & DATABASE != 0
    }
}

/// The bit of a fingerprint that says that the credential was in a database. So snapshots of either kind have one form.
const DATABASE: u8 = 1;

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// A static user with its password, or a shared secret. Holds neither.
///
/// There are two fingerprints, and one of them is enough: a password may be replaced by the key that is made
/// of it, and the realm, which is part of that key, may change while the password stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Origin([Fingerprint; 2]);

impl Origin {
    /// Of a shared secret.
    pub(super) fn of_secret(secret: &[u8]) -> Self {
        Self([Fingerprint::of([b"secret", b"", secret]); 2])
    }

    /// Of a static user, by its password, if that is known, and its MD5 key in the realm.
    pub(super) fn of_user(name: &str, password: Option<&[u8]>, key: Option<&[u8]>) -> Self {
        let by_key = key.map(|key| Fingerprint::of([b"key", name.as_bytes(), key]));
        let by_password =
            password.map(|password| Fingerprint::of([b"password", name.as_bytes(), password]));
        let nothing = || Fingerprint::of([b"nothing", name.as_bytes(), b""]);
        let one = by_key.or(by_password).unwrap_or_else(nothing);
        Self([one, by_password.unwrap_or(one)])
    }

    /// The same user or secret, from a database and not from the configuration.
    pub(super) const fn of_database(self) -> Self {
        let Self([one, other]) = self;
        Self([one.marked(true), other.marked(true)])
    }

    /// Whether it was from a database when the credential was checked.
    #[must_use]
    pub const fn is_of_database(&self) -> bool {
        let Self([one, _]) = self;
        one.is_marked()
    }

    /// What it is found by, wherever it is from.
    pub(super) const fn fingerprints(&self) -> [Fingerprint; 2] {
        let Self([one, other]) = *self;
        [one.marked(false), other.marked(false)]
    }
}
