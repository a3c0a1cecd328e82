//! Test links: the operator sends one to somebody whose call fails, whose browser finds out why.
//!
//! [`Links`] has the links that are out, who tests by them, what the two of a call leave for each other, and what was
//! found. [`verdict`] joins what a browser has measured and what the server has seen. Nothing here has a socket, and all
//! is bounded.

mod links;
mod messages;
mod observation;
mod path;
mod reports;
mod room;
mod verdict;

pub use links::{Begun, LINKS, Links, NewLink, NotBegun, Tested};
pub use messages::{
    Begin, ClientReport, ClientUri, Offered, Outcome, PairReport, Signal, Signals, UriOutcome,
};
pub use observation::{Observation, Seen};
pub use path::{TestPath, token_of};
pub use room::{NotLeft, ROOM_MESSAGE};
pub use verdict::{UriVerdict, Verdict, verdict};

use sha2::{Digest as _, Sha256};

/// What tells one set of shared secrets from another, with a key that is the process's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of these secrets.
    pub fn of<'a>(key: &[u8; 32], secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        hash.update(key);
        for secret in secrets {
            hash.update((secret.len() as u64).to_be_bytes());
            hash.update(secret);
        }
        Self(hash.finalize().into())
    }
}
