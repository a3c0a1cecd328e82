//! Binding the listeners: one socket for each listener and worker, on the same port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::datagrams::Spoken;
use super::error::BindError;
use super::id::ListenerId;
use super::udp::{self, UdpListener, has_ipv6};
use crate::carry::Groups;
use crate::dtls_clients::DtlsSettings;
use crate::sockets::FIRST_STREAM_LISTENER;
use crate::steering::steer;
use crate::stream::settings::StreamSettings;
use crate::stream::sockets::{self, StreamListener};

/// What is to be listened for. `[::]` stands for all addresses of both families.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Datagrams.
    Udp(SocketAddr),
    /// Datagrams of DTLS.
    Dtls(Arc<DtlsSettings>),
    /// Datagrams of both kinds, on one port.
    UdpAndDtls(Arc<DtlsSettings>),
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

/// Listening sockets of one worker.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Whether the kernel chooses the worker of a client on UDP as [`worker_of`](crate::steering::worker_of) does.
    pub(crate) steered: bool,
    pub(crate) udp: Vec<UdpListener>,
    pub(crate) dtls: Vec<(UdpListener, Arc<DtlsSettings>)>,
    pub(crate) streams: Vec<StreamListener>,
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
        Self::bind_or_take(wanted, workers, Groups::default())
    }

    /// The same, with the sockets that another process has listened on, where it has. Of those that are not wanted any
    /// more none stays.
    ///
    /// # Errors
    /// When one of the others cannot be bound; none stays bound then.
    pub fn bind_or_take(
        wanted: &[(ListenerId, Wanted)],
        workers: usize,
        mut carried: Groups,
    ) -> Result<Vec<Self>, BindError> {
        let places: Vec<_> = wanted.iter().flat_map(|(_, wanted)| wanted.places()).collect();
        carried.retain(|is_stream, address| places.contains(&(is_stream, address)));
        let mut all: Vec<Self> = (0..workers).map(|_| Self::default()).collect();
        let mut steered = true;
        for (id, wanted) in wanted {
            let id = *id;
            let (probe, listen) = (udp::probe, udp::listen);
            match wanted {
                Wanted::Udp(at) => {
                    let mut bind = Binding {
                        protocol: "udp",
                        probe,
                        listen,
                        carried: &mut carried,
                        steered: &mut steered,
                    };
                    bind.each(*at, &mut all, |worker, socket, address| {
                        worker.udp.push(UdpListener::new(id, socket, address, Spoken::Udp));
                    })?;
                }
                Wanted::Dtls(settings) | Wanted::UdpAndDtls(settings) => {
                    let at = settings.address;
                    let spoken = match wanted {
                        Wanted::Dtls(_) => Spoken::Dtls,
                        _ => Spoken::UdpAndDtls,
                    };
                    let mut bind = Binding {
                        protocol: "udp",
                        probe,
                        listen,
                        carried: &mut carried,
                        steered: &mut steered,
                    };
                    bind.each(at, &mut all, |worker, socket, address| {
                        let listener = UdpListener::new(id, socket, address, spoken);
                        worker.dtls.push((listener, Arc::clone(settings)));
                    })?;
                }
                Wanted::Stream(settings) => {
                    let (at, probe, listen) = (settings.address, sockets::probe, sockets::listen);
                    let mut bind = Binding {
                        protocol: "tcp",
                        probe,
                        listen,
                        carried: &mut carried,
                        steered: &mut steered,
                    };
                    bind.each(at, &mut all, |worker, socket, address| {
                        let settings = Arc::clone(settings);
                        worker.streams.push(StreamListener { id, socket, address, settings });
                    })?;
                }
            }
        }
        all.iter_mut().for_each(|worker| worker.steered = steered);
        Ok(all)
    }

    /// Where the sockets listen, each with what is spoken there.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let datagrams = self.udp.iter().chain(self.dtls.iter().map(|(listener, _)| listener));
        let datagrams =
            datagrams.map(|listener| format!("{}/{}", listener.address, listener.spoken.name()));
        let streams = self
            .streams
            .iter()
            .map(|listener| format!("{}/{}", listener.address, listener.settings.speaks.name()));
        datagrams.chain(streams).collect()
    }
}

/// The numbers that the listening sockets of a worker get, in the order in which it adds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// Whether the kernel chooses the worker of a client on UDP as [`worker_of`](crate::steering::worker_of) does.
    pub(crate) steered: bool,
    all: Vec<(bool, SocketAddr, u16)>,
}

