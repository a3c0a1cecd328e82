//! Where each allocation that may move is, over all shards, and who may move it where (RFC 8016).
//!
//! Asked where such an allocation begins, ends, is refreshed or moves; never for a packet.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;

use super::types::{AllocationId, Client, ShardNumber};
use crate::clock::{Remaining, TakeOver, Tick};
use crate::snapshot::records::MobilityRecord;
use crate::user::UserId;

/// An allocation that may move, by a number that it keeps on whichever shard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MobileId(pub u64);

/// All of them. One lock makes a ticket good once, whichever shards it comes to.
#[derive(Debug, Default)]
pub struct MobileAllocations(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    places: AHashMap<MobileId, Place>,
}

#[derive(Debug)]
struct Place {
    username: UserId,
    shard: ShardNumber,
    /// `None` while it is on its way there.
    id: Option<AllocationId>,
    /// The 5-tuple that it is on its way to.
    coming_to: Option<Client>,
    /// The number of the ticket that is good.
    serial: u32,
    /// The number that was given out last. It is good as well, though its 5-tuple was not made use of:
    /// the client may have moved on.
    issued: u32,
    /// The number of the ticket that was good before it went on its way.
    before: u32,
    /// The 5-tuple that it moves to when that is made use of. One at most.
    arriving: Option<Arriving>,
    expires: Tick,
    /// Whether its client has ended it; the shard that has it is being told.
    released: bool,
}

#[derive(Clone, Copy, Debug)]
struct Arriving {
    shard: ShardNumber,
    client: Client,
}

impl Place {
    /// Whether a ticket is good.
    const fn check(&self, serial: u32) -> Result<(), Useless> {
        if serial == self.serial || serial == self.issued { Ok(()) } else { Err(Useless::Spent) }
    }
}

impl Arriving {
    fn is(&self, shard: ShardNumber, client: Client) -> bool {
        self.shard == shard && self.client == client
    }
}

/// An entry among them; taken out when dropped, with the allocation.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) id: MobileId,
    all: Arc<MobileAllocations>,
}

impl Registration {
    /// The deadline that the last Refresh has set, on whichever shard that was.
    pub(super) fn expires(&self) -> Option<Tick> {
        self.all.lock().places.get(&self.id).map(|place| place.expires)
    }

    /// What all shards know of it, for another process.
    pub(super) fn snapshot(&self, now: Tick) -> Option<MobilityRecord> {
        let table = self.all.lock();
        let place = table.places.get(&self.id)?;
        Some(MobilityRecord {
            id: self.id.0,
            serial: place.serial,
            issued: place.issued,
            arriving: place.arriving.map(|arriving| (arriving.shard, arriving.client)),
            left: Remaining::until(place.expires, now),
            released: place.released,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.all.lock().places.remove(&self.id);
    }
}

/// Why a ticket that is this server's is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Useless {
    /// There is no such allocation any more.
    Gone,
    /// It is another user's.
    NotYours,
    /// A later ticket has taken its place.
    Spent,
}

/// What a ticket has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Redeemed {
    /// The number of the next ticket.
    pub(super) serial: u32,
    /// The 5-tuple of this shard that waited for the allocation before.
    pub(super) before: Option<Client>,
    /// Where the allocation is until the new 5-tuple is made use of, if it is on this shard.
    pub(super) here: Option<AllocationId>,
}

/// Where an allocation is that was to come to a 5-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// On the same shard.
    Here(AllocationId),
    /// On another.
    At(ShardNumber),
    /// On its way between two.
    UnderWay,
    /// It has ended, or goes elsewhere by now.
    Gone,
}

impl MobileAllocations {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more.
    pub(super) fn register(
        self: &Arc<Self>,
        username: &UserId,
        shard: ShardNumber,
        id: AllocationId,
        expires: Tick,
    ) -> Registration {
        let mut table = self.lock();
        table.last += 1;
        let number = MobileId(table.last);
        let place = Place {
            username: username.clone(),
            shard,
            id: Some(id),
            coming_to: None,
            serial: 0,
            issued: 0,
            before: 0,
            arriving: None,
            expires,
            released: false,
        };
        table.places.insert(number, place);
        Registration { id: number, all: Arc::clone(self) }
    }

