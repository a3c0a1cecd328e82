//! How many connections there are, in all and from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;

use taciturn_stun::canonical_ip;

/// Counts the connections of all shards. Asked when one begins and when it ends.
#[derive(Debug)]
pub struct Connections {
    in_all: AtomicU32,
    per_address: AtomicU32,
    /// Turned away by the one limit and by the other.
    refused: [AtomicU64; 2],
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    in_all: u32,
    /// Only addresses that have a connection.
    by_address: AHashMap<IpAddr, u32>,
}

impl Connections {
    /// At most `in_all` connections, and at most `per_address` from each IPv4 address and each
    /// IPv6 /64.
    #[must_use]
    pub fn new(in_all: u32, per_address: u32) -> Self {
        let (in_all, per_address) = (AtomicU32::new(in_all), AtomicU32::new(per_address));
        Self { in_all, per_address, refused: Default::default(), open: Mutex::default() }
    }

    /// Takes over the limits of `other`, for connections that begin from now on.
    pub fn follow(&self, other: &Self) {
        for (mine, theirs) in
            [(&self.in_all, &other.in_all), (&self.per_address, &other.per_address)]
        {
            mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// One more connection; `None` when there are as many as may be.
    #[must_use]
    //= 8489-6.2.2-overload
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Option<ConnectionTicket> {
        let from = prefix(from);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.by_address.get(&from).copied().unwrap_or(0);
        let [by_all, by_address] = &self.refused;
        if open.in_all >= self.in_all.load(Ordering::Relaxed) {
            by_all.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if count >= self.per_address.load(Ordering::Relaxed) {
            by_address.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        open.in_all += 1;
        open.by_address.insert(from, count + 1);
        Some(ConnectionTicket { connections: Arc::clone(self), from })
    }

    /// How many were turned away because of the limit in all, and because of that for an address.
    #[must_use]
    pub fn refused(&self) -> [u64; 2] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).in_all
    }
}

/// Who counts as one: an IPv4 address, or the /64 that an IPv6 host chooses its addresses from.
fn prefix(ip: IpAddr) -> IpAddr {
    match canonical_ip(ip) {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct ConnectionTicket {
    connections: Arc<Connections>,
    from: IpAddr,
}

impl Drop for ConnectionTicket {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.in_all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_stopped_at_its_limit_and_others_are_not() {
        let connections = Arc::new(Connections::new(10, 2));
        let first = connections.take(ip("192.0.2.1")).unwrap();
        let _second = connections.take(ip("::ffff:192.0.2.1")).unwrap();
        assert!(connections.take(ip("192.0.2.1")).is_none());
        assert!(connections.take(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(connections.take(ip("192.0.2.1")).is_some());
        assert_eq!(connections.refused(), [0, 1]);
    }

    #[test]
    fn an_ipv6_host_counts_by_its_64() {
        let connections = Arc::new(Connections::new(10, 1));
        let _first = connections.take(ip("2001:db8:1:2::1")).unwrap();
        assert!(connections.take(ip("2001:db8:1:2:ffff::9")).is_none());
        assert!(connections.take(ip("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn other_limits_close_nothing_and_hold_for_the_next() {
        let connections = Arc::new(Connections::new(3, 3));
        let held: Vec<_> = (0..3).map(|_| connections.take(ip("192.0.2.1")).unwrap()).collect();
        connections.follow(&Connections::new(9, 2));
        assert_eq!(connections.open(), 3);
        assert!(connections.take(ip("192.0.2.1")).is_none());
        assert!(connections.take(ip("192.0.2.2")).is_some());
        connections.follow(&Connections::new(3, 9));
        assert!(connections.take(ip("192.0.2.2")).is_none());
        drop(held);
    }

    #[test]
    fn the_limit_in_all_holds_and_nothing_is_kept_for_who_is_gone() {
        let connections = Arc::new(Connections::new(3, 9));
        let all: Vec<_> = (1..=4).map(|n| connections.take(ip(&format!("192.0.2.{n}")))).collect();
        assert_eq!(all.iter().flatten().count(), 3);
        assert_eq!(connections.refused(), [1, 0]);
        drop(all);
        assert_eq!(connections.open(), 0);
        assert!(connections.open.lock().unwrap().by_address.is_empty());
    }
}
