//! Sessions and rates in words, and as a plain table.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::ask_fleet;
use super::rates::{self, Rate, Sample, of_servers, of_sessions};
use taciturn_control::{NodeStatus, Session};

/// The titles of the columns; text first, then numbers.
pub(super) const TITLES: [&str; COLUMNS] = [
    "NODE",
    "USER",
    "CLIENT",
    "VIA",
    "RELAYED",
    "PEERS",
    "TO PEERS",
    "TO CLIENT",
    "PKT/S",
    "TOTAL",
    "AGE",
];

/// How many there are, and how wide each is. A longer user name is cut on a screen, not in a table.
pub(super) const COLUMNS: usize = 11;
pub(super) const WIDTHS: [u16; COLUMNS] = [16, 30, 23, 4, 22, 5, 12, 12, 7, 10, 7];

/// How many columns hold text: they begin at the left, numbers end at the right.
pub(super) const TEXTS: usize = 5;

/// The columns that a terminal of this width has room for. The first is that of the node, which only a fleet has.
pub(super) const fn columns(width: u16, fleet: bool) -> &'static [usize] {
    match (width, fleet) {
        (140.., true) => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        (140.., false) => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        (100.., true) => &[0, 1, 2, 3, 6, 7, 10],
        (100.., false) => &[1, 2, 3, 6, 7, 8, 10],
        (_, true) => &[0, 1, 6, 7, 10],
        (_, false) => &[1, 2, 6, 7, 10],
    }
}

/// One session, as it is shown.
pub(super) fn row(session: &Session, rate: Option<&Rate>) -> [String; COLUMNS] {
    let way = |way: usize| rate.map_or_else(|| "-".to_owned(), |rate| bits(rate.bits[way]));
    let packets = rate.map(|rate| rate.packets.iter().sum::<f64>());
    [
        session.node.as_deref().unwrap_or_default().escape_debug().to_string(),
        // What clients call themselves is theirs to choose.
        session.user.escape_debug().to_string(),
        session.client.clone(),
        session.transport.clone(),
        session.relayed_addresses.join(","),
        session.permissions.to_string(),
        way(0),
        way(1),
        packets.map_or_else(|| "-".to_owned(), |packets| format!("{packets:.0}")),
        bytes(rates::bytes(&session.traffic)),
        age(session.age_seconds),
    ]
}

/// The state of the server, or of the fleet, in one line.
pub(super) fn head(sample: &Sample, now: SystemTime) -> String {
    let Some(notes) = &sample.fleet else {
        return sample.servers.first().map(|one| server(one, now)).unwrap_or_default();
    };
    let NodeStatus { allocations, users, relay_ports_used: used, relay_ports: all, .. } =
        ask_fleet::sum(&sample.servers);
    let mut head = format!(
        "{} nodes: {allocations} sessions, {users} users, relay ports {}/{all} IPv4, {}/{all} IPv6",
        sample.servers.len(),
        used.ipv4,
        used.ipv6
    );
    for note in notes {
        head = format!("{note}. {head}");
    }
    let left_out = ask_fleet::sum(&sample.servers).sessions_left_out;
    if left_out > 0 {
        head += &format!("; {left_out} sessions that are silent for longest left out");
    }
    head
}

fn server(server: &NodeStatus, now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let up = since.saturating_sub(Duration::from_secs(server.started_at)).as_secs();
    let state = if server.ready { "" } else { ", draining" };
    let ports = &server.relay_ports_used;
    format!(
        "taciturn {}, up {}{state}: {} sessions, {} users, relay ports {}/{all} IPv4, {}/{all} IPv6",
        server.version,
        age(up),
        server.allocations,
        server.users,
        ports.ipv4,
        ports.ipv6,
        all = server.relay_ports
    )
}

/// The rate in one direction: 0 is to peers, 1 is to clients.
pub(super) fn way(rate: Option<&Rate>, way: usize) -> String {
    match rate {
        Some(rate) => format!("{:>12} {:>7.0} packets/s", bits(rate.bits[way]), rate.packets[way]),
        None => format!("{:>12} {:>7} packets/s", "-", "-"),
    }
}

/// Prints one table, the busiest session first.
pub(super) fn table(before: &Sample, now: &Sample, out: &mut dyn Write) -> io::Result<()> {
    let all = of_servers(before, now);
    writeln!(out, "{}", head(now, SystemTime::now()))?;
    writeln!(out, "to peers   {}", way(all.as_ref(), 0))?;
    writeln!(out, "to clients {}", way(all.as_ref(), 1))?;
    let rates = of_sessions(before, now);
    let mut rows: Vec<_> = now.sessions.iter().zip(&rates).collect();
    rows.sort_by(|(_, a), (_, b)| busier(a.as_ref(), b.as_ref()));
    let fleet = now.fleet.is_some();
    line(&TITLES.map(str::to_owned), fleet, out)?;
    for (session, rate) in rows {
        line(&row(session, rate.as_ref()), fleet, out)?;
    }
    Ok(())
}

