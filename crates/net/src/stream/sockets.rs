//! Listening sockets for TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::settings::StreamSettings;
use crate::batch::system::remember_dscp;
use crate::listener::id::ListenerId;
use crate::tcp_socket;

/// A listening socket of one worker.
#[derive(Debug)]
pub(crate) struct StreamListener {
    pub(crate) id: ListenerId,
    pub(crate) socket: std::net::TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) settings: Arc<StreamSettings>,
}

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;

/// Bytes that the kernel takes from a connection beyond what its client has room for. What a client
/// does not read waits in its send queue, which drops media, and not in megabytes of the kernel's.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// Fails if another program has the port: a bind without SO_REUSEPORT shows it. SO_REUSEADDR lets a restarted
/// server have it although old connections linger.
pub(crate) fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = tcp_socket::open(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = tcp_socket::open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // Connections that are accepted inherit both.
    remember_dscp(&socket, address.is_ipv6());
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(all(test, target_os = "linux"))]
mod kernel {
    use socket2::SockRef;

    use super::*;

    #[test]
    fn the_kernel_takes_little_for_a_client_that_does_not_read() {
        let listener = listen((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), UNSENT);
    }
}
