//! One connection, from its first message until it ends or becomes a data connection (RFC 6062).

use std::cell::RefMut;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::continuation::End;
use super::listener_handle::ListenerHandle;
use super::misdirected::{self, Expected};
use super::receive_buffer::{self, OverTcp};
use super::send_queue::{SendQueue, UNREAD_ANSWERS};
use crate::tcp_relay::unbound::BoundPeer;
use crate::timeouts::{FIRST_MESSAGE, WITHOUT_ALLOCATION};
use taciturn_stun::Frame;
use taciturn_turn::policy::{ConnectionTicket, Exceeded};
use taciturn_turn::{Client, ClientAddr, UserId};

/// How long the client may take to read the answer that makes it a data connection, or its last ones.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// How long a client may take to read that the server stops.
const LAST_WORD: Duration = Duration::from_millis(100);

/// The longest message of a client without an allocation: it asks for one, and nothing else.
const LONGEST_BEFORE: usize = 2048;

/// The longest ChannelData message with its padding.
const LONGEST: usize = 65_536 + 4;

/// Reads in one turn, before other connections get theirs.
const READS_A_TURN: usize = 4;

/// Messages in one turn, likewise: small ones cost as much as long ones.
const MESSAGES_A_TURN: usize = 64;

/// Likewise, of a client without an allocation: many of them may have a turn before the worker looks at its sockets.
const MESSAGES_BEFORE: usize = 16;

/// Bytes that a client without an allocation may have read at a time. What is not done of it is kept.
const READ_BEFORE: usize = 4096;

/// Bytes of TLS records that wait for a client that does not read, besides its queue.
pub(super) const UNSENT_RECORDS: usize = 16 * 1024;

/// Bytes of memory that a connection without an allocation takes at most: what it has sent and is not
/// done, answers that wait, records of TLS that wait, and 64 KiB for all the rest: its task, and the
/// state of TLS or DTLS with the records that have come in part.
pub const STRANGER_MEMORY: usize = 2 * READ_BEFORE + UNREAD_ANSWERS + UNSENT_RECORDS + 64 * 1024;

/// Room that is kept for the front of a message while there is none.
const KEPT: usize = 2048;

/// The worker, as it serves the messages of connections.
pub(crate) trait Messages {
    /// Serves whole messages at the front of what a connection has read: `messages` at most, and none once there is
    /// no room for another answer. Returns how many bytes they have, and counts `messages` down.
    ///
    /// # Errors
    /// If the connection has to end: what follows is no message, or the client cannot prove a credential.
    fn read(&self, client: Client, bytes: &[u8], messages: &mut usize) -> io::Result<usize>;

    /// Returns the peer connection that the client's connection was bound to by what was read last.
    fn take_bound(&self, client: Client) -> Option<BoundPeer>;

    /// Returns true if the client has an allocation.
    fn has_allocation(&self, client: &Client) -> bool;

    /// Returns true if one more connection without an allocation may have its turn in this round.
    fn admits_stranger(&self) -> bool;

    /// Returns the buffer to read into, for the turn of one connection.
    fn read_buffer(&self) -> RefMut<'_, Box<[u8]>>;

    /// Logs that a TCP connection between a client and a peer waits for a limit.
    fn slowed_down(&self, client: ClientAddr, user: &UserId, exceeded: Exceeded);
}

/// A connection that was accepted.
pub(super) struct Accepted<'a> {
    pub(super) client: Client,
    pub(super) queue: &'a SendQueue,
    pub(super) listener: &'a ListenerHandle,
    /// Its place among the connections.
    pub(super) ticket: &'a ConnectionTicket,
    /// When it was accepted.
    pub(super) since: Instant,
}

