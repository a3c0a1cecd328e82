//! What the server has seen of a guest: bounded, and only what tells why a call fails.

use std::net::IpAddr;

use crate::cause::Cause;
use crate::traffic::Traffic;
use crate::types::Carrier;
use taciturn_stun::ErrorCode;

/// What was seen of one guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestSeen {
    /// By each transport, in the order of [`Carrier::ALL`].
    pub by: [SeenBy; 4],
    /// Packets that came to its relayed addresses from others than guests, and went no further.
    pub outside: u32,
    /// Requests in its name that were not signed with its password.
    pub wrong: u32,
    /// Whether it was refused because it, or all together, have as many allocations as may be.
    pub quota: bool,
    /// Whether it was refused because the server has no room otherwise (508).
    pub capacity: bool,
    /// Whether it was refused because the server is drained.
    pub draining: bool,
}

/// What was seen of one guest by one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenBy {
    /// Requests that it has signed.
    pub requests: u32,
    /// Allocations that it has made.
    pub allocations: u32,
    /// What its allocations had relayed when they ended.
    pub traffic: Traffic,
    /// Where its last request came from.
    pub address: Option<IpAddr>,
}

impl GuestSeen {
    pub(super) fn by(&mut self, carrier: Carrier) -> &mut SeenBy {
        &mut self.by[carrier as usize]
    }

    pub(super) fn refused(&mut self, code: ErrorCode, cause: Option<Cause>) {
        match (code, cause) {
            (_, Some(Cause::Draining | Cause::RetiredListener)) => self.draining = true,
            (ErrorCode::ALLOCATION_QUOTA_REACHED, _) | (_, Some(Cause::AllAllocations)) => {
                self.quota = true;
            }
            (ErrorCode::INSUFFICIENT_CAPACITY, _) => self.capacity = true,
            _ => {}
        }
    }
}
