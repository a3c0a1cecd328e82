//! Mobility (RFC 8016): an allocation that goes on when its client's address changes.
//!
//! A Refresh with a ticket, from another 5-tuple, makes that one good as well. The allocation moves
//! there with the first packet that makes use of it; until then the old one serves on. So an answer
//! that is lost costs nothing, and nobody is cut off by a Refresh alone.
//!
//! The new 5-tuple may be another shard's. Until it is made use of, no shard has to know of the other:
//! `MobileAllocations` has the ticket and the deadline. With the first use that shard asks for the
//! allocation (`hand_over`).

use std::time::Duration;

use super::allocation::Allocation;
use super::authenticate::Proven;
use super::cause::Cause;
use super::mobile_allocations::{Claim, MobileId, Registration, Useless};
use super::outside::{EndReason, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::ticket::{LEN, NONCE, Ticket};
use super::types::{AllocationId, Carrier, Client, DropReason, Verdict};
use crate::clock::Now;
use crate::user::UserId;
use taciturn_stun::{AttributeType as T, ErrorCode, Method, Writer};

/// How many requests wait at most for an allocation to come to their 5-tuple, and how long each may
/// be. What an ICE agent asks at once is less.
const HELD: usize = 8;
const HELD_LEN: usize = 2048;

/// From so many 5-tuples on it is looked whether they are still waited for.
const MANY_ARRIVALS: usize = 64;

/// What an allocation has that may move.
#[derive(Debug)]
pub(super) struct Mobility {
    registration: Registration,
    /// Whether the client's connection is gone: nothing can be sent to it.
    pub(super) is_away: bool,
}

impl Mobility {
    pub(super) const fn new(registration: Registration) -> Self {
        Self { registration, is_away: false }
    }

    pub(super) const fn id(&self) -> MobileId {
        self.registration.id
    }

    /// The deadline that the last Refresh has set, on whichever shard that was.
    pub(super) fn expires(&self) -> Option<crate::clock::Tick> {
        self.registration.expires()
    }
}

/// A 5-tuple that an allocation is to come to.
#[derive(Debug)]
pub(super) struct Waiting {
    mobile: MobileId,
    /// Whether another shard was asked for it.
    asked: bool,
    /// Requests that came since then.
    pub(super) held: Vec<Box<[u8]>>,
}

/// What the use of a 5-tuple has brought there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing, for nothing was to come.
    None,
    /// The allocation.
    Here,
    /// It is on its way.
    UnderWay,
}

impl Shard {
    /// Whether an Allocate request asks for a ticket (RFC 8016 section 3.1.2).
    pub(super) fn wants_mobility(&self, request: &Request<'_>, tcp: bool) -> Result<bool, Failure> {
        match request.message.mobility_ticket() {
            None => Ok(false),
            //= 8016-3.1.2-forbidden
            Some(_) if !self.settings.mobility => Err(Cause::MobilityOff.into()),
            Some(_) if tcp => {
                let reason = "TCP connections with peers cannot move";
                Err(Failure::new(ErrorCode::MOBILITY_FORBIDDEN, reason))
            }
            Some([]) => Ok(true),
            //= 8016-3.1.2-not-empty
            Some(_) => {
                let detail = "The MOBILITY-TICKET of an Allocate request is empty";
                Err(Failure::new(ErrorCode::BAD_REQUEST, detail))
            }
        }
    }

    //= 8016-3.1.2-ticket
    /// Gives the client of a mobile allocation the ticket that is good now.
    pub(super) fn write_ticket(
        &self,
        index: u32,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        if let Some(mobility) = &allocation.mobility
            && let Some(serial) = self.rules.mobile.serial(mobility.id())
        {
            self.write_ticket_of(mobility.id(), serial, writer, outside);
        }
    }

    fn write_ticket_of(
        &self,
        id: MobileId,
        serial: u32,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) {
        let mut seal = || {
            let mut nonce = [0; NONCE];
            outside.random(&mut nonce);
            self.rules.tickets.seal(nonce, Ticket { id, serial })
        };
        // coturn's client keeps it as a C string: of six tickets one would be cut short.
        let fits = |sealed: &[u8; LEN]| !sealed.contains(&0);
        let sealed = (0..16).find_map(|_| seal().filter(fits)).or_else(seal);
        if let Some(sealed) = sealed {
            writer.attribute(T::MOBILITY_TICKET, &sealed);
        }
    }

    /// What the ticket of a Refresh says (RFC 8016 section 3.2.2).
    pub(super) fn open_ticket(&self, ticket: &[u8]) -> Result<Ticket, Failure> {
        //= 8016-3.2.2-forbidden
        if !self.settings.mobility {
            return Err(Cause::MobilityOff.into());
        }
        //= 8016-3.2.2-invalid
        self.rules.tickets.open(ticket).ok_or_else(|| {
            Failure::new(ErrorCode::BAD_REQUEST, "MOBILITY-TICKET is not one of this server's")
        })
    }

