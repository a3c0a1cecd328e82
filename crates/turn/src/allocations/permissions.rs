//! The permissions of one allocation (RFC 8656 section 9).

use std::net::IpAddr;

use crate::clock::{Remaining, TakeOver, Tick};
use crate::snapshot::records::PermissionRecord;

/// Which ports of a permitted address data may pass to and from. Permissions are for addresses (RFC 8656 section
/// 9); the peer rules may allow some ports of one and not the others. Judged once for the address, when the
/// permission is installed, and again when the rules change, so that a packet asks no rule where all ports are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them.
    All,
    /// Of an address that this server relays on: the live relay ports, and those that the operator allows.
    Own,
    /// Those that the operator allows, and no other.
    Named,
}

#[derive(Clone, Copy, Debug)]
struct Permission {
    ip: IpAddr,
    reach: Reach,
    expires: Tick,
}

/// One for each address, sorted by address.
#[derive(Debug, Default)]
pub(crate) struct Permissions(Vec<Permission>);

impl Permissions {
    fn find(&self, ip: IpAddr) -> Result<usize, usize> {
        self.0.binary_search_by_key(&ip, |permission| permission.ip)
    }

    /// Returns which ports of this address data may pass to and from; `None` without a permission.
    pub(super) fn reach(&self, ip: IpAddr, now: Tick) -> Option<Reach> {
        let found = self.find(ip).ok().and_then(|at| self.0.get(at))?;
        (now < found.expires).then_some(found.reach)
    }

    /// Returns how many of these addresses there is no permission for.
    pub(crate) fn new_among(&self, ips: &[IpAddr]) -> usize {
        ips.iter().filter(|ip| self.find(**ip).is_err()).count()
    }

    /// Returns whether so many `new` permissions would still be within `limit`.
    pub(crate) const fn has_room(&self, new: usize, limit: usize) -> bool {
        new == 0 || self.0.len() + new <= limit
    }

    //= 8656-9-refreshed-by
    /// Installs or refreshes a permission.
    pub(super) fn install(&mut self, ip: IpAddr, reach: Reach, expires: Tick) {
        let permission = Permission { ip, reach, expires };
        match self.find(ip) {
            Ok(at) => {
                if let Some(known) = self.0.get_mut(at) {
                    *known = permission;
                }
            }
            Err(at) => self.0.insert(at, permission),
        }
    }

    /// Sets which ports of an address the rules of now let through.
    pub(super) fn limit(&mut self, ip: IpAddr, reach: Reach) {
        if let Some(known) = self.find(ip).ok().and_then(|at| self.0.get_mut(at)) {
            known.reach = reach;
        }
    }

    /// Lets the permission for an address end now.
    pub(super) fn expire(&mut self, now: Tick, ip: IpAddr) {
        if let Some(known) = self.find(ip).ok().and_then(|at| self.0.get_mut(at)) {
            known.expires = now;
        }
    }

    /// Drops what has expired.
    pub(super) fn sweep(&mut self, now: Tick) {
        self.0.retain(|permission| now < permission.expires);
    }

    /// Those that are live, for another process.
    pub(super) fn snapshot(&self, now: Tick) -> Vec<PermissionRecord> {
        let live = self.0.iter().filter(|permission| now < permission.expires);
        // What the rules let through there is for those of the other process to say.
        let record = |Permission { ip, reach: _, expires }: &Permission| PermissionRecord {
            ip: *ip,
            left: Remaining::until(*expires, now),
        };
        live.map(record).collect()
    }

    /// Those that another process had, as far as they are still live. Until the rules are asked
    /// ([`Self::limit`]), only ports that they name are within reach.
    pub(super) fn restore(records: &[PermissionRecord], there: &TakeOver) -> Self {
        let mut permissions = Self::default();
        for PermissionRecord { ip, left } in records {
            if !there.left(*left).is_over() {
                permissions.install(*ip, Reach::Named, there.deadline(*left));
            }
        }
        permissions
    }

    /// When the permission for an address ends, if there is one.
    pub(super) fn until(&self, ip: IpAddr) -> Option<Tick> {
        self.find(ip).ok().and_then(|at| self.0.get(at)).map(|found| found.expires)
    }

    /// The addresses that there are permissions for.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|permission| permission.ip)
    }

    /// The earliest moment at which one of them expires.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.0.iter().map(|permission| permission.expires).min()
    }
}
