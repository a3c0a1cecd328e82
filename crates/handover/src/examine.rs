//! A descriptor that comes from another process is what it is called, or it is not used.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, getpeername, getsockname, ipproto, sockopt};

use super::name::{Name, Transport, plain};
use super::sealed::SealedError;
use super::state::StateError;

/// Why a descriptor is not used. It is closed then.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It has no name that this release knows.
    #[error("its name is not one of this server's")]
    Unnamed,
    /// It is not in the list that came along.
    #[error("it is not in the list of descriptors that came along")]
    Unlisted,
    /// There is another one of that name.
    #[error("there is another one of that name")]
    Twice,
    /// No list came along, or none that can be used.
    #[error("no list of descriptors that can be used came along")]
    WithoutList,
    /// Another socket of its group did not come along, and with fewer of them the kernel would deliver clients'
    /// packets to other workers than before.
    #[error("another socket that shares its address did not come along")]
    Incomplete,
    /// It is not a socket.
    #[error("it is not a socket")]
    NotASocket,
    /// It is a socket for something else.
    #[error("it is a socket of another kind")]
    Kind,
    /// It is bound to another address, or to none.
    #[error("it is bound to {}", told(*.0))]
    Local(Option<SocketAddr>),
    /// It is connected to another address, or to none: a connection has ended meanwhile.
    #[error("it is connected to {}", told(*.0))]
    Remote(Option<SocketAddr>),
    /// The sockets in it cannot be taken out.
    #[error("the sockets that wait in it cannot be taken out: {0}")]
    Queue(io::Error),
    /// There are not as many sockets in it as in the list.
    #[error("{found} sockets wait in it, and {listed} are in the list")]
    Number {
        /// Those that wait.
        found: usize,
        /// Those in the list.
        listed: usize,
    },
    /// It should be the list, and cannot be read.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// It should be the list, and is none.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn told(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "no address".to_owned(), |address| address.to_string())
}

impl From<Errno> for Unfit {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOTSOCK => Self::NotASocket,
            error => Self::Io(error.into()),
        }
    }
}

/// What a socket must be.
struct Kind {
    family: AddressFamily,
    socket: SocketType,
    listens: bool,
}

impl Kind {
    fn of(name: &Name) -> Option<Self> {
        let (socket, listens) = match name {
            Name::Listener { transport: Transport::Udp | Transport::Dtls, .. } | Name::Relay(_) => {
                (SocketType::DGRAM, false)
            }
            Name::Listener { transport: Transport::Tcp, .. }
            | Name::PeerListener(_)
            | Name::Control
            | Name::Metrics(_) => (SocketType::STREAM, true),
            Name::Client { .. } | Name::PeerConnection { .. } => (SocketType::STREAM, false),
            Name::Sockets(_) | Name::State(_) => return None,
        };
        let family = match name.local() {
            None => AddressFamily::UNIX,
            Some(SocketAddr::V4(_)) => AddressFamily::INET,
            Some(SocketAddr::V6(_)) => AddressFamily::INET6,
        };
        Some(Self { family, socket, listens })
    }

    fn is_that_of(&self, socket: BorrowedFd<'_>) -> Result<bool, Errno> {
        let protocol = match (self.family, self.socket) {
            (AddressFamily::UNIX, _) => None,
            (_, SocketType::DGRAM) => Some(ipproto::UDP),
            _ => Some(ipproto::TCP),
        };
        Ok(sockopt::socket_type(socket)? == self.socket
            && sockopt::socket_domain(socket)? == self.family
            && sockopt::socket_protocol(socket)? == protocol
            && sockopt::socket_acceptconn(socket)? == self.listens)
    }
}

/// Checks that a descriptor is the socket that `name` says: of its family, type and protocol, bound to its address
/// and, if it is a connection, connected to its other end. Makes it non-blocking and closed by exec.
///
/// # Errors
/// If it is not.
pub fn examine(name: &Name, socket: impl AsFd) -> Result<(), Unfit> {
    let socket = socket.as_fd();
    let kind = Kind::of(name).ok_or(Unfit::Kind)?;
    if !kind.is_that_of(socket)? {
        return Err(Unfit::Kind);
    }
    if let Some(wanted) = name.local() {
        let local = SocketAddr::try_from(getsockname(socket)?).ok().map(plain);
        if local != Some(plain(wanted)) {
            return Err(Unfit::Local(local));
        }
    }
    // A UDP socket of a server is connected to nobody, and a listening one cannot be.
    if name.local().is_some() {
        let remote = remote(socket)?;
        if remote != name.remote().map(plain) {
            return Err(Unfit::Remote(remote));
        }
    }
    fcntl_setfd(socket, fcntl_getfd(socket)? | FdFlags::CLOEXEC)?;
    fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)?;
    Ok(())
}

