//! What an operator asks of a shard: who is there, end these, take nobody new, here or on one listener.

use std::net::SocketAddr;
use std::time::Duration;

use super::outside::{EndReason, Outside};
use super::shard::Shard;
use super::types::{Carrier, ClientAddr, Traffic};
use crate::clock::Now;
use crate::user::UserId;

/// How many places of its table a shard looks at in one go, so that packets do not wait.
const PLACES: usize = 256;

/// An allocation as an operator sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose.
    pub client: ClientAddr,
    /// What carries its packets.
    pub carrier: Carrier,
    /// The USERNAME, in its realm.
    pub username: UserId,
    /// The relayed transport addresses: IPv4 and IPv6.
    pub relayed: [Option<SocketAddr>; 2],
    /// Addresses that it has permissions for.
    pub permissions: usize,
    /// Channels.
    pub channels: usize,
    /// What it has relayed.
    pub traffic: Traffic,
    /// How long it has lived.
    pub age: Duration,
    /// How long it will, unless refreshed.
    pub expires_in: Duration,
}

/// Which allocations are meant: those that every given part fits.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// The USERNAME, or the stable name in one of the REST scheme, in any realm.
    pub user: Option<String>,
    /// The client's address.
    pub client: Option<SocketAddr>,
}

impl Shard {
    /// Some allocations, and where to go on; `None` when that were the last.
    #[must_use]
    pub fn sessions(&self, now: Now, whose: &Whose, from: usize) -> (Vec<Session>, Option<usize>) {
        let end = self.allocations.capacity().min(from.saturating_add(PLACES));
        let found = (from..end).filter(|at| self.is_of(*at, whose));
        let sessions = found.filter_map(|at| self.allocations.get(at)).map(|allocation| Session {
            client: allocation.client.remote,
            carrier: allocation.carrier,
            username: allocation.username.clone(),
            relayed: allocation.relays.each_ref().map(|relay| relay.as_ref().map(|r| r.public)),
            permissions: allocation.permitted().count(),
            channels: allocation.channel_count(),
            traffic: allocation.traffic,
            age: now.tick.since(allocation.since),
            expires_in: allocation.expires.since(now.tick),
        });
        (sessions.collect(), (end < self.allocations.capacity()).then_some(end))
    }

    /// Ends allocations. Returns how many.
    pub fn kick(&mut self, now: Now, whose: &Whose, outside: &mut impl Outside) -> usize {
        let meant: Vec<u32> =
            self.indices().into_iter().filter(|index| self.is_of(*index as usize, whose)).collect();
        for index in &meant {
            self.end(now.tick, *index, EndReason::Kicked, outside);
        }
        meant.len()
    }

    /// Whether from now on no allocation is made, but for ports that running calls have reserved.
    pub const fn drain(&mut self, on: bool) {
        self.draining = on;
    }

    /// Whether from now on clients of this listener get no allocation, likewise. Those that have one
    /// keep it.
    pub fn retire_listener(&mut self, listener: u16, on: bool) {
        self.retired.retain(|retired| *retired != listener);
        if on {
            self.retired.push(listener);
        }
    }

    /// How many allocations the clients of a listener have.
    #[must_use]
    pub fn clients_of_listener(&self, listener: u16) -> usize {
        self.by_client.keys().filter(|client| client.via.listener() == listener).count()
    }

    /// The listener is gone, with its number: the next one of that number is another.
    pub fn close_listener(&mut self, now: Now, listener: u16, outside: &mut impl Outside) {
        let of_it = self.by_client.iter().filter(|(client, _)| client.via.listener() == listener);
        let left: Vec<u32> = of_it.map(|(_, index)| *index).collect();
        for index in left {
            self.end(now.tick, index, EndReason::Shutdown, outside);
        }
        let awaited = self.arriving.keys().filter(|client| client.via.listener() == listener);
        let awaited: Vec<_> = awaited.copied().collect();
        awaited.iter().for_each(|client| self.forget_arriving(client));
        self.retire_listener(listener, false);
    }

    fn is_of(&self, at: usize, whose: &Whose) -> bool {
        let Some(allocation) = self.allocations.get(at) else { return false };
        let of_user = |user: &String| {
            allocation.username.name() == user || allocation.quota.user().name() == user
        };
        let Whose { user, client } = whose;
        user.as_ref().is_none_or(of_user)
            && client.is_none_or(|client| allocation.client.remote.0 == client)
    }
}
