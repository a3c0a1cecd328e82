//! How a connection hears, on whatever thread it is served, that it has lost its place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// One for each connection, shared by its ticket and the table.
#[derive(Debug, Default)]
pub(super) struct Notice {
    given: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Notice {
    pub(super) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Wakes `waker` once it is given; now, if it was.
    pub(super) fn wake(&self, waker: Waker) {
        let before = self.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        drop(before);
        if self.is_given() {
            self.give();
        }
    }

    pub(super) fn give(&self) {
        self.given.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
