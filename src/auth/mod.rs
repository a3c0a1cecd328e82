//! Who may use the relay: static users, REST shared secrets, nonces.
#![forbid(unsafe_code)]

mod keys;
mod rest;

pub use keys::{LongTermKey, StaticKey, StaticUser, long_term_key};
pub use rest::{RestName, SharedSecret};
