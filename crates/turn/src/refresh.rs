//! Refresh (RFC 8656 section 8).

use std::time::Duration;

use super::allocate::DEFAULT_LIFETIME;
use super::authenticate::Proven;
use super::outside::{EndReason, Outside};
use super::request::{Answer, Failure, Request};
use super::shard::Shard;
use taciturn_stun::{ErrorCode, Family, Writer};

impl Shard {
    pub(super) fn refresh(
        &mut self,
        request: &Request<'_>,
        proven: &Proven,
        writer: &mut Writer<'_>,
        outside: &mut impl Outside,
    ) -> Answer {
        let (now, message) = (request.now, request.message);
        let wanted = message.lifetime()?.unwrap_or(DEFAULT_LIFETIME);
        let family = message.requested_family()?;
        //= 8489-6.3.1-idempotent
        // RFC 8489 section 6.3.1: a retransmission of the request that ended it succeeds again and
        // does nothing, though there may be another allocation by now.
        if wanted == 0 && self.ended_by(now.tick, request.client, message.transaction_id()) {
            writer.lifetime(0);
            return Ok(());
        }
        if let Some(ticket) = message.mobility_ticket() {
            let ticket = self.open_ticket(ticket)?;
            match self.allocation_of(&request.client) {
                None => return self.resume(request, proven, ticket, wanted, writer, outside),
                Some((_, allocation)) => self.check_ticket_at_home(allocation, ticket)?,
            }
        }
        let Some((index, allocation)) = self.allocation_of(&request.client) else {
            //= 8656-5-no-allocation-request
            return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, "There is no allocation"));
        };
        // RFC 8656 section 8.2: with a family only that relayed address is meant.
        let held = |family: Family| allocation.relay(family).is_some();
        if let Some(family) = family
            && !family.is_some_and(held)
        {
            //= 8656-8.2-family-mismatch
            let code = ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH;
            return Err(Failure::new(code, "No relayed address of that family"));
        }
        let expires = allocation.credential_expires;
        let one_of_two = held(Family::V4) && held(Family::V6);
        //= 8656-8.2-zero
        if wanted == 0 {
            match family.flatten().filter(|_| one_of_two) {
                Some(family) => self.detach(now.tick, index, family, outside),
                None => self.end(now.tick, index, EndReason::Released, outside),
            }
            self.remember_end(now.tick, request.client, message.transaction_id());
            writer.lifetime(0);
            return Ok(());
        }
        //= 8656-8.2-lifetime
        let granted = self.granted_lifetime(wanted, expires, now.unix);
        let deadline = now.tick + Duration::from_secs(u64::from(granted));
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            allocation.expires = deadline;
            if let Some(mobility) = &allocation.mobility {
                self.rules.mobile.extend(mobility.id(), deadline);
            }
        }
        self.queue(index, deadline);
        //= 8656-8.2-answer
        writer.lifetime(granted);
        if message.mobility_ticket().is_some() {
            self.write_ticket(index, writer, outside);
        }
        Ok(())
    }
}
