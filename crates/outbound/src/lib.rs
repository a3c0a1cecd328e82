//! Connections that the server makes to other servers: a database, a Valkey or Redis, a receiver of records.
//!
//! Such a server may be another one than is meant, or send without end. So certificates and their names are checked,
//! and a [`Bounded`] connection is read no further than its [`Allowance`]. Deadlines are the callers'.
#![forbid(unsafe_code)]

mod bounded;
mod connect;
mod tls;

pub use bounded::{Allowance, Bounded};
pub use connect::{Stream, connect, tcp};
pub use tls::{Tls, TlsStream};
