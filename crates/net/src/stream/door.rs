//! A listener for connections in one worker: what all of its connections share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use super::StreamSettings;
use crate::listener::ListenerId;

/// Held by the task that accepts, and by each connection that came in here. Of a listener for both
/// address families there are two.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) id: ListenerId,
    /// The listener's number in this worker.
    pub(crate) number: u16,
    settings: RefCell<Arc<StreamSettings>>,
    retired: Cell<bool>,
    closed: Notify,
}

impl Door {
    pub(crate) fn new(id: ListenerId, number: u16, settings: Arc<StreamSettings>) -> Self {
        let (retired, closed) = (Cell::new(false), Notify::new());
        Self { id, number, settings: RefCell::new(settings), retired, closed }
    }

    /// What those who come in get.
    pub(super) fn settings(&self) -> Arc<StreamSettings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Other settings for those who come in from now on.
    pub(crate) fn set(&self, settings: Arc<StreamSettings>) {
        self.settings.replace(settings);
    }

    /// Lets nobody in any more. The socket is closed at once.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.closed.notify_one();
    }

    /// Whether only those may stay who have an allocation.
    pub(crate) const fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Ready when it lets nobody in any more.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }
}
