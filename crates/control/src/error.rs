//! Why a request has no result.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why the server did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    /// For programs.
    pub kind: ErrorKind,
    /// For people; may have several lines.
    pub text: String,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The two programs speak different versions of the protocol.
    ProtocolMismatch,
    /// The line is not a request: not JSON, cut off, or of another shape.
    Malformed,
    /// The line is longer than [`LONGEST_REQUEST`](super::LONGEST_REQUEST) bytes.
    TooLong,
    /// The request is understood, and one of its values cannot be used.
    InvalidArgument,
    /// The process that asks runs as a user that may not.
    NotPermitted,
    /// The server cannot do this, now or at all.
    NotPossible,
    /// The configuration was refused. The server keeps the one in use.
    ConfigurationRefused,
    /// The server is stopping.
    Stopping,
    /// The server could not execute the request because of an internal error.
    Internal,
    /// A kind that this release does not know.
    #[serde(other)]
    Unknown,
}

impl Error {
    /// An error with its text.
    #[must_use]
    pub fn new(kind: ErrorKind, text: impl fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }
}

/// One of the two programs, as the other sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The version of its protocol; `None` if it did not send one.
    pub protocol: Option<u32>,
    /// Its release; `None` if it did not send one.
    pub version: Option<String>,
}

/// The two programs speak different versions of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The side that sends requests.
    pub client: Peer,
    /// The side that answers them.
    pub server: Peer,
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = |peer: &Peer| peer.version.as_ref().map(|version| format!(" {version}"));
        let protocol = |peer: &Peer| {
            peer.protocol.map_or_else(|| "an unknown protocol".into(), |n| format!("protocol {n}"))
        };
        let Self { client, server } = self;
        write!(
            f,
            "turnctl{} uses {}, this server{} uses {}; use the turnctl of the server's version",
            release(client).unwrap_or_default(),
            protocol(client),
            release(server).unwrap_or_default(),
            protocol(server),
        )
    }
}
