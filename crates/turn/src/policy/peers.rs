//! Which peers the relay sends to.
//!
//! The built-in rules follow the IANA special-purpose address registries: what is not a host on
//! the public Internet is denied. The operator's own ranges come on top.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::peer_ports::PeerPorts;
use taciturn_stun::canonical_ip;

/// Why a peer is refused: the rule's name, for the log. The client learns 403 and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    BuiltIn { name: &'static str, net: IpNet },
    Isatap,
    NotGlobalUnicast,
    OwnAddress,
    Guest,
    Configured(IpNet),
}

impl Refusal {
    /// The name of the rule about this host's own addresses.
    pub const OWN_ADDRESS: &'static str = "own address";
    const ISATAP: &'static str = "ISATAP";
    const NOT_GLOBAL_UNICAST: &'static str = "not global unicast";
    /// The name of the rule about guests.
    const GUEST: &'static str = "peer of a guest";
    /// The name of all rules of the operator's.
    pub const CONFIGURED: &'static str = "denied by the operator";

    /// The names of all rules. Some come more than once: a rule may have several networks.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let own = [Self::OWN_ADDRESS, Self::GUEST, Self::CONFIGURED];
        let others = [Self::ISATAP, Self::NOT_GLOBAL_UNICAST].into_iter().chain(own);
        BUILT_IN.iter().map(|(name, _)| *name).chain(others)
    }

    /// The rule's name; all networks that the operator denies have the same.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.rule {
            Rule::BuiltIn { name, .. } => name,
            Rule::Isatap => Self::ISATAP,
            Rule::NotGlobalUnicast => Self::NOT_GLOBAL_UNICAST,
            Rule::OwnAddress => Self::OWN_ADDRESS,
            Rule::Guest => Self::GUEST,
            Rule::Configured(_) => Self::CONFIGURED,
        }
    }

    /// That of a guest.
    pub(crate) const fn of_guest() -> Self {
        Self { rule: Rule::Guest }
    }

    /// Whether it was the operator who denied the address.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.configured().is_some()
    }

    /// Whether it is the rule about this host's own addresses.
    #[must_use]
    pub const fn is_own_address(&self) -> bool {
        matches!(self.rule, Rule::OwnAddress)
    }

    /// The network that the operator denied.
    #[must_use]
    pub const fn configured(&self) -> Option<IpNet> {
        match self.rule {
            Rule::Configured(net) => Some(net),
            _ => None,
        }
    }

    /// Whether the rule covers what clients offer as host candidates in every call: private and
    /// link-local addresses. Such a refusal is no sign of a fault.
    #[must_use]
    pub fn normal_during_ice(&self) -> bool {
        match self.rule {
            Rule::BuiltIn { name, .. } => {
                matches!(
                    name,
                    "private" | "carrier-grade NAT" | "link-local" | "unique local" | "loopback"
                )
            }
            Rule::Isatap
            | Rule::NotGlobalUnicast
            | Rule::OwnAddress
            | Rule::Guest
            | Rule::Configured(_) => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::BuiltIn { name, net } => write!(f, "built-in rule: {name} ({net})"),
            Rule::Isatap => f.write_str("built-in rule: ISATAP (an IPv4 address in an IPv6 one)"),
            Rule::NotGlobalUnicast => f.write_str("built-in rule: only 2000::/3 is global unicast"),
            Rule::OwnAddress => f.write_str("an address of this server, but no relayed one"),
            Rule::Guest => {
                f.write_str("a guest of a test link reaches relayed addresses of guests alone")
            }
            Rule::Configured(net) => write!(f, "{} ({net})", Self::CONFIGURED),
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

/// Denied unless the operator allows it. In each family the first match names the refusal.
const BUILT_IN: &[(&str, IpNet)] = &[
    ("this network", v4(0, 0, 0, 0, 8)),
    ("private", v4(10, 0, 0, 0, 8)),
    ("carrier-grade NAT", v4(100, 64, 0, 0, 10)),
    ("loopback", v4(127, 0, 0, 0, 8)),
    ("link-local", v4(169, 254, 0, 0, 16)),
    ("private", v4(172, 16, 0, 0, 12)),
    ("IETF protocol assignments", v4(192, 0, 0, 0, 24)),
    ("documentation", v4(192, 0, 2, 0, 24)),
    ("AS112", v4(192, 31, 196, 0, 24)),
    ("AMT", v4(192, 52, 193, 0, 24)),
    ("6to4 relay", v4(192, 88, 99, 0, 24)),
    ("private", v4(192, 168, 0, 0, 16)),
    ("AS112", v4(192, 175, 48, 0, 24)),
    ("benchmarking", v4(198, 18, 0, 0, 15)),
    ("documentation", v4(198, 51, 100, 0, 24)),
    ("documentation", v4(203, 0, 113, 0, 24)),
    ("multicast", v4(224, 0, 0, 0, 4)),
    ("reserved", v4(240, 0, 0, 0, 4)),
    ("cloud metadata", v4(168, 63, 129, 16, 32)),
    ("unspecified", v6([0; 8], 128)),
    ("loopback", v6([0, 0, 0, 0, 0, 0, 0, 1], 128)),
    ("IPv4-compatible", v6([0; 8], 96)),
    ("IPv4-mapped", v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96)),
    ("IPv4-translated", v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96)),
    ("NAT64", v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96)),
    ("NAT64", v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48)),
    ("discard-only", v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64)),
    ("dummy prefix", v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64)),
    ("IETF protocol assignments", v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23)),
    ("documentation", v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32)),
    ("6to4", v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16)),
    ("AS112", v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48)),
    ("documentation", v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20)),
    ("segment routing", v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16)),
    ("unique local", v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7)),
    ("link-local", v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)),
    ("site-local", v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10)),
    ("multicast", v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8)),
];

