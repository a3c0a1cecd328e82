//! What the nodes of a fleet answer when they are asked for their state and their sessions.
//!
//! A [`NodeAnswer`] reaches the node that has asked through Valkey or Redis. So it is a stranger's word: read by its
//! schema, and bounded.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::session::{PortsUsed, Session, Traffic};

/// Bytes of the longest answer of a node.
pub const LONGEST_NODE_ANSWER: usize = 256 * 1024;

/// The most sessions that one node lists.
pub const MOST_NODE_SESSIONS: usize = 500;

/// What the state takes of an answer at most, in bytes.
const STATE: usize = 2048;

/// The longest USERNAME that a server takes, in bytes (RFC 8489 section 14.3).
const LONGEST_USER: usize = 763;

/// Bytes of the longest name of a tenant.
const LONGEST_TENANT: usize = 64;

/// The longest name of a release, in bytes.
const LONGEST_VERSION: usize = 64;

/// The transports between clients and servers.
const TRANSPORTS: [&str; 4] = ["udp", "tcp", "tls", "dtls"];

/// The state of one node, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    #[serde(default)]
    pub node: String,
    /// The tenant that the numbers are of; not there if they are of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its release.
    pub version: String,
    /// When it started, in seconds since 1970.
    pub started_at: u64,
    /// Whether it makes allocations; `false` while it drains.
    pub ready: bool,
    /// Allocations there are.
    pub allocations: u64,
    /// Users that have one or more of them.
    pub users: u64,
    /// TCP, TLS and DTLS connections of clients; not counted by tenant, and 0 for one.
    pub connections: u64,
    /// Relay ports that are configured, as many of each address family; for a tenant those that it has for itself.
    pub relay_ports: u64,
    /// How many of them are in use.
    pub relay_ports_used: PortsUsed,
    /// Traffic relayed since the start.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// How many sessions were asked for and are not listed: those that have been silent for longest.
    #[serde(default)]
    pub sessions_left_out: u64,
}

/// The answer of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAnswer {
    /// Its state.
    pub status: NodeStatus,
    /// Its sessions, those that relayed last first, if they were asked for.
    #[serde(default)]
    pub sessions: Vec<Session>,
}

impl NodeAnswer {
    /// The answer with as many of the sessions as it has room for; the others are counted.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let mut left = LONGEST_NODE_ANSWER - STATE;
        let mut kept = 0;
        for session in self.sessions.iter().take(MOST_NODE_SESSIONS) {
            // With its comma. Numbers and strings: no value of these types fails.
            let bytes = serde_json::to_vec(session).map_or(usize::MAX, |text| text.len() + 1);
            let Some(rest) = left.checked_sub(bytes) else { break };
            (left, kept) = (rest, kept + 1);
        }
        let more = (self.sessions.len() - kept) as u64;
        self.sessions.truncate(kept);
        self.status.sessions_left_out = self.status.sessions_left_out.saturating_add(more);
        self
    }

    /// The answer as it is written for the others: up to [`LONGEST_NODE_ANSWER`] bytes.
    #[must_use]
    pub fn encode(self) -> String {
        serde_json::to_string(&self.bounded()).unwrap_or_default()
    }

    /// Reads what `node`, or whoever can write in its name, has written. `None` if it is no answer.
    #[must_use]
    pub fn decode(node: &str, bytes: &[u8]) -> Option<Self> {
        let answer: Self =
            (bytes.len() <= LONGEST_NODE_ANSWER).then(|| serde_json::from_slice(bytes).ok())??;
        let Self { mut status, mut sessions } = answer;
        let plain = |text: &str| !text.contains(char::is_control);
        let is_tenant = |tenant: &String| tenant.len() <= LONGEST_TENANT && plain(tenant);
        let fits = status.version.len() <= LONGEST_VERSION
            && plain(&status.version)
            && status.tenant.as_ref().is_none_or(is_tenant);
        if !fits || sessions.len() > MOST_NODE_SESSIONS || !sessions.iter().all(is_session) {
            return None;
        }
        // Whatever it says there itself.
        node.clone_into(&mut status.node);
        for session in &mut sessions {
            session.node = Some(node.to_owned());
        }
        Some(Self { status, sessions })
    }
}

/// Whether there may be such a session. The name of its user may be any text.
fn is_session(session: &Session) -> bool {
    let is_address = |text: &String| text.parse::<SocketAddr>().is_ok();
    is_address(&session.client)
        && TRANSPORTS.contains(&session.transport.as_str())
        && session.user.len() <= LONGEST_USER
        && session.tenant.as_ref().is_none_or(|tenant| tenant.len() <= LONGEST_TENANT)
        && session.relayed_addresses.len() <= 2
        && session.relayed_addresses.iter().all(is_address)
}

