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
        Self(short)
    }
}

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

    pub(super) const fn fingerprints(&self) -> [Fingerprint; 2] {
        self.0
    }
}