    /// The number that was given to an allocation last, for another process.
    pub(super) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Numbers go on from there: no ticket of an allocation that has ended may fit another.
    pub(super) fn restore_last(&self, last: u64) {
        let mut table = self.lock();
        table.last = table.last.max(last);
    }

    /// One that was mobile in another process, with its number and tickets; it lands on `shard`
    /// ([`MobileAllocations::land`]). `None` where there is one of this number.
    pub(super) fn restore(
        self: &Arc<Self>,
        username: &UserId,
        shard: ShardNumber,
        record: &MobilityRecord,
        there: &TakeOver,
    ) -> Option<Registration> {
        let number = MobileId(record.id);
        let mut table = self.lock();
        let Entry::Vacant(vacant) = table.places.entry(number) else { return None };
        vacant.insert(Place {
            username: username.clone(),
            shard,
            id: None,
            coming_to: None,
            serial: record.serial,
            issued: record.issued,
            before: record.serial,
            arriving: record.arriving.map(|(shard, client)| Arriving { shard, client }),
            expires: there.deadline(record.left),
            released: record.released,
        });
        table.last = table.last.max(record.id);
        Some(Registration { id: number, all: Arc::clone(self) })
    }

    /// The number of the ticket that is good now.
    pub(super) fn serial(&self, id: MobileId) -> Option<u32> {
        self.lock().places.get(&id).map(|place| place.serial)
    }

    /// A Refresh on the allocation's own 5-tuple.
    pub(super) fn extend(&self, id: MobileId, expires: Tick) {
        if let Some(place) = self.lock().places.get_mut(&id) {
            place.expires = expires;
        }
    }

    /// A ticket, from `client` of `shard`: the allocation moves there when that is made use of. The
    /// same 5-tuple gets the same ticket again: its request was retransmitted.
    pub(super) fn redeem(
        &self,
        (id, serial): (MobileId, u32),
        is_its_user: impl Fn(&UserId) -> bool,
        (shard, client): (ShardNumber, Client),
        now: Tick,
        expires: Tick,
    ) -> Result<Redeemed, Useless> {
        let mut table = self.lock();
        let place = table.judge(id, is_its_user, now)?;
        let is_coming = place.shard == shard && place.coming_to == Some(client);
        if is_coming && (serial == place.before || serial == place.serial) {
            place.expires = expires;
            return Ok(Redeemed { serial: place.serial, before: None, here: None });
        }
        place.check(serial)?;
        let before = place.arriving.replace(Arriving { shard, client });
        if !before.is_some_and(|before| before.is(shard, client)) {
            place.issued = place.issued.wrapping_add(1);
        }
        place.expires = expires;
        let before = before.filter(|before| before.shard == shard && before.client != client);
        let here = place.id.filter(|_| place.shard == shard);
        Ok(Redeemed { serial: place.issued, before: before.map(|before| before.client), here })
    }

    /// A ticket with which the allocation is to be ended: where that is.
    pub(super) fn whereabouts(
        &self,
        (id, serial): (MobileId, u32),
        is_its_user: impl Fn(&UserId) -> bool,
        now: Tick,
    ) -> Result<(ShardNumber, Option<AllocationId>), Useless> {
        let mut table = self.lock();
        let place = table.judge(id, is_its_user, now)?;
        place.check(serial)?;
        Ok((place.shard, place.id))
    }

    /// Notes that its client has ended it, and that the shard that has it is being told.
    pub(super) fn release(&self, id: MobileId) {
        self.set_released(id, true);
    }

    /// Takes [`MobileAllocations::release`] back: the shard that has it cannot be told.
    pub(super) fn keep(&self, id: MobileId) {
        self.set_released(id, false);
    }

    fn set_released(&self, id: MobileId, released: bool) {
        if let Some(place) = self.lock().places.get_mut(&id) {
            place.released = released;
        }
    }

    /// The allocation on `shard` that its client has ended from another.
    pub(super) fn released(&self, id: MobileId, shard: ShardNumber) -> Option<AllocationId> {
        let table = self.lock();
        let place = table.places.get(&id)?;
        place.id.filter(|_| place.released && place.shard == shard)
    }