const GLOBAL_UNICAST: IpNet = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const TEREDO: IpNet = v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32);
const SIX_TO_FOUR: IpNet = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

/// Whether `ip` is one of a tunnel between IPv4 and IPv6: Teredo or 6to4. A relay between the two
/// and such a tunnel can be made to send a packet back and forth (RFC 8656 section 21.4).
#[must_use]
pub fn is_tunnelled(ip: IpAddr) -> bool {
    TEREDO.contains(&ip) || SIX_TO_FOUR.contains(&ip)
}

/// Whether the address is one of ISATAP (RFC 5214 section 6.1): it ends in an IPv4 address, to which a
/// host with such a tunnel sends the packet. They exist within every IPv6 prefix.
fn is_isatap(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [.., 0 | 0x200, 0x5efe, _, _])
}

/// Whether `ip` is a host on the public Internet, by the built-in rules.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    PeerPolicy::default().check(ip).is_ok()
}

/// The built-in rule that denies the whole of `net`, by its name; `None` where some of it is on the
/// public Internet.
#[must_use]
pub fn built_in_rule(net: &IpNet) -> Option<&'static str> {
    let rule = BUILT_IN.iter().find(|(_, denied)| denied.contains(net)).map(|(name, _)| *name);
    let outside = matches!(net, IpNet::V6(_))
        && !GLOBAL_UNICAST.contains(net)
        && !net.contains(&GLOBAL_UNICAST);
    rule.or_else(|| outside.then_some("not global unicast"))
}

/// The rules, built once from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Allowed on all ports.
    allow: Vec<IpNet>,
    /// Allowed on these ports alone.
    allow_ports: Vec<(IpNet, PeerPorts)>,
    deny: Vec<IpNet>,
    /// In order, each once: there may be thousands.
    own: Vec<IpAddr>,
}

