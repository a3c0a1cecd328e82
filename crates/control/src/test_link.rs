//! Links for people whose calls fail, and what their tests have found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A link that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestLink {
    /// Its number, which is no secret.
    pub number: u64,
    /// Where the server serves it: `https://turn.example.org:5349/`.
    pub address: String,
    /// What is behind that, with the token: `test/.../`. A secret.
    pub path: String,
    /// What it is served on: `tls`, `tcp`, or `proxy` for TLS behind a proxy.
    pub served_on: String,
    /// The end of its validity, in seconds since 1970.
    pub ends_at: u64,
    /// How many people may test at a time.
    pub people: u32,
}

impl fmt::Debug for TestLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, address, ends_at, .. } = self;
        write!(f, "TestLink({number} on {address}, until {ends_at})")
    }
}

/// What the test of one person has found: the person's browser and the server together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// The number of the link.
    pub link: u64,
    /// Grows with each report, and when one is replaced.
    pub revision: u64,
    /// The name of the test.
    pub id: String,
    /// The how many-th test of the link it is, from 1 on.
    pub person: u32,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The address that the page was read from.
    pub address: String,
    /// The language of the browser.
    pub language: String,
    /// What it comes to, as a fixed name.
    pub verdict: String,
    /// What else is to be said, as fixed names.
    pub advice: Vec<String>,
    /// What became of each URI.
    pub uris: Vec<TestedUri>,
    /// What became of the test of two people.
    pub pair: Option<TestedPair>,
    /// What the server has seen of it.
    pub seen: TestSeen,
}

/// What became of one URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestedUri {
    /// The URI.
    pub uri: String,
    /// What it comes to, as a fixed name.
    pub verdict: String,
    /// How long the relayed candidate took, in milliseconds.
    pub candidate_ms: Option<u32>,
    /// The address that the relay saw.
    pub address: Option<String>,
    /// The relayed address.
    pub relayed: Option<String>,
    /// The error of the browser.
    pub code: Option<u16>,
    /// The error of the browser in its words, which may be any text.
    pub text: String,
    /// Packets that were sent through the relay.
    pub sent: u32,
    /// Those that came back.
    pub received: u32,
    /// The round trip, in milliseconds.
    pub rtt_ms: Option<u32>,
}

/// What became of the test of two people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestedPair {
    /// The name of the other one's test.
    pub with: String,
    /// Whether they reached each other.
    pub connected: bool,
    /// Packets that were sent.
    pub sent: u32,
    /// Those that came back.
    pub received: u32,
    /// The round trip, in milliseconds.
    pub rtt_ms: Option<u32>,
}

/// What the server has seen of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSeen {
    /// Signed requests.
    pub requests: u64,
    /// Requests whose signature was wrong.
    pub refused: u64,
    /// Allocations.
    pub allocations: u64,
    /// Packets that came from peers.
    pub from_peers: u64,
    /// Packets that went to peers.
    pub to_peers: u64,
    /// Packets that came to its relayed addresses from outside.
    #[serde(default)]
    pub outside: u64,
    /// The address that the requests came from.
    pub address: Option<String>,
    /// The transports that requests came by.
    pub transports: Vec<String>,
}