/// The order of rates: the greater first, those that are not known last.
pub(super) fn busier(a: Option<&Rate>, b: Option<&Rate>) -> std::cmp::Ordering {
    let rate = |rate: Option<&Rate>| rate.map_or(-1.0, Rate::all_bits);
    rate(b).total_cmp(&rate(a))
}

fn line(cells: &[String; COLUMNS], fleet: bool, out: &mut dyn Write) -> io::Result<()> {
    // Without a fleet there is no name of a node.
    let first = usize::from(!fleet);
    for (at, (cell, width)) in cells.iter().zip(WIDTHS).enumerate().skip(first) {
        let (gap, width) = (if at == first { "" } else { " " }, usize::from(width));
        match at < TEXTS {
            true => write!(out, "{gap}{cell:<width$}")?,
            false => write!(out, "{gap}{cell:>width$}")?,
        }
    }
    writeln!(out)
}

/// Bits a second with a unit, in three digits or more.
pub(super) fn bits(rate: f64) -> String {
    let (value, unit) = scaled(rate, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
    format!("{value} {unit}")
}

fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let (value, unit) = scaled(count as f64, ["B", "kB", "MB", "GB", "TB"]);
    format!("{value} {unit}")
}

fn scaled(mut value: f64, units: [&'static str; 5]) -> (String, &'static str) {
    let [mut unit, greater @ ..] = units;
    let whole = value < 1000.0;
    for next in greater {
        // 999.95 would be written as 1000.0.
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    (if whole { format!("{value:.0}") } else { format!("{value:.1}") }, unit)
}

/// Seconds as two units at most: `59s`, `3m20s`, `2h05m`, `12d3h`.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::rates::tests::{sample, session};
    use super::*;

    #[test]
    fn numbers_have_units_that_fit() {
        let written = [0.0, 999.0, 1500.0, 999_940.0, 999_960.0, 2.5e9].map(bits);
        let expected =
            ["0 bit/s", "999 bit/s", "1.5 kbit/s", "999.9 kbit/s", "1.0 Mbit/s", "2.5 Gbit/s"];
        assert_eq!(written, expected);
        assert_eq!(bytes(123_456_789), "123.5 MB");
        let ages = [5, 200, 7500, 1_047_600].map(age);
        assert_eq!(ages, ["5s", "3m20s", "2h05m", "12d3h"]);
    }

    #[test]
    fn the_table_has_the_busiest_first_and_nothing_a_terminal_obeys() {
        let start = Instant::now();
        let mut evil = session("192.0.2.9:9", 1, [50, 50]);
        evil.user = "\u{1b}[2J\nroot".to_owned();
        let sessions =
            |more| vec![session("192.0.2.3:3", 90, [0; 2]), session("192.0.2.4:4", 90, [more, 0])];
        let before = sample(start, 0, [0; 2], sessions(0));
        let mut now = sample(start, 1000, [0; 2], sessions(25_000));
        now.sessions.push(evil);
        let mut out = Vec::new();
        table(&before, &now, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3 + 1 + 3, "{text}");
        assert!(lines[0].contains("2 sessions, 1 users, relay ports 2/1101 IPv4"), "{text}");
        assert!(lines[4].contains("192.0.2.4:4") && lines[4].contains("200.0 kbit/s"), "{text}");
        assert!(lines[5].contains("\\u{1b}[2J\\nroot"), "{text}");
    }

    #[test]
    fn a_fleet_has_a_column_for_the_node_sums_and_who_is_missing() {
        let mut sessions = vec![session("192.0.2.3:3", 90, [0; 2])];
        sessions[0].node = Some("fra1".to_owned());
        let mut now = sample(Instant::now(), 0, [0; 2], sessions);
        now.servers.push(now.servers[0].clone());
        now.fleet = Some(vec!["2 of 3 nodes answered: nothing from c".to_owned()]);
        now.servers[0].sessions_left_out = 4;
        let mut out = Vec::new();
        table(&now, &now, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "2 of 3 nodes answered: nothing from c. 2 nodes: 2 sessions, 2 users, relay ports 2/2202 IPv4, \
             0/2202 IPv6; 4 sessions that are silent for longest left out"
        );
        assert!(lines[3].starts_with("NODE             USER"), "{text}");
        assert!(lines[4].starts_with("fra1             2000000000:@alice"), "{text}");
    }

    #[test]
    fn a_server_that_drains_says_so() {
        let mut draining = sample(Instant::now(), 0, [0; 2], Vec::new());
        draining.servers[0].ready = false;
        let now = UNIX_EPOCH + Duration::from_secs(1000 + 3600);
        let told = head(&draining, now);
        assert!(told.starts_with("taciturn 1.2.3, up 1h00m, draining: 0 sessions"), "{told}");
    }
}
