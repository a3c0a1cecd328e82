//! Ranges of peers as coturn reads them, as networks; and what coturn never relays to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

use super::addresses::ip;

const V4_FIRST: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const V4_LAST: Ipv4Addr = Ipv4Addr::BROADCAST;
const V6_FIRST: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const V6_LAST: Ipv6Addr = Ipv6Addr::from_bits(u128::MAX);

/// All addresses of both families.
pub(super) fn everything() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

/// A peer range as coturn takes it, `FIRST-LAST` or one address, as networks.
///
/// coturn takes `0.0.0.0` and `::` for "any address", at either end: a range from or to it has no
/// bound there. To coturn, each IPv4 address is below each IPv6 address. So `::-ffff::` holds all of IPv4,
/// and `0.0.0.0` alone is every address of both families.
///
/// # Errors
/// In words, what it is instead.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    if has_prefix_length(text) {
        let net = text.trim().parse::<IpNet>();
        return net
            .map(|net| vec![canonical(net.trunc())])
            .map_err(|_| format!("\"{text}\" is no network"));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (ip(first)?, ip(last)?);
    let (from, to) = (
        Some(first).filter(|ip| !ip.is_unspecified()),
        Some(last).filter(|ip| !ip.is_unspecified()),
    );
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(format!("{from} is behind {to}: coturn takes it for an empty range"));
    }
    let v4 = match (from, to) {
        // Each IPv4 address is below it.
        (Some(IpAddr::V6(_)), _) => None,
        (from, to) => {
            let from = from.map_or(V4_FIRST, |ip| v4_of(ip, V4_FIRST));
            Some((from, to.map_or(V4_LAST, |ip| v4_of(ip, V4_LAST))))
        }
    };
    let v6 = match (from, to) {
        (_, Some(IpAddr::V4(_))) => None,
        (from, to) => {
            let from = from.map_or(V6_FIRST, |ip| v6_of(ip, V6_FIRST));
            Some((from, to.map_or(V6_LAST, |ip| v6_of(ip, V6_LAST))))
        }
    };
    let v4 = v4.into_iter().flat_map(|(from, to)| Ipv4Subnets::new(from, to, 0)).map(IpNet::V4);
    let v6 = v6.into_iter().flat_map(|(from, to)| Ipv6Subnets::new(from, to, 0)).map(IpNet::V6);
    Ok(v4.chain(v6).map(canonical).collect())
}

/// Whether it is written as a network, which coturn does not know: until 4.10 it ignores the line, later
/// it does not start.
pub(super) fn has_prefix_length(text: &str) -> bool {
    text.contains('/')
}

fn v4_of(ip: IpAddr, otherwise: Ipv4Addr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => otherwise,
    }
}

fn v6_of(ip: IpAddr, otherwise: Ipv6Addr) -> Ipv6Addr {
    match ip {
        IpAddr::V6(ip) => ip,
        IpAddr::V4(_) => otherwise,
    }
}

/// Peers in IPv6 dress are judged as the IPv4 addresses they are, so a rule must be in IPv4.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let undressed =
        v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96).filter(|n| *n > 0));
    undressed.and_then(|(ip, length)| Ipv4Net::new(ip, length).ok()).map_or(net, IpNet::V4)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(first: u16, second: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length))
}

pub(super) const LOOPBACK: [IpNet; 2] =
    [v4(127, 0, 0, 0, 8), IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128))];

/// What coturn never relays to, whatever `allowed-peer-ip` says: in some release or in all.
const NEVER: [IpNet; 6] = [
    v4(0, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    IpNet::V6(Ipv6Net::new_assert(V6_FIRST, 128)),
    v6(0xfc00, 0, 7),
    v6(0xfe80, 0, 10),
    v6(0xfec0, 0, 10),
];

/// IPv6 addresses that hold an IPv4 address: coturn judges them by that one. Hosts are not reached by them
/// directly, so they are left out as a whole: IPv4-compatible (with `::` and `::1`), IPv4-mapped, NAT64, 6to4.
const EMBEDDED: [IpNet; 4] = [
    IpNet::V6(Ipv6Net::new_assert(V6_FIRST, 96)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)),
    v6(0x64, 0xff9b, 96),
    v6(0x2002, 0, 16),
];

