//! Sockets on one relayed transport address: one that listens, and those that connect from it.
//!
//! The first is bound without SO_REUSEPORT, so that it fails where anybody else has the port. Then
//! the option is set, for the others to share the port with it. The kernel lets only processes of
//! the same user do so, and only one that listens is given peers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::TcpKeepalive;
use tokio::net::TcpSocket;

use crate::tcp_socket;

/// Peers that wait to be accepted. The task that accepts is never long away.
const BACKLOG: i32 = 16;

/// After how much silence the kernel asks whether a peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(120);

pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = tcp_socket::open(address)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub(super) fn outgoing(local: SocketAddr) -> io::Result<TcpSocket> {
    let socket = tcp_socket::open(local)?;
    socket.set_reuse_port(true)?;
    socket.bind(&local.into())?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// What is good for each connection with a peer.
pub(super) fn prepare(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anywhere() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_shared() {
        for reuse_port in [false, true] {
            let other = tcp_socket::open(anywhere()).unwrap();
            other.set_reuse_port(reuse_port).unwrap();
            other.bind(&anywhere().into()).unwrap();
            other.listen(1).unwrap();
            let address = other.local_addr().unwrap().as_socket().unwrap();
            assert_eq!(listen(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn nobody_gets_the_port_of_a_relay_without_asking_to_share_it() {
        let relay = listen(anywhere()).unwrap();
        let address = relay.local_addr().unwrap();
        assert_eq!(listen(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let everywhere = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        assert_eq!(listen(everywhere).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn connections_leave_from_the_port_that_is_listened_on() {
        let relay = listen(anywhere()).unwrap();
        let address = relay.local_addr().unwrap();
        let mut joined = Vec::new();
        for _ in 0..2 {
            let peer = std::net::TcpListener::bind(anywhere()).unwrap();
            let stream = outgoing(address).unwrap().connect(peer.local_addr().unwrap()).await;
            prepare(stream.as_ref().unwrap()).unwrap();
            let (accepted, from) = peer.accept().unwrap();
            assert_eq!(from, address);
            joined.push((stream, accepted));
        }
        let incoming = std::net::TcpStream::connect(address).unwrap();
        relay.set_nonblocking(false).unwrap();
        assert_eq!(relay.accept().unwrap().1, incoming.local_addr().unwrap());
    }
}
