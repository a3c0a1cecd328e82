//! A connection to another server.

use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::Tls;

/// Any connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects by TCP.
///
/// # Errors
/// When the host is unknown, or cannot be reached.
pub async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects by TCP and, if the connection is secured, by TLS: the other end must have a certificate for `host` of an
/// authority in `ca_file`.
///
/// # Errors
/// When it cannot be reached, is not who it should be, or the file cannot be used.
pub async fn connect(
    host: &str,
    port: u16,
    secured: bool,
    ca_file: Option<&Path>,
) -> io::Result<Box<dyn Stream>> {
    let stream = tcp(host, port).await?;
    if !secured {
        return Ok(Box::new(stream));
    }
    Ok(Box::new(Tls::new(host, ca_file)?.connect(stream).await?))
}
