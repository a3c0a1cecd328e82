//! DTLS 1.2 for clients that speak TURN over it (RFC 6347, RFC 7350), on OpenSSL.
//!
//! Sans-IO: no sockets, no clock of its own for admission, no tasks, no locks. The owner (one
//! shard) has the UDP socket and the timers and moves datagrams in and out:
//!
//! ```text
//!  unknown source -> Listener::datagram_from_unknown -> Reply | Drop | Accept(Connection)
//!  known source   -> Connection::handle_datagram, then recv until None, then poll_transmit until None
//!  timer          -> Connection::handle_timeout when timeout() has passed, then poll_transmit
//! ```
//!
//! A stranger costs nothing: the cookie exchange of RFC 6347 section 4.2.1 is done here in safe
//! Rust, from one HMAC key for all. OpenSSL sees its first byte, and memory is taken, only after
//! a source has shown that it receives what is sent to it (what CVE-2026-73214 was about).
//!
//! All `unsafe` of the module is in `ffi.rs`.

mod connection;
mod context;
mod cookie;
mod error;
mod ffi;
mod guard;
mod hello;
mod listener;
mod wire;

pub use connection::{CloseReason, Connection, MAX_PAYLOAD, RECORD_OVERHEAD};
pub use context::{DtlsContext, NameResolver};
pub use error::DtlsError;
#[doc(hidden)] // for tests/corpus alone
pub use guard::{Guard, plausible};
pub use hello::is_client_hello;
pub use listener::{Admission, DEFAULT_MTU, Listener};
