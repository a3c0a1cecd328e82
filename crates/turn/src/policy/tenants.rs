//! What one tenant may do, all its users together, and what it has spent of that.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use borsh::{BorshDeserialize, BorshSerialize};

use super::intervals::{Intervals, Rates};
use super::meter::{Meter, Spent};
use crate::tenant::TenantName;

/// The limits of a tenant. Those for one user and one allocation are in place of the server's; those for all of it
/// are besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Allocations of one user at a time.
    pub allocations_per_user: u32,
    /// Allocations of all its users at a time; 0 is no limit but that of the server.
    pub allocations: u32,
    /// Bytes, packets, new peers and new allocations a second; `in_all` is for all its users together.
    pub rates: Rates,
}

/// A tenant, as its users refer to it: found where an allocation is made, never for a packet.
#[derive(Debug)]
pub struct Tenant {
    name: TenantName,
    allocations_per_user: AtomicU32,
    allocations: AtomicU32,
    intervals: Intervals,
    meter: Meter,
}

impl Tenant {
    /// One that has spent nothing.
    pub(super) fn new(name: TenantName, limits: TenantLimits) -> Self {
        let tenant = Self {
            name,
            allocations_per_user: AtomicU32::new(0),
            allocations: AtomicU32::new(0),
            intervals: Intervals::default(),
            meter: Meter::default(),
        };
        tenant.set(limits);
        tenant
    }

    /// Has other limits hold, at once. What is spent is spent.
    pub(super) fn set(&self, limits: TenantLimits) {
        let TenantLimits { allocations_per_user, allocations, rates } = limits;
        self.allocations_per_user.store(allocations_per_user, Relaxed);
        self.allocations.store(allocations, Relaxed);
        self.intervals.set(rates);
    }

    pub(super) const fn name(&self) -> &TenantName {
        &self.name
    }

    /// Allocations of one user, and of all; 0 of all is no limit.
    pub(super) fn allocations(&self) -> [u32; 2] {
        [self.allocations_per_user.load(Relaxed), self.allocations.load(Relaxed)]
    }

    pub(super) const fn intervals(&self) -> &Intervals {
        &self.intervals
    }

    /// What all its users together have spent.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// What a tenant has spent at some moment, for another process.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SpentByTenant {
    /// The tenant.
    pub tenant: TenantName,
    /// By all its users together.
    pub spent: Spent,
}

/// What a tenant has at some moment, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantUse {
    /// The tenant.
    pub tenant: TenantName,
    /// Allocations.
    pub allocations: u32,
    /// Users that have one or more of them.
    pub users: u32,
}
