//! What a running server answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::fleet_status::FleetStatus;
use super::kernel_relay::KernelRelay;
use super::session::{PortsUsed, Session, Traffic};
use super::test_link::{TestLink, TestReport};

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// One allocation of many; more lines follow.
    Session(Session),
    /// The last line.
    Last {
        /// The release of the server.
        version: String,
        /// The result, or why there is none.
        outcome: Result<Answer, Error>,
    },
}

/// The result of a request. On the wire it is an object with one field, named like the variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of [`Request::Status`](super::Request::Status).
    Status(Box<Status>),
    /// Of [`Request::Sessions`](super::Request::Sessions): how many were listed.
    Sessions(u64),
    /// Of [`Request::Kick`](super::Request::Kick): how many allocations were ended.
    Kicked(u64),
    /// Of [`Request::Fleet`](super::Request::Fleet).
    Fleet(Box<FleetReport>),
    /// Of [`Request::AskFleet`](super::Request::AskFleet).
    FleetStatus(Box<FleetStatus>),
    /// Of [`Request::Bans`](super::Request::Bans).
    Bans(Vec<Ban>),
    /// Of a request that changes the server: what it did, for a person to read, a line each.
    Messages(Vec<String>),
    /// Of [`Request::Certs`](super::Request::Certs).
    Certificates(Vec<Certificate>),
    /// Of [`Request::Page`](super::Request::Page).
    Page(PageToken),
    /// Of [`Request::TestLink`](super::Request::TestLink).
    TestLink(TestLink),
    /// Of [`Request::TestReports`](super::Request::TestReports), in the order of their revisions.
    TestReports(Vec<TestReport>),
    /// Of [`Request::HandOver`](super::Request::HandOver): the newest version of the hand-over that this server
    /// speaks. It waits for the other to begin.
    HandOver(u16),
}

/// A token for the status page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    /// Where the server serves the page: `http://127.0.0.1:9641/`.
    pub address: String,
    /// The token: a secret.
    pub token: String,
    /// The end of its validity, in seconds since 1970.
    pub expires_at: u64,
}

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, expires_at, .. } = self;
        write!(f, "PageToken({address}, until {expires_at})")
    }
}

/// The fleet, as one of its nodes knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetReport {
    /// The name of the node that answers.
    pub node: String,
    /// Why it cannot ask for the others; not there if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Where the master of the Valkey or Redis is that it asks, if Sentinel has named it: `10.9.0.2 port 6379`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Whether another process has its name.
    pub name_taken: bool,
    /// All nodes.
    pub nodes: Vec<FleetNode>,
}

/// A node of a fleet. All of it is what the node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetNode {
    /// Its name.
    pub node: String,
    /// Its release.
    pub version: String,
    /// Its listeners: `udp 203.0.113.7:3478`.
    pub listeners: Vec<String>,
    /// The addresses that it relays on.
    pub relays: Vec<String>,
    /// Whether it makes allocations; `false` while it drains.
    pub ready: bool,
    /// Allocations.
    pub allocations: u64,
    /// Free relay ports, of the address family with fewer.
    pub ports_free: u64,
    /// Its realm.
    pub realm: String,
    /// A short hash of its credentials.
    pub credentials: String,
    /// By how much its clock is ahead of that of Valkey or Redis.
    pub clock_offset_seconds: i64,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// `user`, `tenant-user`, `address` or `network`.
    pub kind: String,
    /// The name, the tenant and the name with a slash between them, the address, or the network.
    pub value: String,
    /// Its beginning, in seconds since 1970.
    pub begins_at: u64,
    /// Its end, in seconds since 1970; not there if only the operator ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
}

/// The state of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The release of the server.
    pub version: String,
    /// When it started, in seconds since 1970.
    pub started_at: u64,
    /// Whether it makes allocations; `false` while it drains.
    pub ready: bool,
    /// Worker threads.
    pub workers: u64,
    /// Allocations there are.
    pub allocations: u64,
    /// Users that have one or more of them.
    pub users: u64,
    /// TCP, TLS and DTLS connections of clients.
    pub connections: u64,
    /// Relay ports that are configured. There are as many of each address family.
    pub relay_ports: u64,
    /// How many of them are in use.
    pub relay_ports_used: PortsUsed,
    /// Traffic relayed since the start.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// How the last reload went; the start counts as one.
    pub last_reload: ReloadOutcome,
    /// The certificates in use.
    pub certificates: Vec<CertificateSummary>,
    /// Listeners that were removed from the configuration and still have clients.
    pub closing_listeners: Vec<ClosingListener>,
    /// What each tenant has, the default one first; empty where none is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantStatus>,
    /// What became of the calls of the process before this one, where it left or gave any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_over: Option<CarriedOver>,
    /// Records of what sessions have used, where some wait or were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsState>,
    /// What the kernel relays; not there if the configuration does not want it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_relay: Option<KernelRelay>,
}

/// Records of what sessions have used that are not where they should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsState {
    /// Those that wait: for the receiver, or for the disk.
    pub waiting: u64,
    /// Those that were dropped since the start.
    pub dropped: u64,
    /// Why the last attempt to write or to deliver has failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a tenant has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Its name; `default` for the users of none.
    pub name: String,
    /// Allocations there are.
    pub allocations: u64,
    /// Users that have one or more of them.
    pub users: u64,
    /// Relay ports that it has for itself, of each address family; 0 where it shares those of no tenant.
    pub relay_ports: u64,
    /// How many of them are in use.
    pub relay_ports_used: PortsUsed,
    /// Traffic relayed since the start.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What became of the allocations of the process before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedOver {
    /// The release of that process.
    pub from_version: String,
    /// Allocations that have gone on here.
    pub allocations: u64,
    /// Those that have stayed there: their clients were on TLS.
    pub stayed: u64,
    /// Those that have ended on the way.
    pub ended: u64,
}

/// How a reload went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadOutcome {
    /// Whether the configuration was applied; `false` if it was refused.
    pub succeeded: bool,
    /// When, in seconds since 1970.
    pub finished_at: u64,
}

/// A certificate in use, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// The names it is for.
    pub names: Vec<String>,
    /// Its last second, in seconds since 1970.
    pub expires_at: i64,
}

/// A listener that was removed and still has clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingListener {
    /// The name it was configured with.
    pub name: String,
    /// Its address and port.
    pub address: String,
    /// Its transport: `udp`, `tcp`, `tls`, `auto`, `dtls` or `udp+dtls`.
    pub transport: String,
    /// What is left: of plain UDP clients their allocations, otherwise the connections.
    pub clients: u64,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The names it is for.
    pub names: Vec<String>,
    /// The distinguished name of its issuer.
    pub issuer: String,
    /// The names of the listeners that serve it.
    pub listeners: Vec<String>,
    /// The kind of its source: `file`, `certbot` or `acme`.
    pub source: String,
    /// Where that is.
    pub path: String,
    /// Its first second, in seconds since 1970.
    pub begins_at: i64,
    /// Its last second, in seconds since 1970.
    pub expires_at: i64,
    /// Whole days until then, rounded down; negative afterwards.
    pub days_left: i64,
    /// Whether it has expired.
    pub expired: bool,
    /// Since when the server uses it, in seconds since 1970.
    pub in_use_since: i64,
    /// Why the file that is there now is not in use instead, where that is so.
    #[serde(default)]
    pub renewal_failure: Option<String>,
    /// Reasons for which clients may reject it, as text for people.
    pub warnings: Vec<String>,
}
