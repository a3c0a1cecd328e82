//! taciturn: a TURN/STUN relay server (RFC 8489, RFC 8656).
//!
//! The map, from the wire up. Dependencies point one way only, and a test
//! (`tests/layers.rs`) holds that:
//!
//! ```text
//! main, ctl  ->  config, net  ->  turn  ->  auth, policy  ->  stun
//! ```
//!
//! * [`stun`]: the wire. Messages, attributes, integrity, ChannelData. No I/O, no clock.
//! * [`auth`]: who may. Static users, shared secrets, nonces.
//! * [`policy`]: what they may. Peer rules, port pool, quotas.
//! * [`turn`]: the protocol as a state machine. Time, randomness and sockets come in from
//!   outside; what must happen goes out as verdicts and commands.
//! * `dtls` (feature `dtls`): DTLS connections without sockets, on OpenSSL; `net` drives them.
//!   `unsafe` in its `ffi.rs` only.
//! * [`net`]: the only room with sockets, and beside `dtls` the only one with `unsafe`.
//! * [`config`]: the schema, defaults, validation.
//! * [`ctl`]: turnctl, one file a subcommand.

pub mod auth;
pub mod config;
pub mod ctl;
#[cfg(feature = "dtls")]
pub mod dtls;
pub mod net;
pub mod policy;
pub mod stun;
pub mod turn;
