//! What the connections of one listener share.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::net::TcpListener;
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
    /// The task that accepts holds it.
    socket: RefCell<Weak<TcpListener>>,
    retired: Cell<bool>,
    closed: Notify,
}

impl ListenerHandle {
    pub(crate) fn new(id: ListenerId, number: u16, settings: Arc<StreamSettings>) -> Self {
        let (retired, closed) = (Cell::new(false), Notify::new());
        let (settings, socket) = (RefCell::new(settings), RefCell::default());
        Self { id, number, settings, socket, retired, closed }
    }

    /// Notes the socket that connections are accepted from.
    pub(crate) fn accepts_from(&self, socket: &Rc<TcpListener>) {
        self.socket.replace(Rc::downgrade(socket));
    }

    /// Returns a duplicate of that socket. `None` if it is closed.
    ///
    /// # Errors
    /// If this process may have no more descriptors.
    pub(crate) fn duplicate(&self) -> io::Result<Option<OwnedFd>> {
        if self.is_retired() {
            return Ok(None);
        }
        let socket = self.socket.borrow().upgrade();
        socket.map(|socket| socket.as_fd().try_clone_to_owned()).transpose()
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
