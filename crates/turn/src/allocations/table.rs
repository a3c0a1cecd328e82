//! The tables that the allocations of a shard are found by.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use ahash::AHashMap;
use slotmap::{Key as _, SlotMap};

use super::allocation::{Allocation, Foundation, Kind, Relay};
use super::channels::Channel;
use super::mobility::{Mobility, Presence};
use super::permissions::Reach;
use super::tcp::PeerConnection;
use crate::clock::{TakeOver, Tick};
use crate::deadlines::Deadlines;
use crate::policy::QuotaTicket;
use crate::snapshot::records::AllocationRecord;
use crate::tenant_traffic::TenantSlot;
use crate::types::{AllocationId, Carrier, Client, RelayId};
use taciturn_stun::Family;

/// All allocations of a shard: by number, by client, by relay port and by deadline.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    all: SlotMap<AllocationId, Allocation>,
    index: Index,
}

/// Where to find which allocation.
#[derive(Debug, Default)]
struct Index {
    /// Those whose client is there.
    by_client: AHashMap<Client, AllocationId>,
    /// The allocation on each relay port for UDP, for peers that are relayed addresses of this shard.
    by_port: [AHashMap<u16, AllocationId>; 2],
    deadlines: Deadlines<AllocationId>,
}

impl Index {
    #[inline]
    fn on_port(&self, family: Family, port: u16) -> Option<AllocationId> {
        self.by_port[family as usize].get(&port).copied()
    }

    /// Takes a client out, unless it has another allocation by now.
    fn forget_client(&mut self, client: &Client, id: AllocationId) {
        if self.by_client.get(client) == Some(&id) {
            self.by_client.remove(client);
        }
    }
}

/// One allocation in the tables, found once, through which they change together.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    id: AllocationId,
    allocation: &'a mut Allocation,
    index: &'a mut Index,
}

/// An allocation that is in no table: before it is put in, or after it was taken out.
#[derive(Debug)]
pub(crate) struct Loose(Allocation);

impl Deref for Loose {
    type Target = Allocation;

    fn deref(&self) -> &Allocation {
        &self.0
    }
}

impl DerefMut for Loose {
    fn deref_mut(&mut self) -> &mut Allocation {
        &mut self.0
    }
}

impl Deref for Entry<'_> {
    type Target = Allocation;

    fn deref(&self) -> &Allocation {
        self.allocation
    }
}

impl DerefMut for Entry<'_> {
    fn deref_mut(&mut self) -> &mut Allocation {
        self.allocation
    }
}

