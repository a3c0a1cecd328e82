//! taciturn: a TURN/STUN relay server (RFC 8489, RFC 8656).
//!
//! The map, from the wire up. Dependencies point one way only, and a test
//! (`tests/layers.rs`) holds that:
//!
//! ```text
//! main  ->  admin  ->  config, net
//! admin, ctl  ->  control
//! main, ctl  ->  config, net  ->  turn  ->  auth, policy  ->  stun
//! main, ctl, config, net  ->  tls
//! net  ->  proxy_protocol, dtls
//! main  ->  notify
//! ```
//!
//! * [`stun`]: the wire. Messages, attributes, integrity, ChannelData. No I/O, no clock.
//! * [`clock`]: time as an argument; knows nothing of the others.
//! * [`auth`]: who may. Static users, shared secrets, nonces.
//! * [`policy`]: what they may. Peer rules, port pool, quotas, rates.
//! * [`turn`]: the protocol as a state machine. Time, randomness and sockets come in from
//!   outside; what must happen goes out as verdicts and commands.
//! * [`net`]: the only room with sockets. `unsafe` in two of its files.
//! * [`tls`]: certificates, found, checked and renewed in place. It needs nothing of ours.
//! * [`process`]: whom the process runs as, and what it may still open. It needs nothing of ours.
//! * [`proxy_protocol`]: who is behind a proxy. A parser, no I/O; it needs nothing of ours.
//! * `dtls` (feature `dtls`, on by default): DTLS connections without sockets, on OpenSSL. It needs
//!   nothing of ours. `unsafe` in its `ffi.rs` only.
//! * [`notify`]: what systemd hears of the server. It needs nothing of ours.
//! * [`config`]: the schema, defaults, validation.
//! * [`control`]: the protocol between turnctl and a running server. It needs nothing of ours.
//! * [`admin`]: the running server as its operator sees and changes it.
//! * [`ctl`]: turnctl, one file a subcommand; a TURN client and the tests of `turnctl check`.

pub mod admin;
pub mod auth;
pub mod clock;
pub mod config;
pub mod control;
pub mod ctl;
#[cfg(feature = "dtls")]
pub mod dtls;
pub mod net;
pub mod notify;
pub mod policy;
pub mod process;
pub mod proxy_protocol;
pub mod stun;
pub mod tls;
pub mod turn;

// What unit tests share with those of `tests` names the library from outside.
#[cfg(all(test, feature = "dtls"))]
extern crate self as taciturn;
