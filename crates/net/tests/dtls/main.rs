//! The DTLS module against OpenSSL as its client, datagram by datagram.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![cfg(feature = "dtls")]

mod admission;
mod handshake;
mod hostile;
mod records;
