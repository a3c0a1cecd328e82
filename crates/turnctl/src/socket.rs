//! Finding the control socket of a running server, and sending requests to it.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::CtlError;
use super::running::{self, NotOne};
use taciturn_config::{Environment, control_sockets};
use taciturn_control::{
    self, Answer, ClientError, Connection, Line, Mismatch, Received, Request, Session,
};

/// The release of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the server may take for a line.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server, and the form of its answer.
#[derive(Clone, Debug, Args)]
pub struct SocketArgs {
    /// Control socket of the server [default: that of the server that runs here]
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print the server's answer as JSON, one object per line
    #[arg(long)]
    pub(super) json: bool,
}

impl SocketArgs {
    /// Returns the socket that was named, else the one at a usual path, else that of the server that runs here.
    pub(super) fn find(&self, env: &Environment) -> Result<PathBuf, ControlError> {
        let variable = || env.get("TACITURN_ADMIN_SOCKET").map(PathBuf::from);
        if let Some(path) = self.socket.clone().or_else(variable) {
            return match path.exists() {
                true => Ok(path),
                false => Err(ControlError::NoSocket(path.display().to_string())),
            };
        }
        let usual = control_sockets(env);
        let mut denied = None;
        for path in &usual {
            match UnixStream::connect(path) {
                Ok(_) => return Ok(path.clone()),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => denied = Some(path),
                // Nothing is there, or what a server has left.
                Err(_) => {}
            }
        }
        let servers = if env.is_of_a_process() { running::here() } else { Vec::new() };
        running::enter_directory(&servers);
        let error = match running::control_socket(&servers, env) {
            Ok(path) => return Ok(path),
            Err(error) => error,
        };
        if let Some(path) = denied {
            return Ok(path.clone());
        }
        let looked_at: Vec<_> = usual.iter().map(|path| path.display().to_string()).collect();
        let looked_at = looked_at.join(" or ");
        Err(match error {
            NotOne::NoServer => ControlError::NoServer(looked_at),
            NotOne::NotFound(servers) => ControlError::NotFound { looked_at, servers },
            NotOne::Several(sockets) => ControlError::Several(sockets),
        })
    }
}

/// Why the server could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket that was named is not there.
    #[error(
        "no server listens at {0}: there is no such socket. Without --socket turnctl looks for the server that runs here"
    )]
    NoSocket(String),
    /// There is no socket, and no server.
    #[error(
        "no server is running here: there is no control socket at {0}, and no process is called taciturn. If it has \
         another name, pass --socket. Only root, and the user and group of the server, may use it"
    )]
    NoServer(String),
    /// There are servers, and no socket.
    #[error(
        "there is no control socket at {looked_at}, and none of the servers that run here can be asked:{servers}"
    )]
    NotFound {
        /// Where it was looked for.
        looked_at: String,
        /// A line for each server.
        servers: String,
    },
    /// There are several servers.
    #[error("several servers run here. Name one of them:{0}")]
    Several(String),
    /// Its socket is for others.
    #[error(
        "may not ask the server at {0}: only root, and the user and group of the server, may. Use sudo"
    )]
    Denied(String),
    /// It cannot be asked.
    #[error("cannot ask the server at {path}: {error}. Is it running?")]
    Unreachable {
        /// The socket.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Its answer is not one that this turnctl expects.
    #[error(
        "turnctl does not understand the server's answer: {0}. Does it have the same version as turnctl? \
         `turnctl status` and `turnctl --version` show both"
    )]
    Strange(String),
    /// It is of another release, whose protocol is another one.
    #[error(transparent)]
    Mismatch(Mismatch),
    /// It did not do what it was asked for.
    #[error(transparent)]
    Refused(taciturn_control::Error),
}

impl From<ControlError> for CtlError {
    fn from(error: ControlError) -> Self {
        Self::failure(error)
    }
}

/// Sends a request. Prints every line where JSON is wanted; otherwise gives each session of the answer
/// to `each`. Returns the result.
pub(super) fn ask(
    args: &SocketArgs,
    env: &Environment,
    request: &Request,
    out: &mut dyn Write,
    mut each: impl FnMut(Session, &mut dyn Write) -> std::io::Result<()>,
) -> Result<Answer, CtlError> {
    let path = args.find(env)?;
    let unreachable = |error: std::io::Error| {
        let path = path.display().to_string();
        match error.kind() {
            ErrorKind::PermissionDenied => ControlError::Denied(path),
            _ => ControlError::Unreachable { path, error },
        }
    };
    let mut connection = Connection::open(&path, PATIENCE, VERSION).map_err(unreachable)?;
    connection.send(request).map_err(unreachable)?;
    loop {
        let Received { text, line } = connection.receive().map_err(|error| match error {
            ClientError::Io(error) => unreachable(error),
            ClientError::Line(error) => unreachable(std::io::Error::other(error)),
            ClientError::Mismatch(mismatch) => ControlError::Mismatch(mismatch),
            ClientError::Malformed(what) => ControlError::Strange(what),
        })?;
        if args.json {
            writeln!(out, "{text}")?;
        }
        match line {
            Line::Session(_) if args.json => {}
            Line::Session(session) => each(session, out)?,
            Line::Last { outcome, .. } => return Ok(outcome.map_err(ControlError::Refused)?),
        }
    }
}

/// Sends a request whose answer has no sessions.
pub(super) fn ask_once(
    args: &SocketArgs,
    env: &Environment,
    request: &Request,
    out: &mut dyn Write,
) -> Result<Answer, CtlError> {
    ask(args, env, request, out, |_, _| Ok(()))
}

/// The error for an answer to a different request.
pub(super) fn another_answer(answer: &Answer) -> CtlError {
    let what = match answer {
        Answer::Status(_) => "the status",
        Answer::Sessions(_) => "a count of sessions",
        Answer::Kicked(_) => "a count of ended allocations",
        Answer::Bans(_) => "bans",
        Answer::Fleet(_) => "a fleet",
        Answer::FleetStatus(_) => "the state of a fleet",
        Answer::Messages(_) => "messages",
        Answer::Certificates(_) => "certificates",
        Answer::Page(_) => "a token for the status page",
        Answer::TestLink(_) => "a test link",
        Answer::TestReports(_) => "reports of tests",
        Answer::HandOver(_) => "the beginning of a hand-over",
    };
    ControlError::Strange(format!("it is {what}, which was not requested")).into()
}
