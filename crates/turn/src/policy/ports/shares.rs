//! The free ports of one family, by whose they are: a tenant may have some for itself, and what no tenant has is for
//! all others.

use super::free::{FreePorts, Rest};
use super::range::PortRange;
use crate::tenant::TenantName;

/// The free ports of one family.
#[derive(Debug)]
pub(super) struct Shares {
    range: PortRange,
    /// Those that no tenant has for itself.
    common: FreePorts,
    own: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    tenant: TenantName,
    range: PortRange,
    free: FreePorts,
}

impl Shares {
    /// All ports of a range, free and for everybody.
    pub(super) fn all_of(range: PortRange) -> Self {
        Self { range, common: FreePorts::all_of(range), own: Vec::new() }
    }

    /// Gives tenants ports for themselves. Ports that are free go to whom they are for from now on, with what they
    /// have to rest; those in use do when they are given back. Of ranges that overlap the first counts, and what is
    /// not of the whole range does not.
    pub(super) fn set(&mut self, shares: &[(TenantName, PortRange)]) {
        let within = |range: PortRange| {
            let (first, last) =
                (range.first().max(self.range.first()), range.last().min(self.range.last()));
            PortRange::new(first, last).ok()
        };
        let shares: Vec<_> = shares
            .iter()
            .filter_map(|(tenant, range)| Some((tenant.clone(), within(*range)?)))
            .collect();
        let known = self.own.iter().map(|share| (&share.tenant, share.range));
        if known.eq(shares.iter().map(|(tenant, range)| (tenant, *range))) {
            return;
        }
        let own = shares.into_iter().map(|(tenant, range)| {
            let free = FreePorts::none_of(range);
            Share { tenant, range, free }
        });
        let common = FreePorts::none_of(self.range);
        let before =
            std::mem::replace(self, Self { range: self.range, common, own: own.collect() });
        for free in
            std::iter::once(&before.common).chain(before.own.iter().map(|share| &share.free))
        {
            free.iter().for_each(|(port, rest)| self.give_back(port, rest));
        }
    }

    /// The ports that a tenant gets some of.
    pub(super) fn of(&mut self, tenant: &TenantName) -> &mut FreePorts {
        let own = self.own.iter_mut().find(|share| share.tenant == *tenant);
        own.map_or(&mut self.common, |share| &mut share.free)
    }

    /// How many ports those are, free or not.
    pub(super) fn size(&self, tenant: &TenantName) -> u32 {
        let own = |share: &Share| share.range.len();
        match self.own.iter().find(|share| share.tenant == *tenant) {
            Some(share) => own(share),
            None => self.range.len().saturating_sub(self.own.iter().map(own).sum()),
        }
    }

    /// Whether two ports are for the same.
    pub(super) fn are_of_one(&self, port: u16, other: u16) -> bool {
        self.place(port) == self.place(other)
    }

    fn place(&self, port: u16) -> Option<usize> {
        self.own.iter().position(|share| share.range.contains(port))
    }

    /// How many are free in all.
    pub(super) fn count(&self) -> u32 {
        self.common.count() + self.own.iter().map(|share| share.free.count()).sum::<u32>()
    }

    /// Each tenant that has ports for itself: how many, and how many of them are free.
    pub(super) fn own(&self) -> impl Iterator<Item = (&TenantName, u32, u32)> {
        self.own.iter().map(|share| (&share.tenant, share.range.len(), share.free.count()))
    }

    /// Those that rest.
    pub(super) fn resting(&self) -> impl Iterator<Item = (Rest, u16)> {
        self.common.resting().chain(self.own.iter().flat_map(|share| share.free.resting()))
    }

    /// Takes a port that is free, whomever it is for; returns what it still has to rest.
    pub(super) fn take(&mut self, port: u16) -> Option<Rest> {
        self.with(port).take(port)
    }

    /// Gives a port back that is not free, to rest.
    pub(super) fn give_back(&mut self, port: u16, rest: Rest) {
        self.with(port).give_back(port, rest);
    }

    /// The ports that this one is among, once it is free.
    fn with(&mut self, port: u16) -> &mut FreePorts {
        match self.place(port).and_then(|at| self.own.get_mut(at)) {
            Some(share) => &mut share.free,
            None => &mut self.common,
        }
    }
}

#[cfg(test)]
mod tests;
