//! The addresses of this host while it runs: new ones are no peers, and neither are those that have
//! gone.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

/// How many addresses are remembered that have gone; the oldest are forgotten first.
const DEPARTED: usize = 4096;

/// All addresses that this host has or has had.
///
/// One that has gone stays denied until the operator reloads or the server restarts: most come back
/// (a DHCP lease, a VPN, a failover), and what listens there must not be a peer in the moment between
/// their return and the word of it. That another host gets one meanwhile is rare, and costs calls with
/// that host one way of several.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    /// Those that stay whatever the interfaces have: the external ones.
    always: Vec<IpAddr>,
    present: BTreeSet<IpAddr>,
    /// In the order of their leaving.
    departed: VecDeque<IpAddr>,
}

impl OwnAddresses {
    /// Of a host that has those of `present` now, and is reached at those of `always`.
    #[must_use]
    pub fn new(present: &[IpAddr], always: &[IpAddr]) -> Self {
        let present = present.iter().copied().collect();
        Self { always: always.to_vec(), present, departed: VecDeque::new() }
    }

    /// Takes up what the host has now. Returns the addresses that are new to it.
    pub fn see(&mut self, present: &[IpAddr]) -> Vec<IpAddr> {
        let now: BTreeSet<_> = present.iter().copied().collect();
        let came: Vec<_> = now.difference(&self.present).copied().collect();
        let new = came.iter().copied().filter(|ip| !self.denies(*ip)).collect();
        self.departed.retain(|ip| !now.contains(ip));
        self.departed.extend(self.present.difference(&now));
        let too_many = self.departed.len().saturating_sub(DEPARTED);
        self.departed.drain(..too_many);
        self.present = now;
        new
    }

    /// Forgets those that have gone.
    pub fn forget_departed(&mut self) {
        self.departed.clear();
    }

    /// Returns true if the host has it now.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        // An interface lists one of the whole network.
        ip.is_loopback() || self.present.contains(&ip)
    }

    /// All that are no peers.
    #[must_use]
    pub fn all(&self) -> Vec<IpAddr> {
        let all = self.always.iter().chain(&self.present).chain(&self.departed);
        all.copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn denies(&self, ip: IpAddr) -> bool {
        self.always.contains(&ip) || self.present.contains(&ip) || self.departed.contains(&ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_that_comes_later_is_an_own_one_and_told_once() {
        let mut own = OwnAddresses::new(&ips(&["8.8.4.4"]), &ips(&["9.9.9.9"]));
        assert_eq!(own.see(&ips(&["8.8.4.4", "2a00::7"])), ips(&["2a00::7"]));
        assert_eq!(own.see(&ips(&["8.8.4.4", "2a00::7"])), ips(&[]));
        assert_eq!(own.all(), ips(&["8.8.4.4", "9.9.9.9", "2a00::7"]));
    }

    #[test]
    fn an_address_that_has_gone_stays_denied_until_it_is_forgotten() {
        let mut own = OwnAddresses::new(&ips(&["8.8.4.4", "8.8.8.8"]), &[]);
        assert_eq!(own.see(&ips(&["8.8.4.4"])), ips(&[]));
        assert!(!own.has("8.8.8.8".parse().unwrap()));
        assert_eq!(own.all(), ips(&["8.8.4.4", "8.8.8.8"]));
        assert_eq!(own.see(&ips(&["8.8.4.4", "8.8.8.8"])), ips(&[]), "it was denied all the time");
        own.see(&ips(&["8.8.4.4"]));
        own.forget_departed();
        assert_eq!(own.all(), ips(&["8.8.4.4"]));
    }

    /// A new privacy address each day, or an attacker in the local network who makes up prefixes.
    #[test]
    fn of_those_that_have_gone_the_newest_4096_are_kept() {
        let mut own = OwnAddresses::default();
        let address = |n: u32| IpAddr::from((0x2a00_u128 << 112 | u128::from(n)).to_be_bytes());
        for n in 0..5000 {
            own.see(&[address(n)]);
        }
        assert_eq!(own.all().len(), DEPARTED + 1);
        assert_eq!(own.all().last(), Some(&address(4999)));
        assert_eq!(own.all().first(), Some(&address(4999 - 4096)));
    }

    #[test]
    fn the_external_address_stays_and_loopback_is_always_there() {
        let mut own = OwnAddresses::new(&[], &ips(&["9.9.9.9"]));
        own.see(&ips(&["9.9.9.9"]));
        own.see(&[]);
        own.forget_departed();
        assert_eq!(own.all(), ips(&["9.9.9.9"]));
        assert!(own.has("127.7.7.7".parse().unwrap()) && !own.has("9.9.9.9".parse().unwrap()));
    }
}
