//! By which interface a packet leaves, and how long it may be, as the kernel's routes say (rtnetlink(7)).

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::interface::ETHERNET;
use super::layout::Way;

/// RTMGRP_LINK, RTMGRP_IPV4_ROUTE and RTMGRP_IPV6_ROUTE, and rules of both families.
const CHANGES: u32 = 0x1 | 0x40 | 0x400 | 0x80 | 0x4_0000;

// Of linux/netlink.h, linux/rtnetlink.h and linux/if_link.h.
const NLM_F_REQUEST: u16 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_METRICS: u16 = 8;
const RTAX_MTU: u16 = 2;
const IFLA_MTU: u16 = 4;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Lengths of the headers: of a message, of what is about a route, of what is about a link.
const HEADER: usize = 16;
const ROUTE: usize = 12;
const LINK: usize = 16;

/// An interface that packets leave by.
#[derive(Clone, Copy, Debug)]
struct Device {
    is_usable: bool,
    mtu: u32,
}

/// Asks the kernel for routes.
#[derive(Debug)]
pub(crate) struct Routes {
    socket: OwnedFd,
    sequence: u32,
    devices: HashMap<u32, Device>,
}

impl Routes {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: netlink(0)?, sequence: 0, devices: HashMap::new() })
    }

    /// The way of a packet that is sent from an address of this host. None where there is none, or not by an interface
    /// with Ethernet headers: to this host itself, for example.
    pub(crate) fn way(&mut self, from: IpAddr, to: IpAddr) -> Way {
        let mut request = Vec::new();
        let (family, bits) = if to.is_ipv6() { (AF_INET6, 128) } else { (AF_INET, 32) };
        request.extend([family, bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        attribute(&mut request, RTA_DST, to);
        attribute(&mut request, RTA_SRC, from);
        let Some(answer) = self.ask(RTM_GETROUTE, RTM_NEWROUTE, &request) else {
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
        let mut request = vec![0; LINK];
        request.get_mut(4..8)?.copy_from_slice(&ifindex.to_ne_bytes());
        let answer = self.ask(RTM_GETLINK, RTM_NEWLINK, &request)?;
        let kind = answer.get(HEADER + 2..HEADER + 4)?;
        let kind = u16::from_ne_bytes(kind.try_into().ok()?);
        let flags = number(answer.get(HEADER + 8..HEADER + 12)?);
        let mut all = attributes(answer.get(HEADER + LINK..)?);
        let mtu = all.find(|(kind, _)| *kind == IFLA_MTU).map_or(0, |(_, value)| number(value));
        let device = Device { is_usable: kind == ETHERNET && flags & IFF_UP != 0, mtu };
        self.devices.insert(ifindex, device);
        Some(device)
    }

    /// Sends a request and returns its answer, with the header.
    fn ask(&mut self, kind: u16, answer: u16, body: &[u8]) -> Option<Vec<u8>> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + body.len()).ok()?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(NLM_F_REQUEST.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        send(&self.socket, &message, SendFlags::empty()).ok()?;
        // The kernel answers from within the call that sends. What is left of an earlier request is passed over.
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = match recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((read, _)) => read,
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            let message = buffer.get(..read)?;
            if message.get(8..12) == Some(&self.sequence.to_ne_bytes()) {
                let is_it = message.get(4..6) == Some(&answer.to_ne_bytes());
                return is_it.then(|| message.to_vec());
            }
        }
    }
}

/// A socket that the kernel tells of changes of routes and interfaces.
pub(crate) fn changes() -> io::Result<OwnedFd> {
    netlink(CHANGES)
}

/// Takes off what there is. Returns whether there was anything.
pub(crate) fn take_changes(socket: &OwnedFd) -> bool {
    let (mut buffer, mut any) = ([0; 8192], false);
    loop {
        match recv(socket, &mut buffer, RecvFlags::empty()) {
            // Too many at a time: some are lost, which is word enough.
            Ok(_) | Err(Errno::NOBUFS) => any = true,
            Err(Errno::INTR) => {}
            Err(_) => return any,
        }
    }
}

fn netlink(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // The protocol of number 0, which is the default, is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

fn attribute(request: &mut Vec<u8>, kind: u16, ip: IpAddr) {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let length = u16::try_from(4 + bytes.len()).unwrap_or(u16::MAX);
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(bytes);
}

/// The attributes in `bytes`, up to one that is cut off.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // Without the bits that say that it is nested, or in network order.
        Some((kind & 0x3fff, value))
    })
}

fn number(bytes: &[u8]) -> u32 {
    bytes.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_where_one_is_cut_off() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, 1, "10.0.0.1".parse().unwrap());
        bytes.extend([6, 0, 2, 0x80, 1, 2, 0, 0]);
        bytes.extend([9, 0, 3, 0, 1]);
        let all: Vec<_> = attributes(&bytes).collect();
        assert_eq!(all, [(1, &[10, 0, 0, 1][..]), (2, &[1, 2][..])]);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }

    #[test]
    fn to_this_host_itself_there_is_no_way() {
        let mut routes = Routes::open().unwrap();
        let (v4, v6) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        assert_eq!([routes.way(v4, v4), routes.way(v6, v6)], [Way::default(); 2]);
    }
}
