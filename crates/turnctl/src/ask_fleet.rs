//! What all servers of the fleet say: `turnctl status`, `sessions` and `top` with `--fleet`.

use std::io::{self, Write};

use super::CtlError;
use super::session_table::{session_line, session_titles};
use super::socket::{SocketArgs, another_answer, ask};
use taciturn_config::Environment;
use taciturn_control::{Answer, FleetStatus, NodeStatus, PortsUsed, Request, Session, Traffic};

/// Has all servers asked for what is requested by [`Request::AskFleet`].
pub(super) fn gather(
    args: &SocketArgs,
    env: &Environment,
    request: &Request,
    out: &mut dyn Write,
) -> Result<(FleetStatus, Vec<Session>), CtlError> {
    let mut listed = Vec::new();
    let answer = ask(args, env, request, out, |session, _| {
        listed.push(session);
        Ok(())
    })?;
    match answer {
        Answer::FleetStatus(status) => Ok((*status, listed)),
        other => Err(another_answer(&other)),
    }
}

/// Prints a line for each server, and the sums: of a tenant, if one is given. The exit status is 1 if some have not
/// answered.
pub(super) fn status(
    args: &SocketArgs,
    env: &Environment,
    tenant: Option<String>,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    let request = Request::AskFleet { sessions: false, user: None, tenant };
    let (status, _) = gather(args, env, &request, out)?;
    if !args.json {
        print_status(&status, out)?;
    }
    Ok(u8::from(!status.is_whole()))
}

/// Prints the allocations of all servers, one a line. The exit status is 1 if some have not answered.
pub(super) fn sessions(
    args: &SocketArgs,
    env: &Environment,
    request: &Request,
    out: &mut dyn Write,
) -> Result<u8, CtlError> {
    let (status, sessions) = gather(args, env, request, out)?;
    if !args.json {
        print_sessions(&status, &sessions, out)?;
    }
    Ok(u8::from(!status.is_whole()))
}

fn print_status(status: &FleetStatus, out: &mut dyn Write) -> io::Result<()> {
    let row = |name: &str, version: &str, state: &str, node: &NodeStatus, out: &mut dyn Write| {
        let NodeStatus { allocations, users, connections, relay_ports, relay_ports_used, .. } =
            node;
        let PortsUsed { ipv4, ipv6 } = relay_ports_used;
        let Traffic { bytes_to_peers, bytes_to_clients, .. } = node.traffic;
        // Of a tenant, connections are not counted, and ports only where it has its own.
        let none = || "-".to_owned();
        let of_one = node.tenant.is_some();
        let connections = if of_one { none() } else { connections.to_string() };
        let ports = match (of_one, relay_ports) {
            (true, 0) => none(),
            _ => format!("{ipv4}+{ipv6}/{relay_ports}"),
        };
        writeln!(
            out,
            "{name:<17} {version:<10} {state:<9} {allocations:>11} {users:>7} {connections:>11} {ports:>16} \
             {bytes_to_peers:>15} {bytes_to_clients:>15}",
        )
    };
    writeln!(
        out,
        "{:<17} {:<10} {:<9} {:>11} {:>7} {:>11} {:>16} {:>15} {:>15}",
        "NODE",
        "VERSION",
        "STATE",
        "ALLOCATIONS",
        "USERS",
        "CONNECTIONS",
        "PORTS 4+6/ALL",
        "TO PEERS",
        "TO CLIENTS"
    )?;
    for node in &status.answered {
        let mark = if node.node == status.node { "*" } else { "" };
        let name = format!("{}{mark}", node.node.escape_debug());
        let state = if node.ready { "ready" } else { "draining" };
        row(&name, &node.version.escape_debug().to_string(), state, node, out)?;
    }
    row("all", "", "", &sum(&status.answered), out)?;
    notes(status).iter().try_for_each(|note| writeln!(out, "{note}"))
}

