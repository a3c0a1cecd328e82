//! Who may use the relay: static users, REST shared secrets, nonces.
#![forbid(unsafe_code)]

mod authenticator;
mod features;
mod grant;
mod keys;
mod nonce;
mod opaque;
mod origin;
mod realm;
mod rest;
mod shared_nonce;

pub use authenticator::{Authenticator, RealmId, TenantCredentials, TenantRows};
pub use features::{NotOffered, PASSWORD_ALGORITHMS, SecurityFeatures, negotiate};
pub use grant::{Claim, Denied, Grant};
pub use keys::{StaticKey, StaticUser, bare, long_term_key, long_term_key_by, userhash};
pub use nonce::{Nonce, NonceError, NonceKeys};
pub use opaque::{NotOpaque, prepared};
pub use origin::Origin;
pub use realm::Realm;
pub use rest::{RestName, SecretHash, SharedSecret, is_in_milliseconds};
pub(crate) use shared_nonce::{SharedNonce, SharedNonceKey};

pub use taciturn_stun::{LongTermKey, PasswordAlgorithm};
