//! Who a client says it is, and what its credential comes to.

use std::sync::Arc;

use super::{LongTermKey, Origin, SecretHash};
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
