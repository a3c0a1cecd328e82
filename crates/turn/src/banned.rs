//! Whom the operator has banned: their requests are refused, and their allocations end.

use super::allocations::Allocation;
use super::authenticate::Proven;
use super::context::Context;
use super::effects::Outside;
use super::endings::end;
use super::event::EndReason;
use super::failure::{Answer, Failure};
use super::parts::Parts;
use super::policy::Bans;
use super::types::{AllocationId, Client};
use taciturn_stun::ErrorCode;

/// Refuses a request of a banned user. RFC 8656 section 7.2 has 403 for what an administrator does not want;
/// clients do not try again with the same server, as they would after 401 or 486.
pub(super) fn check_user(parts: &Parts, client: &Client, proven: &Proven) -> Answer {
    let Parts { rules, allocations, .. } = parts;
    let banned = match &proven.grant {
        Some(grant) => {
            let names = [grant.username.name(), grant.user.name()];
            rules.bans.refuses_user(grant.user.tenant(), names)
        }
        None => allocations
            .of(client)
            .is_some_and(|own| rules.bans.refuses_user(own.username.tenant(), names(own))),
    };
    match banned {
        true => Err(Failure::new(ErrorCode::FORBIDDEN, "This user is banned")),
        false => Ok(()),
    }
}

/// Whether nothing that a client sends is answered, so that it learns nothing. What is no request is not answered
/// anyway.
pub(super) fn refuses_address(parts: &Parts, client: &Client) -> bool {
    parts.rules.bans.refuses_address(client.remote.0.ip())
}

/// Ends the allocations of all that are banned. Returns how many.
pub(super) fn end_banned<O: Outside>(cx: &mut Context<'_, O>) -> usize {
    let is_meant = |id: &AllocationId| {
        let allocation = cx.parts.allocations.get(*id);
        allocation.is_some_and(|allocation| is_banned(&cx.parts.rules.bans, allocation))
    };
    let meant: Vec<_> = cx.parts.allocations.ids().into_iter().filter(is_meant).collect();
    for id in &meant {
        end(cx, *id, EndReason::Banned);
    }
    meant.len()
}

fn is_banned(bans: &Bans, allocation: &Allocation) -> bool {
    bans.has_user(allocation.username.tenant(), names(allocation))
        || bans.has_address(allocation.client().remote.0.ip())
}

fn names(allocation: &Allocation) -> [&str; 2] {
    [allocation.username.name(), allocation.quota.user().name()]
}
