//! One end of a flow: a client, or its peer.

use std::cell::RefCell;
use std::net::{SocketAddr, UdpSocket};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;

use super::BenchError;
use crate::client::{Bytes, Connection, Parts};
use taciturn_net::load_generator::Bulk;
use taciturn_net::watch_socket;
use taciturn_stun::{ChannelData, ChannelNumber};

/// Bytes that wait for a stream to take them, at most. Beyond that packets are not sent.
const WAITING: usize = 1 << 20;

/// The channel of every flow: the first one (RFC 8656 section 12).
pub(super) fn channel() -> Option<ChannelNumber> {
    ChannelNumber::new(0x4000)
}

/// An end, ready to send and read.
pub(super) struct End {
    pub(super) way: Way,
    /// Whether its messages are ChannelData: those of clients are.
    pub(super) framed: bool,
}

/// How its messages go.
pub(super) enum Way {
    /// A socket, and whom it sends to.
    Datagrams(AsyncFd<UdpSocket>, SocketAddr),
    /// A stream.
    Stream(Stream),
}

/// The messages to be written to a stream, and its halves until their tasks take them.
pub(super) struct Stream {
    waiting: RefCell<Vec<u8>>,
    news: Notify,
    halves: RefCell<Option<Halves>>,
}

pub(super) type Reader = ReadHalf<Box<dyn Bytes>>;
pub(super) type Writer = WriteHalf<Box<dyn Bytes>>;
type Halves = (Reader, Writer, Vec<u8>);

impl End {
    /// A client whose channel is bound.
    pub(super) fn client(connection: Connection, server: SocketAddr) -> Result<Self, BenchError> {
        let failed = |error| BenchError::Client { step: "the connection", error, own_peer: false };
        let way = match connection.into_parts().map_err(failed)? {
            Parts::Datagrams(socket) => datagrams(socket, server)?,
            Parts::Stream(io, unread) => {
                let (reader, writer) = split(io);
                Way::Stream(Stream {
                    waiting: RefCell::default(),
                    news: Notify::new(),
                    halves: RefCell::new(Some((reader, writer, unread))),
                })
            }
        };
        Ok(Self { way, framed: true })
    }

    /// A socket of this machine, which sends to the relayed address.
    pub(super) fn peer(socket: UdpSocket, relayed: SocketAddr) -> Result<Self, BenchError> {
        Ok(Self { way: datagrams(socket, relayed)?, framed: false })
    }

    /// Number of bytes before the payload.
    pub(super) const fn head(&self) -> usize {
        if self.framed { ChannelData::HEADER_LEN } else { 0 }
    }

    /// A message with `size` zero bytes: its head, and on a stream its padding.
    pub(super) fn message(&self, size: u16) -> Vec<u8> {
        let mut message = Vec::new();
        if let Some(channel) = channel().filter(|_| self.framed) {
            message.extend(ChannelData::header(channel, size));
        }
        message.resize(message.len() + usize::from(size), 0);
        if matches!(self.way, Way::Stream(_)) {
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }
}

fn datagrams(socket: UdpSocket, to: SocketAddr) -> Result<Way, BenchError> {
    Bulk::prepare(&socket)?;
    // A burst that finds no room is the load's loss and would be laid at the server's door. The
    // system may give less.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(4 << 20);
    Ok(Way::Datagrams(watch_socket(socket)?, to))
}

impl Stream {
    pub(super) fn take_halves(&self) -> Option<Halves> {
        self.halves.borrow_mut().take()
    }

    /// Has messages written; returns whether there was room.
    pub(super) fn put(&self, messages: &[u8]) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + messages.len() > WAITING {
            return false;
        }
        waiting.extend_from_slice(messages);
        self.news.notify_one();
        true
    }

    /// Writes what waits, each message of `len` bytes by itself, as clients of calls do. Returns when
    /// the connection is over.
    pub(super) async fn write(&self, mut writer: Writer, len: usize) {
        let mut taken = Vec::new();
        loop {
            std::mem::swap(&mut taken, &mut *self.waiting.borrow_mut());
            if taken.is_empty() {
                self.news.notified().await;
                continue;
            }
            for message in taken.chunks(len.max(1)) {
                if writer.write_all(message).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
            taken.clear();
        }
    }
}
