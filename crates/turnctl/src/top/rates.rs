//! Two looks at a server, and what it has relayed in between.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::ask_fleet;
use taciturn_control::{FleetStatus, NodeStatus, Session, Status, Traffic};

/// The state of the server, or of all servers of its fleet, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// One, without the name of a node, unless the whole fleet was asked.
    pub(super) servers: Vec<NodeStatus>,
    /// Who of the fleet has not answered, in words; `None` for one server.
    pub(super) fleet: Option<Vec<String>>,
    pub(super) sessions: Vec<Session>,
}

impl Sample {
    /// Of one server.
    pub(super) fn of_server(at: Instant, server: Status, sessions: Vec<Session>) -> Self {
        let server = NodeStatus {
            node: String::new(),
            tenant: None,
            version: server.version,
            started_at: server.started_at,
            ready: server.ready,
            allocations: server.allocations,
            users: server.users,
            connections: server.connections,
            relay_ports: server.relay_ports,
            relay_ports_used: server.relay_ports_used,
            traffic: server.traffic,
            sessions_left_out: 0,
        };
        Self { at, servers: vec![server], fleet: None, sessions }
    }

    /// Of all servers that have answered.
    pub(super) fn of_fleet(at: Instant, fleet: FleetStatus, sessions: Vec<Session>) -> Self {
        let notes = ask_fleet::notes(&fleet);
        Self { at, servers: fleet.answered, fleet: Some(notes), sessions }
    }
}

/// Bytes and packets each way, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    bytes: [u64; 2],
    packets: [u64; 2],
}

impl Counters {
    /// The increase since `before`; `None` if a counter was reset.
    fn since(self, before: Self) -> Option<Self> {
        let less = |now: [u64; 2], before: [u64; 2]| -> Option<[u64; 2]> {
            Some([now[0].checked_sub(before[0])?, now[1].checked_sub(before[1])?])
        };
        let bytes = less(self.bytes, before.bytes)?;
        Some(Self { bytes, packets: less(self.packets, before.packets)? })
    }

    fn over(self, time: Duration) -> Rate {
        // If the clock has not moved, do not divide by zero.
        let seconds = time.as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss)]
        let each = |counts: [u64; 2], unit: f64| counts.map(|count| count as f64 * unit / seconds);
        Rate { bits: each(self.bytes, 8.0), packets: each(self.packets, 1.0) }
    }
}

/// The traffic per second: to peers, and to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) bits: [f64; 2],
    pub(super) packets: [f64; 2],
}

impl Rate {
    fn plus(self, other: Self) -> Self {
        let each = |one: [f64; 2], other: [f64; 2]| [one[0] + other[0], one[1] + other[1]];
        Self { bits: each(self.bits, other.bits), packets: each(self.packets, other.packets) }
    }

    /// Both ways.
    pub(super) fn all_bits(&self) -> f64 {
        self.bits.iter().sum()
    }
}

impl From<Traffic> for Counters {
    fn from(traffic: Traffic) -> Self {
        Self {
            bytes: [traffic.bytes_to_peers, traffic.bytes_to_clients],
            packets: [traffic.packets_to_peers, traffic.packets_to_clients],
        }
    }
}

/// The identity of a session: unique at any time.
fn id(session: &Session) -> (Option<&str>, &str, &str, &[String]) {
    let Session { node, client, transport, relayed_addresses, .. } = session;
    (node.as_deref(), client, transport, relayed_addresses)
}

/// The bytes that were relayed, both ways.
pub(super) const fn bytes(traffic: &Traffic) -> u64 {
    traffic.bytes_to_peers.saturating_add(traffic.bytes_to_clients)
}

/// The rates of the servers together, from two samples: of those that are in both, and were not restarted in between.
/// `None` if there is none.
pub(super) fn of_servers(before: &Sample, now: &Sample) -> Option<Rate> {
    let time = now.at.saturating_duration_since(before.at);
    let rates = now.servers.iter().filter_map(|server| {
        let is_same = |earlier: &&NodeStatus| {
            (&earlier.node, earlier.started_at) == (&server.node, server.started_at)
        };
        let earlier = before.servers.iter().find(is_same)?;
        let counters = Counters::from(server.traffic).since(earlier.traffic.into());
        counters.map(|counters| counters.over(time))
    });
    rates.reduce(Rate::plus)
}

