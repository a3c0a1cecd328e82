//! Networks that connections are counted by: a host, and the wider ones that one subscriber can have.

use std::net::IpAddr;

use taciturn_stun::canonical_ip;

/// A network: IPv4 in its mapped form, so that one table has both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prefix {
    bits: u128,
    len: u8,
}

/// Bits of a prefix, and how many times the limit for an address holds for it. The first is whoever
/// counts as one host, the last is the widest.
///
/// A customer gets a /64, a /56 or a /48 of IPv6 (RFC 6177), so what these may have grows slower than
/// the number of /64s in them. A /24 of IPv4 may be an office or many strangers.
const IPV6: [(u8, u32); 3] = [(64, 1), (56, 2), (48, 4)];
const IPV4: [(u8, u32); 2] = [(96 + 32, 1), (96 + 24, 8)];

/// The networks that an address is counted by, each with its multiple of the limit for an address.
pub(super) fn of(ip: IpAddr) -> impl Iterator<Item = (Prefix, u32)> {
    let (bits, levels) = levels(ip);
    levels.iter().map(move |(len, times)| (Prefix::new(bits, *len), *times))
}

/// The widest network that an address is counted by.
pub(super) fn widest(ip: IpAddr) -> Prefix {
    let (bits, levels) = levels(ip);
    Prefix::new(bits, levels.last().map_or(128, |(len, _)| *len))
}

fn levels(ip: IpAddr) -> (u128, &'static [(u8, u32)]) {
    match canonical_ip(ip) {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), &IPV4),
        IpAddr::V6(v6) => (v6.to_bits(), &IPV6),
    }
}

impl Prefix {
    fn new(bits: u128, len: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        Self { bits: bits & mask, len }
    }
}
