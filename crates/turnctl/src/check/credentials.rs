//! What `check` logs in with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client::Login;
use taciturn_turn::auth::{RestName, SecretHash, SharedSecret};

/// How long a username made here is good: as long as the shortest one that a homeserver should
/// give out, so that a clock that is off by more is seen.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

/// Where username and password come from.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// Nobody gave any.
    None,
    /// As they are: from the command line, or from a homeserver.
    Fixed(Login),
    /// Made for each login from a shared secret.
    Secret {
        /// The secret.
        secret: SharedSecret,
        /// What the password is made with.
        hash: SecretHash,
        /// The name behind the expiry.
        name: String,
    },
}

impl Credentials {
    /// A username and password; `None` where there are none. Where they are made here, they are good
    /// for `lifetime`.
    pub(crate) fn login_for(&self, lifetime: Duration) -> Option<Login> {
        match self {
            Self::None => None,
            Self::Fixed(login) => Some(login.clone()),
            Self::Secret { secret, hash, name } => {
                let username = format!("{}:{name}", now().saturating_add(lifetime.as_secs()));
                let password = secret.password_by(*hash, &username);
                Some(Login { username, password })
            }
        }
    }

    /// When a fixed username of the REST scheme ends, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<u64> {
        match self {
            Self::Fixed(login) => RestName::parse(&login.username).map(|name| name.expires),
            _ => None,
        }
    }

    /// Whether that time is over, by this machine's clock.
    pub(super) fn is_expired(&self) -> bool {
        self.expires().is_some_and(|expires| expires <= now())
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
