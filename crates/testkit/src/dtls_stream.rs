//! A DTLS client as a stream, so that [`crate::stream_client`] can use it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use taciturn_stun::ChannelData;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::dtls::{Client, Wants};
use crate::server::PATIENCE;

/// When a flight is sent again.
const RESEND: Duration = Duration::from_millis(400);

/// A DTLS connection to the server. What is written in one call is one record. Each record read is
/// a whole message; those of ChannelData are padded here, for a reader of streams wants that.
pub struct DtlsStream {
    pub client: Client,
    pub socket: UdpSocket,
    unread: Vec<u8>,
}

impl DtlsStream {
    /// Performs the handshake with `server` from a port of its own.
    pub async fn connect(server: SocketAddr, client: Client) -> io::Result<Self> {
        let socket = UdpSocket::bind((server.ip(), 0)).await?;
        Self::connect_from(socket, server, client).await
    }

    /// Shakes hands with `server` from `socket`.
    pub async fn connect_from(
        socket: UdpSocket,
        server: SocketAddr,
        mut client: Client,
    ) -> io::Result<Self> {
        socket.connect(server).await?;
        let mut buffer = [0; 5000];
        let (start, mut flight) = (Instant::now(), Vec::new());
        loop {
            let next = client.step();
            if !next.is_empty() {
                flight = next;
                send(&socket, &flight).await?;
            }
            if let Some(failed) = client.failed {
                return Err(io::Error::other(failed));
            }
            if client.established {
                return Ok(Self { client, socket, unread: Vec::new() });
            }
            match timeout(RESEND, socket.recv(&mut buffer)).await {
                Ok(len) => client.deliver(&buffer[..len?]),
                Err(_) if start.elapsed() > PATIENCE => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => send(&socket, &flight).await?,
            }
        }
    }

    /// Sends close_notify.
    pub async fn close(&mut self) {
        let _ = self.client.stream.shutdown();
        for datagram in self.client.sent() {
            self.socket.send(&datagram).await.unwrap();
        }
    }
}

async fn send(socket: &UdpSocket, flight: &[Vec<u8>]) -> io::Result<()> {
    for datagram in flight {
        socket.send(datagram).await?;
    }
    Ok(())
}

/// The first two flights of a client that then goes silent: the server keeps a half-open
/// connection for it.
pub async fn half_open(server: SocketAddr, root: &openssl::x509::X509) -> UdpSocket {
    let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let mut client = Client::that(root, &Wants::default());
    let mut buffer = [0; 5000];
    socket.send(&client.step()[0]).await.unwrap();
    let len = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    client.deliver(&buffer[..len]);
    socket.send(&client.step()[0]).await.unwrap();
    socket
}

impl AsyncRead for DtlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        while me.unread.is_empty() {
            match me.client.recv() {
                Ok(Some(mut record)) => {
                    if let Some(message) = ChannelData::parse(&record) {
                        // RFC 8656 section 12.5: no padding where it is not needed.
                        assert_eq!(record.len(), ChannelData::HEADER_LEN + message.data.len());
                        record.resize(record.len().next_multiple_of(4), 0);
                    }
                    me.unread = record;
                }
                Ok(None) => {
                    let mut buffer = [0; 5000];
                    let mut datagram = ReadBuf::new(&mut buffer);
                    ready!(me.socket.poll_recv(context, &mut datagram))?;
                    me.client.deliver(datagram.filled());
                }
                Err(()) => return Poll::Ready(Ok(())),
            }
        }
        let len = me.unread.len().min(out.remaining());
        out.put_slice(&me.unread[..len]);
        me.unread.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DtlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        for datagram in me.client.send(message) {
            // The buffer of a socket on loopback has room for one datagram.
            assert_eq!(me.socket.try_send(&datagram)?, datagram.len());
        }
        Poll::Ready(Ok(message.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Takes leave, as [`Self::close`] does.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.client.stream.shutdown();
        for datagram in self.client.sent() {
            self.socket.try_send(&datagram)?;
        }
        Poll::Ready(Ok(()))
    }
}
