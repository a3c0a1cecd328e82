//! What the tests of several crates share: the programs, clients of every transport, certificates.
//!
//! A test may panic, so no function here returns an error that a test would only unwrap.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
// Each authority is another one, and why a record cannot be read does not matter to a test.
#![allow(clippy::new_without_default, clippy::result_unit_err)]

pub mod certificates;
pub mod check;
pub mod datagrams;
#[cfg(feature = "dtls")]
pub mod dtls;
#[cfg(feature = "dtls")]
pub mod dtls_stream;
#[cfg(feature = "dtls")]
pub mod everywhere;
#[cfg(target_os = "linux")]
pub mod ip_fields;
pub mod program;
pub mod server;
pub mod shard;
pub mod stream_client;
pub mod stun;
pub mod tcp_relay_client;
pub mod unnamed_file;
