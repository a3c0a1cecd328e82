//! The running server as its operator changes it: a configuration that takes the place of another,
//! and the certificates behind it.
//!
//! `main.rs` joins this with `net`; what a change means for calls is in `turn`.
#![forbid(unsafe_code)]

mod certificates;
mod difference;

pub use certificates::{CertificateError, Certificates, Successors};
pub use difference::{Change, Plan};
