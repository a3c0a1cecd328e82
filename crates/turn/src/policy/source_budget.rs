//! A rate for each source, an IPv4 address or an IPv6 /64.

use std::net::{IpAddr, Ipv6Addr};

use super::budget::BudgetTable;
use crate::clock::Tick;
use taciturn_stun::canonical_ip;

/// The part of an address that one subscriber holds: an IPv4 address, or an IPv6 /64.
#[must_use]
pub fn subscriber(ip: IpAddr) -> u128 {
    match canonical_ip(ip) {
        // IPv6 prefixes end in 64 zero bits, so the two never meet.
        IpAddr::V4(v4) => u128::from(v4.to_bits()) | 1 << 63,
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6) >> 64 << 64,
    }
}

/// A rate for each subscriber, over all shards, without a lock.
#[derive(Debug)]
pub struct SourceBudget(BudgetTable);

impl SourceBudget {
    /// `per_second` units, 1 to 1,000, and three seconds' worth at once; 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self(BudgetTable::per_second(per_second))
    }

    /// Takes a unit; false when there is none.
    pub fn take(&self, now: Tick, from: IpAddr) -> bool {
        self.0.take(now, subscriber(from))
    }

    /// Whether nothing is left.
    pub fn is_spent(&self, now: Tick, from: IpAddr) -> bool {
        self.0.is_spent(now, subscriber(from))
    }

    /// Whether all of it is there.
    pub fn is_whole(&self, now: Tick, from: IpAddr) -> bool {
        self.0.is_whole(now, subscriber(from))
    }
}
