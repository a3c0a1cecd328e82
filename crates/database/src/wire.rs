//! The connection to PostgreSQL: read no further than it may send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::settings::Place;

/// Bytes that may come for a connection to be made, and for each small question.
pub(super) const LITTLE: usize = 256 * 1024;

/// Bytes that may come for a table: as many rows as there may be, of which few are as long as they may be.
pub(super) const TABLE: usize = 64 * 1024 * 1024;

/// Any connection.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// What the database may still send, and [`EXCEEDED`] if it has sent more.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

const EXCEEDED: usize = usize::MAX;

impl Allowance {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// For the next question.
    pub(super) fn renew(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether it has sent more. The connection ends by that, and whoever waits learns only that it has.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EXCEEDED
    }
}

/// A connection that fails if the other end sends more than it may.
pub(super) struct Bounded {
    wire: Box<dyn Wire>,
    allowance: Allowance,
}

impl Bounded {
    /// Connects.
    pub(super) async fn connect(place: &Place, allowance: Allowance) -> io::Result<Self> {
        let wire: Box<dyn Wire> = match place {
            Place::Tcp { host, port, .. } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Place::File(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self { wire, allowance })
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
        let Some(left) = left.checked_sub(read).filter(|_| left != EXCEEDED) else {
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
