//! How many connections there are, in all and from one network, and who goes when there is no room.

mod notice;
mod prefix;
mod table;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use self::notice::Notice;
use self::table::Table;

/// Of the connections that may be, one in so many may have been told to go and be there still. They
/// go within a turn of their worker; where one hangs, newcomers are refused again.
const LEAVING: u32 = 16;

/// Of the connections that may be, one in so many may be on their way in through a proxy, with an
/// address that is not known yet; and so many at least.
const UNNAMED: u32 = 4;
const LEAST_UNNAMED: u32 = 64;

/// Counts the connections of all shards. Asked when one begins and when it ends, and when it gets an
/// allocation or loses it.
///
/// An IPv4 address and an IPv6 /64 may have as many as the limit for an address says, an IPv4 /24
/// eight times as many, an IPv6 /56 twice and an IPv6 /48 four times as many. Where all places
/// are taken, a newcomer gets that of a connection without an allocation.
#[derive(Debug)]
pub struct Connections {
    in_all: AtomicU32,
    per_address: AtomicU32,
    /// Whether a newcomer may take the place of another.
    makes_room: bool,
    /// Turned away by the one limit and by the other.
    refused: [AtomicU64; 2],
    /// Closed to make room.
    evicted: AtomicU64,
    unnamed: AtomicU32,
    /// The most that there were at a time, since that was asked last.
    most: AtomicU32,
    table: Mutex<Table>,
}

impl Connections {
    /// At most `in_all` connections, and at most `per_address` from each IPv4 address and each
    /// IPv6 /64. Where all places are taken, one without an allocation makes room.
    #[must_use]
    pub fn new(in_all: u32, per_address: u32) -> Self {
        Self { makes_room: true, ..Self::refusing(in_all, per_address) }
    }

    /// Likewise, but newcomers are refused where all places are taken.
    #[must_use]
    pub fn refusing(in_all: u32, per_address: u32) -> Self {
        Self {
            in_all: AtomicU32::new(in_all),
            per_address: AtomicU32::new(per_address),
            makes_room: false,
            refused: Default::default(),
            evicted: AtomicU64::new(0),
            unnamed: AtomicU32::new(0),
            most: AtomicU32::new(0),
            table: Mutex::default(),
        }
    }

    /// Has other limits hold, for connections that begin from now on.
    pub fn set_limits(&self, in_all: u32, per_address: u32) {
        self.in_all.store(in_all, Ordering::Relaxed);
        self.per_address.store(per_address, Ordering::Relaxed);
    }

