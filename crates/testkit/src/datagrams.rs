//! A UDP socket as a stream, so that [`crate::stream_client`] can use it. ChannelData get the
//! padding that a stream parser requires.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use taciturn_stun::ChannelData;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;

/// Datagrams in the place of a stream: each write is one.
pub struct Datagrams {
    pub socket: UdpSocket,
    /// The rest of the datagram that was read last.
    rest: Vec<u8>,
}

impl AsyncRead for Datagrams {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            let mut datagram = [0; 2000];
            let mut room = ReadBuf::new(&mut datagram);
            ready!(self.socket.poll_recv(context, &mut room))?;
            self.rest = room.filled().to_vec();
            if ChannelData::parse(&self.rest).is_some() {
                let padded = self.rest.len().next_multiple_of(4);
                self.rest.resize(padded, 0);
            }
        }
        let len = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..len]);
        self.rest.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Datagrams {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(ready!(self.socket.poll_send(context, bytes))?))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Datagrams {
    /// Those of a connected socket.
    pub const fn over(socket: UdpSocket) -> Self {
        Self { socket, rest: Vec::new() }
    }
}

/// Datagrams between a port of its own and `to`.
pub async fn udp(to: SocketAddr) -> Datagrams {
    let own: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let socket = UdpSocket::bind((own, 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    Datagrams::over(socket)
}