/// The rate of each session of the later sample, in its order. A session that was not there before
/// counts from its beginning, if that was in between. `None` is not known.
pub(super) fn of_sessions(before: &Sample, now: &Sample) -> Vec<Option<Rate>> {
    let time = now.at.saturating_duration_since(before.at);
    let earlier: HashMap<_, _> =
        before.sessions.iter().map(|session| (id(session), session)).collect();
    let rate = |session: &Session| {
        let counters = Counters::from(session.traffic);
        // The same client may have made another allocation: it has counted from zero, and is younger.
        let known = earlier.get(&id(session));
        let known = known.filter(|earlier| earlier.age_seconds <= session.age_seconds);
        if let Some(more) = known.and_then(|earlier| counters.since(earlier.traffic.into())) {
            return Some(more.over(time));
        }
        // Ages are whole seconds, rounded down.
        let new = session.age_seconds <= time.as_secs();
        new.then(|| counters.over(time))
    };
    now.sessions.iter().map(rate).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use taciturn_control::{PortsUsed, ReloadOutcome};

    fn traffic([to_peers, to_clients]: [u64; 2]) -> Traffic {
        Traffic {
            bytes_to_peers: to_peers,
            bytes_to_clients: to_clients,
            packets_to_peers: to_peers / 100,
            packets_to_clients: to_clients / 100,
        }
    }

    pub(in super::super) fn session(client: &str, age: u64, bytes: [u64; 2]) -> Session {
        Session {
            node: None,
            client: client.to_owned(),
            transport: "udp".to_owned(),
            user: "2000000000:@alice:domain.org".to_owned(),
            tenant: None,
            relayed_addresses: vec!["192.0.2.1:59000".to_owned()],
            permissions: 2,
            channels: 1,
            kernel_channels: None,
            traffic: traffic(bytes),
            age_seconds: age,
            expires_in_seconds: 600,
        }
    }

    /// Of a server that began with the clock, this many milliseconds later.
    pub(in super::super) fn sample(
        start: Instant,
        millis: u64,
        bytes: [u64; 2],
        sessions: Vec<Session>,
    ) -> Sample {
        let server = Status {
            version: "1.2.3".to_owned(),
            started_at: 1000,
            ready: true,
            workers: 2,
            allocations: sessions.len() as u64,
            users: 1,
            connections: 0,
            relay_ports: 1101,
            relay_ports_used: PortsUsed { ipv4: sessions.len() as u64, ipv6: 0 },
            traffic: traffic(bytes),
            last_reload: ReloadOutcome::default(),
            certificates: Vec::new(),
            tenants: Vec::new(),
            closing_listeners: Vec::new(),
            carried_over: None,
            records: None,
            kernel_relay: None,
        };
        Sample::of_server(start + Duration::from_millis(millis), server, sessions)
    }

    #[test]
    fn a_rate_is_what_came_between_two_samples() {
        let start = Instant::now();
        let before = sample(start, 0, [1000, 0], vec![session("a", 60, [1000, 500])]);
        let now = sample(start, 2000, [3000, 800], vec![session("a", 62, [2000, 500])]);
        let rates = of_sessions(&before, &now);
        assert_eq!(rates, [Some(Rate { bits: [4000.0, 0.0], packets: [5.0, 0.0] })]);
        let server = of_servers(&before, &now).unwrap();
        assert_eq!(server, Rate { bits: [8000.0, 3200.0], packets: [10.0, 4.0] });
        assert_eq!(server.all_bits(), 11_200.0);
    }

    #[test]
    fn a_session_that_vanished_is_gone_and_a_new_one_counts_from_its_beginning() {
        let start = Instant::now();
        let before = sample(start, 0, [0; 2], vec![session("gone", 60, [9000, 9000])]);
        let sessions = vec![session("new", 1, [1000, 0]), session("hidden before", 50, [1000, 0])];
        let rates = of_sessions(&before, &sample(start, 2000, [0; 2], sessions));
        assert_eq!(rates.len(), 2);
        assert_eq!(rates[0].unwrap().bits, [4000.0, 0.0]);
        assert_eq!(rates[1], None, "when it relayed that is not known");
    }

    #[test]
    fn another_allocation_of_the_same_client_does_not_count_backwards() {
        let start = Instant::now();
        let before = sample(start, 0, [0; 2], vec![session("a", 60, [9000, 9000])]);
        for bytes in [[100, 100], [9500, 9500]] {
            let now = sample(start, 2000, [0; 2], vec![session("a", 1, bytes)]);
            let rate = of_sessions(&before, &now)[0].unwrap();
            #[allow(clippy::cast_precision_loss)]
            let expected = bytes.map(|bytes: u64| bytes as f64 * 4.0);
            assert_eq!(rate.bits, expected);
        }
    }

    #[test]
    fn a_server_that_was_restarted_has_no_rate_yet() {
        let start = Instant::now();
        let before = sample(start, 0, [100; 2], Vec::new());
        let mut now = sample(start, 2000, [5000; 2], Vec::new());
        now.servers[0].started_at = 1001;
        assert_eq!(of_servers(&before, &now), None);
        assert_eq!(of_servers(&now, &before), None, "counters that went back");
    }

    #[test]
    fn of_a_fleet_the_servers_count_that_are_in_both_samples() {
        let start = Instant::now();
        let of = |millis, nodes: &[(&str, u64, [u64; 2])]| {
            let mut fleet = sample(start, millis, [0; 2], vec![session("a", 60, [0; 2])]);
            let server = fleet.servers[0].clone();
            let server = |(node, started_at, bytes): &(&str, u64, [u64; 2])| NodeStatus {
                node: (*node).to_owned(),
                started_at: *started_at,
                traffic: traffic(*bytes),
                ..server.clone()
            };
            fleet.servers = nodes.iter().map(server).collect();
            fleet
        };
        let mut before = of(0, &[("a", 1, [0; 2]), ("b", 1, [500; 2]), ("c", 1, [0; 2])]);
        let now = [("a", 1, [100, 0]), ("b", 1, [600; 2]), ("c", 2, [900; 2]), ("d", 1, [9; 2])];
        let mut now = of(1000, &now);
        assert_eq!(of_servers(&before, &now).unwrap().bits, [1600.0, 800.0]);
        // The same client of two nodes is two sessions.
        before.sessions[0].node = Some("a".into());
        now.sessions[0].node = Some("b".into());
        assert_eq!(of_sessions(&before, &now), [None]);
    }

    #[test]
    fn two_samples_at_one_moment_divide_nothing_by_zero() {
        let now = sample(Instant::now(), 0, [100; 2], vec![session("a", 0, [100; 2])]);
        let rates = [of_servers(&now, &now), of_sessions(&now, &now)[0]];
        assert!(rates.iter().all(|rate| rate.unwrap().all_bits().is_finite()));
    }
}
