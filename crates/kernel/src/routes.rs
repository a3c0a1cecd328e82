//! By which interface a packet leaves, and how long it may be, as the kernel's routes say (rtnetlink(7)).

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use super::interface::Interface;
use super::layout::Way;
use super::netlink::{HEADER, Netlink, attribute, attributes, number};

// Of linux/rtnetlink.h.
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_METRICS: u16 = 8;
const RTAX_MTU: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Bytes of what a message about a route has behind its header.
const ROUTE: usize = 12;

/// An interface that packets leave by.
#[derive(Clone, Copy, Debug)]
struct Device {
    is_usable: bool,
    mtu: u32,
}

/// Asks the kernel for routes.
#[derive(Debug)]
pub(crate) struct Routes {
    netlink: Netlink,
    devices: HashMap<u32, Device>,
}

impl Routes {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open()?, devices: HashMap::new() })
    }

    /// The way of a packet that is sent from an address of this host. None where there is none, or not by an interface
    /// with Ethernet headers: to this host itself, for example.
    pub(crate) fn way(&mut self, from: IpAddr, to: IpAddr) -> Way {
        let mut request = Vec::new();
        let (family, bits) = if to.is_ipv6() { (AF_INET6, 128) } else { (AF_INET, 32) };
        request.extend([family, bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        address(&mut request, RTA_DST, to);
        address(&mut request, RTA_SRC, from);
        let Some(answer) = self.netlink.ask(RTM_GETROUTE, RTM_NEWROUTE, &request) else {
            return Way::default();
        };
        let is_unicast = answer.get(HEADER + 7) == Some(&RTN_UNICAST);
        let (mut ifindex, mut of_route) = (0, None);
        for (kind, value) in attributes(answer.get(HEADER + ROUTE..).unwrap_or_default()) {
            match kind {
                RTA_OIF => ifindex = number(value),
                RTA_METRICS => {
                    let mtu = attributes(value).find(|(kind, _)| *kind == RTAX_MTU);
                    of_route = mtu.map(|(_, value)| number(value)).filter(|mtu| *mtu > 0);
                }
                _ => {}
            }
        }
        let Some(device) = self.device(ifindex).filter(|device| is_unicast && device.is_usable)
        else {
            return Way::default();
        };
        let mtu = of_route.map_or(device.mtu, |mtu| mtu.min(device.mtu));
        Way { ifindex, mtu: u16::try_from(mtu).unwrap_or(u16::MAX) }
    }

    /// Reads interfaces anew: one may have changed.
    pub(crate) fn forget_devices(&mut self) {
        self.devices.clear();
    }

    fn device(&mut self, ifindex: u32) -> Option<Device> {
        if let Some(device) = self.devices.get(&ifindex) {
            return Some(*device);
        }
        let found = Interface::numbered(&mut self.netlink, ifindex)?;
        let device = Device { is_usable: found.is_ethernet && found.is_up, mtu: found.mtu };
        self.devices.insert(ifindex, device);
        Some(device)
    }
}

fn address(request: &mut Vec<u8>, kind: u16, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => attribute(request, kind, &ip.octets()),
        IpAddr::V6(ip) => attribute(request, kind, &ip.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_this_host_itself_there_is_no_way() {
        let mut routes = Routes::open().unwrap();
        let (v4, v6) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        assert_eq!([routes.way(v4, v4), routes.way(v6, v6)], [Way::default(); 2]);
    }
}
