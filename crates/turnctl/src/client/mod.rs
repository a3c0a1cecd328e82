//! A TURN client (RFC 8489, RFC 8656) over UDP, TCP and TLS, for `turnctl`.
//!
//! It reports what happens on the wire rather than hiding it: a request that was refused is a
//! [`ClientError`] with its code, a certificate is judged and recorded, not enforced. Nothing here
//! waits without a bound.

mod answer;
mod connection;
mod error;
mod session;
mod shortage;
mod tls;
pub(crate) mod tls_words;
pub mod uri;

pub use answer::{Allocation, Answer, Challenge, Incoming, Opened};
pub use connection::Connection;
pub(crate) use connection::{Bytes, Parts};
pub use error::ClientError;
pub(crate) use session::Paused;
pub(crate) use session::random;
pub use session::{Client, Login};
pub use shortage::Shortage;
pub use tls::{Roots, ServerCertificate};
pub use uri::{Spoken, TurnUri};
