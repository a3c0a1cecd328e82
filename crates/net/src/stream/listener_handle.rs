//! What the connections of one listener share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use super::settings::StreamSettings;
use crate::listener::id::ListenerId;

/// A listener for connections in one worker. The task that accepts holds it, and each of its connections. A
/// listener for both address families has two.
#[derive(Debug)]
pub(crate) struct ListenerHandle {
    pub(crate) id: ListenerId,
    /// The listener's number in this worker.
    pub(crate) number: u16,
    settings: RefCell<Arc<StreamSettings>>,
    retired: Cell<bool>,
    closed: Notify,
}

impl ListenerHandle {
    pub(crate) fn new(id: ListenerId, number: u16, settings: Arc<StreamSettings>) -> Self {
        let (retired, closed) = (Cell::new(false), Notify::new());
        Self { id, number, settings: RefCell::new(settings), retired, closed }
    }

    /// Returns the settings for new connections.
    pub(super) fn settings(&self) -> Arc<StreamSettings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Sets the settings for new connections.
    pub(crate) fn set(&self, settings: Arc<StreamSettings>) {
        self.settings.replace(settings);
    }

    /// Accepts no more connections. The socket is closed at once.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.closed.notify_one();
    }

    /// Returns true if only connections with an allocation may stay.
    pub(crate) const fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Waits until no more connections are accepted.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }
}
