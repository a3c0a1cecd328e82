//! What a test may want different from the usual server.

use std::time::Duration;

use super::seconds;
use crate::policy::Rates;
use crate::{NatDiscovery, Redirect, RelayAddress};

pub(super) struct Setup {
    pub(super) ports: (u16, u16),
    pub(super) v4: Option<RelayAddress>,
    pub(super) v6: Option<RelayAddress>,
    pub(super) allow: &'static [&'static str],
    /// Networks, each with a range of ports.
    pub(super) allow_ports: &'static [(&'static str, &'static str)],
    pub(super) deny: &'static [&'static str],
    pub(super) quota: u32,
    /// Allocations in all; 0 is no limit, as in the rates.
    pub(super) quota_in_all: u32,
    pub(super) ports_reserved_percent: u32,
    pub(super) rates: Rates,
    pub(super) max_lifetime: Duration,
    pub(super) max_permissions: usize,
    pub(super) max_channels: usize,
    pub(super) rfc5766_channels: bool,
    pub(super) tcp_relay: bool,
    pub(super) max_peer_connections: usize,
    pub(super) connections_in_all: usize,
    /// To strangers: a second and source, a second in all. 0 is no limit, as in the next.
    pub(super) answers: (u32, u32),
    pub(super) failures: u32,
    pub(super) rfc8489_over_udp: bool,
    pub(super) redirect: Option<Redirect>,
    pub(super) nat_discovery: Option<NatDiscovery>,
    pub(super) rfc3489: bool,
    pub(super) software: bool,
    pub(super) keep_removed: bool,
    pub(super) keep_removed_rows: bool,
    pub(super) mobility: bool,
    /// Whether there is a shared secret besides the static users.
    pub(super) shared_secret: bool,
    pub(super) strict_expiry: bool,
    /// Whether the use of sessions is recorded.
    pub(super) records: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ports: (50_000, 50_099),
            v4: Some(RelayAddress::plain("203.0.113.7".parse().unwrap())),
            v6: Some(RelayAddress::plain("2001:db8::7".parse().unwrap())),
            allow: &[],
            allow_ports: &[],
            deny: &[],
            quota: 32,
            quota_in_all: 0,
            ports_reserved_percent: 0,
            rates: Rates::default(),
            max_lifetime: seconds(3600),
            max_permissions: 128,
            max_channels: 64,
            rfc5766_channels: false,
            tcp_relay: false,
            max_peer_connections: 20,
            connections_in_all: 100,
            answers: (0, 0),
            failures: 0,
            rfc8489_over_udp: false,
            redirect: None,
            nat_discovery: None,
            rfc3489: false,
            software: true,
            keep_removed: false,
            keep_removed_rows: true,
            mobility: false,
            shared_secret: true,
            strict_expiry: false,
            records: false,
        }
    }
}
