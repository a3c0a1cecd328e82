//! Whether the workers still turn: each is called now and then, and answers from within its loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The side that calls.
#[derive(Debug)]
pub(super) struct Heartbeat {
    calls: watch::Sender<u64>,
    answers: Vec<Arc<AtomicU64>>,
}

impl Heartbeat {
    pub(super) fn new() -> Self {
        Self { calls: watch::Sender::new(0), answers: Vec::new() }
    }

    /// Returns the side of one more worker.
    pub(super) fn heart(&mut self) -> Heart {
        let answer = Arc::new(AtomicU64::new(0));
        self.answers.push(Arc::clone(&answer));
        Heart { calls: self.calls.subscribe(), answer }
    }

    /// Returns true if all workers have answered the last call. If so, they are called again.
    pub(super) fn beat(&self) -> bool {
        let call = *self.calls.borrow();
        let all = self.answers.iter().all(|answer| answer.load(Ordering::Relaxed) == call);
        if all {
            self.calls.send_replace(call.wrapping_add(1));
        }
        all
    }
}

/// A worker's side.
#[derive(Debug)]
pub(super) struct Heart {
    calls: watch::Receiver<u64>,
    answer: Arc<AtomicU64>,
}

impl Heart {
    /// Answers a call, if there is one. Takes no lock where there is none.
    pub(super) fn answer(&mut self) {
        if self.calls.has_changed().unwrap_or(false) {
            self.answer.store(*self.calls.borrow_and_update(), Ordering::Relaxed);
        }
    }

    /// Waits for a call, and answers it. Never ends once nobody calls any more.
    pub(super) async fn called(&mut self) {
        if self.calls.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.answer.store(*self.calls.borrow_and_update(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_does_not_answer_is_seen() {
        let mut heartbeat = Heartbeat::new();
        let (mut first, mut second) = (heartbeat.heart(), heartbeat.heart());
        assert!(heartbeat.beat(), "nobody was called yet");
        first.answer();
        assert!(!heartbeat.beat() && !heartbeat.beat());
        second.answer();
        assert!(heartbeat.beat());
        second.answer();
        assert!(!heartbeat.beat(), "an answer to an earlier call is none to this one");
        first.answer();
        assert!(heartbeat.beat());
    }

    #[tokio::test]
    async fn a_worker_that_sleeps_is_woken_by_a_call() {
        let mut heartbeat = Heartbeat::new();
        let mut heart = heartbeat.heart();
        let sleeper = async {
            heart.called().await;
            heart.called().await;
        };
        let caller = async {
            assert!(heartbeat.beat());
            while !heartbeat.beat() {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(sleeper, caller);
        assert!(heartbeat.beat());
    }
}
