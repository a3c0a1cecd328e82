//! The running server, over its control socket: `turnctl status`, `sessions`, `kick`, `reload`
//! and `log-level`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::CtlError;
use super::ask_fleet;
use super::certs::date;
use super::session_table::{session_line, session_titles};
use super::socket::{SocketArgs, another_answer, ask, ask_once};
use taciturn_config::{Environment, LogFilter, parse_duration};
use taciturn_control::{
    Answer, CarriedOver, ClosingListener, KernelRelay, PortsUsed, RecordsState, Request, Status,
    TenantStatus, Traffic,
};

/// The arguments of `sessions`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  turnctl sessions --user @alice:domain.org\n  turnctl sessions --tenant acme\n  \
    turnctl sessions --fleet\n  turnctl sessions --fleet --tenant acme"
)]
pub struct SessionsArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Only this user: the USERNAME, or the name that follows the expiry time in it
    #[arg(long)]
    user: Option<String>,
    /// Only this tenant; default is the one without a name
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// On all servers of the fleet; exit status 1 if some do not answer
    #[arg(long)]
    fleet: bool,
}

/// The arguments of `status`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  turnctl status --json\n  turnctl status --fleet\n  turnctl status --fleet --tenant acme"
)]
pub struct StatusArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// With --fleet: what this tenant has; default is the one without a name
    #[arg(long, value_name = "NAME", requires = "fleet")]
    tenant: Option<String>,
    /// Of all servers of the fleet; exit status 1 if some do not answer
    #[arg(long)]
    fleet: bool,
}

/// The arguments of `kick`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  turnctl kick --user @alice:domain.org\n  turnctl kick --user @alice:domain.org --fleet\n  \
    turnctl kick --user alice --tenant acme"
)]
#[group(required = true, multiple = true, args = ["user", "client", "tenant"])]
pub struct KickArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// The USERNAME, or the name that follows the expiry time in it
    #[arg(long)]
    user: Option<String>,
    /// The client's address and port, as `sessions` shows it
    #[arg(long, value_name = "ADDRESS:PORT")]
    client: Option<SocketAddr>,
    /// Only sessions of this tenant; default is the one without a name. Without this option, those of every tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// On all servers of the fleet; needs --user
    #[arg(long, requires = "user", conflicts_with = "client")]
    fleet: bool,
}

/// The arguments of `log-level`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  turnctl log-level\n  turnctl log-level debug --for 10m\n  \
    turnctl log-level info,taciturn::net=debug")]
pub struct LogLevelArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// off, error, warn, info, debug or trace, or levels by module [default: show the current level]
    #[arg(value_name = "LEVEL", value_parser = filter)]
    level: Option<LogFilter>,
    /// Return to the configured level after this time, such as 10m
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "level")]
    within: Option<Duration>,
}

fn filter(text: &str) -> Result<LogFilter, String> {
    text.parse().map_err(|error: taciturn_config::BadFilter| error.to_string())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and s, m, h or d".to_owned())
}

/// Prints the state of the server, or of all servers of the fleet. Returns the exit status.
pub(super) fn status(
    StatusArgs { socket: args, tenant, fleet }: &StatusArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    if *fleet {
        return ask_fleet::status(args, env, tenant.clone(), out);
    }
    match ask_once(args, env, &Request::Status, out)? {
        _ if args.json => {}
        Answer::Status(status) => print_status(&status, out)?,
        other => return Err(another_answer(&other)),
    }
    Ok(0)
}

fn print_status(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let state = if status.ready { "ready" } else { "draining" };
    writeln!(out, "taciturn {}, {state}", status.version)?;
    for (name, value) in [
        ("allocations", status.allocations),
        ("users", status.users),
        ("connections", status.connections),
        ("workers", status.workers),
    ] {
        writeln!(out, "  {name:<16} {value}")?;
    }
    let PortsUsed { ipv4, ipv6 } = status.relay_ports_used;
    let all = status.relay_ports;
    writeln!(out, "  {:<16} {ipv4} IPv4, {ipv6} IPv6 of {all}", "relay ports")?;
    let Traffic { bytes_to_peers, bytes_to_clients, .. } = status.traffic;
    writeln!(out, "  {:<16} {bytes_to_peers} to peers, {bytes_to_clients} to clients", "bytes")?;
    for ClosingListener { name, address, transport, clients } in &status.closing_listeners {
        let left = match transport.as_str() {
            "udp" => "allocations",
            // Both are counted.
            "udp+dtls" => "clients",
            _ => "connections",
        };
        writeln!(
            out,
            "  {:<16} \"{name}\" ({transport} {address}): closing, {clients} {left}",
            "listener"
        )?;
    }
    for tenant in &status.tenants {
        print_tenant(tenant, out)?;
    }
    for certificate in &status.certificates {
        let names = certificate.names.join(", ");
        let until = date(certificate.expires_at);
        writeln!(out, "  {:<16} {}, until {until}", "certificate", names.escape_debug())?;
    }
    if let Some(CarriedOver { from_version, allocations, stayed, ended }) = &status.carried_over {
        writeln!(
            out,
            "  {:<16} {allocations} calls from taciturn {from_version}; {stayed} stayed there, {ended} ended",
            "carried over"
        )?;
    }
    if let Some(RecordsState { waiting, dropped, trouble }) = &status.records {
        let trouble = trouble.as_ref().map(|trouble| format!("; {}", trouble.escape_debug()));
        let trouble = trouble.unwrap_or_default();
        writeln!(out, "  {:<16} {waiting} wait, {dropped} were dropped{trouble}", "records")?;
    }
    if let Some(kernel) = &status.kernel_relay {
        writeln!(out, "  {:<16} {}", "kernel relay", kernel_relay(kernel))?;
    }
    let reload = if status.last_reload.succeeded { "good" } else { "refused; see the log" };
    writeln!(out, "  {:<16} {reload}", "last reload")
}

