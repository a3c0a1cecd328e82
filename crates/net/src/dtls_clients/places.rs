//! How a worker hears that DTLS clients of its have lost their places: from any thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use tokio::sync::Notify;

use super::deadlines::SessionId;

/// The clients of one worker that have. Each is here once at most.
#[derive(Debug, Default)]
pub(super) struct LostPlaces {
    are_some: AtomicBool,
    lost: Mutex<Vec<SessionId>>,
    /// Wakes the worker.
    pub(super) told: Arc<Notify>,
}

impl LostPlaces {
    /// Whether there are some.
    pub(super) fn are_some(&self) -> bool {
        self.are_some.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Vec<SessionId> {
        self.are_some.store(false, Ordering::Release);
        std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The place of one client: woken when another gets it.
pub(super) struct Place {
    pub(super) places: Arc<LostPlaces>,
    pub(super) session: SessionId,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.places.lost.lock().unwrap_or_else(PoisonError::into_inner).push(self.session);
        self.places.are_some.store(true, Ordering::Release);
        self.places.told.notify_one();
    }
}
