//! The connection to the board: found within a deadline, and read no further than it may send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::settings::{Place, Settings};

/// Bytes that the board may send for one question: more than the longest answer of a board in order.
const MOST: usize = 8 * 1024 * 1024;

/// Any connection.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// What the board may still send, and [`EXCEEDED`] if it has sent more.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance(Arc<AtomicUsize>);

const EXCEEDED: usize = usize::MAX;

impl Allowance {
    /// For the next question.
    pub(super) fn renew(&self) {
        self.0.store(MOST, Ordering::Relaxed);
    }

    /// What is wrong if the board has sent more. The connection ends by that, and whoever waits learns only that it has.
    pub(super) fn exceeded(&self) -> Option<String> {
        (self.0.load(Ordering::Relaxed) == EXCEEDED)
            .then(|| format!("it sends more than {MOST} bytes for one answer"))
    }
}

/// A connection that fails if the other end sends more than it may.
pub(super) struct Bounded {
    wire: Box<dyn Wire>,
    allowance: Allowance,
}

impl Bounded {
    pub(super) fn new(wire: Box<dyn Wire>, allowance: Allowance) -> Self {
        Self { wire, allowance }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.wire).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        let left = self.allowance.0.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(read) else {
            self.allowance.0.store(EXCEEDED, Ordering::Relaxed);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        self.allowance.0.store(left, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

/// Connects to the board.
///
/// # Errors
/// When it cannot be reached, or is not who it should be.
pub(super) async fn connect(settings: &Settings) -> io::Result<Box<dyn Wire>> {
    let (host, port, tls) = match &settings.place {
        Place::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        Place::Tcp { host, port, tls } => (host, *port, *tls),
    };
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if !tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(client_config(settings)?));
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Trusts the authorities of the file, and no others.
fn client_config(settings: &Settings) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let path =
        settings.ca_file.as_deref().ok_or_else(|| io::Error::other("there is no ca_file"))?;
    let bad = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("ca_file {}: {error}", path.display()))
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        // Of the many of a system some may be of a kind that is not known here.
        let certificate = certificate.map_err(|error| bad(&error))?;
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(bad(&"there is no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
