//! `turnctl drain`: the running server ends with its last call.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use super::CtlError;
use super::control::{duration, print_messages};
use super::socket::{SocketArgs, another_answer, ask_once};
use taciturn_config::Environment;
use taciturn_control::{Answer, Connection, Line, Received, Request, Status};

/// How often the server is asked whether it is still there.
const PERIOD: Duration = Duration::from_millis(500);

/// How long it may take for an answer. One that is gone refuses at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// The arguments of `drain`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  turnctl drain --timeout 1h\n  \
    turnctl drain --wait --timeout 1h\n      Returns when the server has ended: for a preStop hook.\n  \
    turnctl drain --cancel\n      Accepts new calls again.")]
pub struct DrainArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Exit after this time even if calls are still running, such as 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Wait until the server has ended
    #[arg(long)]
    wait: bool,
    /// Accept new calls again; the server keeps running
    #[arg(long, conflicts_with_all = ["timeout", "wait"])]
    cancel: bool,
}

/// Lets the server end when its last call has.
pub(super) fn drain(
    args: &DrainArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let timeout_seconds = args.timeout.map(|timeout| timeout.as_secs());
    let request = match args.cancel {
        true => Request::CancelDrain,
        false => Request::Drain { timeout_seconds },
    };
    if !args.wait {
        return print_messages(&args.socket, env, &request, out);
    }
    // The same one to the end, where several servers come and go.
    let path = args.socket.find(env)?;
    let socket = SocketArgs { socket: Some(path.clone()), ..args.socket.clone() };
    let quiet = SocketArgs { json: false, ..socket.clone() };
    let before = match ask_once(&quiet, env, &Request::Status, &mut io::sink())? {
        Answer::Status(status) => status.started_at,
        other => return Err(another_answer(&other)),
    };
    print_messages(&socket, env, &request, out)?;
    out.flush()?;
    loop {
        sleep(PERIOD);
        match seen(&path) {
            Seen::Status(status) if status.started_at == before && status.ready => {
                return Err(CtlError::failure(Cancelled));
            }
            Seen::Nothing => {}
            Seen::Status(status) if status.started_at == before => {}
            // Another one runs in its place.
            Seen::Gone | Seen::Status(_) => break,
        }
    }
    if !args.socket.json {
        writeln!(out, "the server has ended")?;
    }
    Ok(())
}

/// The server as it was seen.
enum Seen {
    /// Nobody listens any more.
    Gone,
    /// It has not answered: it may be ending.
    Nothing,
    Status(Box<Status>),
}

fn seen(path: &Path) -> Seen {
    let asked = || {
        let mut connection = Connection::open(path, PATIENCE, env!("CARGO_PKG_VERSION"))?;
        connection.send(&Request::Status)?;
        connection.receive().map_err(io::Error::other)
    };
    match asked() {
        Ok(Received { line: Line::Last { outcome: Ok(Answer::Status(status)), .. }, .. }) => {
            Seen::Status(status)
        }
        Err(error)
            if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) =>
        {
            Seen::Gone
        }
        Ok(_) | Err(_) => Seen::Nothing,
    }
}

/// Somebody has cancelled the drain that was waited for.
#[derive(Debug, thiserror::Error)]
#[error("the server accepts calls again: somebody has cancelled the drain")]
struct Cancelled;