impl Numbers {
    /// Those of a worker that listens on these, and on nothing before. A socket for DTLS alone has no plain clients.
    pub(crate) fn of(listeners: &Listeners) -> Self {
        let udp = listeners.udp.iter().chain(listeners.dtls.iter().map(|(listener, _)| listener));
        let udp = (0..FIRST_STREAM_LISTENER).zip(udp);
        let udp = udp.filter(|(_, listener)| listener.spoken != Spoken::Dtls);
        let streams = (FIRST_STREAM_LISTENER..).zip(&listeners.streams);
        let streams = streams.map(|(number, listener)| (true, listener.address, number));
        let udp = udp.map(|(number, listener)| (false, listener.address, number));
        Self { steered: listeners.steered, all: udp.chain(streams).collect() }
    }

    /// The number of the socket at an address, for connections or for datagrams.
    pub(crate) fn at(&self, is_stream: bool, address: SocketAddr) -> Option<u16> {
        let (.., number) =
            self.all.iter().find(|(stream, at, _)| (*stream, *at) == (is_stream, address))?;
        Some(*number)
    }
}

impl Wanted {
    /// Where it listens: whether for connections, and the address of each socket.
    fn places(&self) -> Vec<(bool, SocketAddr)> {
        let (is_stream, address) = match self {
            Self::Udp(address) => (false, *address),
            Self::Dtls(settings) | Self::UdpAndDtls(settings) => (false, settings.address),
            Self::Stream(settings) => (true, settings.address),
        };
        expand(address).into_iter().map(|address| (is_stream, address)).collect()
    }
}

/// A socket that can tell its address, and that another process may have opened.
trait Bound: From<OwnedFd> {
    const IS_STREAM: bool;

    /// Has the kernel choose among the sockets of so many workers on one address by the client's address. Returns true
    /// if it does.
    fn steer(&self, is_ipv6: bool, workers: u16) -> bool;

    fn address(&self) -> io::Result<SocketAddr>;
}

impl Bound for UdpSocket {
    const IS_STREAM: bool = false;

    fn steer(&self, is_ipv6: bool, workers: u16) -> bool {
        let tell = |error: &io::Error| {
            tracing::debug!(%error, "the kernel chooses the worker of a client");
        };
        steer(self, is_ipv6, workers).inspect_err(tell).is_ok()
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bound for TcpListener {
    const IS_STREAM: bool = true;

    /// A connection stays where it was accepted, whoever that is.
    fn steer(&self, _: bool, _: u16) -> bool {
        true
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// How the sockets of one kind are bound.
struct Binding<'a, S> {
    protocol: &'static str,
    probe: fn(SocketAddr) -> io::Result<()>,
    listen: fn(SocketAddr) -> io::Result<S>,
    carried: &'a mut Groups,
    steered: &'a mut bool,
}

impl<S: Bound> Binding<'_, S> {
    /// Binds one configured address, which may be two, for each worker.
    fn each(
        &mut self,
        wanted: SocketAddr,
        workers: &mut [Listeners],
        mut keep: impl FnMut(&mut Listeners, S, SocketAddr),
    ) -> Result<(), BindError> {
        let (protocol, mut port) = (self.protocol, wanted.port());
        for address in expand(wanted) {
            let mut bound = SocketAddr::new(address.ip(), port);
            let failed = |error| BindError { address: bound, protocol, error };
            // Fewer sockets than there are workers now: the others join them. Of more, those that are left over close.
            let mut carried = self.carried.take(S::IS_STREAM, bound).into_iter().map(S::from);
            // A port held by another program is seen before SO_REUSEPORT would share it.
            if port != 0 && carried.len() == 0 {
                (self.probe)(bound).map_err(failed)?;
            }
            let number = u16::try_from(workers.len()).unwrap_or(u16::MAX);
            for (at, worker) in workers.iter_mut().enumerate() {
                let failed = |error| BindError { address: bound, protocol, error };
                let socket =
                    carried.next().map_or_else(|| (self.listen)(bound), Ok).map_err(failed)?;
                // Port 0: the kernel chooses for the first, the others follow.
                bound = socket.address().map_err(failed)?;
                port = bound.port();
                if at == 0 && number > 1 {
                    *self.steered &= socket.steer(bound.is_ipv6(), number);
                }
                keep(worker, socket, bound);
            }
        }
        Ok(())
    }
}

fn expand(address: SocketAddr) -> Vec<SocketAddr> {
    let any = |ip: IpAddr| SocketAddr::new(ip, address.port());
    if address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        return vec![address];
    }
    let v4 = any(Ipv4Addr::UNSPECIFIED.into());
    if has_ipv6() { vec![address, v4] } else { vec![v4] }
}
