//! The fields of IP headers, as a test sets them on its sockets and sees them of what arrives.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::{
    IpRecvTos, Ipv4RecvTtl, Ipv4Tos, Ipv4Ttl, Ipv6RecvHopLimit, Ipv6RecvTClass, Ipv6TClass, Ipv6Ttl,
};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};

use crate::server::PATIENCE;

/// What a datagram came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The TOS of IPv4, the traffic class of IPv6.
    pub traffic_class: u8,
    /// The TTL, or the hop limit.
    pub ttl: u8,
}

/// Has a socket at `address` tell the fields of what arrives, for [`seen_of_next`].
pub fn watch(socket: impl AsFd, address: SocketAddr) {
    match address.is_ipv6() {
        true => {
            setsockopt(&socket, Ipv6RecvTClass, &true).unwrap();
            setsockopt(&socket, Ipv6RecvHopLimit, &true).unwrap();
        }
        false => {
            setsockopt(&socket, IpRecvTos, &true).unwrap();
            setsockopt(&socket, Ipv4RecvTtl, &true).unwrap();
        }
    }
}

/// Sets the TOS or the traffic class of what a socket at `address` sends.
pub fn mark(socket: impl AsFd, address: SocketAddr, traffic_class: u8) {
    match address.is_ipv6() {
        true => setsockopt(&socket, Ipv6TClass, &i32::from(traffic_class)).unwrap(),
        false => setsockopt(&socket, Ipv4Tos, &i32::from(traffic_class)).unwrap(),
    }
}

/// Sets the TTL or the hop limit of what a socket at `address` sends.
pub fn set_ttl(socket: impl AsFd, address: SocketAddr, ttl: u8) {
    match address.is_ipv6() {
        true => setsockopt(&socket, Ipv6Ttl, &i32::from(ttl)).unwrap(),
        false => setsockopt(&socket, Ipv4Ttl, &i32::from(ttl)).unwrap(),
    }
}

/// Waits for the next datagram on a socket and returns what it came with. The datagram stays there to be received.
pub fn seen_of_next(socket: impl AsFd) -> Seen {
    let start = Instant::now();
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    loop {
        let mut control = [0; 128];
        let mut parts = [];
        let fd = socket.as_fd().as_raw_fd();
        let read = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(control.as_mut_slice()), flags);
        let message = match read.map_err(std::io::Error::from) {
            Ok(message) => message,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(start.elapsed() < PATIENCE, "no datagram has arrived");
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let (mut traffic_class, mut ttl) = (None, None);
        for control in message.cmsgs().unwrap() {
            match control {
                ControlMessageOwned::Ipv4Tos(value) => traffic_class = Some(value),
                ControlMessageOwned::Ipv6TClass(value) => traffic_class = u8::try_from(value).ok(),
                ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                    ttl = u8::try_from(value).ok();
                }
                _ => {}
            }
        }
        return Seen { traffic_class: traffic_class.unwrap(), ttl: ttl.unwrap() };
    }
}
