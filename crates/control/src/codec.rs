//! From lines to requests and answers, and back. No I/O: the server reads with its runtime, the
//! client blocks.

use std::io;

use serde::{Deserialize, Serialize};

use super::PROTOCOL;
use super::answer::{Answer, Line};
use super::error::{Error, ErrorKind, Mismatch, Peer};
use super::request::Request;
use super::session::Session;

/// The longest request, in bytes with its line feed. A report of `turnctl doctor` is the longest.
pub const LONGEST_REQUEST: usize = 64 * 1024;

/// The longest line of an answer, in bytes with its line feed. A server with thousands of
/// certificates stays far below it.
pub const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// The part of a line that is read before everything else.
#[derive(Deserialize)]
struct Head {
    protocol: Option<u32>,
    version: Option<String>,
}

/// A request as it is on the wire.
#[derive(Serialize, Deserialize)]
struct RequestLine<R> {
    protocol: u32,
    version: String,
    #[serde(flatten)]
    request: R,
}

/// A line of an answer as it is on the wire. Either `session` or `ok` is there.
#[derive(Default, Serialize, Deserialize)]
struct AnswerLine {
    protocol: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Answer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

/// Why bytes that were read are not a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The other side closed the connection without a word.
    #[error("the connection was closed before a line arrived")]
    Closed,
    /// The other side closed the connection, or fell silent, in the middle of a line.
    #[error("the line ends before its line feed: the connection was closed in the middle of it")]
    CutOff,
    /// The line does not end within what may be read.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
}

/// The line in `read`, which is what came up to the first line feed, or `limit` bytes, or the end of
/// the connection.
///
/// # Errors
/// If the line is incomplete.
pub const fn whole_line(read: &[u8], limit: usize) -> Result<&[u8], LineError> {
    match read {
        [line @ .., b'\n'] => Ok(line),
        [] => Err(LineError::Closed),
        cut if cut.len() < limit => Err(LineError::CutOff),
        _ => Err(LineError::TooLong(limit)),
    }
}

impl From<LineError> for Error {
    fn from(error: LineError) -> Self {
        let kind = match error {
            LineError::TooLong(_) => ErrorKind::TooLong,
            LineError::Closed | LineError::CutOff => ErrorKind::Malformed,
        };
        Self::new(kind, format!("this is not a request: {error}"))
    }
}

/// The line of a request, by a client of this release (`version`).
///
/// # Errors
/// None that a request can cause.
pub(super) fn encode_request(request: &Request, version: &str) -> io::Result<String> {
    let line = RequestLine { protocol: PROTOCOL, version: version.to_owned(), request };
    Ok(format!("{}\n", serde_json::to_string(&line)?))
}

/// The request in a line without its line feed, for a server of this release (`version`).
///
/// # Errors
/// When the client speaks another version of the protocol, or the line is not a request.
pub fn decode_request(line: &[u8], version: &str) -> Result<Request, Error> {
    let malformed = |error: serde_json::Error| {
        Error::new(ErrorKind::Malformed, format!("this is not a request: {error}"))
    };
    let Head { protocol, version: theirs } = serde_json::from_slice(line).map_err(malformed)?;
    if protocol != Some(PROTOCOL) {
        let client = Peer { protocol, version: theirs };
        let server = Peer { protocol: Some(PROTOCOL), version: Some(version.to_owned()) };
        return Err(Error::new(ErrorKind::ProtocolMismatch, Mismatch { client, server }));
    }
    let line: RequestLine<Request> = serde_json::from_slice(line).map_err(malformed)?;
    Ok(line.request)
}

/// A line of an answer, with its line feed.
///
/// # Errors
/// None that a line can cause.
pub fn encode_line(line: Line) -> io::Result<String> {
    let head = AnswerLine { protocol: PROTOCOL, ..AnswerLine::default() };
    let line = match line {
        Line::Session(session) => AnswerLine { session: Some(session), ..head },
        Line::Last { version, outcome } => {
            let ok = Some(outcome.is_ok());
            let (result, error) = match outcome {
                Ok(result) => (Some(result), None),
                Err(error) => (None, Some(error)),
            };
            AnswerLine { version: Some(version), ok, result, error, ..head }
        }
    };
    Ok(format!("{}\n", serde_json::to_string(&line)?))
}

/// Why a line of an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The server speaks another version of the protocol.
    #[error(transparent)]
    Mismatch(Mismatch),
    /// The line is of this version, and of another shape.
    #[error("{0}")]
    Malformed(String),
}

/// Parses a line without its line feed, for a client of this release (`version`).
///
/// # Errors
/// When the server speaks another version of the protocol, or the line is not one of an answer.
pub(super) fn decode_line(line: &[u8], version: &str) -> Result<Line, AnswerError> {
    let malformed = |error: serde_json::Error| AnswerError::Malformed(error.to_string());
    let Head { protocol, version: theirs } = serde_json::from_slice(line).map_err(malformed)?;
    if protocol != Some(PROTOCOL) {
        let client = Peer { protocol: Some(PROTOCOL), version: Some(version.to_owned()) };
        let server = Peer { protocol, version: theirs };
        return Err(AnswerError::Mismatch(Mismatch { client, server }));
    }
    let AnswerLine { session, version, ok, result, error, .. } =
        serde_json::from_slice(line).map_err(malformed)?;
    let version = version.unwrap_or_default();
    match (session, ok, result, error) {
        (Some(session), None, ..) => Ok(Line::Session(session)),
        (None, Some(true), Some(result), _) => Ok(Line::Last { version, outcome: Ok(result) }),
        (None, Some(false), _, Some(error)) => Ok(Line::Last { version, outcome: Err(error) }),
        _ => Err(AnswerError::Malformed("it has no session, result or error".into())),
    }
}
