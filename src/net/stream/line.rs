//! What waits to be written to one connection.

use std::cell::{Cell, RefCell};

use tokio::sync::Notify;

use crate::turn::Prefix;

/// Bytes of media that wait for a slow client before the newest are dropped. At 2 Mbit/s this is
/// a second of video: what is older is of no use to a call.
const MEDIA_LIMIT: usize = 256 * 1024;

/// Bytes beyond that for answers, which are never dropped. A client that does not read even those
/// is disconnected.
const ANSWER_LIMIT: usize = MEDIA_LIMIT + 64 * 1024;

/// Room that a line keeps while nothing waits.
const KEPT: usize = 16 * 1024;

/// The outgoing side of one connection. Full messages go in; the connection's task takes out all
/// there are.
#[derive(Debug)]
pub(in crate::net) struct Line {
    waiting: RefCell<Vec<u8>>,
    news: Notify,
    broken: Cell<bool>,
    /// Nothing more will come.
    complete: Cell<bool>,
    dropped: Cell<u64>,
    /// What carries it, for logs: "tcp" or "tls".
    transport: &'static str,
}

impl Line {
    pub(in crate::net) fn new(transport: &'static str) -> Self {
        Self {
            waiting: RefCell::new(Vec::new()),
            news: Notify::new(),
            broken: Cell::new(false),
            complete: Cell::new(false),
            dropped: Cell::new(0),
            transport,
        }
    }

    pub(in crate::net) const fn transport(&self) -> &'static str {
        self.transport
    }

    /// How many relayed messages were dropped because the client was slow.
    pub(in crate::net) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Adds a relayed message, or drops it when too much waits.
    pub(in crate::net) fn media(&self, prefix: &Prefix, payload: &[u8], padding: u8) {
        let mut waiting = self.waiting.borrow_mut();
        let prefix = prefix.as_bytes();
        if waiting.len() + prefix.len() + payload.len() + usize::from(padding) > MEDIA_LIMIT {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        waiting.extend_from_slice(prefix);
        waiting.extend_from_slice(payload);
        waiting.extend_from_slice([0; 3].get(..usize::from(padding)).unwrap_or_default());
        self.news.notify_one();
    }

    /// Adds the answer to a request.
    pub(in crate::net) fn answer(&self, answer: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + answer.len() > ANSWER_LIMIT {
            self.broken.set(true);
        } else {
            waiting.extend_from_slice(answer);
        }
        self.news.notify_one();
    }

    /// Says that nothing more will come.
    pub(super) fn complete(&self) {
        self.complete.set(true);
        self.news.notify_one();
    }

    /// Whether the client has read too little for too long.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Waits for something to write and swaps it into `into`, which gives its room in return.
    /// `None` when the client has read too little for too long, or when that was all.
    pub(super) async fn take(&self, into: &mut Vec<u8>) -> Option<()> {
        into.clear();
        into.shrink_to(KEPT);
        loop {
            if self.broken.get() {
                return None;
            }
            if !self.waiting.borrow().is_empty() {
                std::mem::swap(&mut *self.waiting.borrow_mut(), into);
                return Some(());
            }
            if self.complete.get() {
                return None;
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(line: &Line, len: usize) {
        line.media(&Prefix::new(&[0x40, 0, 0, 0]), &vec![7; len], 0);
    }

    #[tokio::test]
    async fn messages_leave_whole_and_in_order() {
        let line = Line::new("tcp");
        line.answer(b"answer");
        line.media(&Prefix::new(b"head"), b"x", 3);
        let mut out = Vec::new();
        line.take(&mut out).await.unwrap();
        assert_eq!(out, b"answerheadx\0\0\0");
    }

    #[tokio::test]
    async fn a_slow_client_loses_the_newest_media_and_no_answer() {
        let line = Line::new("tcp");
        for _ in 0..300 {
            media(&line, 1020);
        }
        assert_eq!(line.dropped(), 300 - 256);
        line.answer(b"answer");
        let mut out = Vec::new();
        line.take(&mut out).await.unwrap();
        assert_eq!(out.len(), MEDIA_LIMIT + 6);
        assert!(out.ends_with(b"answer"));
    }

    #[tokio::test]
    async fn what_is_complete_is_written_to_its_end() {
        let line = Line::new("tcp");
        line.answer(b"answer");
        line.complete();
        let mut out = Vec::new();
        line.take(&mut out).await.unwrap();
        assert_eq!(out, b"answer");
        assert!(line.take(&mut out).await.is_none() && !line.is_broken());
    }

    #[tokio::test]
    async fn a_client_that_reads_no_answers_is_given_up() {
        let line = Line::new("tcp");
        for _ in 0..=ANSWER_LIMIT / 1000 {
            line.answer(&[0; 1000]);
        }
        assert!(line.take(&mut Vec::new()).await.is_none());
    }
}
