//! Scenario tests of the state machine: clients and peers around a shard, without sockets and
//! with a clock that the test moves. One file a behaviour; `rig` and `client` are the tools.
//!
//! Section numbers are those of RFC 8656 unless another RFC is named.

mod client;
mod outcome;
mod restart;
mod rig;
mod setup;
mod world;

mod advisories;
mod allocate;
mod announcements;
mod answer_budget;
mod authentication;
mod bans;
mod bytes;
mod captured;
mod channels;
mod conformance;
mod credentials;
mod denied_peers;
mod families;
mod guests;
mod housekeeping;
mod icmp;
mod indications;
mod lifetimes;
mod limits;
mod mobility;
mod nat_discovery;
mod own_relays;
mod peer_ports;
mod permissions;
mod ports;
mod rates;
mod redirect;
mod reload;
mod removal;
mod restarts;
mod restarts_model;
mod rfc3489;
mod security;
mod sessions;
mod snapshot_files;
mod tcp_allocations;
mod tcp_binding;
mod tcp_connections;
mod tcp_peers;
mod tenants;
mod tenants_model;
mod transfers;
mod usage;

use std::net::SocketAddr;
use std::time::Duration;

use client::{Answer, Received, TestClient};
use outcome::Outcome;
use rig::Rig;
use world::Happened;

/// Hosts on the public Internet, which the built-in rules allow.
const PEER: &str = "8.8.8.8:4000";
const OTHER_PEER: &str = "9.9.9.9:5000";
const PEER_V6: &str = "[2a00::1]:6000";

/// A channel number for tests that need one.
const CHANNEL: u16 = 0x4000;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The smallest step of the clock.
const MOMENT: Duration = Duration::from_millis(1);