impl PeerPolicy {
    /// `allow` and `deny` as configured; `own` holds every address of this host, and the external
    /// ones.
    #[must_use]
    pub fn new(allow: Vec<IpNet>, deny: Vec<IpNet>, own: Vec<IpAddr>) -> Self {
        let mut own: Vec<_> = own.into_iter().map(canonical_ip).collect();
        own.sort_unstable();
        own.dedup();
        Self { allow, allow_ports: Vec::new(), deny, own }
    }

    /// Allows these ports as well. Entries add up: a port is allowed where any of them, or of `allow`, has it.
    #[must_use]
    pub fn allowing_ports(mut self, allow: Vec<(IpNet, PeerPorts)>) -> Self {
        self.allow_ports = allow;
        self
    }

    /// The rules for a tenant, which has its own list of what is allowed, and of what is denied besides.
    #[must_use]
    pub fn of_tenant(
        &self,
        allow: Vec<IpNet>,
        allow_ports: Vec<(IpNet, PeerPorts)>,
        deny: &[IpNet],
    ) -> Self {
        let deny = [&self.deny, deny].concat();
        Self { allow, allow_ports, deny, own: self.own.clone() }
    }

    /// Whether the operator allowed this address in so many words, with all its ports.
    #[must_use]
    pub fn allowed_by_name(&self, peer: IpAddr) -> bool {
        let peer = canonical_ip(peer);
        self.allow.iter().any(|net| net.contains(&peer))
    }

    /// Whether the operator allowed this port of an address in so many words.
    #[must_use]
    pub fn port_allowed_by_name(&self, peer: IpAddr, port: u16) -> bool {
        let peer = canonical_ip(peer);
        let has = |(net, ports): &(IpNet, PeerPorts)| ports.contains(port) && net.contains(&peer);
        self.allow_ports.iter().any(has) || self.allowed_by_name(peer)
    }

    /// Whether the operator allowed a port of this address, or all of them, in so many words.
    #[must_use]
    pub fn some_port_allowed_by_name(&self, peer: IpAddr) -> bool {
        let peer = canonical_ip(peer);
        self.allow_ports.iter().any(|(net, _)| net.contains(&peer)) || self.allowed_by_name(peer)
    }

    /// Judges one address, in its canonical form, with all its ports.
    ///
    /// # Errors
    /// When a rule denies it and the operator has not allowed it. Some of its ports may be allowed all the same.
    //= 8656-21.4-tunnels-as-peers
    pub fn check(&self, peer: IpAddr) -> Result<(), Refusal> {
        let peer = canonical_ip(peer);
        if self.allow.iter().any(|net| net.contains(&peer)) {
            return Ok(());
        }
        let rule = self.rule(peer);
        rule.map_or(Ok(()), |rule| Err(Refusal { rule }))
    }