fn print_tenant(tenant: &TenantStatus, out: &mut dyn Write) -> io::Result<()> {
    let TenantStatus { name, allocations, users, relay_ports, relay_ports_used, traffic } = tenant;
    let Traffic { bytes_to_peers, bytes_to_clients, .. } = traffic;
    let own = match (*relay_ports, relay_ports_used) {
        (0, _) => String::new(),
        (all, PortsUsed { ipv4, ipv6 }) => format!(", ports {ipv4} IPv4, {ipv6} IPv6 of {all}"),
    };
    writeln!(
        out,
        "  {:<16} {}: {allocations} allocations, {users} users, {bytes_to_peers} bytes to peers, \
         {bytes_to_clients} to clients{own}",
        "tenant",
        name.escape_debug()
    )
}

/// What the kernel relays, in one line.
fn kernel_relay(kernel: &KernelRelay) -> String {
    let trouble = kernel.trouble.as_deref().map(|trouble| trouble.escape_debug().to_string());
    if kernel.attached.is_empty() {
        return format!("none: {}", trouble.unwrap_or_default());
    }
    let others: u64 = kernel.other_packets.iter().map(|count| count.packets).sum();
    let reasons = kernel.other_packets.iter();
    let reasons: Vec<_> =
        reasons.map(|count| format!("{} {}", count.reason.escape_debug(), count.packets)).collect();
    let mut line = format!(
        "tc on {}: {} channels of {}, {} packets, {others} others",
        kernel.attached.join(", ").escape_debug(),
        kernel.channels,
        kernel.room,
        kernel.relayed_packets,
    );
    if others > 0 {
        line = format!("{line} ({})", reasons.join(", "));
    }
    if kernel.refused_channels > 0 {
        line = format!("{line}; {} channels found no room", kernel.refused_channels);
    }
    match trouble {
        Some(trouble) => format!("{line}; {trouble}"),
        None => line,
    }
}

/// Prints the allocations there are, one a line. Returns the exit status.
pub(super) fn sessions(
    args: &SessionsArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    if args.fleet {
        let request = Request::AskFleet {
            sessions: true,
            user: args.user.clone(),
            tenant: args.tenant.clone(),
        };
        return ask_fleet::sessions(&args.socket, env, &request, out);
    }
    let request = Request::Sessions { user: args.user.clone(), tenant: args.tenant.clone() };
    let mut number = 0_u64;
    let answer = ask(&args.socket, env, &request, out, |session, out| {
        if number == 0 {
            session_titles(session.kernel_channels.is_some(), out)?;
        }
        number += 1;
        session_line(&session, out)
    })?;
    match answer {
        _ if args.socket.json => {}
        Answer::Sessions(0) => writeln!(out, "no sessions")?,
        Answer::Sessions(_) => {}
        other => return Err(another_answer(&other)),
    }
    Ok(0)
}

/// Ends allocations.
pub(super) fn kick(
    args: &KickArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let request = Request::Kick {
        user: args.user.clone(),
        client: args.client,
        tenant: args.tenant.clone(),
        fleet: args.fleet,
    };
    if args.fleet {
        return print_messages(&args.socket, env, &request, out);
    }
    match ask_once(&args.socket, env, &request, out)? {
        _ if args.socket.json => {}
        Answer::Kicked(allocations) => writeln!(out, "{allocations} allocations ended")?,
        other => return Err(another_answer(&other)),
    }
    Ok(())
}

/// Reloads the configuration, and prints what changes.
pub(super) fn reload(
    args: &SocketArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    print_messages(args, env, &Request::Reload, out)
}

/// Shows what is logged, or has something else logged.
pub(super) fn log_level(
    args: &LogLevelArgs,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let filter = args.level.as_ref().map(ToString::to_string);
    let for_seconds = args.within.map(|within| within.as_secs());
    print_messages(&args.socket, env, &Request::LogLevel { filter, for_seconds }, out)
}

/// Sends a request that is answered by messages, and prints them.
pub(super) fn print_messages(
    args: &SocketArgs,
    env: &Environment,
    request: &Request,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let messages = match ask_once(args, env, request, out)? {
        _ if args.json => return Ok(()),
        Answer::Messages(messages) => messages,
        other => return Err(another_answer(&other)),
    };
    for message in messages {
        writeln!(out, "{message}")?;
    }
    Ok(())
}