    /// One more connection, which has no allocation; `None` when there are as many as may be.
    #[must_use]
    //= 8489-6.2.2-overload
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Option<ConnectionTicket> {
        let [by_all, by_address] = &self.refused;
        let in_all = self.in_all.load(Ordering::Relaxed);
        let mut table = self.table();
        if !table.has_room_for(from, self.per_address.load(Ordering::Relaxed)) {
            by_address.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let mut evicted = None;
        if table.taken() >= in_all {
            let may_leave = (in_all / LEAVING + LEAVING) as usize;
            if self.makes_room && table.taken() == in_all && table.leaving() < may_leave {
                evicted = table.evict();
            }
            if evicted.is_none() {
                by_all.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let notice = Arc::new(Notice::default());
        let place = table.insert(from, Arc::clone(&notice));
        self.most.fetch_max(table.taken(), Ordering::Relaxed);
        drop(table);
        // Without the lock: whoever is woken may ask for it at once.
        if let Some(evicted) = evicted {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            evicted.give();
        }
        Some(ConnectionTicket { connections: Arc::clone(self), place, notice })
    }

    /// A connection of a proxy that has not said yet for whom it is; `None` when there are as many of
    /// those as may be.
    #[must_use]
    pub fn take_unnamed(self: &Arc<Self>) -> Option<UnnamedTicket> {
        let most = (self.in_all.load(Ordering::Relaxed) / UNNAMED).max(LEAST_UNNAMED);
        let one_more = |count| (count < most).then_some(count + 1);
        let taken = self.unnamed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if taken.is_err() {
            let [by_all, _] = &self.refused;
            by_all.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(UnnamedTicket(Arc::clone(self)))
    }

    /// How many were turned away because of the limit in all, and because of that for an address.
    #[must_use]
    pub fn refused(&self) -> [u64; 2] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// How many were closed to make room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.table().taken()
    }

    /// How many there were at the most since this was asked last.
    #[must_use]
    pub fn take_most(&self) -> u32 {
        let open = self.open();
        self.most.swap(open, Ordering::Relaxed).max(open)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct ConnectionTicket {
    connections: Arc<Connections>,
    place: usize,
    notice: Arc<Notice>,
}

impl ConnectionTicket {
    /// Notes whether the connection has an allocation: it keeps its place then, whoever comes. Returns
    /// false where it has lost it already.
    #[must_use]
    pub fn set_settled(&self, settled: bool) -> bool {
        self.connections.table().set_settled(self.place, settled)
    }

    /// Whether another has got the place, and the connection has to go.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.notice.is_given()
    }

    /// Whom to wake when another gets the place. From any thread, once; at once where it has
    /// happened.
    pub fn on_loss(&self, waker: Waker) {
        self.notice.wake(waker);
    }
}

impl Drop for ConnectionTicket {
    fn drop(&mut self) {
        self.connections.table().remove(self.place);
    }
}

/// The place of a connection whose address is not known yet; given back when dropped.
#[derive(Debug)]
pub struct UnnamedTicket(Arc<Connections>);

impl Drop for UnnamedTicket {
    fn drop(&mut self) {
        self.0.unnamed.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::task::Wake;

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
        connections.set_limits(9, 2);
        assert_eq!(connections.open(), 3);
        assert!(connections.take(ip("192.0.2.1")).is_none());
        assert!(connections.take(ip("192.0.2.2")).is_some());
        connections.set_limits(2, 9);
        assert!(connections.take(ip("192.0.2.2")).is_none(), "there are more than may be");
        drop(held);
    }

    #[test]
    fn the_limit_in_all_holds_and_nothing_is_kept_for_who_is_gone() {
        let connections = Arc::new(Connections::refusing(3, 9));
        let all: Vec<_> = (1..=4).map(|n| connections.take(ip(&format!("192.0.2.{n}")))).collect();
        assert_eq!(all.iter().flatten().count(), 3);
        assert_eq!(connections.refused(), [1, 0]);
        drop(all);
        assert_eq!(connections.open(), 0);
        assert!(connections.table().is_empty());
    }

    /// 4096 places and 256 for an address, as by default.
    #[test]
    fn a_crowd_that_came_and_went_between_two_questions_is_told() {
        let connections = Arc::new(Connections::new(10, 10));
        let staying = connections.take(ip("192.0.2.1"));
        drop([(); 5].map(|()| connections.take(ip("192.0.2.2"))));
        assert_eq!([(); 3].map(|()| connections.take_most()), [6, 1, 1]);
        drop(staying);
        assert_eq!([(); 2].map(|()| connections.take_most()), [1, 0]);
    }

    fn of_defaults() -> Arc<Connections> {
        Arc::new(Connections::new(4096, 256))
    }

    fn subscriber(net: u128, host: u128) -> IpAddr {
        Ipv6Addr::from_bits(0x2a0b_0001 << 96 | net << 64 | host).into()
    }

    #[test]
    fn one_subscriber_of_ipv6_cannot_have_all_places_with_many_64s() {
        let connections = of_defaults();
        let nets = (0..16).flat_map(|net| (0..256).map(move |host| subscriber(net, host)));
        let held: Vec<_> = nets.filter_map(|from| connections.take(from)).collect();
        assert_eq!(held.len(), 512, "a /60 is within a /56");
        let nets = (0..0x1_0000).map(|net| subscriber(net, 1));
        let more: Vec<_> = nets.filter_map(|from| connections.take(from)).collect();
        assert_eq!(held.len() + more.len(), 1024, "all of a /48");
        assert!(connections.take(ip("2a0b:1:1::1")).is_some());
        assert_eq!(connections.evicted(), 0);
    }

    #[test]
    fn a_24_of_ipv4_may_have_what_eight_addresses_may() {
        let connections = of_defaults();
        let all = (0..256).flat_map(|host| (0..256).map(move |_| host));
        let held: Vec<_> =
            all.filter_map(|n| connections.take(ip(&format!("192.0.2.{n}")))).collect();
        assert_eq!(held.len(), 2048);
        assert!(connections.take(ip("192.0.3.1")).is_some());
    }

    #[test]
    fn the_last_place_goes_to_the_newcomer_and_the_oldest_stranger_of_the_largest_network_goes() {
        let connections = Arc::new(Connections::new(5, 5));
        let quiet = connections.take(ip("198.51.100.1")).unwrap();
        let many: Vec<_> =
            (1..5).map(|n| connections.take(ip(&format!("192.0.2.{n}"))).unwrap()).collect();
        let newcomer = connections.take(ip("203.0.113.1")).unwrap();
        assert_eq!(
            many.iter().map(ConnectionTicket::is_lost).collect::<Vec<_>>(),
            [true, false, false, false]
        );
        assert!(!quiet.is_lost() && !newcomer.is_lost());
        assert_eq!((connections.open(), connections.evicted()), (5, 1));
        assert_eq!(connections.refused(), [0, 0]);
        drop(many);
        assert_eq!(connections.open(), 2);
        drop((quiet, newcomer));
        assert!(connections.table().is_empty());
    }

    #[test]
    fn among_networks_alike_the_oldest_stranger_goes() {
        let connections = Arc::new(Connections::new(2, 2));
        let first = connections.take(ip("192.0.2.1")).unwrap();
        let second = connections.take(ip("198.51.100.1")).unwrap();
        let _third = connections.take(ip("203.0.113.1")).unwrap();
        assert!(first.is_lost() && !second.is_lost());
    }

    #[test]
    fn a_connection_with_an_allocation_keeps_its_place_and_loses_it_after() {
        let connections = Arc::new(Connections::new(2, 2));
        let (first, second) = (
            connections.take(ip("192.0.2.1")).unwrap(),
            connections.take(ip("192.0.2.1")).unwrap(),
        );
        assert!(first.set_settled(true) && second.set_settled(true));
        assert!(connections.take(ip("203.0.113.1")).is_none(), "all have allocations");
        assert_eq!(connections.refused(), [1, 0]);
        assert!(second.set_settled(false) && first.set_settled(false));
        let _newcomer = connections.take(ip("203.0.113.1")).unwrap();
        assert!(second.is_lost() && !first.is_lost(), "as old as the end of its allocation");
        assert!(!second.set_settled(true), "too late");
        assert!(first.set_settled(true));
    }

    #[test]
    fn whoever_loses_a_place_is_woken_also_where_it_asks_late() {
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let connections = Arc::new(Connections::new(1, 1));
        let woken = Arc::new(Count(AtomicU32::new(0)));
        let first = connections.take(ip("192.0.2.1")).unwrap();
        first.on_loss(Arc::clone(&woken).into());
        let second = connections.take(ip("198.51.100.1")).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let _third = connections.take(ip("203.0.113.1")).unwrap();
        second.on_loss(Arc::clone(&woken).into());
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn those_that_are_told_to_go_and_do_not_are_bounded() {
        let connections = Arc::new(Connections::new(16, 16));
        let held: Vec<_> =
            (0..100).filter_map(|n| connections.take(ip(&format!("192.0.{n}.1")))).collect();
        assert_eq!(held.len(), 16 + 17);
        assert_eq!((connections.open(), connections.evicted()), (16, 17));
        drop(held);
        assert!(connections.table().is_empty());
    }

    #[test]
    fn connections_of_proxies_have_a_bound_of_their_own_before_they_say_for_whom() {
        let connections = Arc::new(Connections::new(1000, 1));
        let mut held: Vec<_> = (0..300).filter_map(|_| connections.take_unnamed()).collect();
        assert_eq!((held.len(), connections.open()), (250, 0));
        held.pop();
        assert!(connections.take_unnamed().is_some());
    }
}