    fn rule(&self, peer: IpAddr) -> Option<Rule> {
        if let Some(net) = self.deny.iter().find(|net| net.contains(&peer)) {
            return Some(Rule::Configured(*net));
        }
        if let Some((name, net)) = BUILT_IN.iter().find(|(_, net)| net.contains(&peer)) {
            return Some(Rule::BuiltIn { name, net: *net });
        }
        if matches!(peer, IpAddr::V6(v6) if is_isatap(v6)) {
            return Some(Rule::Isatap);
        }
        if peer.is_ipv6() && !GLOBAL_UNICAST.contains(&peer) {
            return Some(Rule::NotGlobalUnicast);
        }
        self.own.binary_search(&peer).is_ok().then_some(Rule::OwnAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &PeerPolicy, peer: &str) -> Result<(), String> {
        policy.check(peer.parse().unwrap()).map_err(|refusal| refusal.to_string())
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn networks_are_denied_as_a_whole_or_not_at_all() {
        let rule = |text: &str| built_in_rule(&text.parse().unwrap());
        assert_eq!(rule("10.1.0.0/16"), Some("private"));
        assert_eq!(rule("255.255.255.255/32"), Some("reserved"));
        assert_eq!(rule("8000::/1"), Some("not global unicast"));
        for open in ["10.0.0.0/7", "8.8.8.0/24", "0.0.0.0/0", "::/0", "2000::/3", "2a00::/16"] {
            assert_eq!(rule(open), None, "{open}");
        }
    }

    #[test]
    fn hosts_on_the_public_internet_are_allowed() {
        let policy = PeerPolicy::default();
        for peer in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "2606:4700::1",
            "2a00::1",
        ] {
            assert_eq!(check(&policy, peer), Ok(()), "{peer}");
        }
    }

    #[test]
    fn first_and_last_address_of_each_built_in_range_are_denied() {
        let policy = PeerPolicy::default();
        for (name, net) in BUILT_IN {
            for peer in [net.network(), net.broadcast()] {
                assert!(policy.check(peer).is_err(), "{name} {peer}");
            }
        }
    }

    /// The table of docs/security.md: what each range is called, and where that is written down.
    #[test]
    fn the_denied_ranges_are_those_of_the_document() {
        let text = include_str!("../../../../docs/security.md");
        let (_, rest) = text.split_once("<!-- denied ranges -->").unwrap();
        let (table, _) = rest.split_once("<!-- end of denied ranges -->").unwrap();
        let mut told = Vec::new();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let [_, net, name, source, _] = cells[..] else { panic!("{row}") };
            let vendor = source.starts_with("Microsoft");
            assert!(vendor || source.starts_with("RFC "), "where is it from: {row}");
            told.push((name, net.trim_matches('`').parse::<IpNet>().unwrap()));
        }
        let mut denied = BUILT_IN.to_vec();
        told.sort();
        denied.sort();
        assert_eq!(told, denied);
    }

    /// What IANA's special-purpose address registries have, as of RFC 9780: all of it is denied.
    #[test]
    fn every_range_of_the_special_purpose_registries_is_denied() {
        const REGISTRIES: &str = "0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 \
            169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 \
            192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 192.31.196.0/24 \
            192.52.193.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 192.175.48.0/24 \
            198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 \
            ::1/128 ::/128 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 \
            2001::/23 2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 \
            2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 \
            2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10";
        for text in REGISTRIES.split_whitespace() {
            let net: IpNet = text.parse().unwrap();
            assert!(built_in_rule(&net).is_some(), "{net}");
        }
    }