/// coturn counts what lies above 223.255.255.255 as multicast too.
const MULTICAST: [IpNet; 2] = [v4(224, 0, 0, 0, 3), v6(0xff00, 0, 8)];

/// What may stand in a rule that allows IPv6: outside of it there are no hosts.
const V6_HOSTS: [IpNet; 2] = [v6(0x2000, 0, 3), v6(0xff00, 0, 8)];

/// What `allowed-peer-ip` does not open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forbidden {
    /// `allow-loopback-peers`.
    pub(super) loopback_is_open: bool,
    /// `no-multicast-peers` is not set.
    pub(super) multicast_is_open: bool,
}

impl Forbidden {
    fn nets(self) -> impl Iterator<Item = IpNet> {
        let loopback = LOOPBACK.into_iter().filter(move |_| !self.loopback_is_open);
        let multicast = MULTICAST.into_iter().filter(move |_| !self.multicast_is_open);
        NEVER.into_iter().chain(EMBEDDED).chain(loopback).chain(multicast)
    }

    /// What is left of `nets` without what is forbidden.
    pub(super) fn cut_out_of(self, nets: &[IpNet]) -> Vec<IpNet> {
        let forbidden: Vec<_> = self.nets().collect();
        let mut left = Vec::new();
        for net in nets {
            // ::1 lies within a range that is forbidden as a whole.
            if self.loopback_is_open && LOOPBACK.iter().any(|open| open.contains(net)) {
                left.push(*net);
                continue;
            }
            let hosts = match net {
                IpNet::V4(_) => vec![*net],
                IpNet::V6(_) => {
                    V6_HOSTS.iter().filter_map(|hosts| intersection(*net, *hosts)).collect()
                }
            };
            left.extend(without(&hosts, &forbidden));
        }
        left
    }

    /// The forbidden networks that `nets` touch, for people.
    pub(super) fn touched_by(self, nets: &[IpNet]) -> Vec<IpNet> {
        let touched = |net: &IpNet| nets.iter().any(|other| intersection(*net, *other).is_some());
        self.nets().filter(touched).collect()
    }
}

/// Networks are disjoint, or one holds the other.
fn intersection(a: IpNet, b: IpNet) -> Option<IpNet> {
    if a.contains(&b) {
        Some(b)
    } else if b.contains(&a) {
        Some(a)
    } else {
        None
    }
}

/// `nets` without `holes`.
pub(super) fn without(nets: &[IpNet], holes: &[IpNet]) -> Vec<IpNet> {
    holes.iter().fold(nets.to_vec(), |nets, hole| {
        nets.into_iter().flat_map(|net| without_one(net, *hole)).collect()
    })
}

fn without_one(net: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&net) {
        return Vec::new();
    }
    if !net.contains(&hole) {
        return vec![net];
    }
    // One half holds the hole and is halved again, the other one stays.
    let mut left = Vec::new();
    let mut rest = net;
    while rest != hole {
        let Ok(halves) = rest.subnets(rest.prefix_len() + 1) else { break };
        let (holed, whole): (Vec<_>, Vec<_>) = halves.partition(|half| half.contains(&hole));
        left.extend(whole);
        let Some(half) = holed.first() else { break };
        rest = *half;
    }
    left.sort_unstable();
    left
}

