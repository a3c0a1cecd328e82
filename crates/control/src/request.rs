//! What can be asked of a running server.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The result of one test of `turnctl doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorFinding {
    /// Its stable name.
    pub id: String,
    /// How it ended: `pass`, `info`, `skip`, `warn` or `fail`.
    pub status: String,
    /// What was seen, in one line.
    pub title: String,
    /// Why it matters to a call; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

/// Whom a ban is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banned {
    /// `user`, `tenant-user`, `address` or `network`.
    pub kind: String,
    /// The name, the tenant and the name with a slash between them, the address, or the network.
    pub value: String,
}

/// One request. On the wire, the field `command` identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// The state of the server. Answered by [`Answer::Status`](super::Answer::Status).
    Status,
    /// The allocations. Answered by a [`Line::Session`](super::Line::Session) for each, then
    /// [`Answer::Sessions`](super::Answer::Sessions).
    Sessions {
        /// Only those of this user: the USERNAME, or the name that follows the expiry time in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Only those of this tenant; `default` is the one without a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
    },
    /// Ends allocations: those that match every field given. One of them is required. Answered by
    /// [`Answer::Kicked`](super::Answer::Kicked).
    Kick {
        /// Those of this user: the USERNAME, or the name that follows the expiry time in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Those of the client at this address and port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<SocketAddr>,
        /// Those of this tenant; `default` is the one without a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        /// Also those of the user on all other nodes of the fleet. Answered by
        /// [`Answer::Messages`](super::Answer::Messages) then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fleet: bool,
    },
    /// The nodes of the fleet. Answered by [`Answer::Fleet`](super::Answer::Fleet).
    Fleet,
    /// The state of all nodes of the fleet, as far as they answer within a second. Answered by a
    /// [`Line::Session`](super::Line::Session) for each session that is asked for, then
    /// [`Answer::FleetStatus`](super::Answer::FleetStatus).
    AskFleet {
        /// Whether to list sessions too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sessions: bool,
        /// Only those of this user: the USERNAME, or the name that follows the expiry time in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Only those of this tenant, and what it has of the state; `default` is the one without a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
    },
    /// Bans a user, an address or a network, or gives a ban another end. Answered by
    /// [`Answer::Messages`](super::Answer::Messages).
    Ban {
        /// What is banned.
        #[serde(flatten)]
        whom: Banned,
        /// Ends the ban after this number of seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_seconds: Option<u64>,
    },
    /// Ends a ban. Answered by [`Answer::Messages`](super::Answer::Messages).
    Unban {
        /// What is banned.
        #[serde(flatten)]
        whom: Banned,
    },
    /// All bans. Answered by [`Answer::Bans`](super::Answer::Bans).
    Bans,
    /// Reads the configuration again. Answered by [`Answer::Messages`](super::Answer::Messages):
    /// what has changed.
    Reload,
    /// Makes no allocation from now on, and ends the server when none is left. Answered by
    /// [`Answer::Messages`](super::Answer::Messages).
    Drain {
        /// Ends the server after this number of seconds even if allocations are left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<u64>,
    },
    /// Makes allocations again. Answered by [`Answer::Messages`](super::Answer::Messages).
    CancelDrain,
    /// Shows what is logged, or changes it. Answered by
    /// [`Answer::Messages`](super::Answer::Messages): what is logged from now on.
    LogLevel {
        /// Log this from now on: a level, or levels by module.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
        /// Returns to the configured filter after this number of seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_seconds: Option<u64>,
    },
    /// The certificates in use. Answered by
    /// [`Answer::Certificates`](super::Answer::Certificates).
    Certs,
    /// Hands out a token for the status page. Answered by [`Answer::Page`](super::Answer::Page).
    Page {
        /// How long the token is valid.
        for_seconds: u64,
    },
    /// Takes a report of `turnctl doctor`, for the status page. Answered by
    /// [`Answer::Messages`](super::Answer::Messages), without any.
    DoctorReport {
        /// The result of each test.
        findings: Vec<DoctorFinding>,
    },
    /// Makes a link for people whose calls fail. Answered by [`Answer::TestLink`](super::Answer::TestLink).
    TestLink {
        /// How long it is valid.
        for_seconds: u64,
        /// How many people may test at a time.
        people: u32,
    },
    /// What the tests of a link have found, or of all links. Answered by
    /// [`Answer::TestReports`](super::Answer::TestReports).
    TestReports {
        /// Only those of the link of this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<u64>,
        /// Only those with a higher revision.
        #[serde(default)]
        after: u64,
    },
    /// Ends all links. Answered by [`Answer::Messages`](super::Answer::Messages).
    EndTestLinks,
    /// Hands sockets and calls over to the process that asks: a server of the same machine that takes this one's
    /// place. Answered by [`Answer::HandOver`](super::Answer::HandOver); from then on the connection carries no
    /// lines. Only the server's own user and root may ask.
    HandOver,
}
