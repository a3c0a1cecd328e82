//! Clients on DTLS: the listening sockets are a worker's UDP sockets, which may serve plain UDP as well, and the
//! connections live beside its shard.
//!
//! ```text
//!  datagram -> Tuple -> known?   Connection::handle_datagram -> records -> the shard -> verdicts
//!                    -> unknown? DtlsClients::admit -> HelloVerifyRequest | nothing | a DtlsClient
//!  verdict  -> DtlsClients::data, answer -> record -> RecordQueue -> sendmsg at the end of the batch
//! ```
//!
//! Nothing is kept for a source before it has returned its cookie; then it takes a place among
//! `limits.connections`, and one of few for handshakes that are not finished. There is no task for
//! a connection and no look at all of them: deadlines are in one heap for each worker. What passes between
//! them and the shard is in `engine/dtls.rs`.
//= 8656-5-tcp-tls-dtls

mod client;
mod deadlines;
mod evictions;
mod record_queue;
mod settings;
#[cfg(test)]
#[path = "../../../testkit/src/dtls.rs"]
#[allow(dead_code, unreachable_pub, reason = "testkit's, here with this crate's own types")]
pub(super) mod support;
mod table;
#[cfg(test)]
mod tests;

pub(super) use self::client::Due;
pub use self::settings::DtlsSettings;
pub(super) use self::table::{Admitted, DtlsClients, Tuple};
