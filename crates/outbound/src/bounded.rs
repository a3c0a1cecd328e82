//! A connection that is read no further than the other end may send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connect::Stream;

/// How many bytes the other end may still send, or [`EXCEEDED`] if it has sent more.
#[derive(Clone, Debug)]
pub struct Allowance(Arc<AtomicUsize>);

const EXCEEDED: usize = usize::MAX;

impl Allowance {
    /// For the first question, and for what comes before it.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// For the next question.
    pub fn renew(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether more was sent. The connection ends by that, and whoever waits learns only that it has.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EXCEEDED
    }
}

/// A connection that fails if the other end sends more than it may.
pub struct Bounded {
    stream: Box<dyn Stream>,
    allowance: Allowance,
}

impl Bounded {
    /// Who holds the allowance renews it.
    #[must_use]
    pub fn new(stream: Box<dyn Stream>, allowance: Allowance) -> Self {
        Self { stream, allowance }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_allowed_is_read_and_one_byte_more_ends_the_connection() {
        let (near, mut far) = duplex(64);
        let allowance = Allowance::new(3);
        let mut bounded = Bounded::new(Box::new(near), allowance.clone());
        bounded.write_all(b"question").await.unwrap();
        far.read_exact(&mut [0; 8]).await.unwrap();
        far.write_all(b"abc").await.unwrap();
        let mut read = [0; 3];
        bounded.read_exact(&mut read).await.unwrap();
        assert_eq!((&read, allowance.is_exceeded()), (b"abc", false));
        allowance.renew(2);
        far.write_all(b"de").await.unwrap();
        bounded.read_exact(&mut read[..2]).await.unwrap();
        assert_eq!((&read[..2], allowance.is_exceeded()), (&b"de"[..], false));
        far.write_all(b"f").await.unwrap();
        let error = bounded.read(&mut read).await.unwrap_err();
        assert_eq!((error.kind(), allowance.is_exceeded()), (io::ErrorKind::InvalidData, true));
        // It is not read on.
        far.write_all(b"g").await.unwrap();
        assert!(bounded.read(&mut read).await.is_err() && allowance.is_exceeded());
    }

    #[tokio::test]
    async fn the_end_of_a_connection_takes_nothing_of_the_allowance() {
        let (near, far) = duplex(64);
        let allowance = Allowance::new(0);
        drop(far);
        let mut bounded = Bounded::new(Box::new(near), allowance.clone());
        assert_eq!(bounded.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(!allowance.is_exceeded());
    }
}
