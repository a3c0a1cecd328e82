//! What the page and the server say to each other: JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taciturn_control::TestSeen;

/// The answer to `begin`.
#[derive(Clone, Debug, Serialize)]
pub struct Begin<'a> {
    /// The name of the test.
    pub id: &'a str,
    /// The guest's USERNAME.
    pub username: &'a str,
    /// Its password.
    pub credential: &'a str,
    /// How long both are good, in seconds.
    pub lifetime: u64,
    /// Each is to be tried alone.
    pub uris: &'a [String],
    /// How many people the link is for.
    pub people: u32,
    /// The end of the link, in seconds since 1970.
    pub token_ends: u64,
}

/// What a browser has measured.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClientReport {
    /// The name of the test.
    pub id: String,
    /// The language of the browser.
    #[serde(default)]
    pub language: String,
    /// What became of each URI.
    #[serde(default)]
    pub uris: Vec<ClientUri>,
    /// What became of the test of two people, where there was one.
    #[serde(default)]
    pub pair: Option<PairReport>,
    /// Why the browser could not even begin.
    #[serde(default)]
    pub cannot: Option<String>,
}

/// What became of a URI, as the browser sees it. Any field may be made up.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClientUri {
    /// The URI.
    pub uri: String,
    /// How long the relayed candidate took.
    #[serde(default)]
    pub candidate_ms: Option<f64>,
    /// The address that the relay saw.
    #[serde(default)]
    pub address: Option<String>,
    /// The relayed address.
    #[serde(default)]
    pub relayed: Option<String>,
    /// The error of the browser.
    #[serde(default)]
    pub code: Option<u16>,
    /// Its words.
    #[serde(default)]
    pub text: Option<String>,
    /// Packets that were sent.
    #[serde(default)]
    pub sent: u32,
    /// Those that came back.
    #[serde(default)]
    pub received: u32,
    /// The round trip.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// Whether the browser has also sent to the relayed address without a relay, by UDP.
    #[serde(default)]
    pub knocked: bool,
}

/// What became of the test of two people.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PairReport {
    /// The name of the other one's test.
    #[serde(default)]
    pub with: String,
    /// Whether they reached each other.
    #[serde(default)]
    pub connected: bool,
    /// Packets that were sent.
    #[serde(default)]
    pub sent: u32,
    /// Those that came back.
    #[serde(default)]
    pub received: u32,
    /// The round trip.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
}

/// The answer to `report`.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome<'a> {
    /// What it comes to.
    pub verdict: &'static str,
    /// What else is to be said.
    pub advice: &'a [&'static str],
    /// What became of each URI.
    pub uris: Vec<UriOutcome<'a>>,
    /// What the server has seen.
    pub seen: &'a TestSeen,
}

/// What a URI comes to.
#[derive(Clone, Debug, Serialize)]
pub struct UriOutcome<'a> {
    /// The URI.
    pub uri: &'a str,
    /// What it comes to.
    pub verdict: &'static str,
}

/// What one of two people leaves for the other, and asks for.
#[derive(Clone, Debug, Deserialize)]
pub struct Signal {
    /// The name of the test.
    pub id: String,
    /// For the other one.
    #[serde(default)]
    pub data: Option<Value>,
    /// The last message that has come.
    #[serde(default)]
    pub after: u32,
}

/// The answer to that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Signals {
    /// The name of the other one's test, if there is one.
    pub peer: Option<String>,
    /// What that one has left.
    pub messages: Vec<Offered>,
}

/// A message of the other one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offered {
    /// Its number.
    pub n: u32,
    /// What was left.
    pub data: Value,
}
