//! Certificates: where they lie, what is wrong with them, and how running listeners get new ones.
//!
//! * [`CertSource`] names a place (PEM files, a certbot directory, Traefik's `acme.json`);
//!   [`load`] makes a [`CertifiedChain`] of it, or a [`CertError`] that says what to do.
//! * [`CertifiedChain::warnings`] says what clients will not like about it.
#![forbid(unsafe_code)]

mod acme;
mod chain;
mod error;
mod files;
mod names;
mod pem;
mod source;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod warning;

pub use chain::{CertifiedChain, KeyKind};
pub use error::{CertError, Found, PemProblem, Place};
pub use files::Access;
pub use source::{CertSource, load};
pub use warning::Warning;
