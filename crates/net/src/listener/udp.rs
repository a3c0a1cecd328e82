//! UDP sockets: the listening sockets of a worker, and how sockets are opened.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use super::datagrams::Spoken;
use super::id::ListenerId;
use crate::batch::datagrams::Wishes;
use crate::batch::system::prepare;

/// Bytes of each socket's buffers that are asked of the kernel. It gives what net.core.rmem_max allows.
const LISTENER_BUFFER: usize = 2 * 1024 * 1024;
const RELAY_BUFFER: usize = 512 * 1024;

/// The UDP listening sockets of a worker, those of DTLS among them, by their numbers.
pub(crate) type UdpListeners = Slab<UdpListener>;

/// One UDP listening socket of one worker.
#[derive(Debug)]
pub(crate) struct UdpListener {
    pub(crate) id: ListenerId,
    pub(crate) socket: UdpSocket,
    /// Where it listens; the port is never 0.
    pub(crate) address: SocketAddr,
    pub(crate) spoken: Spoken,
    /// Whether it is in the queue of sockets to be read.
    pub(crate) queued: bool,
}

impl UdpListener {
    /// A socket that is bound to `address`.
    pub(crate) const fn new(
        id: ListenerId,
        socket: UdpSocket,
        address: SocketAddr,
        spoken: Spoken,
    ) -> Self {
        Self { id, socket, address, spoken, queued: false }
    }
}

/// Returns the number of the socket that `address` belongs to.
pub(crate) fn listener_at(listeners: &UdpListeners, address: SocketAddr) -> Option<u16> {
    let (ip, port) = (address.ip(), address.port());
    let serves = |listener: &UdpListener| {
        let at = listener.address;
        let is_any = at.ip().is_unspecified() && at.is_ipv4() == ip.is_ipv4();
        at.port() == port && (at.ip() == ip || is_any)
    };
    let (number, _) = listeners.iter().find(|(_, listener)| serves(listener))?;
    u16::try_from(number).ok()
}

/// Returns the source address for an answer to what came to `local`, if the socket is bound to all
/// addresses.
pub(crate) fn source_of(listeners: &UdpListeners, listener: u16, local: IpAddr) -> Option<IpAddr> {
    let listener = listeners.get(usize::from(listener))?;
    let is_any = listener.address.ip().is_unspecified() && !local.is_unspecified();
    is_any.then_some(local)
}

/// Returns true if a socket is to be read again after an error. Usually there is nothing more to read; an ICMP error
/// of an earlier datagram is taken off the socket by reporting it.
pub(crate) fn try_again(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock)
}

/// Returns true if the kernel has IPv6.
pub(super) fn has_ipv6() -> bool {
    open(Domain::IPV6)
        .and_then(|socket| socket.bind(&SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0).into()))
        .is_ok()
}

/// Fails if another program has the port: a bind without SO_REUSEPORT shows it.
pub(super) fn probe(address: SocketAddr) -> io::Result<()> {
    open(Domain::for_address(address))?.bind(&address.into())
}

fn open(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(super) fn listen(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(Domain::for_address(address))?;
    socket.set_reuse_port(true)?;
    let _ = socket.set_recv_buffer_size(LISTENER_BUFFER);
    let _ = socket.set_send_buffer_size(LISTENER_BUFFER);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    prepare(&socket, Wishes { local_address: address.ip().is_unspecified() })?;
    Ok(socket)
}

/// Opens a relay socket.
pub(crate) fn open_relay(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(Domain::for_address(address))?;
    let _ = socket.set_recv_buffer_size(RELAY_BUFFER);
    let _ = socket.set_send_buffer_size(RELAY_BUFFER);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    prepare(&socket, Wishes::default())?;
    Ok(socket)
}
