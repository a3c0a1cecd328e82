//! Who may use the relay: static users, REST shared secrets, nonces.
#![forbid(unsafe_code)]

mod authenticator;
mod keys;
mod nonce;
mod rest;

pub use authenticator::{Authenticator, Denied, Grant};
pub use keys::{StaticKey, StaticUser, long_term_key};
pub use nonce::{NonceError, NonceKeys};
pub use rest::{RestName, SharedSecret};

pub use crate::stun::LongTermKey;
