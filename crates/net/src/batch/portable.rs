//! One datagram a call, with nothing but what every system has. The local address of a datagram
//! is not known here, so a listener on all addresses answers from whichever the system chooses.
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::datagrams::{Outgoing, Received, SLOT, Wishes};
use super::ip_fields::{IpFields, KeptFields};
use taciturn_turn::IcmpError;

/// The buffer of one datagram.
#[derive(Debug)]
pub(crate) struct Ingress {
    bytes: Box<[u8]>,
    received: Option<Received>,
}

impl Default for Ingress {
    fn default() -> Self {
        Self { bytes: vec![0; SLOT].into_boxed_slice(), received: None }
    }
}

impl Ingress {
    /// Receives what is there without waiting, in place of what was received before. Returns whether
    /// there may be more.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        self.clear();
        self.receive_more(socket)
    }

    /// The same: there is room for one datagram.
    pub(crate) fn receive_more(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        let (len, source) = socket.recv_from(&mut self.bytes)?;
        let ip_fields = IpFields::default();
        self.received =
            Some(Received { source, local: None, start: 0, len, segment: 0, ip_fields });
        Ok(true)
    }

    /// Returns true if another socket can be read without giving up what was received.
    pub(crate) const fn has_room(&self) -> bool {
        self.received.is_none()
    }

    /// Gives up what was received.
    pub(crate) const fn clear(&mut self) {
        self.received = None;
    }

    /// Returns what the last read has brought.
    pub(crate) fn received(&self) -> impl Iterator<Item = Received> + use<> {
        self.received.into_iter()
    }

    /// Returns the bytes that the batch's ranges mean.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sets a socket up for use with this module.
pub(crate) fn prepare(_socket: &UdpSocket, _wishes: Wishes) -> io::Result<()> {
    Ok(())
}

/// Not every system joins any.
pub(crate) const fn join_datagrams(_socket: &UdpSocket, _on: bool) {}

/// Not every system has a portable way to set DF; the datagram goes out without.
pub(crate) fn dont_fragment(_socket: &UdpSocket, _v6: bool, _on: bool) -> io::Result<()> {
    Ok(())
}

/// Not every system tells the fields of IP headers; datagrams are relayed with the system's defaults.
pub(crate) const fn tell_ip_fields(
    _: &UdpSocket,
    _v6: bool,
    _before: KeptFields,
    _now: KeptFields,
) {
}

/// Not every system remembers it.
pub(crate) const fn remember_dscp<S>(_: &S, _v6: bool) {}

/// Not every system tells: best effort.
pub(crate) const fn dscp_of_connection<S>(_: &S, _v6: bool) -> u8 {
    0
}

/// Not every system tells ICMP errors; the server does not start where they are asked for.
pub(crate) fn tell_icmp_errors(_socket: &UdpSocket, _v6: bool, on: bool) -> io::Result<()> {
    if on { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
}

/// None.
pub(crate) fn icmp_errors(_socket: &UdpSocket, _take: impl FnMut(SocketAddr, IcmpError)) {}

/// Not every system tells.
pub(crate) fn overflowed(_socket: &UdpSocket) -> u32 {
    0
}

/// Sends one datagram.
pub(crate) fn send(socket: &UdpSocket, outgoing: &Outgoing<'_>) -> io::Result<()> {
    let mut datagram = Vec::new();
    for part in outgoing.parts {
        datagram.extend_from_slice(part);
    }
    socket.send_to(&datagram, outgoing.destination).map(|_| ())
}
