//! The client's side of a connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::Line;
use super::codec::{AnswerError, LONGEST_LINE, LineError, decode_line, encode_request, whole_line};
use super::error::Mismatch;
use super::request::Request;

/// Why a server gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket cannot be used, or the server is silent for too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server did not send a line.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The server speaks another version of the protocol.
    #[error(transparent)]
    Mismatch(Mismatch),
    /// The server's line is of another shape than this release expects.
    #[error("{0}")]
    Malformed(String),
}

/// A connection to a server, for one request.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
    /// The release of this program.
    version: String,
}

/// A line of an answer: its text without the line feed, and its parsed content.
#[derive(Clone, Debug)]
pub struct Received {
    /// Including fields that this release does not know.
    pub text: String,
    /// Its parsed content.
    pub line: Line,
}

impl Connection {
    /// Connects a client of this release (`version`) to the server at `path`. The server may take up
    /// to `patience` for each line.
    ///
    /// # Errors
    /// When no server listens there, or the socket may not be used.
    pub fn open(path: &Path, patience: Duration, version: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream: BufReader::new(stream), version: version.to_owned() })
    }

    /// Sends the request.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        let line = encode_request(request, &self.version)?;
        self.stream.get_mut().write_all(line.as_bytes())
    }

    /// The next line of the answer. There is none after [`Line::Last`].
    ///
    /// # Errors
    /// When none comes, or it cannot be understood.
    pub fn receive(&mut self) -> Result<Received, ClientError> {
        let mut read = Vec::new();
        self.stream.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut read)?;
        let text = whole_line(&read, LONGEST_LINE)?;
        let line = decode_line(text, &self.version).map_err(|error| match error {
            AnswerError::Mismatch(mismatch) => ClientError::Mismatch(mismatch),
            AnswerError::Malformed(what) => ClientError::Malformed(what),
        })?;
        Ok(Received { text: String::from_utf8_lossy(text).into_owned(), line })
    }

    /// The connection itself, for what follows the answer to [`Request::HandOver`]. It blocks, for as long as the
    /// server may take for a line.
    ///
    /// # Errors
    /// If the server has sent more than its answer: it waits for the client to begin.
    pub fn into_stream(self) -> io::Result<UnixStream> {
        if self.stream.buffer().is_empty() {
            return Ok(self.stream.into_inner());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the server has sent more than its answer"))
    }
}
