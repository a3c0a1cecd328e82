//! Clients on DTLS: the listening sockets are a worker's UDP sockets, the connections live beside
//! its shard.
//!
//! ```text
//!  datagram -> Tuple -> known?   Session::deliver -> records -> Shard::from_client -> verdicts
//!                    -> unknown? Door::admit -> HelloVerifyRequest | nothing | a Session
//!  verdict  -> Dtls::media / Dtls::answer -> record -> Outbox -> sendmsg at the end of the batch
//! ```
//!
//! Nothing is kept for a source before it has returned its cookie; then it takes a place among
//! `limits.connections`, and one of few for handshakes that are not finished. There is no task for
//! a connection and no look at all of them: deadlines are in one heap for each worker.
//= 8656-5-tcp-tls-dtls

mod deadlines;
mod door;
mod outbox;
mod places;
mod serve;
mod session;
mod settings;
#[cfg(test)]
#[path = "../../../testkit/src/dtls.rs"]
#[allow(dead_code, unreachable_pub, reason = "testkit's, here with this crate's own types")]
mod support;
#[cfg(test)]
mod tests;

pub(super) use self::door::{Dtls, Plain};
pub(super) use self::serve::Hands;
pub use self::settings::DtlsSettings;
