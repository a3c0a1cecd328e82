//! Datagrams as they are received and sent.

use std::net::{IpAddr, SocketAddr};

use super::ip_fields::IpFields;
use taciturn_turn::Prefix;

/// How many datagrams (or runs of coalesced datagrams) one batch holds.
pub(super) const BATCH: usize = 32;

/// Bytes for one of them: the longest UDP payload, and the longest run of UDP_GRO.
pub(super) const SLOT: usize = 65_536;

/// A datagram, or a run of datagrams of one flow that the kernel has joined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Where it came from.
    pub(crate) source: SocketAddr,
    /// The local address that it came to, where the socket was asked to tell.
    pub(crate) local: Option<IpAddr>,
    /// Its first byte in `Ingress::bytes`.
    pub(crate) start: usize,
    /// Its length.
    pub(crate) len: usize,
    /// The length of each datagram of the run (the last may be shorter); 0 for a single one.
    pub(crate) segment: usize,
    /// What it came with, where the socket was asked to tell, and the hop limit less one: the kernel joins no
    /// datagrams that differ in these.
    pub(crate) ip_fields: IpFields,
}

impl Received {
    /// Returns the byte ranges of its datagrams.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (start, end) = (self.start, self.start + self.len);
        let step = if self.segment == 0 { self.len.max(1) } else { self.segment };
        let count = self.len.div_ceil(step).max(1);
        (0..count).map(move |n| (start + n * step, (start + (n + 1) * step).min(end)))
    }
}

/// How many ICMP errors are read off a socket at a time.
pub(super) const ICMP_ERRORS: usize = 32;

/// What a socket is asked to do besides carrying datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// Report the local address of each datagram: for sockets bound to every address of a host.
    pub(crate) local_address: bool,
}

/// One datagram to send, or several of one size (the last may be shorter), as slices.
pub(crate) struct Outgoing<'a> {
    pub(crate) destination: SocketAddr,
    /// The local address to send from, where the socket is bound to every address.
    pub(crate) source: Option<IpAddr>,
    /// The parts, one after another.
    pub(crate) parts: &'a [std::io::IoSlice<'a>],
    /// The length of each datagram; 0 where the parts are one datagram.
    pub(crate) segment: u16,
    pub(crate) ip_fields: IpFields,
}

/// Relayed data and what is sent with them.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "dtls"), allow(dead_code, reason = "there are no DTLS clients"))]
pub(crate) struct Framed<'a> {
    pub(crate) ip_fields: IpFields,
    pub(crate) prefix: &'a Prefix,
    pub(crate) payload: &'a [u8],
    /// Zero bytes behind the payload.
    pub(crate) padding: u8,
}