/// Serves the messages that arrive and writes those that wait, until either side ends the connection. If the
/// client binds a peer connection, or has bound one (`bound`), relays data between the two from then on.
///
/// # Errors
/// Those of the connection, and why the server has ended it.
pub(super) async fn serve<M: Messages, S: AsyncRead + AsyncWrite + OverTcp + Unpin>(
    worker: &M,
    accepted: Accepted<'_>,
    bound: Option<BoundPeer>,
    stream: S,
) -> io::Result<()> {
    let Accepted { client, queue, ticket, .. } = accepted;
    let mut connection = Connection {
        worker,
        accepted,
        stream,
        // Of one that another process had, there may be a whole message.
        more: !is_incomplete(&queue.continuation().unread()),
        bound,
        settled: false,
        spoken: false,
        limit: Box::pin(sleep(FIRST_MESSAGE)),
    };
    poll_fn(|context| {
        ticket.on_loss(context.waker().clone());
        Poll::Ready(())
    })
    .await;
    connection.begin()?;
    let outcome = poll_fn(|context| connection.poll(context)).await;
    let Connection { mut stream, bound, .. } = connection;
    if queue.continuation().ends() == Some(End::Stopping) {
        // With TLS it is the close_notify alert.
        let _ = timeout(LAST_WORD, stream.shutdown()).await;
    }
    outcome?;
    // The answer goes out before the first byte of data, and also to a client that has no more to say.
    let drained = poll_fn(|context| match ticket.is_lost() {
        true => Poll::Ready(Err(lost_its_place())),
        // Media are of no use to a client that has gone.
        false if bound.is_none() && queue.holds_media() => Poll::Ready(Ok(())),
        false => queue.poll_drain(context, Pin::new(&mut stream)),
    });
    timeout(LAST_ANSWER, drained).await??;
    if let Some(peer) = bound {
        let (reader, writer) = tokio::io::split(stream);
        // Few connections come here, so the others do not hold room for it.
        let tell = |user: &UserId, exceeded| worker.slowed_down(client.remote, user, exceeded);
        let unread = std::mem::take(&mut *queue.continuation().unread());
        Box::pin(peer.join(unread, reader, writer, &tell)).await;
    }
    Ok(())
}

/// A hand-written future: a packet costs one wake-up of one task, which reads, answers and writes,
/// and sets no timer.
struct Connection<'a, M, S> {
    worker: &'a M,
    accepted: Accepted<'a>,
    stream: S,
    /// Whether what was read and is not done begins with a whole message.
    more: bool,
    /// The peer connection that the client has bound. What is unread then is data for it.
    bound: Option<BoundPeer>,
    /// Whether the client has an allocation, as its ticket knows it.
    settled: bool,
    /// Whether there was a whole message.
    spoken: bool,
    /// When it is looked at again how long the client is here.
    limit: Pin<Box<Sleep>>,
}

