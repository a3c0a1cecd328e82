//! Clients on connections: TCP and TLS, with or without a PROXY protocol header in front.
//!
//! A connection is a task of the worker that accepted it. What it reads goes to the worker's shard
//! by a plain call; what the shard has for it is put into its [`line::Line`], which is bounded, so
//! that a slow client delays nobody.
//= 8656-5-tcp-tls-dtls

mod accept;
mod conversation;
mod door;
mod handshake;
mod line;
mod misdirected;
mod rewound;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};

use super::listener::ListenerId;
use taciturn_tls::TlsServer;

pub(super) use accept::serve;
pub use conversation::STRANGER_MEMORY;
pub(super) use door::Door;
pub use line::CLIENT_MEMORY;
pub(super) use line::Line;

/// What is spoken on a listener for connections.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// STUN as it is.
    Plain,
    /// TLS alone.
    Tls(TlsServer),
    /// Either, told apart by the first byte.
    Either(TlsServer),
}

impl Speaks {
    /// As the configuration calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Plain => "tcp",
            Self::Tls(_) => "tls",
            Self::Either(_) => "auto",
        }
    }
}

/// A listener for connections, as the configuration has it.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// Its name in logs.
    pub name: String,
    /// Where; `[::]` stands for all addresses of both families.
    pub address: SocketAddr,
    /// What is spoken.
    pub speaks: Speaks,
    /// Whether a PROXY protocol header comes first, and from whom it is taken.
    pub trusted_proxies: Option<Vec<IpNet>>,
}

/// A bound listener of one worker.
#[derive(Debug)]
pub(super) struct StreamListener {
    pub(super) id: ListenerId,
    pub(super) socket: std::net::TcpListener,
    pub(super) address: SocketAddr,
    pub(super) settings: Arc<StreamSettings>,
}

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;

/// Bytes that the kernel takes from a connection beyond what its client has room for. What a client
/// does not read waits in its line, which drops media, and not in megabytes of the kernel's.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// Whether somebody else has the port: a bind without SO_REUSEPORT tells. SO_REUSEADDR lets a
/// restarted server have it although old connections linger.
pub(super) fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = open(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // Connections that are accepted inherit it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
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
