//! Sessions as lines of a table.

use std::io::{self, Write};
use std::time::Duration;

use taciturn_config::show_duration;
use taciturn_control::Session;

/// The line above sessions. `kernel`: with the channels that the kernel relays.
pub(super) fn session_titles(kernel: bool, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "{:<24} {:<4} {:<32} {:<24} {:>5} {:>12} {:>12} {:>8} {:>8}",
        "CLIENT", "VIA", "USER", "RELAYED", "PEERS", "TO PEERS", "TO CLIENT", "AGE", "EXPIRES"
    )?;
    writeln!(out, "{}", if kernel { "  KERNEL" } else { "" })
}

/// The user of a session, behind its tenant if it has one; nothing that a terminal would act upon.
pub(super) fn user(session: &Session) -> String {
    let user = session.user.escape_debug();
    match &session.tenant {
        None => user.to_string(),
        Some(tenant) => format!("{}/{user}", tenant.escape_debug()),
    }
}

/// Of how many of its channels the kernel relays how many: `2/3`.
fn by_kernel(session: &Session) -> String {
    let of_kernel = |channels| format!(" {:>7}", format!("{channels}/{}", session.channels));
    session.kernel_channels.map(of_kernel).unwrap_or_default()
}

/// One session. What clients call themselves is theirs to choose.
pub(super) fn session_line(session: &Session, out: &mut dyn Write) -> io::Result<()> {
    let seconds = |seconds: u64| show_duration(Duration::from_secs(seconds));
    writeln!(
        out,
        "{:<24} {:<4} {:<32} {:<24} {:>5} {:>12} {:>12} {:>8} {:>8}{}",
        session.client,
        session.transport,
        user(session),
        session.relayed_addresses.join(","),
        session.permissions,
        session.traffic.bytes_to_peers,
        session.traffic.bytes_to_clients,
        seconds(session.age_seconds),
        seconds(session.expires_in_seconds),
        by_kernel(session),
    )
}
