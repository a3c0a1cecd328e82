//! Sessions as lines of a table.

use std::io::{self, Write};
use std::time::Duration;

use taciturn_config::show_duration;
use taciturn_control::Session;

/// The line above sessions.
pub(super) fn session_titles(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<24} {:<4} {:<32} {:<24} {:>5} {:>12} {:>12} {:>8} {:>8}",
        "CLIENT", "VIA", "USER", "RELAYED", "PEERS", "TO PEERS", "TO CLIENT", "AGE", "EXPIRES"
    )
}

/// One session. What clients call themselves is theirs to choose.
pub(super) fn session_line(session: &Session, out: &mut dyn Write) -> io::Result<()> {
    let seconds = |seconds: u64| show_duration(Duration::from_secs(seconds));
    writeln!(
        out,
        "{:<24} {:<4} {:<32} {:<24} {:>5} {:>12} {:>12} {:>8} {:>8}",
        session.client,
        session.transport,
        session.user.escape_debug().to_string(),
        session.relayed_addresses.join(","),
        session.permissions,
        session.traffic.bytes_to_peers,
        session.traffic.bytes_to_clients,
        seconds(session.age_seconds),
        seconds(session.expires_in_seconds),
    )
}
