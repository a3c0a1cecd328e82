//! A batch in, a batch out.
//!
//! [`Ingress`] holds the buffers that a batch is received into, [`Egress`] collects what is to be
//! sent of it. Two implementations stand behind them: `linux` (recvmmsg with UDP_GRO, sendmsg with
//! UDP_SEGMENT; its control messages are read and written in `control`) and `portable` (one datagram a
//! call), for other systems.

#[cfg(target_os = "linux")]
pub mod control;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

mod egress;
mod segmentation;

use std::net::{IpAddr, SocketAddr};

pub(super) use egress::{Destination, Egress};

#[cfg(target_os = "linux")]
pub(super) use linux::{
    Ingress, Outbox, dont_fragment, icmp_errors, overflowed, prepare, send, tell_icmp_errors,
};
#[cfg(not(target_os = "linux"))]
pub(super) use portable::{
    Ingress, dont_fragment, icmp_errors, overflowed, prepare, send, tell_icmp_errors,
};

/// How many datagrams (or runs of coalesced datagrams) one batch holds.
const BATCH: usize = 32;

/// Bytes for one of them: the longest UDP payload, and the longest run of UDP_GRO.
const SLOT: usize = 65_536;

/// A datagram, or a run of datagrams of one flow that the kernel has joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// Where it came from.
    pub(super) source: SocketAddr,
    /// The local address that it came to, where the socket was asked to tell.
    pub(super) local: Option<IpAddr>,
    /// Its first byte in [`Ingress::bytes`].
    pub(super) start: usize,
    /// Its length.
    pub(super) len: usize,
    /// The length of each datagram of the run (the last may be shorter); 0 for a single one.
    pub(super) segment: usize,
}

impl Received {
    /// The byte ranges of its datagrams.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (start, end) = (self.start, self.start + self.len);
        let step = if self.segment == 0 { self.len.max(1) } else { self.segment };
        let count = self.len.div_ceil(step).max(1);
        (0..count).map(move |n| (start + n * step, (start + (n + 1) * step).min(end)))
    }
}

/// How many ICMP errors are read off a socket at a time.
const ICMP_ERRORS: usize = 32;

/// What a socket is asked to do besides carrying datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// Tell the local address of each datagram: for sockets bound to every address of a host.
    pub(super) local_address: bool,
}

/// One datagram to send, or several of one size (the last may be shorter), as slices.
pub(super) struct Outgoing<'a> {
    pub(super) destination: SocketAddr,
    /// The local address to send from, where the socket is bound to every address.
    pub(super) source: Option<IpAddr>,
    /// The parts, one after another.
    pub(super) parts: &'a [std::io::IoSlice<'a>],
    /// The length of each datagram; 0 where the parts are one datagram.
    pub(super) segment: u16,
}

#[cfg(test)]
mod tests;