fn print_sessions(
    status: &FleetStatus,
    sessions: &[Session],
    out: &mut dyn Write,
) -> io::Result<()> {
    if sessions.is_empty() {
        writeln!(out, "no sessions")?;
    } else {
        write!(out, "{:<16} ", "NODE")?;
        let by_kernel = sessions.iter().any(|session| session.kernel_channels.is_some());
        session_titles(by_kernel, out)?;
    }
    for session in sessions {
        let node = session.node.as_deref().unwrap_or_default();
        write!(out, "{:<16} ", node.escape_debug().to_string())?;
        session_line(session, out)?;
    }
    for NodeStatus { node, sessions_left_out, .. } in &status.answered {
        if *sessions_left_out > 0 {
            let node = node.escape_debug();
            writeln!(out, "{sessions_left_out} more on {node}, silent for longer, left out")?;
        }
    }
    notes(status).iter().try_for_each(|note| writeln!(out, "{note}"))
}

/// The sums of what can be added up. A user of two servers counts twice.
pub(super) fn sum(nodes: &[NodeStatus]) -> NodeStatus {
    let add = |all: NodeStatus, node: &NodeStatus| NodeStatus {
        tenant: node.tenant.clone(),
        ready: all.ready || node.ready,
        allocations: all.allocations.saturating_add(node.allocations),
        users: all.users.saturating_add(node.users),
        connections: all.connections.saturating_add(node.connections),
        relay_ports: all.relay_ports.saturating_add(node.relay_ports),
        relay_ports_used: PortsUsed {
            ipv4: all.relay_ports_used.ipv4.saturating_add(node.relay_ports_used.ipv4),
            ipv6: all.relay_ports_used.ipv6.saturating_add(node.relay_ports_used.ipv6),
        },
        traffic: Traffic {
            bytes_to_peers: all.traffic.bytes_to_peers.saturating_add(node.traffic.bytes_to_peers),
            bytes_to_clients: all
                .traffic
                .bytes_to_clients
                .saturating_add(node.traffic.bytes_to_clients),
            packets_to_peers: all
                .traffic
                .packets_to_peers
                .saturating_add(node.traffic.packets_to_peers),
            packets_to_clients: all
                .traffic
                .packets_to_clients
                .saturating_add(node.traffic.packets_to_clients),
        },
        sessions_left_out: all.sessions_left_out.saturating_add(node.sessions_left_out),
        ..all
    };
    nodes.iter().fold(NodeStatus::default(), add)
}