impl Allocations {
    #[inline]
    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.all.get(id)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.all.get_mut(id)
    }

    pub(crate) fn find(&mut self, id: AllocationId) -> Option<Entry<'_>> {
        let allocation = self.all.get_mut(id)?;
        Some(Entry { id, allocation, index: &mut self.index })
    }

    #[inline]
    pub(crate) fn id_of(&self, client: &Client) -> Option<AllocationId> {
        self.index.by_client.get(client).copied()
    }

    pub(crate) fn of(&self, client: &Client) -> Option<&Allocation> {
        self.get(self.id_of(client)?)
    }

    pub(crate) fn entry_of(&mut self, client: &Client) -> Option<Entry<'_>> {
        self.find(self.id_of(client)?)
    }

    pub(crate) fn has(&self, client: &Client) -> bool {
        self.index.by_client.contains_key(client)
    }

    /// The clients that are there.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (&Client, AllocationId)> {
        self.index.by_client.iter().map(|(client, id)| (client, *id))
    }

    pub(crate) fn ids(&self) -> Vec<AllocationId> {
        self.all.keys().collect()
    }

    /// Those from the place `from` of the table on, each with its place. Places are in no particular
    /// order, and an allocation keeps its own.
    pub(crate) fn starting_at(&self, from: usize) -> impl Iterator<Item = (usize, &Allocation)> {
        self.places(from).map(|(place, _, allocation)| (place, allocation))
    }

    /// The same, with their numbers.
    pub(crate) fn places(
        &self,
        from: usize,
    ) -> impl Iterator<Item = (usize, AllocationId, &Allocation)> {
        // The lower half of the number is the place, the upper half the generation.
        let place = |id: AllocationId| id.data().as_ffi() as u32 as usize;
        let all = self.all.iter().map(move |(id, allocation)| (place(id), id, allocation));
        all.skip_while(move |(at, ..)| *at < from)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Puts an allocation into all tables.
    pub(crate) fn insert(&mut self, Loose(mut allocation): Loose) -> Entry<'_> {
        allocation.queued = allocation.deadline();
        let (queued, client) = (allocation.queued, allocation.client);
        let id = self.all.insert(allocation);
        let all = &self.all;
        self.index.deadlines.push(queued, id);
        self.index.deadlines.compact(all.len(), |at, id| {
            all.get(id).is_some_and(|allocation| allocation.queued == at)
        });
        // It was put in above.
        let allocation = &mut self.all[id];
        if !allocation.is_away() {
            self.index.by_client.insert(client, id);
        }
        if let Kind::Udp(_) = allocation.kind {
            for relay in allocation.relays.iter().flatten() {
                self.index.by_port[relay.lease.family() as usize].insert(relay.lease.port(), id);
            }
        }
        Entry { id, allocation, index: &mut self.index }
    }

    /// Those whose client `goes`, for another process, in the order of their places. Those of guests do not go.
    pub(crate) fn snapshot(
        &self,
        now: Tick,
        goes: impl Fn(&Client) -> bool,
    ) -> impl Iterator<Item = AllocationRecord> {
        let goes = move |known: &&Allocation| goes(&known.client) && known.guest.is_none();
        let those = self.all.values().filter(goes);
        those.map(move |allocation| allocation.snapshot(now))
    }

    /// Takes an allocation out of all tables.
    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Loose> {
        let allocation = self.all.remove(id)?;
        self.index.forget_client(&allocation.client, id);
        if let Kind::Udp(_) = allocation.kind {
            for relay in allocation.relays.iter().flatten() {
                self.index.by_port[relay.lease.family() as usize].remove(&relay.lease.port());
            }
        }
        Some(Loose(allocation))
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.index.deadlines.next()
    }

    /// Takes the next allocation whose deadline `now` has reached. What stays of it has to be queued
    /// again ([`Entry::queue_again`]).
    pub(crate) fn due(&mut self, now: Tick) -> Option<AllocationId> {
        loop {
            let (at, id) = self.index.deadlines.pop(now)?;
            // An earlier deadline may have come in between.
            if self.all.get(id).is_some_and(|allocation| allocation.queued == at) {
                return Some(id);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.all.values()
    }

    #[cfg(test)]
    pub(crate) fn queued_deadlines(&self) -> usize {
        self.index.deadlines.len()
    }

    #[cfg(test)]
    pub(crate) fn ports(&self) -> usize {
        self.index.by_port.iter().map(|ports| ports.len()).sum()
    }
}

impl Entry<'_> {
    pub(crate) const fn id(&self) -> AllocationId {
        self.id
    }

    /// Another allocation of this shard on a relay port for UDP.
    #[inline]
    pub(crate) fn on_port(&self, family: Family, port: u16) -> Option<AllocationId> {
        self.index.on_port(family, port)
    }

    /// Makes sure that the allocation is looked at when `deadline` comes.
    fn queue(&mut self, deadline: Tick) {
        if deadline < self.allocation.queued {
            self.allocation.queued = deadline;
            self.index.deadlines.push(deadline, self.id);
        }
    }

    /// Queues it for whatever of it expires next, after it was due.
    pub(crate) fn queue_again(&mut self) {
        let next = self.allocation.deadline();
        self.allocation.queued = next;
        self.index.deadlines.push(next, self.id);
    }

    /// Sets the end of its lifetime.
    pub(crate) fn set_expires(&mut self, expires: Tick) {
        self.allocation.expires = expires;
        self.queue(expires);
    }

    /// Moves the end of its lifetime to a later moment that another shard has granted.
    pub(crate) fn extend(&mut self, expires: Tick) {
        self.allocation.expires = self.allocation.expires.max(expires);
    }

    /// Installs or refreshes a permission, for the channels too.
    pub(crate) fn permit(&mut self, ip: IpAddr, reach: Reach, expires: Tick) {
        self.allocation.permit(ip, reach, expires);
        self.queue(expires);
    }

    /// Binds a channel or refreshes its binding.
    pub(crate) fn bind(&mut self, channel: Channel) {
        if let Kind::Udp(udp) = &mut self.allocation.kind {
            udp.channels.bind(channel);
            self.queue(channel.expires);
        }
    }

    /// Adds a peer connection.
    pub(crate) fn add_connection(&mut self, connection: PeerConnection) {
        if let Kind::Tcp(tcp) = &mut self.allocation.kind {
            let until = connection.until();
            tcp.push(connection);
            if let Some(until) = until {
                self.queue(until);
            }
        }
    }

    /// Gives it a relay.
    pub(crate) fn attach(&mut self, relay: Relay) {
        let family = relay.lease.family() as usize;
        // Data of UDP allocations must not find a TCP allocation there.
        if let Kind::Udp(_) = self.allocation.kind {
            self.index.by_port[family].insert(relay.lease.port(), self.id);
        }
        self.allocation.relays[family] = Some(relay);
    }

    /// Takes the relay of a family away.
    pub(crate) fn detach(&mut self, family: Family) -> Option<Relay> {
        let relay = self.allocation.relays[family as usize].take()?;
        if let Kind::Udp(_) = self.allocation.kind {
            self.index.by_port[family as usize].remove(&relay.lease.port());
        }
        Some(relay)
    }

    /// From now on it may move.
    pub(crate) fn make_mobile(&mut self, mobility: Mobility) {
        if let Kind::Udp(udp) = &mut self.allocation.kind {
            udp.mobility = Some(mobility);
        }
    }

    /// Moves it to another 5-tuple, where its client is.
    pub(crate) fn move_to(&mut self, client: Client) {
        if let Some(mobility) = self.allocation.mobility_mut() {
            mobility.presence = Presence::There;
        }
        let before = std::mem::replace(&mut self.allocation.client, client);
        self.index.forget_client(&before, self.id);
        self.index.by_client.insert(client, self.id);
    }

    /// The connection of its client is gone. Returns false if it cannot do without.
    pub(crate) fn set_away(&mut self) -> bool {
        let Some(mobility) = self.allocation.mobility_mut() else { return false };
        mobility.presence = Presence::Away;
        self.index.forget_client(&self.allocation.client, self.id);
        true
    }
}