impl<M: Messages, S: AsyncRead + AsyncWrite + OverTcp + Unpin> Connection<'_, M, S> {
    /// Takes up what another process has begun: the client may have an allocation.
    fn begin(&mut self) -> io::Result<()> {
        let Accepted { client, queue, .. } = self.accepted;
        if let Some(peer) = &self.bound {
            queue.continuation().keep(client, &self.stream.socket());
            queue.continuation().join(peer);
        }
        if self.bound.is_some() || self.worker.has_allocation(&client) {
            self.spoken = true;
            self.set_settled(true)?;
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.bound.is_some() {
            // Another process has read all of its messages.
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = self.accepted.queue.continuation().ends() {
            let why = match end {
                End::GivenAway => "another process goes on with it",
                End::Stopping => "the server stops",
            };
            return Poll::Ready(Err(io::Error::other(why)));
        }
        if self.accepted.ticket.is_lost() {
            return Poll::Ready(Err(lost_its_place()));
        }
        if !self.settled && !self.worker.admits_stranger() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let closed = self.poll_read(context)?;
        let Accepted { queue, listener, client, .. } = self.accepted;
        let had_room = queue.has_room_for_an_answer();
        //= 8489-6.2.2-no-close-before-answer
        // After reading: the answer to what was read goes out in the same turn, also to a client
        // that has closed its side.
        queue.poll_write(context, Pin::new(&mut self.stream))?;
        if closed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // It was not read from until now, so nothing else wakes this task for that.
        if !had_room && queue.has_room_for_an_answer() {
            context.waker().wake_by_ref();
        }
        if queue.take_allocation_changed() {
            let has_allocation = self.worker.has_allocation(&client);
            if has_allocation != self.settled {
                self.set_settled(has_allocation)?;
            }
        }
        // Not before its last answer is out.
        if listener.is_retired() && queue.is_clear() && !self.worker.has_allocation(&client) {
            return Poll::Ready(Err(io::Error::other("the listener was removed")));
        }
        self.poll_limit(context)
    }

    /// Ready when the client has closed its side, or has bound a peer connection.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let worker = self.worker;
        let mut messages = if self.settled { MESSAGES_A_TURN } else { MESSAGES_BEFORE };
        for _ in 0..READS_A_TURN {
            if !self.accepted.queue.has_room_for_an_answer() {
                return Poll::Pending;
            }
            if self.more {
                self.take_or_explain(&[], &mut messages)?;
            } else {
                let mut read_buffer = worker.read_buffer();
                let most = if self.settled { read_buffer.len() } else { READ_BEFORE };
                let mut buffer = ReadBuf::new(read_buffer.get_mut(..most).unwrap_or_default());
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)?);
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.take_or_explain(buffer.filled(), &mut messages)?;
            }
            if self.bound.is_some() {
                return Poll::Ready(Ok(()));
            }
            if messages == 0 {
                break;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// As [`Self::take`]; for what is no message, the error says what it is instead.
    fn take_or_explain(&mut self, bytes: &[u8], messages: &mut usize) -> io::Result<()> {
        let spoken = self.spoken;
        self.take(bytes, messages).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let unread = self.accepted.queue.continuation().unread();
                let head = if unread.is_empty() { bytes } else { &unread };
                let expected = match self.accepted.queue.transport() {
                    _ if spoken => Expected::NextMessage,
                    "tls" => Expected::StunInTls,
                    _ => Expected::Stun,
                };
                misdirected::found(head, expected)
            }
            _ => error,
        })
    }

    /// Hands whole messages to the shard, and keeps what is not done.
    fn take(&mut self, bytes: &[u8], messages: &mut usize) -> io::Result<()> {
        let Accepted { client, queue, .. } = self.accepted;
        {
            let mut unread = queue.continuation().unread();
            if unread.is_empty() {
                let taken = self.worker.read(client, bytes, messages)?;
                self.spoken |= taken > 0;
                unread.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            } else {
                unread.extend_from_slice(bytes);
                let taken = self.worker.read(client, &unread, messages)?;
                self.spoken |= taken > 0;
                unread.drain(..taken);
            }
        }
        self.bound = self.worker.take_bound(client);
        if !self.settled && (self.bound.is_some() || self.worker.has_allocation(&client)) {
            self.set_settled(true)?;
        }
        if let Some(peer) = &self.bound {
            queue.continuation().join(peer);
            return Ok(());
        }
        self.more = false;
        let mut unread = queue.continuation().unread();
        if unread.is_empty() {
            unread.shrink_to(KEPT);
        } else if let Frame::Incomplete { needed } = Frame::of(&unread) {
            if needed > if self.settled { LONGEST } else { LONGEST_BEFORE } {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
            }
        } else {
            self.more = true;
        }
        Ok(())
    }

    /// The client has an allocation now, or none any more.
    fn set_settled(&mut self, settled: bool) -> io::Result<()> {
        // Before it hears of its allocation: one that has lost its place must not.
        if !self.accepted.ticket.set_settled(settled) {
            return Err(lost_its_place());
        }
        self.settled = settled;
        let continuation = self.accepted.queue.continuation();
        if settled && self.accepted.queue.transport() == "tcp" {
            continuation.keep(self.accepted.client, &self.stream.socket());
        } else {
            continuation.drop_socket();
        }
        if settled {
            // An error changes no more than the size of a buffer.
            let _ = receive_buffer::lift(&self.stream);
        } else {
            self.accepted.since = Instant::now();
            self.limit.as_mut().reset(self.accepted.since + WITHOUT_ALLOCATION);
        }
        Ok(())
    }

    /// Ready, with an error, when the client was here for too long without an allocation.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.limit.as_mut().poll(context).is_ready() {
            if !self.spoken {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let (now, has_allocation) =
                (Instant::now(), self.worker.has_allocation(&self.accepted.client));
            // One can come from another connection, and go to one, without a word here (RFC 8016).
            if has_allocation != self.settled {
                self.set_settled(has_allocation)?;
            }
            //= 8489-6.2.2-server-keeps-connection
            // With an allocation it may stay: that has its own lifetime.
            let next = if has_allocation { now } else { self.accepted.since } + WITHOUT_ALLOCATION;
            if next <= now {
                let why = "no allocation in time";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            self.limit.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// Returns true if no whole message is at the front.
fn is_incomplete(unread: &[u8]) -> bool {
    unread.is_empty() || matches!(Frame::of(unread), Frame::Incomplete { .. })
}

pub(super) fn lost_its_place() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "closed to make room for others")
}