    //= 8016-3.2.2-retransmission
    /// A Refresh with a ticket, from a 5-tuple that has an allocation. The ticket before the one that
    /// is good is that of a retransmission, from when the allocation has moved here.
    pub(super) fn check_ticket_at_home(&self, allocation: &Allocation, ticket: Ticket) -> Answer {
        let own = allocation.mobility.as_ref().map(Mobility::id);
        if own != Some(ticket.id) {
            let detail = "This 5-tuple has another allocation than MOBILITY-TICKET names";
            return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail));
        }
        //= 8016-3.2.2-same-address
        if self.rules.mobile.serial(ticket.id) == Some(ticket.serial) {
            let detail = "MOBILITY-TICKET is for another 5-tuple than the allocation is on";
            return Err(Failure::new(ErrorCode::BAD_REQUEST, detail));
        }
        Ok(())
    }

    //= 8016-5-long-term
    /// A Refresh with a ticket, from a 5-tuple without an allocation (RFC 8016 section 3.2.2).
    pub(super) fn resume(
        &mut self,
        request: &Request<'_>,
        proven: &Proven,
        ticket: Ticket,
        wanted: u32,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) -> Answer {
        let gone = || useless(Useless::Gone);
        let grant = proven.grant.as_ref().ok_or_else(gone)?;
        let (now, client) = (request.now, request.client);
        let (id, mobile) = (ticket.id, &self.rules.mobile);
        let is_its_user =
            |holder: &UserId| self.rules.authenticator.is_same(&grant.username, holder);
        let ticket = (id, ticket.serial);
        if wanted == 0 {
            let (shard, at) = mobile.whereabouts(ticket, is_its_user, now.tick).map_err(useless)?;
            mobile.release(id, true);
            if shard == self.number {
                // Where it is on its way here, it ends when it arrives.
                if let Some(index) = at.and_then(|at| self.find(at)) {
                    self.end(now.tick, index, EndReason::Released, outside);
                }
            } else if !outside.release_at(shard, id) {
                mobile.release(id, false);
                return Err(Failure::silence());
            }
            self.remember_end(now.tick, client, request.message.transaction_id());
            writer.lifetime(0);
            return Ok(());
        }
        let granted = self.granted_lifetime(wanted, grant.expires, now.unix);
        let deadline = now.tick + Duration::from_secs(u64::from(granted));
        let redeemed = mobile
            .redeem(ticket, is_its_user, (self.number, client), now.tick, deadline)
            .map_err(useless)?;
        if let Some(before) = redeemed.before {
            self.take_waiting(&before, id);
        }
        self.expect(client, id);
        if let Some(index) = redeemed.here.and_then(|at| self.find(at)) {
            if let Some(allocation) = self.allocations.get_mut(index as usize) {
                allocation.expires = deadline;
            }
            self.queue(index, deadline);
        }
        writer.lifetime(granted);
        //= 8016-3.2.2-new-ticket
        self.write_ticket_of(id, redeemed.serial, writer, outside);
        Ok(())
    }

    /// An allocation is to come to this 5-tuple once that is made use of.
    fn expect(&mut self, client: Client, mobile: MobileId) {
        if self.arriving.get(&client).is_some_and(|waiting| waiting.mobile == mobile) {
            return; // a retransmission; another shard may be asked already
        }
        self.forget_arriving(&client);
        if self.arriving.len() >= MANY_ARRIVALS.max(2 * self.rules.mobile.len()) {
            self.forget_stale_arrivals();
        }
        self.arriving.insert(client, Waiting { mobile, asked: false, held: Vec::new() });
    }

    /// Forgets the 5-tuples whose allocation has ended, or goes elsewhere: other shards do not say so.
    pub(super) fn forget_stale_arrivals(&mut self) {
        let (mobile, shard) = (&self.rules.mobile, self.number);
        self.arriving.retain(|client, waiting| {
            waiting.asked || mobile.awaits(waiting.mobile, shard, *client)
        });
    }

    /// A client has made use of its 5-tuple. If an allocation waits to move there, it does, with
    /// its permissions and channels, and the old 5-tuple is good no more. One of another shard is
    /// asked for.
    //= 8016-3.2.2-old-until-use
    pub(super) fn arrive(&mut self, client: Client, outside: &mut impl Outside) -> Arrival {
        let Some(waiting) = self.arriving.get_mut(&client) else { return Arrival::None };
        if waiting.asked {
            return Arrival::UnderWay;
        }
        let mobile = waiting.mobile;
        match self.rules.mobile.claim(mobile, self.number, client) {
            Claim::Here(id) => {
                self.arriving.remove(&client);
                self.move_to(id, mobile, client, outside);
                Arrival::Here
            }
            Claim::At(shard) => {
                waiting.asked = outside.fetch(shard, mobile, client);
                Arrival::UnderWay
            }
            Claim::UnderWay => Arrival::UnderWay,
            Claim::Gone => {
                self.arriving.remove(&client);
                Arrival::None
            }
        }
    }

    /// Moves an allocation of this shard to another of its 5-tuples.
    fn move_to(
        &mut self,
        id: AllocationId,
        mobile: MobileId,
        client: Client,
        outside: &mut impl Outside,
    ) {
        let Some(index) = self.find(id) else { return };
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        self.rules.mobile.settle(mobile, self.number, client);
        if let Some(mobility) = &mut allocation.mobility {
            mobility.is_away = false;
        }
        allocation.routes().for_each(|route| outside.channel_ended(route));
        let before = std::mem::replace(&mut allocation.client, client);
        allocation.routes().for_each(|route| outside.channel_bound(route));
        allocation.carrier = Carrier::of(client.via, outside.is_secure(client));
        self.forget_client(&before, index);
        self.by_client.insert(client, index);
    }

    /// As [`Shard::arrive`], for a request of a proven user.
    pub(super) fn arrive_with(
        &mut self,
        request: &Request<'_>,
        proven: &Proven,
        outside: &mut impl Outside,
    ) -> Arrival {
        let method = request.message.method();
        let only_asks = method == Method::REFRESH && request.message.mobility_ticket().is_some();
        let (Some(waiting), Some(grant)) = (self.arriving.get(&request.client), &proven.grant)
        else {
            return Arrival::None;
        };
        let is_its_user =
            |holder: &UserId| self.rules.authenticator.is_same(&grant.username, holder);
        let is_owner = self.rules.mobile.is_of(waiting.mobile, is_its_user);
        if is_owner && !only_asks && method != Method::ALLOCATE {
            return self.arrive(request.client, outside);
        }
        Arrival::None
    }

    /// Keeps a request until its allocation has come: over a connection it is not sent again.
    pub(super) fn hold(&mut self, request: &Request<'_>) -> Verdict {
        let bytes = request.message.as_bytes();
        match self.arriving.get_mut(&request.client) {
            Some(waiting)
                if waiting.asked && waiting.held.len() < HELD && bytes.len() <= HELD_LEN =>
            {
                waiting.held.push(bytes.into());
                Verdict::Later
            }
            _ => Verdict::Drop(DropReason::NoAllocation),
        }
    }

    /// Takes a client out of the table, unless it has another allocation by now.
    pub(super) fn forget_client(&mut self, client: &Client, index: u32) {
        if self.by_client.get(client) == Some(&index) {
            self.by_client.remove(client);
        }
    }

    /// Takes a 5-tuple out of those that wait, if it waits for this allocation.
    pub(super) fn take_waiting(&mut self, client: &Client, mobile: MobileId) -> Option<Waiting> {
        let waits = self.arriving.get(client).is_some_and(|waiting| waiting.mobile == mobile);
        if waits { self.arriving.remove(client) } else { None }
    }

    /// Nothing waits to move to this 5-tuple any more.
    pub(super) fn forget_arriving(&mut self, client: &Client) {
        if let Some(waiting) = self.arriving.remove(client) {
            self.rules.mobile.cancel(waiting.mobile, self.number, *client);
        }
    }

    /// The 5-tuple that an allocation was about to move to, when it ends.
    pub(super) fn forget_arrival_of(&mut self, allocation: &Allocation) {
        let Some(id) = allocation.mobility.as_ref().map(Mobility::id) else { return };
        if let Some((shard, client)) = self.rules.mobile.destination(id)
            && shard == self.number
        {
            self.take_waiting(&client, id);
        }
    }

    /// The connection of a client is gone. A mobile allocation moves to the 5-tuple that waits for it
    /// (RFC 8016 section 3.2.2), or waits for the client to come back by another, as long as it lives;
    /// any other ends.
    pub(super) fn left_by(&mut self, now: Now, client: &Client, outside: &mut impl Outside) {
        self.forget_arriving(client);
        let Some(index) = self.by_client.get(client).copied() else { return };
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let Some(mobility) = &mut allocation.mobility else {
            self.end(now.tick, index, EndReason::Disconnected, outside);
            return;
        };
        mobility.is_away = true;
        let destination = self.rules.mobile.destination(mobility.id());
        self.by_client.remove(client);
        //= 8016-3.2.2-old-connection-closed
        match destination {
            Some((shard, client)) if shard == self.number => {
                self.arrive(client, outside);
            }
            Some((shard, client)) => outside.offer_to(shard, client),
            None => {}
        }
    }
}

/// The answer to a ticket of this server's that brings nothing (RFC 8016 section 3.2.2).
fn useless(why: Useless) -> Failure {
    match why {
        //= 8016-3.2.2-no-allocation
        Useless::Gone => {
            let detail = "The allocation of this MOBILITY-TICKET has ended";
            Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail)
        }
        //= 8016-3.2.2-wrong-user
        Useless::NotYours => {
            let detail = "The allocation belongs to another user";
            Failure::new(ErrorCode::WRONG_CREDENTIALS, detail)
        }
        Useless::Spent => Failure::new(ErrorCode::BAD_REQUEST, "This MOBILITY-TICKET is spent"),
    }
}
