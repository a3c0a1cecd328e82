//! The messages that wait to be written to one connection.
//= 8489-6.2.2-no-connection-back, 8656-16-udp-to-tcp

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use super::continuation::{Continuation, End};
use crate::answer_size::LONGEST_ANSWER;
use crate::batch::ip_fields::IpFields;
use crate::listener::id::ListenerId;
use taciturn_turn::Prefix;

/// Bytes of media that wait for a slow client before the newest are dropped. At 2 Mbit/s this is
/// a second of video: what is older is of no use to a call.
const MEDIA_LIMIT: usize = 256 * 1024;

/// Bytes beyond that for answers, which are never dropped. A client that does not read even those
/// is disconnected. Only answers that no reading from the client has caused fill it, such as that to Connect.
const ANSWER_LIMIT: usize = MEDIA_LIMIT + 64 * 1024;

/// Bytes of answers that wait, at most, before the client is read from again. Without an allocation
/// it is all that waits.
pub(super) const UNREAD_ANSWERS: usize = 16 * 1024;

/// Bytes of memory that a connection with an allocation takes at most, besides those of one without:
/// its queue, and the longest message that has arrived in part.
pub const CLIENT_MEMORY: usize = ANSWER_LIMIT + 64 * 1024;

/// Bytes of capacity that a queue keeps while nothing waits.
const KEPT: usize = 16 * 1024;

/// The messages that wait for the client of one connection. The connection's task writes all of them at once,
/// in one TLS record if they fit.
#[derive(Debug)]
pub(crate) struct SendQueue {
    waiting: RefCell<Vec<u8>>,
    answers: RefCell<Answers>,
    writer: Writer,
    /// Whether the client's allocation may have come or ended.
    allocation_changed: Cell<bool>,
    /// Whether the connection holds nothing back of what was written to it.
    flushed: Cell<bool>,
    broken: Cell<bool>,
    dropped: Cell<u64>,
    /// What carries it, for logs: "tcp" or "tls".
    transport: &'static str,
    /// The listener that the client came in by, and the name that it asked for by TLS, if that matters.
    listener: Option<ListenerId>,
    server_name: Option<Arc<str>>,
    /// What the client's data are sent to peers with.
    ip_fields: IpFields,
    continuation: Continuation,
}

impl SendQueue {
    pub(crate) fn new(transport: &'static str) -> Self {
        Self {
            waiting: RefCell::new(Vec::new()),
            answers: RefCell::default(),
            writer: Writer::default(),
            allocation_changed: Cell::new(false),
            flushed: Cell::new(true),
            broken: Cell::new(false),
            dropped: Cell::new(0),
            transport,
            listener: None,
            server_name: None,
            ip_fields: IpFields::default(),
            continuation: Continuation::default(),
        }
    }

    /// The queue of a connection that another process had: what has waited there is written first.
    pub(crate) fn going_on(
        transport: &'static str,
        unsent: Vec<u8>,
        continuation: Continuation,
    ) -> Self {
        let (waiting, flushed) = (RefCell::new(unsent), Cell::new(false));
        Self { waiting, flushed, continuation, ..Self::new(transport) }
    }

    /// Returns what another process needs to go on with the connection, but for [`Self::unsent`].
    pub(crate) const fn continuation(&self) -> &Continuation {
        &self.continuation
    }

    /// Has this process let go of the connection, because another one goes on with it.
    pub(crate) fn give_away(&self) {
        self.continuation.end(End::GivenAway);
        self.wake();
    }

    /// Ends the connection, and tells the client so.
    pub(crate) fn end(&self) {
        self.continuation.end(End::Stopping);
        self.wake();
    }

    /// Returns what waits to be written.
    pub(crate) fn unsent(&self) -> Vec<u8> {
        self.waiting.borrow().clone()
    }

    /// Sets where the client came in.
    pub(crate) fn entered_by(self, listener: ListenerId, server_name: Option<Arc<str>>) -> Self {
        Self { listener: Some(listener), server_name, ..self }
    }

    /// The listener that the client came in by.
    pub(crate) const fn listener(&self) -> Option<ListenerId> {
        self.listener
    }