    /// A 5-tuple has been made use of: where is the allocation that was to come there?
    pub(super) fn claim(&self, id: MobileId, shard: ShardNumber, client: Client) -> Claim {
        let table = self.lock();
        match table.waiting(id, shard, client) {
            None => Claim::Gone,
            Some(Place { id: None, .. }) => Claim::UnderWay,
            Some(Place { id: Some(id), shard: at, .. }) if *at == shard => Claim::Here(*id),
            Some(place) => Claim::At(place.shard),
        }
    }

    /// Whether the allocation is still to come to that 5-tuple.
    pub(super) fn awaits(&self, id: MobileId, shard: ShardNumber, client: Client) -> bool {
        self.lock().waiting(id, shard, client).is_some()
    }

    /// Whether it is that of the user that `is_its_user` knows.
    pub(super) fn is_of(&self, id: MobileId, is_its_user: impl Fn(&UserId) -> bool) -> bool {
        self.lock().places.get(&id).is_some_and(|place| is_its_user(&place.username))
    }

    /// The 5-tuple that it is to move to.
    pub(super) fn destination(&self, id: MobileId) -> Option<(ShardNumber, Client)> {
        let arriving = self.lock().places.get(&id)?.arriving?;
        Some((arriving.shard, arriving.client))
    }

    /// It does not move to that 5-tuple any more.
    pub(super) fn cancel(&self, id: MobileId, shard: ShardNumber, client: Client) {
        if let Some(place) = self.lock().places.get_mut(&id)
            && place.arriving.is_some_and(|arriving| arriving.is(shard, client))
        {
            place.arriving = None;
        }
    }

    /// It has moved to a 5-tuple of the shard that has it: the ticket that went there is the one
    /// that is good.
    pub(super) fn settle(&self, id: MobileId, shard: ShardNumber, client: Client) {
        if let Some(place) = self.lock().places.get_mut(&id)
            && place.arriving.take_if(|arriving| arriving.is(shard, client)).is_some()
        {
            place.serial = place.issued;
        }
    }

    /// It leaves `from` for that 5-tuple of another shard: which allocation it was, and until when
    /// it lives. `None` where it is not there, or is not to go there.
    pub(super) fn depart(
        &self,
        id: MobileId,
        from: ShardNumber,
        (to, client): (ShardNumber, Client),
    ) -> Option<(AllocationId, Tick)> {
        let mut table = self.lock();
        let place = table.places.get_mut(&id)?;
        let at = place.id.filter(|_| place.shard == from && !place.released)?;
        place.arriving.take_if(|arriving| arriving.is(to, client))?;
        (place.before, place.serial) = (place.serial, place.issued);
        (place.shard, place.id, place.coming_to) = (to, None, Some(client));
        Some((at, place.expires))
    }

    /// It has arrived on a shard. Returns whether its client has ended it on the way.
    pub(super) fn land(&self, id: MobileId, shard: ShardNumber, at: AllocationId) -> bool {
        let mut table = self.lock();
        let Some(place) = table.places.get_mut(&id) else { return true };
        (place.shard, place.id, place.coming_to) = (shard, Some(at), None);
        place.released
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn waiting(&self, id: MobileId, shard: ShardNumber, client: Client) -> Option<&Place> {
        let place = self.places.get(&id)?;
        let waits = place.arriving.is_some_and(|arriving| arriving.is(shard, client));
        (waits && !place.released).then_some(place)
    }

    /// The allocation of a ticket, if it lives and is that of the user that `is_its_user` knows.
    fn judge(
        &mut self,
        id: MobileId,
        is_its_user: impl Fn(&UserId) -> bool,
        now: Tick,
    ) -> Result<&mut Place, Useless> {
        let place = self.places.get_mut(&id).ok_or(Useless::Gone)?;
        if !is_its_user(&place.username) {
            return Err(Useless::NotYours);
        }
        if place.released || place.expires <= now {
            return Err(Useless::Gone);
        }
        Ok(place)
    }
}
