//! How `turnctl` speaks to a running server: a request over its control socket, and the answer.

use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::CtlError;
use taciturn_config::{Environment, control_sockets};
use taciturn_control::Request;

/// How long the server may take for a line.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Clone, Debug, Args)]
pub struct SocketArgs {
    /// The control socket (default: where a server of this machine or user has it)
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print what the server says as lines of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Why the server could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no socket.
    #[error(
        "no server is running here: there is no control socket at {0}. Name it with --socket; who may \
         use it is root, and the user and group of the server"
    )]
    NoSocket(String),
    /// It cannot be asked.
    #[error("cannot ask the server at {path}: {error}. Does it run, and may you use the socket?")]
    Unreachable {
        /// The socket.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It answers something else than this turnctl expects.
    #[error(
        "the server's answer is not understood: {0}. Is it of the same version as this turnctl? \
         `turnctl status` and `turnctl --version` show both"
    )]
    Strange(String),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// A string in an answer; empty where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Sends a request; gives `each` every line but the last, and answers the result in that.
pub(super) fn ask(
    args: &SocketArgs,
    env: &Environment,
    request: &Request,
    out: &mut dyn Write,
    mut each: impl FnMut(&Value, &mut dyn Write) -> std::io::Result<()>,
) -> Result<Option<Value>, CtlError> {
    let candidates = args.socket.clone().map_or_else(|| control_sockets(env), |path| vec![path]);
    let Some(path) = candidates.iter().find(|path| path.exists()) else {
        let all: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        return Err(ControlError::NoSocket(all.join(" or ")).into());
    };
    let unreachable = |error| ControlError::Unreachable { path: path.display().to_string(), error };
    let mut stream = UnixStream::connect(path).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    let request = serde_json::to_string(request).map_err(|error| unreachable(error.into()))?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(unreachable)?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(unreachable)?;
        let value: Value =
            serde_json::from_str(&line).map_err(|error| unreachable(error.into()))?;
        if args.json {
            writeln!(out, "{line}")?;
        }
        match value.get("ok").and_then(Value::as_bool) {
            Some(true) => return Ok(value.get("result").cloned()),
            Some(false) => return Err(ControlError::Refused(text(&value["error"]).into()).into()),
            None if args.json => {}
            None => each(&value, out)?,
        }
    }
    Err(unreachable(std::io::ErrorKind::UnexpectedEof.into()).into())
}