impl Loose {
    /// A new one, without relays.
    pub(crate) fn new(foundation: Foundation, now: Tick, expires: Tick) -> Self {
        Self(Allocation::new(foundation, now, expires))
    }

    /// One that another process had; [`Allocation::restore`] says what it lacks.
    pub(crate) fn restore(
        record: &AllocationRecord,
        client: (Client, Carrier, TenantSlot),
        (quota, mobility): (QuotaTicket, Option<Mobility>),
        there: &TakeOver,
    ) -> Self {
        Self(Allocation::restore(record, client, (quota, mobility), there))
    }

    /// Takes its relays, to close them.
    pub(crate) fn take_relays(&mut self) -> [Option<Relay>; 2] {
        std::mem::take(&mut self.0.relays)
    }

    /// Sets the end of its lifetime.
    pub(crate) const fn set_expires(&mut self, expires: Tick) {
        self.0.expires = expires;
    }

    /// Gives it the 5-tuple and the relay sockets that it has on the shard it comes to. Returns the
    /// relays that there is no socket for.
    pub(crate) fn settle(
        &mut self,
        client: Client,
        presence: Presence,
        sockets: [Option<RelayId>; 2],
    ) -> Vec<Relay> {
        self.0.client = client;
        if let Some(mobility) = self.0.mobility_mut() {
            mobility.presence = presence;
        }
        let mut lost = Vec::new();
        for (slot, socket) in self.0.relays.iter_mut().zip(sockets) {
            match (&mut *slot, socket) {
                (Some(relay), Some(socket)) => relay.id = socket,
                (Some(_), None) => lost.extend(slot.take()),
                (None, _) => {}
            }
        }
        lost
    }
}
