//! Questions to the kernel about interfaces and routes, and its word of changes (rtnetlink(7)).

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// RTMGRP_LINK, addresses of both families, RTMGRP_IPV4_ROUTE and RTMGRP_IPV6_ROUTE, and rules of both families.
const CHANGES: u32 = 0x1 | 0x10 | 0x100 | 0x40 | 0x400 | 0x80 | 0x4_0000;

/// Of linux/netlink.h.
const NLM_F_REQUEST: u16 = 1;

/// The longest answer in bytes: about an interface with all that the kernel knows of it.
const LONGEST: usize = 16 * 1024;

/// Bytes of the header of a message.
pub(crate) const HEADER: usize = 16;

/// A socket for questions.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    /// What an answer is read into.
    buffer: Vec<u8>,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: netlink(0)?, sequence: 0, buffer: vec![0; LONGEST] })
    }

    /// Sends a request of a kind and returns its answer, with the header, if it is one of the kind `answer`.
    pub(crate) fn ask(&mut self, kind: u16, answer: u16, body: &[u8]) -> Option<Vec<u8>> {
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
        loop {
            let read = match recv(&self.socket, &mut self.buffer, RecvFlags::empty()) {
                Ok((read, _)) => read,
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            let message = self.buffer.get(..read)?;
            if message.get(8..12) == Some(&self.sequence.to_ne_bytes()) {
                let is_it = message.get(4..6) == Some(&answer.to_ne_bytes());
                return is_it.then(|| message.to_vec());
            }
        }
    }
}

/// A socket that the kernel tells of changes of interfaces, their addresses and routes.
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

/// Appends an attribute to a request.
pub(crate) fn attribute(request: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(value);
    request.resize(request.len().next_multiple_of(4), 0);
}

/// The attributes in `bytes`, up to one that is cut off.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // Without the bits that say that it is nested, or in network order.
        Some((kind & 0x3fff, value))
    })
}

/// The number of 32 bits that `bytes` begin with; 0 if they are fewer.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_where_one_is_cut_off() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, 1, &[10, 0, 0, 1]);
        attribute(&mut bytes, 3, b"lo\0");
        bytes.extend([6, 0, 2, 0x80, 1, 2, 0, 0]);
        bytes.extend([9, 0, 3, 0, 1]);
        let all: Vec<_> = attributes(&bytes).collect();
        assert_eq!(all, [(1, &[10, 0, 0, 1][..]), (3, b"lo\0"), (2, &[1, 2][..])]);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }
}
