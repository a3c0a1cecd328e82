//! What is on its way between a client and a peer (RFC 6062): read, and not written yet.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are on their way in each direction, besides the kernel's.
pub(super) const BUFFER: usize = 16 * 1024;

/// The bytes that a pipe has read and not written yet, in either direction: what another process needs to go on with
/// it.
#[derive(Debug, Default)]
pub(crate) struct Piped {
    pub(super) to_peer: InTransit,
    pub(super) to_client: InTransit,
}

impl Piped {
    /// Returns the bytes that are on their way to the peer, and those to the client.
    pub(crate) fn bytes(&self) -> [Vec<u8>; 2] {
        [&self.to_peer, &self.to_client].map(InTransit::rest)
    }
}

/// What one way has read and not written yet.
#[derive(Debug, Default)]
pub(super) struct InTransit {
    bytes: RefCell<Vec<u8>>,
    written: Cell<usize>,
}

impl InTransit {
    /// Takes these bytes up; nothing else waits.
    pub(super) fn put(&self, bytes: Vec<u8>) {
        self.bytes.replace(bytes);
        self.written.set(0);
    }

    fn rest(&self) -> Vec<u8> {
        self.bytes.borrow().get(self.written.get()..).unwrap_or_default().to_vec()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.borrow().len() - self.written.get()
    }

    /// Reads once; nothing waits. Returns how many bytes came.
    pub(super) async fn read(&self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        self.written.set(0);
        poll_fn(|context| {
            let mut bytes = self.bytes.borrow_mut();
            bytes.resize(BUFFER, 0);
            let mut buffer = ReadBuf::new(&mut bytes);
            let polled = Pin::new(&mut *from).poll_read(context, &mut buffer);
            let read = buffer.filled().len();
            bytes.truncate(read);
            polled.map_ok(|()| read)
        })
        .await
    }

    /// Writes once. Returns true if nothing is left.
    pub(super) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<bool> {
        let written = poll_fn(|context| {
            let bytes = self.bytes.borrow();
            let rest = bytes.get(self.written.get()..).unwrap_or_default();
            match rest.is_empty() {
                true => Poll::Ready(Ok(None)),
                false => Pin::new(&mut *to).poll_write(context, rest).map_ok(Some),
            }
        })
        .await?;
        match written {
            None => Ok(true),
            Some(0) => Err(io::ErrorKind::WriteZero.into()),
            Some(some) => {
                self.written.set(self.written.get() + some);
                Ok(self.len() == 0)
            }
        }
    }
}
