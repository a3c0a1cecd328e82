//! Mobility (RFC 8016): an allocation that goes on when its client's address changes.
//!
//! A Refresh with a ticket, from another 5-tuple, makes that one good as well. The allocation moves
//! there with the first packet that makes use of it; until then the old one serves on. So an answer
//! that is lost costs nothing, and nobody is cut off by a Refresh alone.

use super::allocation::Allocation;
use super::authenticate::Proven;
use super::outside::{ChannelRoute, EndReason, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use super::ticket::{NONCE, Ticket};
use super::types::{AllocationId, Carrier, Client};
use crate::clock::Now;
use crate::stun::{AttributeType as T, ErrorCode, Family, Method, Writer};

/// What an allocation has that may move.
#[derive(Debug, Default)]
pub(super) struct Mobility {
    /// The number of the ticket that is good.
    serial: u32,
    /// The number that was given out last.
    issued: u32,
    /// Whether the client's connection is gone: nothing can be sent to it.
    pub(super) is_away: bool,
    /// The 5-tuple that it moves to when that is made use of. One at most.
    arriving: Option<Arriving>,
}

#[derive(Clone, Copy, Debug)]
struct Arriving {
    client: Client,
    carrier: Carrier,
    /// Of the ticket that went there.
    serial: u32,
}

impl Shard {
    /// Whether an Allocate request asks for a ticket (RFC 8016 section 3.1).
    pub(super) fn wants_mobility(&self, request: &Request<'_>, tcp: bool) -> Result<bool, Failure> {
        match request.message.mobility_ticket() {
            None => Ok(false),
            Some(_) if !self.settings.mobility => Err(forbidden("protocol.mobility is off")),
            Some(_) if tcp => Err(forbidden("TCP connections with peers cannot move")),
            Some([]) => Ok(true),
            Some(_) => {
                let detail = "The MOBILITY-TICKET of an Allocate request is empty";
                Err(Failure::new(ErrorCode::BAD_REQUEST, detail))
            }
        }
    }

    /// Gives the client of a mobile allocation the ticket that is good now.
    pub(super) fn write_ticket(
        &self,
        index: u32,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        if let Some(mobility) = &allocation.mobility {
            self.write_ticket_of(index, allocation, mobility.serial, writer, outside);
        }
    }

    fn write_ticket_of(
        &self,
        index: u32,
        allocation: &Allocation,
        serial: u32,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) {
        let mut nonce = [0; NONCE];
        outside.random(&mut nonce);
        let id = AllocationId { index, generation: allocation.generation };
        let ticket = Ticket { id, serial };
        if let Some(sealed) = self.rules.tickets.seal(nonce, ticket, &allocation.username) {
            writer.attribute(T::MOBILITY_TICKET, &sealed);
        }
    }

    /// A Refresh with a ticket, from a 5-tuple without an allocation (RFC 8016 section 3.2.2).
    pub(super) fn resume(
        &mut self,
        request: &Request<'_>,
        proven: &Proven,
        ticket: &[u8],
        wanted: u32,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) -> Answer {
        if !self.settings.mobility {
            return Err(forbidden("protocol.mobility is off"));
        }
        let spent = "No such MOBILITY-TICKET of this user, or it is spent";
        let spent = || Failure::new(ErrorCode::BAD_REQUEST, spent);
        let grant = proven.grant.as_ref().ok_or_else(spent)?;
        let (now, client) = (request.now, request.client);
        let ticket = self.rules.tickets.open(ticket, &grant.username).ok_or_else(spent)?;
        let index = self.find(ticket.id).ok_or_else(spent)?;
        let granted = self.granted_lifetime(wanted, grant.expires, now.unix);
        let carrier = Carrier::of(client.via, outside.is_secure(client));
        let allocation = self.allocations.get_mut(index as usize).ok_or_else(spent)?;
        if !proven.made(allocation) {
            let detail = "The allocation belongs to another user";
            return Err(Failure::new(ErrorCode::WRONG_CREDENTIALS, detail));
        }
        let mobility = allocation.mobility.as_mut().ok_or_else(spent)?;
        let of_arriving = mobility.arriving.map(|arriving| arriving.serial);
        if ticket.serial != mobility.serial && Some(ticket.serial) != of_arriving {
            return Err(spent());
        }
        if wanted == 0 {
            self.end(now.tick, index, EndReason::Released, outside);
            self.remember_end(now.tick, client, request.message.transaction_id());
            writer.lifetime(0);
            return Ok(());
        }
        mobility.issued = mobility.issued.wrapping_add(1);
        let serial = mobility.issued;
        let before = mobility.arriving.replace(Arriving { client, carrier, serial });
        let deadline = now.tick + std::time::Duration::from_secs(u64::from(granted));
        allocation.expires = deadline;
        if let Some(before) = before {
            self.arriving.remove(&before.client);
        }
        self.arriving.insert(client, index);
        self.queue(index, deadline);
        writer.lifetime(granted);
        if let Some(allocation) = self.allocations.get(index as usize) {
            self.write_ticket_of(index, allocation, serial, writer, outside);
        }
        Ok(())
    }

    /// A client has made use of its 5-tuple. If an allocation waits to move there, it does, with
    /// its permissions and channels, and the old 5-tuple is good no more.
    pub(super) fn arrive(&mut self, client: Client, outside: &mut impl Outside) {
        let Some(index) = self.arriving.remove(&client) else { return };
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let Some(mobility) = &mut allocation.mobility else { return };
        let Some(arriving) = mobility.arriving.take() else { return };
        mobility.serial = arriving.serial;
        mobility.is_away = false;
        let before = std::mem::replace(&mut allocation.client, arriving.client);
        allocation.carrier = arriving.carrier;
        for channel in allocation.channels() {
            let family = Family::of(channel.peer.0.ip());
            let Some(relay) = allocation.relay(family).map(|relay| relay.local) else { continue };
            let route = |client| {
                let (channel, peer) = (channel.number, channel.peer);
                ChannelRoute { client, channel, relay, peer }
            };
            outside.channel_ended(route(before));
            outside.channel_bound(route(client));
        }
        self.forget_client(&before, index);
        self.by_client.insert(client, index);
    }

    /// As [`Shard::arrive`], for a request of a proven user.
    pub(super) fn arrive_with(
        &mut self,
        request: &Request<'_>,
        proven: &Proven,
        outside: &mut impl Outside,
    ) {
        let method = request.message.method();
        let only_asks = method == Method::REFRESH && request.message.mobility_ticket().is_some();
        let is_owner = self
            .arriving
            .get(&request.client)
            .and_then(|index| self.allocations.get(*index as usize))
            .is_some_and(|allocation| proven.made(allocation));
        if is_owner && !only_asks && method != Method::ALLOCATE {
            self.arrive(request.client, outside);
        }
    }

    /// Takes a client out of the table, unless it has another allocation by now.
    pub(super) fn forget_client(&mut self, client: &Client, index: u32) {
        if self.by_client.get(client) == Some(&index) {
            self.by_client.remove(client);
        }
    }

    /// Nothing waits to move to this 5-tuple any more.
    pub(super) fn forget_arriving(&mut self, client: &Client) {
        if let Some(index) = self.arriving.remove(client)
            && let Some(allocation) = self.allocations.get_mut(index as usize)
            && let Some(mobility) = &mut allocation.mobility
        {
            mobility.arriving = None;
        }
    }

    /// The 5-tuple that an allocation was about to move to, when it ends.
    pub(super) fn forget_arrival_of(&mut self, allocation: &Allocation) {
        let arriving = allocation.mobility.as_ref().and_then(|mobility| mobility.arriving);
        if let Some(arriving) = arriving {
            self.arriving.remove(&arriving.client);
        }
    }

    /// The connection of a client is gone. A mobile allocation waits for the client to come back by
    /// another, as long as it lives; any other ends.
    pub(super) fn left_by(&mut self, now: Now, client: &Client, outside: &mut impl Outside) {
        self.forget_arriving(client);
        let Some(index) = self.by_client.get(client).copied() else { return };
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        match &mut allocation.mobility {
            Some(mobility) => {
                mobility.is_away = true;
                self.by_client.remove(client);
            }
            None => self.end(now.tick, index, EndReason::Disconnected, outside),
        }
    }
}

fn forbidden(detail: &'static str) -> Failure {
    Failure::new(ErrorCode::MOBILITY_FORBIDDEN, detail)
}
