//! Network interfaces, as far as the program depends on them.

use std::net::IpAddr;

use super::error::Error;
use super::netlink::{HEADER, Netlink, attribute, attributes, number};

// Of linux/rtnetlink.h, linux/if_link.h, linux/if.h and linux/if_arp.h.
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFF_UP: u32 = 1;
/// Packets have an Ethernet header.
const ARPHRD_ETHER: u16 = 1;

/// Bytes of what a message about an interface has behind its header.
const LINK: usize = 16;

/// The longest name, without the zero byte that ends it (IFNAMSIZ).
const LONGEST_NAME: usize = 15;

/// An interface, as it is now. Its number is not given to another one that is made later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) is_up: bool,
    pub(crate) mtu: u32,
    /// Whether packets have Ethernet headers, without which the program would misread them.
    pub(crate) is_ethernet: bool,
}

impl Interface {
    /// That of a number, if there is one.
    pub(crate) fn numbered(netlink: &mut Netlink, number: u32) -> Option<Self> {
        let mut request = vec![0; LINK];
        request.get_mut(4..8)?.copy_from_slice(&number.to_ne_bytes());
        Self::read(&netlink.ask(RTM_GETLINK, RTM_NEWLINK, &request)?)
    }

    /// That of a name, if there is one.
    pub(crate) fn named(netlink: &mut Netlink, name: &str) -> Option<Self> {
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
            return None;
        }
        let mut request = vec![0; LINK];
        attribute(&mut request, IFLA_IFNAME, format!("{name}\0").as_bytes());
        Self::read(&netlink.ask(RTM_GETLINK, RTM_NEWLINK, &request)?)
    }

    fn read(answer: &[u8]) -> Option<Self> {
        let kind = answer.get(HEADER + 2..HEADER + 4)?;
        let kind = u16::from_ne_bytes(kind.try_into().ok()?);
        let flags = number(answer.get(HEADER + 8..HEADER + 12)?);
        let (mut name, mut mtu) = (String::new(), 0);
        for (kind, value) in attributes(answer.get(HEADER + LINK..)?) {
            match kind {
                IFLA_IFNAME => {
                    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
                    name = String::from_utf8_lossy(value).into_owned();
                }
                IFLA_MTU => mtu = number(value),
                _ => {}
            }
        }
        Some(Self {
            number: number(answer.get(HEADER + 4..HEADER + 8)?),
            name,
            is_up: flags & IFF_UP != 0,
            mtu,
            is_ethernet: kind == ARPHRD_ETHER,
        })
    }
}

/// Which interfaces the program is to be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of these names.
    Named(Vec<String>),
    /// Those that have one of these addresses, as far as packets have Ethernet headers there. An address that stands
    /// for any of its family, or `::` for any of both, means all but those of one link.
    With(Vec<IpAddr>),
}

impl Wanted {
    /// The interfaces that there are now, and what is wrong with the others that are named.
    pub(crate) fn now(&self, netlink: &mut Netlink) -> (Vec<Interface>, Vec<Error>) {
        let (mut good, mut failed) = (Vec::new(), Vec::new());
        match self {
            Self::Named(names) => {
                for name in names {
                    match Interface::named(netlink, name) {
                        None => failed.push(Error::NoSuchInterface(name.clone())),
                        Some(found) if found.is_ethernet => good.push(found),
                        Some(_) => failed.push(Error::NoEthernet(name.clone())),
                    }
                }
            }
            Self::With(addresses) => {
                for name in names_with(addresses) {
                    let found = Interface::named(netlink, &name);
                    good.extend(found.filter(|found| found.is_ethernet));
                }
            }
        }
        (good, failed)
    }

    /// The names, whatever interfaces they are of.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Named(names) => names.clone(),
            Self::With(addresses) => names_with(addresses),
        }
    }
}

/// The names of the interfaces that have one of these addresses.
fn names_with(addresses: &[IpAddr]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let ip = interface.ip();
        let of_any = |any: &IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
        let is_ours =
            addresses.contains(&ip) || (addresses.iter().any(of_any) && !is_of_a_link(ip));
        if is_ours && !names.contains(&interface.name) {
            names.push(interface.name);
        }
    }
    names
}

fn is_of_a_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interfaces_with_ethernet_headers_are_good() {
        let mut netlink = Netlink::open().unwrap();
        for (name, why) in [
            ("lo", "no Ethernet header"),
            ("none0", "no such interface"),
            ("../lo", "no such interface"),
            ("a-name-that-is-too-long", "no such interface"),
            ("", "no such interface"),
        ] {
            let (good, failed) = Wanted::Named(vec![name.to_owned()]).now(&mut netlink);
            let [error] = &failed[..] else { panic!("{name}: {failed:?}") };
            let error = error.to_string();
            assert!(good.is_empty() && error.contains(why) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn an_interface_has_a_number_and_a_name() {
        let mut netlink = Netlink::open().unwrap();
        let lo = Interface::named(&mut netlink, "lo").unwrap();
        assert_eq!((lo.name.as_str(), lo.is_ethernet), ("lo", false));
        assert_eq!(Interface::numbered(&mut netlink, lo.number), Some(lo));
        assert_eq!(Interface::numbered(&mut netlink, u32::from(u16::MAX) << 8), None);
    }

    #[test]
    fn loopback_is_no_interface_of_an_address_that_stands_for_any() {
        let of = |ip: &str| Wanted::With(vec![ip.parse().unwrap()]).names();
        assert!(!of("::").contains(&"lo".to_owned()) && of("192.0.2.77").is_empty());
        assert_eq!(of("127.0.0.1"), ["lo"]);
    }
}
