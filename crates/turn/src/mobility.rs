//! Mobility (RFC 8016): an allocation that goes on when its client's address changes.
//!
//! A Refresh with a ticket, from another 5-tuple, makes that one good as well. The allocation moves
//! there with the first packet that makes use of it; until then the old one serves on. So an answer
//! that is lost costs nothing, and nobody is cut off by a Refresh alone.
//!
//! The new 5-tuple may be another shard's. Until it is made use of, no shard has to know of the other:
//! `MobileAllocations` has the ticket and the deadline. With the first use that shard asks for the
//! allocation (`transfer`).

use std::time::Duration;

use super::allocations::{Allocation, Mobility};
use super::announcing::announce;
use super::auth::Grant;
use super::authenticate::Proven;
use super::cause::Cause;
use super::context::{Context, Request};
use super::effects::{Outside, Randomness};
use super::endings::end;
use super::event::EndReason;
use super::failure::{Answer, Failure};
use super::lifetime::granted_lifetime;
use super::mobile_allocations::{Claim, MobileId, Useless};
use super::moves::Expected;
use super::parts::Parts;
use super::rules::Rules;
use super::settings::Settings;
use super::ticket::{LEN, NONCE, Ticket};
use super::types::{AllocationId, Carrier, Client};
use super::user::UserId;
use taciturn_stun::{AttributeType as T, ErrorCode, Method, Writer};

/// What the use of a 5-tuple has brought there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Nothing, for nothing was to come.
    Nothing,
    /// The allocation.
    Here,
    /// The allocation is on its way.
    UnderWay,
}

/// Returns whether an Allocate request asks for a ticket (RFC 8016 section 3.1.2).
pub(super) fn wants_mobility(
    settings: &Settings,
    request: &Request<'_>,
    tcp: bool,
) -> Result<bool, Failure> {
    match request.message.mobility_ticket() {
        None => Ok(false),
        //= 8016-3.1.2-forbidden
        Some(_) if !settings.mobility => Err(Cause::MobilityOff.into()),
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
    rules: &Rules,
    allocation: &Allocation,
    writer: &mut Writer<'_>,
    outside: &mut impl Randomness,
) {
    if let Some(mobile) = allocation.mobility().map(Mobility::id)
        && let Some(serial) = rules.mobile.serial(mobile)
    {
        write_ticket_of(rules, Ticket { id: mobile, serial }, writer, outside);
    }
}

fn write_ticket_of(
    rules: &Rules,
    ticket: Ticket,
    writer: &mut Writer<'_>,
    outside: &mut impl Randomness,
) {
    let mut seal = || {
        let mut nonce = [0; NONCE];
        outside.random(&mut nonce);
        rules.tickets.seal(nonce, ticket)
    };
    // coturn's client keeps it as a C string: of six tickets one would be cut short.
    let fits = |sealed: &[u8; LEN]| !sealed.contains(&0);
    let sealed = (0..16).find_map(|_| seal().filter(fits)).or_else(seal);
    if let Some(sealed) = sealed {
        writer.attribute(T::MOBILITY_TICKET, &sealed);
    }
}

/// What the ticket of a Refresh says (RFC 8016 section 3.2.2).
pub(super) fn open_ticket(
    settings: &Settings,
    rules: &Rules,
    ticket: &[u8],
) -> Result<Ticket, Failure> {
    //= 8016-3.2.2-forbidden
    if !settings.mobility {
        return Err(Cause::MobilityOff.into());
    }
    //= 8016-3.2.2-invalid
    rules.tickets.open(ticket).ok_or_else(|| {
        Failure::new(ErrorCode::BAD_REQUEST, "MOBILITY-TICKET is not one of this server's")
    })
}

//= 8016-3.2.2-retransmission
/// A Refresh with a ticket, from a 5-tuple that has an allocation. The ticket before the one that
/// is good is that of a retransmission, from when the allocation has moved here.
pub(super) fn check_ticket_at_home(
    rules: &Rules,
    allocation: &Allocation,
    ticket: Ticket,
) -> Answer {
    let own = allocation.mobility().map(Mobility::id);
    if own != Some(ticket.id) {
        let detail = "This 5-tuple has another allocation than MOBILITY-TICKET names";
        return Err(Failure::new(ErrorCode::ALLOCATION_MISMATCH, detail));
    }
    //= 8016-3.2.2-same-address
    if rules.mobile.serial(ticket.id) == Some(ticket.serial) {
        let detail = "MOBILITY-TICKET is for another 5-tuple than the allocation is on";
        return Err(Failure::new(ErrorCode::BAD_REQUEST, detail));
    }
    Ok(())
}

//= 8016-5-long-term
/// A Refresh with a ticket, from a 5-tuple without an allocation (RFC 8016 section 3.2.2). `wanted` is the
/// lifetime that it asks for, in seconds.
pub(super) fn resume<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    proven: &Proven,
    ticket: Ticket,
    wanted: u32,
    writer: &mut Writer<'_>,
) -> Answer {
    let grant = proven.grant.as_ref().ok_or_else(|| useless(Useless::Gone))?;
    let (now, client, id) = (cx.now, request.client, ticket.id);
    if wanted == 0 {
        release(cx, ticket, grant)?;
        cx.parts.ended.remember(now.tick, client, request.message.transaction_id());
        writer.lifetime(0);
        return Ok(());
    }
    let Parts { number, settings, rules, allocations, moves, .. } = &mut *cx.parts;
    // A guest has no allocation that moves.
    let granted = granted_lifetime(settings, rules, wanted, grant.expires, false, now.unix);
    let deadline = now.tick + Duration::from_secs(u64::from(granted));
    let (ticket, to) = ((id, ticket.serial), (*number, client));
    let is_its_user = is_user_of(rules, grant);
    let redeemed = rules.mobile.redeem(ticket, is_its_user, to, now.tick, deadline);
    let redeemed = redeemed.map_err(useless)?;
    if let Some(before) = redeemed.before {
        moves.take(&before, id);
    }
    moves.expect(client, id, &rules.mobile, *number);
    writer.lifetime(granted);
    //= 8016-3.2.2-new-ticket
    write_ticket_of(rules, Ticket { id, serial: redeemed.serial }, writer, cx.outside);
    if let Some(mut entry) = redeemed.here.and_then(|at| allocations.find(at)) {
        entry.set_expires(deadline);
        let at = entry.id();
        announce(cx, at);
    }
    Ok(())
}

