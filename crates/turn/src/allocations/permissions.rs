//! The permissions of one allocation (RFC 8656 section 9).

use std::net::IpAddr;

use crate::clock::{Remaining, TakeOver, Tick};
use crate::snapshot::records::PermissionRecord;

#[derive(Clone, Copy, Debug)]
struct Permission {
    ip: IpAddr,
    expires: Tick,
}

/// One for each address, sorted by address.
#[derive(Debug, Default)]
pub(crate) struct Permissions(Vec<Permission>);

impl Permissions {
    fn find(&self, ip: IpAddr) -> Result<usize, usize> {
        self.0.binary_search_by_key(&ip, |permission| permission.ip)
    }

    /// Returns whether data may pass to and from this address.
    pub(super) fn allow(&self, ip: IpAddr, now: Tick) -> bool {
        self.find(ip).ok().and_then(|at| self.0.get(at)).is_some_and(|found| now < found.expires)
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
    pub(super) fn install(&mut self, ip: IpAddr, expires: Tick) {
        match self.find(ip) {
            Ok(at) => {
                if let Some(permission) = self.0.get_mut(at) {
                    permission.expires = expires;
                }
            }
            Err(at) => self.0.insert(at, Permission { ip, expires }),
        }
    }

    /// Drops what has expired.
    pub(super) fn sweep(&mut self, now: Tick) {
        self.0.retain(|permission| now < permission.expires);
    }

    /// Those that are live, for another process.
    pub(super) fn snapshot(&self, now: Tick) -> Vec<PermissionRecord> {
        let live = self.0.iter().filter(|permission| now < permission.expires);
        live.map(|Permission { ip, expires }| PermissionRecord {
            ip: *ip,
            left: Remaining::until(*expires, now),
        })
        .collect()
    }

    /// Those that another process had, as far as they are still live.
    pub(super) fn restore(records: &[PermissionRecord], there: &TakeOver) -> Self {
        let mut permissions = Self::default();
        for PermissionRecord { ip, left } in records {
            if !there.left(*left).is_over() {
                permissions.install(*ip, there.deadline(*left));
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
