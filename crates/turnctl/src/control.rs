//! The running server, over its control socket: `turnctl status`, `sessions`, `kick`, `reload`,
//! `drain` and `log-level`.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::CtlError;
use super::socket::{SocketArgs, ask, text};
use taciturn_config::{Environment, LogFilter, parse_duration, show_duration};
use taciturn_control::Request;

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
#[command(
    after_help = "Examples:\n  turnctl drain --timeout 1h\n  turnctl drain --cancel\n      Takes clients again."
)]
pub struct DrainArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// End after so long even if calls still run, like 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Take clients again: the server goes on
    #[arg(long, conflicts_with = "timeout")]
    cancel: bool,
}

/// The arguments of `log-level`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  turnctl log-level\n  turnctl log-level debug --for 10m\n  \
    turnctl log-level info,taciturn::net=debug")]
pub struct LogLevelArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// off, error, warn, info, debug or trace, or levels by module; without it, shows what is logged
    #[arg(value_name = "LEVEL", value_parser = filter)]
    level: Option<LogFilter>,
    /// Go back to what is configured after so long, like 10m
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "level")]
    within: Option<Duration>,
}

fn filter(text: &str) -> Result<LogFilter, String> {
    text.parse().map_err(|error: taciturn_config::BadFilter| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and s, m, h or d".to_owned())
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
    for listener in result["closing_listeners"].as_array().into_iter().flatten() {
        let transport = text(&listener["transport"]);
        let left = if transport == "udp" { "allocations" } else { "connections" };
        let (name, address) = (text(&listener["name"]), text(&listener["address"]));
        writeln!(
            out,
            "  {:<16} \"{name}\" ({transport} {address}): closing, {} {left}",
            "listener", listener["clients"]
        )?;
    }
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
    let request = match args.cancel {
        true => Request::CancelDrain,
        false => Request::Drain { timeout_seconds },
    };
    let result = ask(&args.socket, env, &request, out, |_, _| Ok(()))?;
    told(&args.socket, result.as_ref(), "draining", out)
}

/// Shows what is logged, or has something else logged.
pub(super) fn log_level(
    args: &LogLevelArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let filter = args.level.as_ref().map(ToString::to_string);
    let for_seconds = args.within.map(|within| within.as_secs());
    let request = Request::LogLevel { filter, for_seconds };
    let result = ask(&args.socket, env, &request, out, |_, _| Ok(()))?;
    told(&args.socket, result.as_ref(), "", out)
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
