//! What the rates are limited to, as it is configured and as it is reckoned with.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::meter::Counted;

/// Intervals are counted in parts of a nanosecond: 2^16 of them.
pub(super) const FRACTION_BITS: u32 = 16;

/// Whom a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One allocation.
    Allocation,
    /// All allocations of one user.
    User,
    /// All allocations of one tenant.
    Tenant,
    /// All allocations.
    All,
}

/// One limit of each scope, a second. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Each {
    /// For one allocation.
    pub allocation: u32,
    /// For one user.
    pub user: u32,
    /// In all.
    pub in_all: u32,
}

/// The limits as they are configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Bytes of application data, in each direction.
    pub bytes: Each,
    /// Packets, in each direction.
    pub packets: Each,
    /// New peers.
    pub new_peers: Each,
    /// New allocations. That of a user is the only one there is.
    pub allocations: Each,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub counted: Counted,
}

/// What one unit costs, in parts of a nanosecond; 0 is no limit.
const fn interval_of(per_second: u32) -> u64 {
    let second = 1_000_000_000_u64 << FRACTION_BITS;
    // Rounded up here and below: what is over does not become another packet.
    if per_second == 0 { 0 } else { second.div_ceil(per_second as u64) }
}

/// What one unit costs, for one allocation, for one user, and in all: in parts of a nanosecond; 0 is no limit.
#[derive(Debug, Default)]
pub(super) struct Intervals([[AtomicU64; 3]; 4]);

/// Which of the three limits of a [`Rates`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    Allocation,
    User,
    InAll,
}

impl Intervals {
    /// Has these limits hold, at once.
    pub(super) fn set(&self, rates: Rates) {
        let Rates { bytes, packets, new_peers, allocations } = rates;
        for (each, mine) in [bytes, packets, new_peers, allocations].iter().zip(&self.0) {
            let per_second = [each.allocation, each.user, each.in_all];
            for (interval, per_second) in mine.iter().zip(per_second) {
                interval.store(interval_of(per_second), Relaxed);
            }
        }
    }

    /// What one unit costs.
    pub(super) fn of(&self, counted: Counted, share: Share) -> u64 {
        self.0[counted as usize][share as usize].load(Relaxed)
    }
}

impl Rates {
    /// Whether any limit is for packets or their bytes.
    #[must_use]
    pub fn limit_packets(&self) -> bool {
        (self.bytes, self.packets) != (Each::default(), Each::default())
    }
}
