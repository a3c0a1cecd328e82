//! Refresh (RFC 8656 section 8).

use std::time::Duration;

use super::allocations::Mobility;
use super::announcing::announce;
use super::authenticate::Proven;
use super::context::{Context, Request};
use super::effects::Outside;
use super::endings::{detach, end};
use super::event::EndReason;
use super::failure::{Answer, Failure};
use super::lifetime::{DEFAULT_LIFETIME, granted_lifetime};
use super::mobility::{check_ticket_at_home, open_ticket, resume, write_ticket};
use super::parts::Parts;
use taciturn_stun::{ErrorCode, Family, Writer};

pub(super) fn refresh<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    proven: &Proven,
    writer: &mut Writer<'_>,
) -> Answer {
    let (now, client, message) = (cx.now, request.client, request.message);
    let wanted = message.lifetime()?.unwrap_or(DEFAULT_LIFETIME);
    let family = message.requested_family()?;
    //= 8489-6.3.1-idempotent
    // RFC 8489 section 6.3.1: a retransmission of the request that ended it succeeds again and
    // does nothing, though there may be another allocation by now.
    if wanted == 0 && cx.parts.ended.has(now.tick, client, message.transaction_id()) {
        writer.lifetime(0);
        return Ok(());
    }
    if let Some(ticket) = message.mobility_ticket() {
        let ticket = open_ticket(&cx.parts.settings, &cx.parts.rules, ticket)?;
        match cx.parts.allocations.of(&client) {
            None => return resume(cx, request, proven, ticket, wanted, writer),
            Some(own) => check_ticket_at_home(&cx.parts.rules, own, ticket)?,
        }
    }
    let Parts { settings, rules, allocations, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.entry_of(&client) else {
        //= 8656-5-no-allocation-request
        return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, "There is no allocation"));
    };
    let id = entry.id();
    // RFC 8656 section 8.2: with a family only that relayed address is meant.
    let held = |family: Family| entry.relay(family).is_some();
    if let Some(family) = family
        && !family.is_some_and(held)
    {
        //= 8656-8.2-family-mismatch
        let code = ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH;
        return Err(Failure::new(code, "No relayed address of that family"));
    }
    let one_of_two = held(Family::V4) && held(Family::V6);
    //= 8656-8.2-zero
    if wanted == 0 {
        match family.flatten().filter(|_| one_of_two) {
            Some(family) => detach(cx, id, family),
            None => end(cx, id, EndReason::Released),
        }
        cx.parts.ended.remember(now.tick, client, message.transaction_id());
        writer.lifetime(0);
        return Ok(());
    }
    //= 8656-8.2-lifetime
    let (expires, is_guest) = (entry.credential_expires, entry.guest.is_some());
    let granted = granted_lifetime(settings, rules, wanted, expires, is_guest, now.unix);
    let deadline = now.tick + Duration::from_secs(u64::from(granted));
    entry.set_expires(deadline);
    if let Some(mobile) = entry.mobility().map(Mobility::id) {
        rules.mobile.extend(mobile, deadline);
    }
    //= 8656-8.2-answer
    writer.lifetime(granted);
    if message.mobility_ticket().is_some() {
        write_ticket(rules, &entry, writer, cx.outside);
    }
    announce(cx, id);
    Ok(())
}
