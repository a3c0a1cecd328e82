//! How much the kernel holds of what a client has sent and the server has not read: little until the client has an
//! allocation, and what the system's own rules allow from then on.
#![allow(unsafe_code)]

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::rewound::Rewound;

/// Bytes of the receive buffer for a connection without an allocation. The kernel doubles it for its own accounts.
pub(super) const STRANGER: usize = 16 * 1024;

/// Likewise for a connection with an allocation, to begin with: Linux has 128 KiB, doubled, for a new connection.
const CLIENT: usize = 64 * 1024;

/// Likewise where the system cannot go on adjusting it (Linux before 5.14): `net.core.rmem_max` is the limit.
const CLIENT_FIXED: usize = 1024 * 1024;

/// A stream over a TCP socket, whatever is spoken on it.
pub(super) trait OverTcp {
    /// Returns that socket.
    fn socket(&self) -> SockRef<'_>;
}

impl OverTcp for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl<S: OverTcp> OverTcp for Rewound<S> {
    fn socket(&self) -> SockRef<'_> {
        self.inner().socket()
    }
}

impl<S: OverTcp> OverTcp for Box<S> {
    fn socket(&self) -> SockRef<'_> {
        (**self).socket()
    }
}

impl<S: OverTcp> OverTcp for TlsStream<S> {
    fn socket(&self) -> SockRef<'_> {
        self.get_ref().0.socket()
    }
}

/// Limits what the kernel holds of a connection that was just accepted. Not on the listening socket: connections
/// would inherit the window's scale with it, and could never have a larger window.
///
/// # Errors
/// The system's.
pub(super) fn limit(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_recv_buffer_size(STRANGER)
}

/// Lifts that limit: the kernel adjusts the buffer to the connection again.
///
/// # Errors
/// The system's.
pub(super) fn lift(stream: &impl OverTcp) -> io::Result<()> {
    let socket = stream.socket();
    socket.set_recv_buffer_size(CLIENT)?;
    if let Err(error) = adjust_again(&socket) {
        tracing::debug!(%error, "the system does not adjust a receive buffer again");
        socket.set_recv_buffer_size(CLIENT_FIXED)?;
    }
    Ok(())
}

/// A size that was set once is fixed, unless Linux is told otherwise (SO_BUF_LOCK, since 5.14).
#[cfg(target_os = "linux")]
fn adjust_again(socket: &SockRef<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    let nothing_locked: libc::c_int = 0;
    // SAFE: four bytes.
    #[allow(clippy::cast_possible_truncation)]
    const LEN: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `socket` is, and the value is as long as is said.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BUF_LOCK,
            (&raw const nothing_locked).cast(),
            LEN,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn adjust_again(_: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)] // helpers of tests

    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listening =
            super::super::sockets::listen((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listening = tokio::net::TcpListener::from_std(listening).unwrap();
        let client = TcpStream::connect(listening.local_addr().unwrap()).await.unwrap();
        (listening.accept().await.unwrap().0, client)
    }

    /// Bytes that wait in the kernel once a client that writes and writes can send no more.
    async fn held_unread(server: &TcpStream, client: &mut TcpStream) -> usize {
        SockRef::from(&*client).set_send_buffer_size(4096).unwrap();
        let block = [0; 4096];
        let pause = Duration::from_millis(500);
        while let Ok(sent) = tokio::time::timeout(pause, client.write(&block)).await {
            sent.unwrap();
        }
        server.peek(&mut vec![0; 1 << 20]).await.unwrap()
    }

    #[tokio::test]
    async fn a_stranger_fills_little_of_the_kernels_memory() {
        let (server, mut client) = pair().await;
        limit(&server).unwrap();
        let held = held_unread(&server, &mut client).await;
        // The kernel counts twice what was set, and one segment more; by itself it would hold 128 KiB.
        assert!(held <= 4 * STRANGER, "{held}");
    }

    #[tokio::test]
    async fn with_an_allocation_the_buffer_grows_with_what_comes() {
        let (mut server, mut client) = pair().await;
        limit(&server).unwrap();
        lift(&server).unwrap();
        let writing = tokio::spawn(async move {
            let block = vec![0; 1 << 20];
            for _ in 0..64 {
                client.write_all(&block).await.unwrap();
            }
        });
        let (mut buffer, mut largest) = (vec![0; 1 << 16], 0);
        while server.read(&mut buffer).await.unwrap() > 0 {
            largest = largest.max(SockRef::from(&server).recv_buffer_size().unwrap());
        }
        writing.await.unwrap();
        assert!(largest > 2 * CLIENT, "{largest}");
    }
}
