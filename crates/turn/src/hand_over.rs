//! How an allocation goes from one shard to another, when its client has moved there (RFC 8016).
//!
//! The shard that its client comes to asks for it; the one that has it takes it out of all its
//! tables; and the first puts it into its own. Its relay sockets go with it: they are `net`'s affair.

use super::allocation::Allocation;
use super::mobile_allocations::MobileId;
use super::outside::{EndReason, Outside};
use super::shard::Shard;
use super::types::{AllocationId, Carrier, Client, RelayId, ShardNumber};
use crate::clock::Now;

/// An allocation on its way. Dropped, it gives back all that it holds.
#[derive(Debug)]
pub struct Departed {
    id: MobileId,
    /// Where its client is from now on, as the shard names it that gets it.
    client: Client,
    allocation: Allocation,
}

impl Departed {
    /// Its relay sockets on the shard that it has left: IPv4 and IPv6.
    #[must_use]
    pub fn relays(&self) -> [Option<RelayId>; 2] {
        self.allocation.relays.each_ref().map(|relay| relay.as_ref().map(|relay| relay.id))
    }
}

/// An allocation that has come to a shard.
#[derive(Debug)]
pub struct Landed {
    /// Its number there.
    pub id: AllocationId,
    /// The requests that came to its 5-tuple before it, in their order; now they can be answered.
    pub held: Vec<Box<[u8]>>,
}

impl Shard {
    /// Gives an allocation away to shard `to`, where its client has made use of a 5-tuple. `None` where
    /// it is not here, or is not to go there: it has ended, or another 5-tuple has got it.
    pub fn depart(
        &mut self,
        id: MobileId,
        to: ShardNumber,
        client: Client,
        outside: &mut impl Outside,
    ) -> Option<Departed> {
        let (at, expires) = self.rules.mobile.depart(id, self.number, (to, client))?;
        let index = self.find(at)?;
        let mut allocation = self.allocations.try_remove(index as usize)?;
        allocation.routes().for_each(|route| outside.channel_ended(route));
        for relay in allocation.relays.iter().flatten() {
            self.by_port[relay.lease.family() as usize].remove(&relay.lease.port());
        }
        self.forget_client(&allocation.client, index);
        allocation.expires = expires;
        Some(Departed { id, client, allocation })
    }

    /// Takes an allocation in that another shard has given away, with the numbers that its relay
    /// sockets have here. Without one of them it ends. What the peer rules of this shard refuse ends
    /// as well.
    ///
    /// Where its client's connection is gone by now, it waits for the client to come back.
    pub fn land(
        &mut self,
        now: Now,
        departed: Departed,
        relays: [Option<RelayId>; 2],
        outside: &mut impl Outside,
    ) -> Landed {
        let Departed { id: mobile, client, mut allocation } = departed;
        let waiting = self.take_waiting(&client, mobile);
        let is_there = waiting.is_some() && !self.by_client.contains_key(&client);
        let mut is_whole = true;
        for (slot, number) in allocation.relays.iter_mut().zip(relays) {
            match (&mut *slot, number) {
                (Some(relay), Some(number)) => relay.id = number,
                (Some(_), None) => {
                    is_whole = false;
                    if let Some(relay) = slot.take() {
                        relay.lease.retire(now.tick);
                    }
                }
                (None, _) => {}
            }
        }
        allocation.client = client;
        allocation.carrier = Carrier::of(client.via, outside.is_secure(client));
        allocation.queued = allocation.deadline();
        if let Some(mobility) = &mut allocation.mobility {
            mobility.is_away = !is_there;
        }
        let ports: Vec<_> = allocation
            .relays
            .iter()
            .flatten()
            .map(|r| (r.lease.family(), r.lease.port()))
            .collect();
        let id = self.place(|generation| {
            allocation.generation = generation;
            allocation
        });
        for (family, port) in ports {
            self.by_port[family as usize].insert(port, id.index);
        }
        if is_there {
            self.by_client.insert(client, id.index);
        }
        if let Some(allocation) = self.allocations.get(id.index as usize) {
            allocation.routes().for_each(|route| outside.channel_bound(route));
        }
        let released = self.rules.mobile.land(mobile, self.number, id);
        if released {
            self.end(now.tick, id.index, EndReason::Released, outside);
        } else if !is_whole {
            self.end(now.tick, id.index, EndReason::Disconnected, outside);
        } else if self.is_removed(id.index) && !self.settings.keep_removed {
            // The configuration was read again while it was on its way.
            self.end(now.tick, id.index, EndReason::CredentialRemoved, outside);
        } else {
            self.withdraw_refused(now, id.index, outside);
        }
        Landed { id, held: waiting.map(|waiting| waiting.held).unwrap_or_default() }
    }

    /// The allocation does not come to this 5-tuple. Returns the requests that waited for it.
    pub fn not_fetched(&mut self, id: MobileId, client: Client) -> Vec<Box<[u8]>> {
        self.rules.mobile.cancel(id, self.number, client);
        self.take_waiting(&client, id).map(|waiting| waiting.held).unwrap_or_default()
    }

    /// The 5-tuple that an allocation of another shard would come to is the only one left to it.
    pub fn fetch_for(&mut self, client: Client, outside: &mut impl Outside) {
        self.arrive(client, outside);
    }

    /// Ends an allocation that its client has ended on another shard.
    pub fn release(&mut self, now: Now, id: MobileId, outside: &mut impl Outside) {
        let at = self.rules.mobile.released(id, self.number);
        if let Some(index) = at.and_then(|at| self.find(at)) {
            self.end(now.tick, index, EndReason::Released, outside);
        }
    }
}
