//! Messages to and from one server, over whatever carries them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{ClientError, Roots, ServerCertificate, Spoken, tls};
use taciturn_stun::Frame;

/// A stream of bytes, plain or in TLS.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

enum Carrier {
    Datagrams(UdpSocket),
    Stream { io: Box<dyn Bytes>, unread: Vec<u8> },
}

/// The parts of a connection.
pub(crate) enum Parts {
    /// A socket that is connected to the server, non-blocking.
    Datagrams(std::net::UdpSocket),
    /// A stream, and what was read of it and not taken yet.
    Stream(Box<dyn Bytes>, Vec<u8>),
}

/// A way to one server.
pub struct Connection {
    carrier: Carrier,
    /// The longest that one message may take to be written.
    patience: Duration,
}

impl Connection {
    /// Over what `spoken` says, to a server that should be `host`. With TLS the certificate is handed
    /// over, as [`Connection::tls`] has it.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn open(
        spoken: Spoken,
        server: SocketAddr,
        host: &str,
        roots: &Roots,
        patience: Duration,
    ) -> Result<(Self, Option<ServerCertificate>), ClientError> {
        Ok(match spoken {
            Spoken::Udp => (Self::udp(server, patience).await?, None),
            Spoken::Tcp => (Self::tcp(server, patience).await?, None),
            Spoken::Tls => {
                let (connection, certificate) = Self::tls(server, host, roots, patience).await?;
                (connection, Some(certificate))
            }
        })
    }

    /// Over UDP. Nothing is sent yet.
    ///
    /// # Errors
    /// When this machine has no way to the address.
    pub async fn udp(server: SocketAddr, patience: Duration) -> Result<Self, ClientError> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await.map_err(no_family)?;
        // Connected: only then does the system tell of ICMP messages.
        socket.connect(server).await?;
        Ok(Self { carrier: Carrier::Datagrams(socket), patience })
    }

    /// Over TCP.
    ///
    /// # Errors
    /// If there is no connection within `patience`.
    pub async fn tcp(server: SocketAddr, patience: Duration) -> Result<Self, ClientError> {
        Ok(Self::stream(Box::new(dial(server, patience).await?), patience))
    }

    /// Over TLS, with a server that should be `host`. The certificate is handed over with its
    /// verdict; the connection is there even where the verdict is bad.
    ///
    /// # Errors
    /// If there is no connection, or the handshake fails for another reason.
    pub async fn tls(
        server: SocketAddr,
        host: &str,
        roots: &Roots,
        patience: Duration,
    ) -> Result<(Self, ServerCertificate), ClientError> {
        let tcp = dial(server, patience).await?;
        let shaken = timeout(patience, tls::handshake(tcp, host, roots)).await;
        let (stream, certificate) =
            shaken.map_err(|_| ClientError::Silent { waited: patience })??;
        Ok((Self::stream(Box::new(stream), patience), certificate))
    }

    fn stream(io: Box<dyn Bytes>, patience: Duration) -> Self {
        Self { carrier: Carrier::Stream { io, unread: Vec::new() }, patience }
    }

    /// Over a UDP socket that is connected to the server already.
    pub(crate) fn of_socket(
        socket: std::net::UdpSocket,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        socket.set_nonblocking(true)?;
        Ok(Self { carrier: Carrier::Datagrams(UdpSocket::from_std(socket)?), patience })
    }

    /// Takes the connection apart, for who reads and sends by itself.
    pub(crate) fn into_parts(self) -> Result<Parts, ClientError> {
        Ok(match self.carrier {
            Carrier::Datagrams(socket) => Parts::Datagrams(socket.into_std()?),
            Carrier::Stream { io, unread } => Parts::Stream(io, unread),
        })
    }

    /// Whether each message is a datagram: it may get lost, and has to be asked for again.
    #[must_use]
    pub const fn is_datagram(&self) -> bool {
        matches!(self.carrier, Carrier::Datagrams(_))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// If the server is known to have ended, or a stream accepts no more data.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), ClientError> {
        match &mut self.carrier {
            Carrier::Datagrams(socket) => {
                socket.send(message).await?;
            }
            Carrier::Stream { io, .. } => {
                let written = timeout(self.patience, async {
                    io.write_all(message).await?;
                    io.flush().await
                });
                let silent = |_| ClientError::Silent { waited: self.patience };
                written.await.map_err(silent)??;
            }
        }
        Ok(())
    }

    /// The next message, without padding. May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// If the connection has ended, or the data are not STUN.
    pub async fn receive(&mut self) -> Result<Vec<u8>, ClientError> {
        match &mut self.carrier {
            Carrier::Datagrams(socket) => {
                let mut buffer = vec![0; 65536];
                let len = socket.recv(&mut buffer).await?;
                buffer.truncate(len);
                Ok(buffer)
            }
            Carrier::Stream { io, unread } => loop {
                match Frame::of(unread) {
                    Frame::Whole { len, padded } => {
                        let mut message: Vec<u8> = unread.drain(..padded).collect();
                        message.truncate(len);
                        return Ok(message);
                    }
                    Frame::Foreign => return Err(ClientError::NotStun(shown(unread))),
                    Frame::Incomplete { .. } => {}
                }
                if io.read_buf(unread).await? == 0 {
                    return Err(ClientError::Closed);
                }
            },
        }
    }
}

async fn dial(server: SocketAddr, patience: Duration) -> Result<TcpStream, ClientError> {
    let silent = |_| ClientError::Silent { waited: patience };
    let stream = timeout(patience, TcpStream::connect(server)).await.map_err(silent)??;
    // Small messages must not wait for each other.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A system without IPv6 cannot even make the socket.
fn no_family(error: std::io::Error) -> ClientError {
    match error.kind() {
        std::io::ErrorKind::Unsupported => ClientError::NoRoute,
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => ClientError::NoRoute,
        _ => error.into(),
    }
}

/// The beginning of unexpected data, which often identifies the protocol.
fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let start = line.get(..line.len().min(40)).unwrap_or_default();
    match start {
        [0x15, 3, ..] => "a TLS alert: the server uses TLS on this port".into(),
        [0x16, 3, ..] => "a TLS handshake: the server uses TLS on this port".into(),
        _ => format!("\"{}\"", start.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_cut_into_messages_and_strangers_are_named() {
        let (client, mut server) = tokio::io::duplex(256);
        let mut connection = Connection::stream(Box::new(client), Duration::from_secs(30));
        server.write_all(&[0x40, 0, 0, 1, b'x', 0, 0, 0, 0x40, 1]).await.unwrap();
        assert_eq!(connection.receive().await.unwrap(), [0x40, 0, 0, 1, b'x']);
        server.write_all(&[0, 0]).await.unwrap();
        assert_eq!(connection.receive().await.unwrap(), [0x40, 1, 0, 0]);
        server.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        // 'H' is 0x48: in the range of channels, so more is waited for until the server is done.
        drop(server);
        assert!(matches!(connection.receive().await, Err(ClientError::Closed)));
        assert_eq!(shown(b"SSH-2.0-x\r\nmore"), "\"SSH-2.0-x\"");
    }
}
