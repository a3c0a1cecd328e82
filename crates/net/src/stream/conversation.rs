//! One connection once it speaks STUN, and until it becomes a data connection (RFC 6062).

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{Door, Line};
use crate::patience::{FIRST_MESSAGE, IDLE};
use crate::tcp_relay::BoundPeer;
use crate::worker::Core;
use taciturn_stun::Frame;
use taciturn_turn::Client;

/// How long the client may take to read the answer that makes it a data connection.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// The longest message of a client without an allocation: it asks for one, and nothing else.
const LONGEST_BEFORE: usize = 2048;

/// The longest ChannelData message with its padding.
const LONGEST: usize = 65_536 + 4;

/// Reads in one turn, before other connections get theirs.
const READS_A_TURN: usize = 4;

/// Room that is kept for the front of a message while there is none.
const KEPT: usize = 2048;

/// Reads messages to the shard and writes what waits in the line, until either side ends. A
/// connection that is bound to a peer's goes on with that.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    core: &Rc<Core>,
    client: Client,
    line: &Line,
    door: &Door,
    stream: S,
) -> io::Result<()> {
    let mut conversation = Conversation {
        core,
        client,
        line,
        door,
        stream,
        unread: Vec::new(),
        bound: None,
        heard: Instant::now(),
        spoken: false,
        limit: Box::pin(sleep(FIRST_MESSAGE)),
    };
    poll_fn(|context| conversation.poll(context)).await?;
    let Conversation { mut stream, unread, bound, .. } = conversation;
    if let Some(peer) = bound {
        // The answer goes out before the first byte of data.
        let drained = poll_fn(|context| line.poll_drain(context, Pin::new(&mut stream)));
        timeout(LAST_ANSWER, drained).await??;
        let (reader, writer) = tokio::io::split(stream);
        // Few connections come here, so the others do not hold room for it.
        let tell = |user: &str, exceeded| core.slowed_down(client.remote, user, exceeded);
        Box::pin(peer.join(unread, reader, writer, &tell)).await;
    }
    Ok(())
}

/// A future by hand: a packet then costs one wake-up of one task, which reads, answers and writes,
/// and sets no timer.
struct Conversation<'a, S> {
    core: &'a Core,
    client: Client,
    line: &'a Line,
    door: &'a Door,
    stream: S,
    /// The front of a message whose rest has not come yet.
    unread: Vec<u8>,
    /// The peer connection that the client has bound. What is unread then is data for it.
    bound: Option<BoundPeer>,
    /// When the client was last heard.
    heard: Instant,
    /// Whether there was a whole message.
    spoken: bool,
    /// When silence is looked at again.
    limit: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = self.poll_read(context)?;
        //= 8489-6.2.2-no-close-before-answer
        // After reading: the answer to what was read goes out in the same turn, also to a client
        // that has closed its side.
        self.line.poll_write(context, Pin::new(&mut self.stream))?;
        if closed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // Not before its last answer is out.
        if self.door.is_retired() && self.line.is_clear() && !self.core.has_allocation(&self.client)
        {
            return Poll::Ready(Err(io::Error::other("the listener was removed")));
        }
        self.poll_limit(context)
    }

    /// Ready when the client has closed its side, or has bound a peer connection.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let core = self.core;
        for _ in 0..READS_A_TURN {
            let mut room = core.room();
            let mut buffer = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)?);
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.heard = Instant::now();
            self.take(buffer.filled())?;
            if self.bound.is_some() {
                return Poll::Ready(Ok(()));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands whole messages to the shard, and keeps the front of one.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unread.is_empty() {
            let taken = self.core.read_stream(self.client, bytes)?;
            self.spoken |= taken > 0;
            self.unread.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        } else {
            self.unread.extend_from_slice(bytes);
            let taken = self.core.read_stream(self.client, &self.unread)?;
            self.spoken |= taken > 0;
            self.unread.drain(..taken);
        }
        self.bound = self.core.take_bound(self.client);
        if self.bound.is_some() {
            return Ok(());
        }
        if self.unread.is_empty() {
            self.unread.shrink_to(KEPT);
        } else if let Frame::Incomplete { needed } = Frame::of(&self.unread) {
            let has_allocation = self.core.has_allocation(&self.client);
            if needed > if has_allocation { LONGEST } else { LONGEST_BEFORE } {
                return Err(io::Error::other("a message over the limit"));
            }
        }
        Ok(())
    }

    /// Ready, with an error, when the client was silent for too long.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.limit.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let silent = now >= self.heard + IDLE;
            //= 8489-6.2.2-server-keeps-connection
            // Silence is fine for as long as there is an allocation: that has its own lifetime.
            if !self.spoken || (silent && !self.core.has_allocation(&self.client)) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.limit.as_mut().reset(if silent { now } else { self.heard } + IDLE);
        }
        Poll::Pending
    }
}
