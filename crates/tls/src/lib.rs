//! Certificates: finding, checking and renewing them.
//!
//! * [`CertSource`] names a place (PEM files, a certbot directory, Traefik's `acme.json`);
//!   [`load`] returns a [`CertifiedChain`], or a [`CertError`] that says what to do.
//! * [`CertifiedChain::warnings`] lists reasons for which clients reject it.
//! * [`CertStore`] holds the chains of a server, picks one by SNI and renews them in place.
//! * [`TlsServer`] is the rustls side; other TLS stacks take DER or PEM from the chain.
#![forbid(unsafe_code)]

mod access;
mod acme;
mod chain;
mod error;
mod files;
mod names;
mod pem;
mod resumption;
mod server;
mod source;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod warning;

pub use access::Access;
pub use chain::CertifiedChain;
pub use error::{CertError, Found, PemProblem, Place};
pub use pem::KeyKind;
pub use server::{ALPN_PROTOCOLS, Begun, Signing, TlsServer, server_config};
pub use source::{CertSource, load};
pub use store::{CertStore, Finding, ReloadOutcome, Report, best_fit};
pub use warning::Warning;