/// Who has not answered, and why; nothing if all have.
pub(super) fn notes(status: &FleetStatus) -> Vec<String> {
    let FleetStatus { node, answered, silent, unreadable, trouble } = status;
    let mut notes = Vec::new();
    let names = |names: &[String]| {
        let names: Vec<_> = names.iter().map(|name| name.escape_debug().to_string()).collect();
        names.join(", ")
    };
    let all = answered.len() + silent.len() + unreadable.len();
    if !silent.is_empty() || !unreadable.is_empty() {
        let mut why = Vec::new();
        if !silent.is_empty() {
            why.push(format!("nothing from {}", names(silent)));
        }
        if !unreadable.is_empty() {
            let names = names(unreadable);
            why.push(format!("what {names} answers cannot be read: is it of another version?"));
        }
        notes.push(format!("{} of {all} nodes answered: {}", answered.len(), why.join("; ")));
    }
    if let Some(trouble) = trouble {
        // In the words of this server, which has judged what it was told.
        notes.push(format!("{node} cannot ask the others: {trouble}"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeStatus {
        NodeStatus {
            node: name.into(),
            tenant: None,
            version: "0.1.0".into(),
            started_at: 1_700_000_000,
            ready: true,
            allocations: 3,
            users: 2,
            connections: 1,
            relay_ports: 1101,
            relay_ports_used: PortsUsed { ipv4: 3, ipv6: 1 },
            traffic: Traffic { bytes_to_peers: 1000, bytes_to_clients: 20, ..Traffic::default() },
            sessions_left_out: 0,
        }
    }

    fn fleet(answered: Vec<NodeStatus>) -> FleetStatus {
        FleetStatus { node: "a".into(), answered, ..FleetStatus::default() }
    }

    fn session(node: &str, user: &str) -> Session {
        Session {
            node: Some(node.into()),
            client: "192.0.2.1:49152".into(),
            transport: "udp".into(),
            user: user.into(),
            tenant: None,
            relayed_addresses: vec!["203.0.113.1:59000".into()],
            permissions: 2,
            channels: 1,
            kernel_channels: None,
            traffic: Traffic::default(),
            age_seconds: 90,
            expires_in_seconds: 510,
        }
    }

    fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_state_is_a_line_for_each_node_and_the_sums() {
        let mut draining = node("b");
        (draining.ready, draining.allocations) = (false, u64::MAX);
        let status = fleet(vec![node("a"), draining]);
        let text = printed(|out| print_status(&status, out));
        let lines: Vec<Vec<_>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..4], ["a*", "0.1.0", "ready", "3"]);
        assert_eq!(lines[2][..3], ["b", "0.1.0", "draining"]);
        let most = u64::MAX.to_string();
        assert_eq!(lines[3], ["all", &most, "4", "2", "6+2/2202", "2000", "40"]);
        assert_eq!(lines.len(), 4, "{text}");
    }

    #[test]
    fn what_the_kernel_relays_has_a_column_where_it_relays_anything() {
        let status = fleet(vec![node("a")]);
        let mut all = [session("a", "alice"), session("a", "bob")];
        let text = printed(|out| print_sessions(&status, &all, out));
        assert!(!text.contains("KERNEL"), "{text}");
        (all[1].channels, all[1].kernel_channels) = (3, Some(2));
        let text = printed(|out| print_sessions(&status, &all, out));
        let ends: Vec<_> = text.lines().map(|line| line.split_whitespace().last()).collect();
        assert_eq!(ends, [Some("KERNEL"), Some("510s"), Some("2/3")], "{text}");
    }

    #[test]
    fn of_a_tenant_connections_are_not_told_and_ports_where_it_has_its_own() {
        let of = |name: &str, relay_ports, ipv4| NodeStatus {
            tenant: Some("acme".into()),
            relay_ports,
            relay_ports_used: PortsUsed { ipv4, ipv6: 0 },
            ..node(name)
        };
        let text = printed(|out| print_status(&fleet(vec![of("a", 0, 0), of("b", 300, 3)]), out));
        let lines: Vec<Vec<_>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a*", "0.1.0", "ready", "3", "2", "-", "-", "1000", "20"]);
        assert_eq!(lines[2], ["b", "0.1.0", "ready", "3", "2", "-", "3+0/300", "1000", "20"]);
        assert_eq!(lines[3], ["all", "6", "4", "-", "3+0/300", "2000", "40"]);
    }

    #[test]
    fn it_is_said_who_has_not_answered_and_what_is_left_out() {
        let mut status = fleet(vec![node("a"), NodeStatus { sessions_left_out: 7, ..node("b") }]);
        status.silent = vec!["c".into()];
        status.unreadable = vec!["d".into()];
        status.trouble = Some("no answer within 2 s".into());
        let text = printed(|out| print_sessions(&status, &[session("b", "\u{1b}[2J")], out));
        for told in [
            "NODE             CLIENT ",
            "b                192.0.2.1:49152 ",
            "\\u{1b}[2J",
            "7 more on b, silent for longer, left out",
            "2 of 4 nodes answered: nothing from c; what d answers cannot be read",
            "a cannot ask the others: no answer within 2 s",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
        let whole = printed(|out| print_sessions(&fleet(vec![node("a")]), &[], out));
        assert_eq!(whole, "no sessions\n");
    }
}