/// Ends an allocation, on whichever shard it is, for a client that has its ticket.
fn release<O: Outside>(cx: &mut Context<'_, O>, ticket: Ticket, grant: &Grant) -> Answer {
    let (id, mobile) = (ticket.id, &cx.parts.rules.mobile);
    let is_its_user = is_user_of(&cx.parts.rules, grant);
    let whereabouts = mobile.whereabouts((id, ticket.serial), is_its_user, cx.now.tick);
    let (shard, at) = whereabouts.map_err(useless)?;
    mobile.release(id);
    if shard == cx.parts.number {
        // An allocation that is on its way here ends when it arrives.
        if let Some(at) = at {
            end(cx, at, EndReason::Released);
        }
    } else if !cx.outside.release_at(shard, id) {
        mobile.keep(id);
        return Err(Failure::silence());
    }
    Ok(())
}

/// A client has made use of its 5-tuple. If an allocation waits to move there, it does, with
/// its permissions and channels, and the old 5-tuple is good no more. One of another shard is
/// asked for.
//= 8016-3.2.2-old-until-use
pub(super) fn used<O: Outside>(cx: &mut Context<'_, O>, client: Client) -> Moved {
    let Parts { number, rules, moves, .. } = &mut *cx.parts;
    let mobile = match moves.expected(&client) {
        None => return Moved::Nothing,
        Some(Expected::Fetch(_)) => return Moved::UnderWay,
        Some(Expected::Use(mobile)) => mobile,
    };
    match rules.mobile.claim(mobile, *number, client) {
        Claim::Here(id) => {
            moves.remove(&client);
            move_to(cx, id, mobile, client);
            Moved::Here
        }
        Claim::At(shard) => {
            if cx.outside.fetch(shard, mobile, client) {
                moves.fetching(&client);
            }
            Moved::UnderWay
        }
        Claim::UnderWay => Moved::UnderWay,
        Claim::Gone => {
            moves.remove(&client);
            Moved::Nothing
        }
    }
}

/// Moves an allocation of this shard to another of its 5-tuples.
fn move_to<O: Outside>(
    cx: &mut Context<'_, O>,
    id: AllocationId,
    mobile: MobileId,
    client: Client,
) {
    let Parts { number, rules, allocations, .. } = &mut *cx.parts;
    let Some(mut entry) = allocations.find(id) else { return };
    rules.mobile.settle(mobile, *number, client);
    entry.move_to(client);
    entry.carrier = Carrier::of(client.via, cx.outside.is_secure(client));
    announce(cx, id);
}

/// As [`used`], for a request of a proven user.
pub(super) fn used_by<O: Outside>(
    cx: &mut Context<'_, O>,
    request: &Request<'_>,
    proven: &Proven,
) -> Moved {
    let method = request.message.method();
    let only_asks = method == Method::REFRESH && request.message.mobility_ticket().is_some();
    let expected = cx.parts.moves.expected(&request.client);
    let (Some(expected), Some(grant)) = (expected, &proven.grant) else { return Moved::Nothing };
    let rules = &cx.parts.rules;
    let is_owner = rules.mobile.is_of(expected.mobile(), is_user_of(rules, grant));
    if is_owner && !only_asks && method != Method::ALLOCATE {
        return used(cx, request.client);
    }
    Moved::Nothing
}

/// The connection of a client is gone. A mobile allocation moves to the 5-tuple that waits for it
/// (RFC 8016 section 3.2.2), or waits for the client to come back by another, as long as it lives;
/// any other ends.
pub(super) fn left_by<O: Outside>(cx: &mut Context<'_, O>, client: &Client) {
    let Parts { number, rules, allocations, moves, .. } = &mut *cx.parts;
    moves.cancel(client, &rules.mobile, *number);
    let Some(mut entry) = allocations.entry_of(client) else { return };
    let (id, mobile) = (entry.id(), entry.mobility().map(Mobility::id));
    let Some(mobile) = mobile.filter(|_| entry.set_away()) else {
        end(cx, id, EndReason::Disconnected);
        return;
    };
    let destination = rules.mobile.destination(mobile);
    //= 8016-3.2.2-old-connection-closed
    match destination {
        Some((shard, client)) if shard == *number => {
            used(cx, client);
        }
        Some((shard, client)) => cx.outside.offer_to(shard, client),
        None => {}
    }
    announce(cx, id);
}

/// Tells the user that a credential was granted to from others.
fn is_user_of(rules: &Rules, grant: &Grant) -> impl Fn(&UserId) -> bool {
    |holder| rules.authenticator.is_same(&grant.username, holder)
}

/// The answer to a ticket of this server that brings nothing (RFC 8016 section 3.2.2).
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