fn remote(socket: BorrowedFd<'_>) -> Result<Option<SocketAddr>, Errno> {
    match getpeername(socket) {
        Ok(address) => Ok(address.and_then(|at| SocketAddr::try_from(at).ok()).map(plain)),
        Err(Errno::NOTCONN) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;
    use crate::sealed;

    fn udp() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn tcp() -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    fn listener(transport: Transport, address: SocketAddr) -> Name {
        Name::listener(transport, address, 0, 1).unwrap()
    }

    #[test]
    fn each_socket_is_what_it_is_called_and_becomes_non_blocking_and_closed_by_exec() {
        let (datagrams, at) = udp();
        let (listening, here) = tcp();
        let connection = TcpStream::connect(here).unwrap();
        let (accepted, remote) = listening.accept().unwrap();
        let six = UdpSocket::bind("[::1]:0").unwrap();
        let at_six = six.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let control = UnixListener::bind(directory.path().join("control")).unwrap();
        let all: Vec<(Name, OwnedFd)> = vec![
            (listener(Transport::Udp, at), datagrams.try_clone().unwrap().into()),
            (listener(Transport::Dtls, at), datagrams.try_clone().unwrap().into()),
            (Name::Relay(at), datagrams.into()),
            (Name::Relay(at_six), six.into()),
            (listener(Transport::Tcp, here), listening.try_clone().unwrap().into()),
            (Name::PeerListener(here), listening.try_clone().unwrap().into()),
            (Name::Metrics(here), listening.into()),
            (Name::Client { local: here, remote }, accepted.into()),
            (Name::PeerConnection { relayed: remote, peer: here }, connection.into()),
            (Name::Control, control.into()),
        ];
        for (name, socket) in all {
            fcntl_setfd(&socket, FdFlags::empty()).unwrap();
            examine(&name, &socket).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC), "{name}");
            assert!(fcntl_getfl(&socket).unwrap().contains(OFlags::NONBLOCK), "{name}");
        }
    }

    #[test]
    fn a_socket_of_another_kind_is_refused() {
        let (datagrams, at) = udp();
        let (listening, here) = tcp();
        let connection = TcpStream::connect(here).unwrap();
        let (local, remote) = (connection.local_addr().unwrap(), here);
        let (one, _other) = UnixStream::pair().unwrap();
        let refused = |name: Name, socket: &dyn AsFd| {
            let result = examine(&name, socket.as_fd());
            assert!(matches!(result, Err(Unfit::Kind)), "{name}: {result:?}");
        };
        refused(Name::Relay(here), &listening);
        refused(listener(Transport::Tcp, at), &datagrams);
        refused(listener(Transport::Udp, here), &listening);
        refused(Name::Client { local: here, remote }, &listening);
        refused(Name::Metrics(local), &connection);
        refused(Name::Control, &one);
        refused(Name::Control, &UnixDatagram::unbound().unwrap());
        refused(Name::Control, &listening);
        refused(Name::Relay("[::1]:1".parse().unwrap()), &datagrams);
        // Of the same type, and of another protocol.
        let lite =
            rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::UDPLITE));
        if let Ok(lite) = lite {
            refused(Name::Relay("0.0.0.0:0".parse().unwrap()), &lite);
        }
        refused(Name::State(1), &datagrams);
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        let (pipe, _) = io::pipe().unwrap();
        for file in [file, pipe.into(), sealed::write("test", b"").unwrap()] {
            assert!(matches!(examine(&Name::Control, &file), Err(Unfit::NotASocket)));
        }
    }

    #[test]
    fn a_socket_at_another_address_is_refused() {
        let (socket, at) = udp();
        let wrong: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = examine(&Name::Relay(wrong), &socket).unwrap_err();
        assert_eq!(error.to_string(), format!("it is bound to {at}"));
        let (listening, here) = tcp();
        assert!(matches!(examine(&Name::Metrics(wrong), &listening), Err(Unfit::Local(_))));
        let connection = TcpStream::connect(here).unwrap();
        let local = connection.local_addr().unwrap();
        let error = examine(&Name::Client { local, remote: wrong }, &connection).unwrap_err();
        assert_eq!(error.to_string(), format!("it is connected to {here}"));
    }

    #[test]
    fn a_relay_socket_that_is_connected_is_refused() {
        let (socket, at) = udp();
        socket.connect(at).unwrap();
        assert!(matches!(examine(&Name::Relay(at), &socket), Err(Unfit::Remote(Some(_)))));
    }

    #[test]
    fn a_connection_that_was_reset_meanwhile_is_refused() {
        let (listening, here) = tcp();
        let connection = TcpStream::connect(here).unwrap();
        let (accepted, remote) = listening.accept().unwrap();
        sockopt::set_socket_linger(&accepted, Some(std::time::Duration::ZERO)).unwrap();
        drop(accepted);
        let name = Name::Client { local: remote, remote: here };
        let result = examine(&name, &connection);
        assert!(matches!(result, Err(Unfit::Remote(None))), "{result:?}");
    }
}
