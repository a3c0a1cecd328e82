//! The listeners for connections of one worker.

use std::io;
use std::rc::Rc;

use crate::listener::id::ListenerId;
use crate::sockets::FIRST_STREAM_LISTENER;
use crate::stream::listener_handle::ListenerHandle;

/// The listeners for connections, with those that were retired and still have connections.
#[derive(Debug, Default)]
pub(super) struct StreamListeners {
    all: Vec<Rc<ListenerHandle>>,
    /// The number given last. A number is not given again before all others were.
    last: u16,
}

impl StreamListeners {
    /// Returns a number that no other listener has.
    ///
    /// # Errors
    /// If there is none left.
    pub(super) fn number(&mut self) -> io::Result<u16> {
        for _ in FIRST_STREAM_LISTENER..=u16::MAX {
            self.last = self.last.checked_add(1).unwrap_or(0).max(FIRST_STREAM_LISTENER);
            if !self.all.iter().any(|listener| listener.number == self.last) {
                return Ok(self.last);
            }
        }
        Err(io::Error::other("too many listeners"))
    }

    /// Adds a listener.
    pub(super) fn add(&mut self, listener: Rc<ListenerHandle>) {
        self.all.push(listener);
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<ListenerHandle>> {
        self.all.iter()
    }

    /// Returns the listener of this number.
    pub(super) fn numbered(&self, number: u16) -> Option<&Rc<ListenerHandle>> {
        self.all.iter().find(|listener| listener.number == number)
    }

    /// Returns the listeners of this name: one for each address family.
    pub(super) fn of(&self, id: ListenerId) -> impl Iterator<Item = &Rc<ListenerHandle>> {
        self.all.iter().filter(move |listener| listener.id == id)
    }

    /// Returns how many connections a listener has.
    pub(super) fn connections_of(&self, id: ListenerId) -> usize {
        // Each connection holds the handle, and so does this list.
        self.of(id).map(|listener| Rc::strong_count(listener) - 1).sum()
    }

    /// Removes the listeners of this name that have no connections. Returns their numbers.
    pub(super) fn remove_unused(&mut self, id: ListenerId) -> Vec<u16> {
        let mut removed = Vec::new();
        self.all.retain(|listener| {
            let unused = listener.id == id && Rc::strong_count(listener) == 1;
            if unused {
                removed.push(listener.number);
            }
            !unused
        });
        removed
    }
}