    #[test]
    fn public_means_reachable_from_the_internet() {
        for ip in ["8.8.8.8", "2a01:4f8::1", "100.128.0.1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "203.0.113.7", "::1"]
            .iter()
            .chain(&["fe80::1", "fd00::1", "2001:db8::1", "0.0.0.0", "239.0.0.1"])
        {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    //= 8656-21.4-tunnels-as-peers
    #[test]
    fn mapped_and_embedded_ipv4_is_denied_like_the_address_it_reaches() {
        let policy = PeerPolicy::default();
        for peer in [
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "::ffff:0:127.0.0.1",
            "2001:0:7f00:1::",
            "2a00:1:2:3:0:5efe:10.0.0.1",
            "2a00:1:2:3:200:5efe:127.0.0.1",
            "fe80::5efe:192.168.1.1",
        ] {
            assert!(check(&policy, peer).is_err(), "{peer}");
        }
        assert_eq!(check(&policy, "::ffff:8.8.8.8"), Ok(()));
    }

    //= 8656-21.4-tunnels-as-peers
    #[test]
    fn ipv6_outside_of_global_unicast_is_denied() {
        let policy = PeerPolicy::default();
        for peer in [
            "::2",
            "100::1",
            "4000::1",
            "5f00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(check(&policy, peer).is_err(), "{peer}");
        }
    }

    #[test]
    fn allow_wins_only_where_it_is_written() {
        let policy =
            PeerPolicy::new(nets(&["10.1.0.0/16"]), nets(&["10.0.0.0/8", "8.8.8.0/24"]), vec![]);
        assert_eq!(check(&policy, "10.1.2.3"), Ok(()));
        assert_eq!(check(&policy, "::ffff:10.1.2.3"), Ok(()));
        assert_eq!(check(&policy, "10.2.0.1"), Err("denied by the operator (10.0.0.0/8)".into()));
        assert_eq!(check(&policy, "8.8.8.8"), Err("denied by the operator (8.8.8.0/24)".into()));
        assert!(check(&policy, "192.168.0.1").is_err());
    }

    #[test]
    fn ports_are_allowed_where_any_entry_has_them_and_the_rest_is_judged_as_before() {
        let entry = |net: &str, ports: &str| (net.parse().unwrap(), ports.parse().unwrap());
        let policy = PeerPolicy::new(nets(&["10.9.0.0/16"]), nets(&["8.8.8.8/32"]), vec![])
            .allowing_ports(vec![
                entry("10.0.0.0/8", "5000-6000"),
                entry("10.1.2.3/32", "5990-7000"),
                entry("8.8.8.8/32", "53"),
                entry("fd00::/64", "1"),
            ]);
        for (peer, ports) in [
            ("10.0.0.1", &[5000, 5500, 6000][..]),
            ("10.1.2.3", &[5000, 6000, 6001, 7000]),
            ("::ffff:10.1.2.3", &[5000, 7000]),
            ("10.9.1.1", &[1, 4999, 65535]),
            ("8.8.8.8", &[53]),
            ("fd00::7", &[1]),
        ] {
            let peer: IpAddr = peer.parse().unwrap();
            assert!(policy.some_port_allowed_by_name(peer), "{peer}");
            for port in ports {
                assert!(policy.port_allowed_by_name(peer, *port), "{peer} {port}");
            }
        }
        for (peer, port) in [
            ("10.0.0.1", 4999),
            ("10.0.0.1", 6001),
            ("10.1.2.3", 7001),
            ("8.8.8.8", 52),
            ("8.8.4.4", 53),
            ("fd00:0:0:1::7", 1),
        ] {
            assert!(!policy.port_allowed_by_name(peer.parse().unwrap(), port), "{peer} {port}");
        }
        // The address itself is as denied as it was.
        assert_eq!(check(&policy, "8.8.8.8"), Err("denied by the operator (8.8.8.8/32)".into()));
        assert!(check(&policy, "10.0.0.1").is_err() && check(&policy, "10.9.0.1").is_ok());
        assert!(!policy.some_port_allowed_by_name("192.168.0.1".parse().unwrap()));
        assert_ne!(policy, policy.clone().allowing_ports(vec![]), "a reload sees the difference");
    }

    #[test]
    fn own_addresses_are_denied_and_named() {
        let policy = PeerPolicy::new(vec![], vec![], vec!["8.8.4.4".parse().unwrap()]);
        assert_eq!(
            check(&policy, "8.8.4.4"),
            Err("an address of this server, but no relayed one".into())
        );
        assert_eq!(check(&policy, "8.8.4.5"), Ok(()));
    }

    #[test]
    fn the_order_in_which_own_addresses_are_listed_makes_no_difference() {
        let own = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let policy = |texts| PeerPolicy::new(vec![], vec![], own(texts));
        let one = policy(&["8.8.8.8", "2a00::7", "8.8.4.4"]);
        assert_eq!(one, policy(&["8.8.4.4", "8.8.8.8", "::ffff:8.8.8.8", "2a00::7"]));
        for ip in ["8.8.8.8", "2a00::7", "8.8.4.4"] {
            assert!(check(&one, ip).is_err(), "{ip}");
        }
    }

    #[test]
    fn private_candidates_are_said_to_be_normal_during_ice() {
        let policy = PeerPolicy::default();
        let normal =
            |peer: &str| policy.check(peer.parse().unwrap()).unwrap_err().normal_during_ice();
        assert!(normal("192.168.1.5") && normal("172.20.0.3") && normal("fd00::1"));
        assert!(!normal("224.0.0.1") && !normal("168.63.129.16"));
    }
}