/// Whether `nets` together hold `ip`.
pub(super) fn any_contains(nets: &[IpNet], ip: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nets: &[IpNet]) -> String {
        nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn read(text: &str) -> String {
        shown(&networks(text).unwrap())
    }

    fn nets(text: &str) -> Vec<IpNet> {
        text.split_whitespace().map(|net| net.parse().unwrap()).collect()
    }

    const CLOSED: Forbidden = Forbidden { loopback_is_open: false, multicast_is_open: false };

    #[test]
    fn ranges_become_networks() {
        assert_eq!(read("10.0.0.0-10.255.255.255"), "10.0.0.0/8");
        assert_eq!(read("192.88.99.1-192.88.99.4"), "192.88.99.1/32 192.88.99.2/31 192.88.99.4/32");
        assert_eq!(read("fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "fc00::/7");
        assert_eq!(read("8.8.8.8"), "8.8.8.8/32");
        assert_eq!(read("8.8.8.9/24"), "8.8.8.0/24");
    }

    #[test]
    fn any_address_is_every_address_and_dress_is_taken_off() {
        assert_eq!(read("0.0.0.0"), "0.0.0.0/0 ::/0");
        assert_eq!(read("::"), "0.0.0.0/0 ::/0");
        assert_eq!(read("::ffff:8.8.8.0-::ffff:8.8.8.255"), "8.8.8.0/24");
        assert_eq!(read("::ffff:0.0.0.0-::ffff:255.255.255.255"), "::ffff:0.0.0.0/96");
    }

    #[test]
    fn an_end_that_is_any_address_is_no_bound_and_ipv4_is_below_ipv6() {
        let all_v6 = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(read(all_v6), "0.0.0.0/0 ::/0");
        assert_eq!(read("0.0.0.0-127.255.255.255"), "0.0.0.0/1");
        assert_eq!(read("::-127.255.255.255"), "0.0.0.0/1");
        assert_eq!(read("128.0.0.0-0.0.0.0"), "128.0.0.0/1 ::/0");
        assert_eq!(read("8000::-::"), "8000::/1");
        assert_eq!(read("128.0.0.0-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "128.0.0.0/1 ::/1");
    }

    #[test]
    fn what_is_no_range_says_what_it_is() {
        for (text, words) in [
            ("10.0.0.9-10.0.0.1", "10.0.0.9 is behind 10.0.0.1"),
            ("fe80::1-10.0.0.1", "is behind"),
            ("turn.domain.org", "is a name"),
            ("10.0.0.0/33", "no network"),
            ("ten", "no address"),
        ] {
            let told = networks(text).unwrap_err();
            assert!(told.contains(words), "{text}: {told}");
        }
    }

    #[test]
    fn holes_are_cut_out_in_both_directions() {
        assert_eq!(
            shown(&without(&nets("10.0.0.0/8"), &nets("10.0.0.0/10"))),
            "10.64.0.0/10 10.128.0.0/9"
        );
        assert_eq!(shown(&without(&nets("10.1.0.0/16"), &nets("10.0.0.0/8"))), "");
        assert_eq!(shown(&without(&nets("10.0.0.0/8"), &nets("11.0.0.0/8"))), "10.0.0.0/8");
        assert_eq!(shown(&without(&nets("::/127"), &nets("::1/128"))), "::/128");
    }

    #[test]
    fn whatever_is_allowed_the_forbidden_networks_are_not() {
        let probes = [
            "0.0.0.0",
            "0.255.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
        ];
        for allowed in [
            "0.0.0.0",
            "0.0.0.0-255.255.255.255",
            "::-ffff::",
            "1.0.0.0-254.0.0.0",
            "126.0.0.0-128.0.0.0",
            "127.0.0.1",
            "127.0.0.0-127.0.0.255",
            "169.0.0.0-169.255.255.255",
            "224.0.0.0-239.255.255.255",
            "::1",
            "::1-::2",
            "fe00::-ffff::",
            "::ffff:127.0.0.1",
            "64:ff9b::-64:ff9b::ffff:ffff",
            "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            let left = CLOSED.cut_out_of(&networks(allowed).unwrap());
            for probe in probes {
                assert!(!any_contains(&left, probe.parse().unwrap()), "{allowed} lets in {probe}");
            }
        }
        let all = CLOSED.cut_out_of(&networks("0.0.0.0").unwrap());
        for good in
            ["1.1.1.1", "10.0.0.1", "126.255.255.255", "128.0.0.0", "169.253.0.1", "2a00::1"]
        {
            assert!(any_contains(&all, good.parse().unwrap()), "{good}");
        }
        assert!(all.len() < 80, "{}", all.len());
    }

    #[test]
    fn loopback_and_multicast_are_there_where_coturn_was_told_so() {
        let open = Forbidden { loopback_is_open: true, multicast_is_open: true };
        let cut = |text: &str| shown(&open.cut_out_of(&networks(text).unwrap()));
        assert_eq!(cut("127.0.0.1"), "127.0.0.1/32");
        assert_eq!(cut("::1"), "::1/128");
        assert_eq!(cut("239.1.1.1"), "239.1.1.1/32");
        assert_eq!(cut("ff0e::1"), "ff0e::1/128");
        assert_eq!(cut("169.254.1.1"), "");
    }
}
