//! The running server, over its control socket: `turnctl status`, `sessions`, `kick`, `reload` and
//! `drain`.

use std::io::{BufRead as _, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::CtlError;
use crate::admin::control::Request;
use crate::config::{Environment, control_sockets, parse_duration, show_duration};

/// How long the server may take for a line.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Clone, Debug, Args)]
pub struct SocketArgs {
    /// The control socket (default: where a server of this machine or user has it)
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print what the server says as lines of JSON
    #[arg(long)]
    json: bool,
}

/// The arguments of `sessions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  turnctl sessions --user @alice:domain.org")]
pub struct SessionsArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Of this user alone: the USERNAME, or the name behind its expiry
    #[arg(long)]
    user: Option<String>,
}

/// The arguments of `kick`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  turnctl kick --user @alice:domain.org")]
#[group(required = true, multiple = true, args = ["user", "client"])]
pub struct KickArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// The USERNAME, or the name behind its expiry
    #[arg(long)]
    user: Option<String>,
    /// The client's address and port, as `sessions` shows it
    #[arg(long, value_name = "ADDRESS:PORT")]
    client: Option<SocketAddr>,
}

/// The arguments of `drain`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  turnctl drain --timeout 1h")]
pub struct DrainArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// End after so long even if calls still run, like 1h
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and s, m, h or d".to_owned())
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
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// How the server is.
pub(super) fn status(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let result = ask(args, env, &Request::Status, out, |_, _| Ok(()))?;
    let Some(result) = result.filter(|_| !args.json) else { return Ok(()) };
    let ready = if result["ready"] == true { "ready" } else { "draining" };
    writeln!(out, "taciturn {}, {ready}", text(&result["version"]))?;
    for (name, value) in [
        ("allocations", &result["allocations"]),
        ("users", &result["users"]),
        ("connections", &result["connections"]),
        ("workers", &result["workers"]),
    ] {
        writeln!(out, "  {name:<16} {value}")?;
    }
    let (used, all) = (&result["relay_ports_used"], &result["relay_ports"]);
    writeln!(out, "  {:<16} {} IPv4, {} IPv6 of {all}", "relay ports", used["ipv4"], used["ipv6"])?;
    let bytes = (&result["bytes_to_peers"], &result["bytes_to_clients"]);
    writeln!(out, "  {:<16} {} to peers, {} to clients", "bytes", bytes.0, bytes.1)?;
    for certificate in result["certificates"].as_array().into_iter().flatten() {
        let until = certificate["expires"].as_u64().unwrap_or(0);
        let until = std::time::UNIX_EPOCH + Duration::from_secs(until);
        let names = certificate["names"].as_array().into_iter().flatten().map(text);
        let names = names.collect::<Vec<_>>().join(", ");
        writeln!(out, "  {:<16} {names}, until {}", "certificate", httpdate::fmt_http_date(until))?;
    }
    let good = result["last_reload"]["taken_up"] == true;
    let reload = if good { "good" } else { "refused; see the log" };
    writeln!(out, "  {:<16} {reload}", "last reload")?;
    Ok(())
}

/// The allocations there are, one a line.
pub(super) fn sessions(
    args: &SessionsArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let request = Request::Sessions { user: args.user.clone() };
    let mut number = 0_u64;
    ask(&args.socket, env, &request, out, |line, out| {
        let session = &line["session"];
        if number == 0 {
            writeln!(
                out,
                "{:<24} {:<4} {:<32} {:<24} {:>5} {:>12} {:>12} {:>8} {:>8}",
                "CLIENT",
                "VIA",
                "USER",
                "RELAYED",
                "PEERS",
                "TO PEERS",
                "TO CLIENT",
                "AGE",
                "EXPIRES"
            )?;
        }
        number += 1;
        let relayed = session["relayed"].as_array().into_iter().flatten().map(text);
        let seconds =
            |key: &str| show_duration(Duration::from_secs(session[key].as_u64().unwrap_or(0)));
        writeln!(
            out,
            "{:<24} {:<4} {:<32} {:<24} {:>5} {:>12} {:>12} {:>8} {:>8}",
            text(&session["client"]),
            text(&session["transport"]),
            text(&session["user"]).escape_debug().to_string(),
            relayed.collect::<Vec<_>>().join(","),
            session["peers"],
            session["bytes_to_peers"],
            session["bytes_to_client"],
            seconds("age_seconds"),
            seconds("expires_in_seconds"),
        )
    })?;
    if number == 0 && !args.socket.json {
        writeln!(out, "no sessions")?;
    }
    Ok(())
}

/// Ends allocations.
pub(super) fn kick(
    args: &KickArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let request = Request::Kick { user: args.user.clone(), client: args.client };
    let result = ask(&args.socket, env, &request, out, |_, _| Ok(()))?;
    if let Some(result) = result.filter(|_| !args.socket.json) {
        writeln!(out, "{} allocations ended", result["kicked"])?;
    }
    Ok(())
}

/// Has the configuration read again, and prints what changes.
pub(super) fn reload(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let result = ask(args, env, &Request::Reload, out, |_, _| Ok(()))?;
    told(args, result.as_ref(), "no change", out)
}

/// Lets the server end when its last call has.
pub(super) fn drain(
    args: &DrainArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let timeout_seconds = args.timeout.map(|timeout| timeout.as_secs());
    let request = Request::Drain { timeout_seconds };
    let result = ask(&args.socket, env, &request, out, |_, _| Ok(()))?;
    told(&args.socket, result.as_ref(), "draining", out)
}

fn told(
    args: &SocketArgs,
    result: Option<&Value>,
    nothing: &str,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let Some(result) = result.filter(|_| !args.json) else { return Ok(()) };
    let lines: Vec<_> = result["told"].as_array().into_iter().flatten().map(text).collect();
    if lines.is_empty() {
        writeln!(out, "{nothing}")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Sends a request; gives `each` every line but the last, and answers the result in that.
fn ask(
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