    /// The name that the client asked for by TLS, in lower case, if that matters.
    pub(crate) fn server_name(&self) -> Option<Arc<str>> {
        self.server_name.clone()
    }

    /// Sets what the client's data are sent to peers with.
    pub(crate) fn with_ip_fields(self, ip_fields: IpFields) -> Self {
        Self { ip_fields, ..self }
    }

    pub(crate) const fn ip_fields(&self) -> IpFields {
        self.ip_fields
    }

    pub(crate) const fn transport(&self) -> &'static str {
        self.transport
    }

    /// Wakes the connection's task, if it waits.
    pub(crate) fn wake(&self) {
        self.writer.wake();
    }

    /// Has the connection's task look at whether the client has an allocation: one has ended, or may have
    /// moved here.
    pub(crate) fn allocation_changed(&self) {
        self.allocation_changed.set(true);
        self.wake();
    }

    /// Returns true if that was called since the last time.
    pub(super) fn take_allocation_changed(&self) -> bool {
        self.allocation_changed.replace(false)
    }

    /// Returns true if there is room for the answer to another request. If there is none, the client is
    /// not read from: it must read its answers first.
    pub(crate) fn has_room_for_an_answer(&self) -> bool {
        self.answers.borrow().waiting() + LONGEST_ANSWER <= UNREAD_ANSWERS
    }

    /// Returns true if media wait to be written.
    pub(super) fn holds_media(&self) -> bool {
        self.waiting.borrow().len() > self.answers.borrow().waiting()
    }

    /// Returns true if nothing waits to be written or flushed.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.borrow().is_empty() && self.flushed.get()
    }

    /// Returns how many relayed messages were dropped because the client was slow.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Adds a relayed message, or drops it when too much waits.
    pub(crate) fn data(&self, prefix: &Prefix, payload: &[u8], padding: u8) {
        let mut waiting = self.waiting.borrow_mut();
        let prefix = prefix.as_bytes();
        if waiting.len() + prefix.len() + payload.len() + usize::from(padding) > MEDIA_LIMIT {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        waiting.extend_from_slice(prefix);
        waiting.extend_from_slice(payload);
        waiting.extend_from_slice([0; 3].get(..usize::from(padding)).unwrap_or_default());
        self.writer.wake();
    }

    /// Adds the answer to a request.
    pub(crate) fn answer(&self, answer: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + answer.len() > ANSWER_LIMIT {
            self.broken.set(true);
            self.writer.asleep.set(true);
        } else {
            let needed = waiting.len() + answer.len();
            if needed > waiting.capacity() {
                // Within the bound: twice what there is could be beyond it.
                let more = needed.next_power_of_two() - waiting.len();
                waiting.reserve_exact(more);
            }
            self.answers.borrow_mut().add(waiting.len(), answer.len());
            waiting.extend_from_slice(answer);
        }
        self.writer.wake();
    }

    /// Writes what waits, as far as the connection takes it. `context` is woken when there is more
    /// to write, and when there is room again.
    ///
    /// # Errors
    /// Those of the connection; and when the client has read too little for too long.
    pub(super) fn poll_write<S: AsyncWrite>(
        &self,
        context: &mut Context<'_>,
        mut stream: Pin<&mut S>,
    ) -> io::Result<()> {
        if self.broken.get() {
            return Err(io::Error::other("the client does not read its answers"));
        }
        let mut waiting = self.waiting.borrow_mut();
        let mut written = 0;
        while written < waiting.len() {
            let rest = waiting.get(written..).unwrap_or_default();
            match stream.as_mut().poll_write(context, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(some) => written += some,
                Poll::Pending => break,
            }
        }
        waiting.drain(..written);
        self.answers.borrow_mut().written(written);
        if waiting.is_empty() {
            waiting.shrink_to(KEPT);
        }
        self.flushed.set(self.flushed.get() && written == 0);
        if !self.flushed.get() {
            self.flushed.set(stream.poll_flush(context)?.is_ready());
        }
        // A connection that takes no more wakes the task itself.
        self.writer.wait(context.waker(), waiting.is_empty());
        Ok(())
    }

    /// Writes all that waits. Ready once the connection has taken it and holds nothing back.
    ///
    /// # Errors
    /// As [`Self::poll_write`].
    pub(super) fn poll_drain<S: AsyncWrite>(
        &self,
        context: &mut Context<'_>,
        stream: Pin<&mut S>,
    ) -> Poll<io::Result<()>> {
        self.poll_write(context, stream)?;
        match self.waiting.borrow().is_empty() && self.flushed.get() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

/// Where in a queue answers are: media between them do not count.
#[derive(Debug, Default)]
struct Answers {
    /// Bytes that have left the queue, since it began.
    written: u64,
    /// Answers that follow each other: where they end, counted likewise, and their bytes that wait.
    runs: VecDeque<(u64, usize)>,
    waiting: usize,
}

impl Answers {
    const fn waiting(&self) -> usize {
        self.waiting
    }

    /// An answer of `len` bytes comes behind `before` others that wait.
    fn add(&mut self, before: usize, len: usize) {
        let start = self.written + before as u64;
        self.waiting += len;
        match self.runs.back_mut() {
            Some((end, bytes)) if *end == start => {
                *end += len as u64;
                *bytes += len;
            }
            _ => self.runs.push_back((start + len as u64, len)),
        }
    }

    fn written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        while let Some((end, len)) = self.runs.front_mut() {
            // What is left of it: all before `written` is gone.
            let left = usize::try_from(end.saturating_sub(self.written)).unwrap_or(*len).min(*len);
            self.waiting -= *len - left;
            *len = left;
            if left > 0 {
                return;
            }
            self.runs.pop_front();
        }
        self.runs.shrink_to(0);
    }
}

/// The task that writes a queue.
#[derive(Debug, Default)]
struct Writer {
    waker: RefCell<Option<Waker>>,
    /// Whether it has to be woken. After the first message of a batch it need not be.
    asleep: Cell<bool>,
}

impl Writer {
    fn wait(&self, waker: &Waker, if_empty: bool) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        self.asleep.set(if_empty);
    }

    fn wake(&self) {
        if self.asleep.replace(false)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn media(queue: &SendQueue, len: usize) {
        queue.data(&Prefix::new(&[0x40, 0, 0, 0]), &vec![7; len], 0);
    }

    /// Writes to a connection that takes everything.
    async fn written(queue: &SendQueue) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        poll_fn(|context| Poll::Ready(queue.poll_write(context, Pin::new(&mut out)))).await?;
        Ok(out)
    }

    #[tokio::test]
    async fn messages_leave_whole_and_in_order() {
        let queue = SendQueue::new("tcp");
        queue.answer(b"answer");
        queue.data(&Prefix::new(b"head"), b"x", 3);
        assert_eq!(written(&queue).await.unwrap(), b"answerheadx\0\0\0");
        assert_eq!(written(&queue).await.unwrap(), b"", "once");
    }

    #[tokio::test]
    async fn a_slow_client_loses_the_newest_media_and_no_answer() {
        let queue = SendQueue::new("tcp");
        for _ in 0..300 {
            media(&queue, 1020);
        }
        assert_eq!(queue.dropped(), 300 - 256);
        queue.answer(b"answer");
        let out = written(&queue).await.unwrap();
        assert_eq!(out.len(), MEDIA_LIMIT + 6);
        assert!(out.ends_with(b"answer"));
        assert!(queue.waiting.borrow().capacity() <= KEPT, "the room is given back");
    }

    #[tokio::test]
    async fn what_a_connection_does_not_take_is_written_later_and_once() {
        let queue = SendQueue::new("tcp");
        let (mut ours, mut theirs) = tokio::io::duplex(1000);
        let sent: Vec<u8> = (0..25).flat_map(|n| [n; 100]).collect();
        for part in sent.chunks(100) {
            queue.data(&Prefix::new(&[]), part, 0);
        }
        // The writer is woken when there is room, as often as it takes.
        let left = || queue.waiting.borrow().len();
        let write = poll_fn(|context| {
            queue.poll_write(context, Pin::new(&mut ours)).unwrap();
            if left() == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut got = vec![0; sent.len()];
        let ((), read) = tokio::join!(write, theirs.read_exact(&mut got));
        read.unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn draining_ends_when_the_connection_has_taken_everything() {
        let queue = SendQueue::new("tcp");
        let (mut ours, mut theirs) = tokio::io::duplex(10);
        queue.answer(&[7; 100]);
        let drained = poll_fn(|context| queue.poll_drain(context, Pin::new(&mut ours)));
        let mut got = [0; 100];
        let (outcome, read) = tokio::join!(drained, theirs.read_exact(&mut got));
        outcome.unwrap();
        read.unwrap();
        assert_eq!(got, [7; 100]);
    }

    #[tokio::test]
    async fn a_writer_that_waits_is_woken_by_news() {
        let queue = SendQueue::new("tcp");
        let mut out = Vec::new();
        let write = poll_fn(|context| {
            queue.poll_write(context, Pin::new(&mut out)).unwrap();
            if out.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        });
        let news = async {
            tokio::task::yield_now().await;
            queue.answer(b"answer");
        };
        tokio::join!(write, news);
        assert_eq!(out, b"answer");
    }

    /// Writes to a connection that takes so many bytes and no more for now.
    async fn written_up_to(queue: &SendQueue, bytes: usize) {
        let (mut ours, _theirs) = tokio::io::duplex(bytes);
        poll_fn(|context| Poll::Ready(queue.poll_write(context, Pin::new(&mut ours))))
            .await
            .unwrap();
    }

    #[test]
    fn the_answers_of_a_client_that_is_not_read_for_them_stay_within_16_kib() {
        for len in [20, 63, 64, 72, 1000, LONGEST_ANSWER] {
            let queue = SendQueue::new("tcp");
            while queue.has_room_for_an_answer() {
                queue.answer(&vec![0; len]);
            }
            let waiting = queue.waiting.borrow();
            assert!(waiting.len() <= UNREAD_ANSWERS, "{len}: {}", waiting.len());
            assert!(waiting.capacity() <= UNREAD_ANSWERS, "{len}: {}", waiting.capacity());
            assert_eq!(queue.answers.borrow().runs.capacity(), 4, "{len}");
        }
    }

    #[tokio::test]
    async fn room_for_answers_comes_back_as_they_are_taken() {
        let queue = SendQueue::new("tcp");
        while queue.has_room_for_an_answer() {
            queue.answer(&[0; 100]);
        }
        written_up_to(&queue, 99).await;
        assert!(queue.has_room_for_an_answer(), "99 bytes less");
        queue.answer(&[0; 100]);
        assert!(!queue.has_room_for_an_answer());
        written(&queue).await.unwrap();
        assert_eq!(queue.answers.borrow().waiting(), 0);
    }

    #[tokio::test]
    async fn media_are_no_answers_whichever_comes_first() {
        let queue = SendQueue::new("tcp");
        queue.answer(&[0; 10_000]);
        for _ in 0..200 {
            media(&queue, 996);
        }
        assert!(queue.has_room_for_an_answer() && queue.holds_media());
        queue.answer(&[0; 6000]);
        queue.answer(&[0; 500]);
        assert!(!queue.has_room_for_an_answer());
        let waiting = || queue.answers.borrow().waiting();
        written_up_to(&queue, 9000).await;
        assert_eq!(waiting(), 1000 + 6500);
        written_up_to(&queue, 1000 + 150_500).await;
        assert_eq!(waiting(), 6500, "only media were written besides");
        written_up_to(&queue, 49_500 + 6100).await;
        assert_eq!(waiting(), 400);
        written(&queue).await.unwrap();
        assert_eq!(waiting(), 0);
        assert!(queue.answers.borrow().runs.is_empty() && !queue.holds_media());
    }

    #[tokio::test]
    async fn a_client_that_reads_no_answers_is_given_up() {
        let queue = SendQueue::new("tcp");
        for _ in 0..=ANSWER_LIMIT / 1000 {
            queue.answer(&[0; 1000]);
        }
        assert!(written(&queue).await.is_err());
    }
}
