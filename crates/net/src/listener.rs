//! Listening sockets: one for each listener and worker, on the same port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use std::sync::Arc;

use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use super::batch::{Wishes, prepare};
use super::dtls_clients::DtlsSettings;
use super::stream::{self, StreamListener, StreamSettings};

/// What is asked of the kernel for each socket's buffers, in bytes. It gives what net.core.rmem_max
/// allows.
const LISTENER_BUFFER: usize = 2 * 1024 * 1024;
const RELAY_BUFFER: usize = 512 * 1024;

/// Why a listener cannot be had, in words.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}/{protocol}: {}", explain(*address, protocol, error))]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// "udp" or "tcp".
    pub protocol: &'static str,
    /// What the system said.
    pub error: io::Error,
}

fn explain(address: SocketAddr, protocol: &str, error: &io::Error) -> String {
    let port = address.port();
    let option = if protocol == "udp" { 'u' } else { 't' };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program has the port. `ss -l{option}np 'sport = :{port}'` names it (often coturn, \
             Jitsi, Nextcloud Talk or a second taciturn); stop it, or set another `address`"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "no interface of this host has {}. Set `address` to one that `ip address` shows, or to \
             [::]:{port} for all",
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need CAP_NET_BIND_SERVICE. Give it to the service, or use a port \
             above 1023"
        ),
        _ => error.to_string(),
    }
}

/// Why a listener for DTLS cannot be served, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DtlsUnavailable(pub(super) String);

/// A listener of the configuration, for as long as the server runs: the same in every worker, and
/// never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

/// What is to be listened for. `[::]` stands for all addresses of both families.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Datagrams.
    Udp(SocketAddr),
    /// Datagrams of DTLS.
    Dtls(Arc<DtlsSettings>),
    /// Connections.
    Stream(Arc<StreamSettings>),
}

/// How a listener that runs is to go on.
#[derive(Clone, Debug)]
pub enum ListenerChange {
    /// With other settings for those who come; it stays where it is, and of its kind.
    Settings(ListenerId, Wanted),
    /// With those who have an allocation, and nobody else: connections without one end, and no
    /// allocation is made. No more connections come in; datagrams are still read.
    Retire(ListenerId),
    /// As before it was retired: for datagrams only.
    Revive(ListenerId),
    /// Not at all: its sockets are closed.
    Close(ListenerId),
}

/// The UDP listening sockets of a worker, those of DTLS among them, by their numbers.
pub(super) type UdpListeners = Slab<UdpListener>;

/// One UDP listening socket of one worker.
#[derive(Debug)]
pub(super) struct UdpListener {
    pub(super) id: ListenerId,
    pub(super) socket: UdpSocket,
    /// Where it listens; the port is never 0.
    pub(super) address: SocketAddr,
    /// Whether it waits for its turn to be read.
    pub(super) queued: bool,
}

/// Listening sockets of one worker.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(super) udp: Vec<UdpListener>,
    pub(super) dtls: Vec<(UdpListener, Arc<DtlsSettings>)>,
    pub(super) streams: Vec<StreamListener>,
}

impl Listeners {
    /// Binds every address for every worker.
    ///
    /// `[::]` stands for all addresses of both families: one IPv6 and one IPv4 socket. Where the
    /// kernel has no IPv6, the IPv4 socket alone is bound.
    ///
    /// # Errors
    /// When one of them cannot be bound; none stays bound then.
    pub fn bind(wanted: &[(ListenerId, Wanted)], workers: usize) -> Result<Vec<Self>, BindError> {
        let mut all: Vec<Self> = (0..workers).map(|_| Self::default()).collect();
        for (id, wanted) in wanted {
            let id = *id;
            let udp = |socket, address| UdpListener { id, socket, address, queued: false };
            match wanted {
                Wanted::Udp(at) => {
                    bind_each(*at, "udp", probe, listen, &mut all, |worker, socket, address| {
                        worker.udp.push(udp(socket, address));
                    })?;
                }
                Wanted::Dtls(settings) => {
                    let at = settings.address;
                    bind_each(at, "udp", probe, listen, &mut all, |worker, socket, address| {
                        worker.dtls.push((udp(socket, address), Arc::clone(settings)));
                    })?;
                }
                Wanted::Stream(settings) => {
                    let (at, probe, listen) = (settings.address, stream::probe, stream::listen);
                    bind_each(at, "tcp", probe, listen, &mut all, |worker, socket, address| {
                        let settings = Arc::clone(settings);
                        worker.streams.push(StreamListener { id, socket, address, settings });
                    })?;
                }
            }
        }
        Ok(all)
    }

    /// Where the sockets listen, each with what is spoken there.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let udp = self.udp.iter().map(|listener| format!("{}/udp", listener.address));
        let dtls = self.dtls.iter().map(|(listener, _)| format!("{}/dtls", listener.address));
        let streams = self
            .streams
            .iter()
            .map(|listener| format!("{}/{}", listener.address, listener.settings.speaks.name()));
        udp.chain(dtls).chain(streams).collect()
    }
}

/// A socket that can tell its address.
trait Bound {
    fn address(&self) -> io::Result<SocketAddr>;
}

impl Bound for UdpSocket {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bound for TcpListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// Binds one configured address, which may be two, for each worker.
fn bind_each<S: Bound>(
    wanted: SocketAddr,
    protocol: &'static str,
    probe: fn(SocketAddr) -> io::Result<()>,
    listen: fn(SocketAddr) -> io::Result<S>,
    workers: &mut [Listeners],
    mut keep: impl FnMut(&mut Listeners, S, SocketAddr),
) -> Result<(), BindError> {
    let mut port = wanted.port();
    for address in expand(wanted) {
        let mut bound = SocketAddr::new(address.ip(), port);
        let failed = |error| BindError { address: bound, protocol, error };
        // A port held by another program is seen before SO_REUSEPORT would share it.
        if port != 0 {
            probe(bound).map_err(failed)?;
        }
        for worker in &mut *workers {
            let failed = |error| BindError { address: bound, protocol, error };
            let socket = listen(bound).map_err(failed)?;
            // Port 0: the kernel chooses for the first, the others follow.
            bound = socket.address().map_err(failed)?;
            port = bound.port();
            keep(worker, socket, bound);
        }
    }
    Ok(())
}

fn expand(address: SocketAddr) -> Vec<SocketAddr> {
    let any = |ip: IpAddr| SocketAddr::new(ip, address.port());
    if address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        return vec![address];
    }
    let v4 = any(Ipv4Addr::UNSPECIFIED.into());
    if has_ipv6() { vec![address, v4] } else { vec![v4] }
}

/// Whether the kernel speaks IPv6 at all.
fn has_ipv6() -> bool {
    open(Domain::IPV6)
        .and_then(|socket| socket.bind(&SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0).into()))
        .is_ok()
}

/// Whether somebody else has the port: a bind without SO_REUSEPORT tells.
fn probe(address: SocketAddr) -> io::Result<()> {
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

fn listen(address: SocketAddr) -> io::Result<UdpSocket> {
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
pub(super) fn open_relay(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(Domain::for_address(address))?;
    let _ = socket.set_recv_buffer_size(RELAY_BUFFER);
    let _ = socket.set_send_buffer_size(RELAY_BUFFER);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    prepare(&socket, Wishes::default())?;
    Ok(socket)
}
