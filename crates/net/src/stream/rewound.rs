//! A connection whose first bytes were read already, to see what is spoken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads `head` first, then from the connection; up to the limit, while there is one.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    head: Vec<u8>,
    given: usize,
    limit: Option<usize>,
    inner: S,
}

impl<S> Rewound<S> {
    pub(super) const fn new(head: Vec<u8>, inner: S) -> Self {
        Self { head, given: 0, limit: None, inner }
    }

    /// Fails each read after this many bytes from now on.
    pub(super) const fn limit(&mut self, bytes: usize) {
        self.limit = Some(bytes);
    }

    pub(super) const fn lift_limit(&mut self) {
        self.limit = None;
    }

    pub(super) const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    fn poll_inner(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.head.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let len = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..len).unwrap_or_default());
        self.given += len;
        if self.given == self.head.len() {
            self.head = Vec::new();
            self.given = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(limit) = self.limit else { return self.poll_inner(context, buffer) };
        if limit == 0 {
            return Poll::Ready(Err(io::Error::other(
                "the client sends more than a handshake needs",
            )));
        }
        let before = buffer.filled().len();
        ready!(self.poll_inner(context, buffer)?);
        self.limit = Some(limit.saturating_sub(buffer.filled().len() - before));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn the_head_comes_first_and_once() {
        let mut stream = Rewound::new(b"head ".to_vec(), &b"and tail"[..]);
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, rest.as_str()), (b"he", "ad and tail"));
    }

    #[tokio::test]
    async fn a_limit_counts_what_is_read_from_then_on_and_can_be_lifted() {
        let mut stream = Rewound::new(b"head ".to_vec(), &b"and a long tail"[..]);
        let mut four = [0; 4];
        stream.limit(9);
        stream.read_exact(&mut four).await.unwrap();
        stream.read_exact(&mut four).await.unwrap();
        stream.read_exact(&mut four[..1]).await.unwrap();
        assert!(stream.read_exact(&mut four).await.is_err());
        stream.limit(4);
        stream.read_exact(&mut four).await.unwrap();
        assert!(stream.read_exact(&mut four).await.is_err());
        stream.lift_limit();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "ng tail");
    }
}
