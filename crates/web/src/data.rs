//! What the page shows, as it gets it: JSON.

use serde::Serialize;
use taciturn_control::{Certificate, DoctorFinding, Session, Status, TestReport};

/// Sessions that are shown at most: those that relayed last.
pub const SESSIONS: usize = 500;

/// All but the traffic of the last hour.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// The time of the server, in milliseconds since 1970.
    pub now: u64,
    /// The state of the server.
    pub status: Status,
    /// The sessions, up to [`SESSIONS`].
    pub sessions: Vec<Session>,
    /// Who failed to log in, the last one first.
    pub failed_logins: Vec<FailedLogin>,
    /// How often each rule refused a peer, since the start.
    pub refused_peers: Vec<RefusedPeers>,
    /// The certificates in use.
    pub certificates: Vec<Certificate>,
    /// The last report of `turnctl doctor`.
    pub doctor: Option<DoctorReport>,
    /// What people have found by test links within the last day, the last one first.
    pub tests: Vec<TestReport>,
}

/// Somebody who failed to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedLogin {
    /// Address and port of the client that did last.
    pub client: String,
    /// The transport.
    pub transport: String,
    /// The USERNAME. A client may have chosen any text.
    pub user: String,
    /// Why it was refused.
    pub reason: String,
    /// How often the log has it.
    pub times: u64,
    /// The last time, in seconds since 1970.
    pub last_at: u64,
}

/// A rule about peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedPeers {
    /// Its name.
    pub rule: String,
    /// How often it refused a peer.
    pub times: u64,
}

/// What `turnctl doctor` has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    /// When, in seconds since 1970.
    pub at: u64,
    /// The result of each of its tests.
    pub findings: Vec<DoctorFinding>,
}