/// What the nodes of the fleet have answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetStatus {
    /// The name of the node that has asked the others.
    pub node: String,
    /// Those that have answered, by name.
    pub answered: Vec<NodeStatus>,
    /// Those that have not answered in time.
    pub silent: Vec<String>,
    /// Those whose answer cannot be read.
    pub unreadable: Vec<String>,
    /// Why the others could not be asked; not there if they could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl FleetStatus {
    /// Whether all nodes have answered.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.silent.is_empty() && self.unreadable.is_empty() && self.trouble.is_none()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn session(user: &str) -> Session {
        Session {
            node: None,
            client: "192.0.2.1:49152".into(),
            transport: "udp".into(),
            user: user.into(),
            tenant: None,
            relayed_addresses: vec!["203.0.113.1:59000".into(), "[2001:db8::1]:59000".into()],
            permissions: 2,
            channels: 1,
            kernel_channels: None,
            traffic: Traffic::default(),
            age_seconds: 90,
            expires_in_seconds: 510,
        }
    }

    fn answer(sessions: Vec<Session>) -> NodeAnswer {
        let status = NodeStatus { version: "0.1.0".into(), ready: true, ..NodeStatus::default() };
        NodeAnswer { status, sessions }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written_under_the_name_that_it_came_by() {
        let mut written = answer(vec![session("alice")]);
        written.status.node = "somebody else".into();
        let mut expected = answer(vec![Session { node: Some("b".into()), ..session("alice") }]);
        expected.status.node = "b".into();
        let text = written.encode();
        assert_eq!(NodeAnswer::decode("b", text.as_bytes()), Some(expected));
        let later = text.replacen('{', "{\"of_later\":[1],", 1);
        assert!(NodeAnswer::decode("b", later.as_bytes()).is_some());
        for cut in 0..text.len() {
            assert_eq!(NodeAnswer::decode("b", &text.as_bytes()[..cut]), None);
        }
    }

    #[test]
    fn what_no_node_says_is_no_answer() {
        let with = |change: fn(&mut NodeAnswer)| {
            let mut answer = answer(vec![session("alice")]);
            change(&mut answer);
            let text = serde_json::to_vec(&answer).unwrap();
            NodeAnswer::decode("b", &text)
        };
        assert!(with(|_| {}).is_some());
        for change in [
            (|answer| answer.status.version = "\u{1b}[2J".into()) as fn(&mut NodeAnswer),
            |answer| answer.status.version = "1".repeat(65),
            |answer| answer.status.tenant = Some("\n".into()),
            |answer| answer.status.tenant = Some("x".repeat(65)),
            |answer| answer.sessions[0].client = "192.0.2.1".into(),
            |answer| answer.sessions[0].client = "\u{1b}[2J192.0.2.1:1".into(),
            |answer| answer.sessions[0].transport = "\n".into(),
            |answer| answer.sessions[0].user = "x".repeat(764),
            |answer| answer.sessions[0].tenant = Some("x".repeat(65)),
            |answer| answer.sessions[0].relayed_addresses = vec!["x".into()],
            |answer| answer.sessions[0].relayed_addresses = vec!["192.0.2.1:1".into(); 3],
            |answer| answer.sessions = vec![answer.sessions[0].clone(); 501],
            |answer| answer.status.node = "x".repeat(LONGEST_NODE_ANSWER),
        ] {
            assert_eq!(with(change), None);
        }
        for bytes in [&b""[..], b"[]", b"null", b"{\"status\":7}", b"\xff\xfe", b"{\"status\":{}}"]
        {
            assert_eq!(NodeAnswer::decode("b", bytes), None);
        }
        assert_eq!(NodeAnswer::decode("b", "[".repeat(200_000).as_bytes()), None);
        assert_eq!(NodeAnswer::decode("b", "{\"a\":".repeat(40_000).as_bytes()), None);
    }

    #[test]
    fn an_answer_has_room_for_so_many_sessions_and_counts_the_others() {
        // Each byte of such a name takes six in JSON.
        for (user, most) in [("alice".to_owned(), 500), ("\u{1}".repeat(763), 60)] {
            let mut many = answer(vec![session(&user); 700]);
            many.status.sessions_left_out = 10;
            let text = many.encode();
            assert!(text.len() <= LONGEST_NODE_ANSWER, "{}", text.len());
            let read = NodeAnswer::decode("b", text.as_bytes()).unwrap();
            let listed = read.sessions.len();
            assert!(listed <= most && listed > most / 2, "{listed}");
            assert_eq!(read.status.sessions_left_out, 710 - listed as u64);
        }
    }
}
