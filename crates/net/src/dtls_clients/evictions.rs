//! How a worker learns, from any thread, that DTLS clients have been evicted: others have got their places.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use tokio::sync::Notify;

use super::deadlines::DtlsClientId;

/// The evicted clients of one worker. Each is here once at most.
#[derive(Debug, Default)]
pub(super) struct Evictions {
    are_some: AtomicBool,
    clients: Mutex<Vec<DtlsClientId>>,
    /// Wakes the worker.
    pub(super) notify: Arc<Notify>,
}

impl Evictions {
    /// Returns true if there are some.
    pub(super) fn are_some(&self) -> bool {
        self.are_some.load(Ordering::Acquire)
    }

    /// Returns the evicted clients since the last call.
    pub(super) fn take(&self) -> Vec<DtlsClientId> {
        self.are_some.store(false, Ordering::Release);
        std::mem::take(&mut *self.clients.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The place of one client: woken when another gets it.
pub(super) struct Place {
    pub(super) evictions: Arc<Evictions>,
    pub(super) client: DtlsClientId,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.evictions.clients.lock().unwrap_or_else(PoisonError::into_inner).push(self.client);
        self.evictions.are_some.store(true, Ordering::Release);
        self.evictions.notify.notify_one();
    }
}
