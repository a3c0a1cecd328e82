//! What one process hands over to the next.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::name::Name;
use super::sealed;
use super::state::{Entry, Snapshot, State, StateError};

/// Sockets, and the file that lists them with the snapshot.
#[derive(Debug)]
pub struct Handover<'a> {
    names: Vec<Name>,
    sockets: Vec<BorrowedFd<'a>>,
    state: OwnedFd,
}

/// Why it cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// There is something that cannot be handed over.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refuses a file in memory.
    #[error("cannot make a file in memory: {0}")]
    Io(#[from] io::Error),
}

impl<'a> Handover<'a> {
    /// Makes the file. What a socket receives from now on is not in it.
    ///
    /// # Errors
    /// If something cannot be handed over, or there is no memory for it.
    pub fn new(
        sockets: impl IntoIterator<Item = (Entry, BorrowedFd<'a>)>,
        snapshot: Snapshot,
    ) -> Result<Self, HandoverError> {
        let (entries, sockets): (Vec<Entry>, Vec<_>) = sockets.into_iter().unzip();
        let names = entries.iter().map(|entry| entry.name).collect();
        let bytes = State { entries, snapshot }.encode()?;
        Ok(Self { names, sockets, state: sealed::write("taciturn", &bytes)? })
    }

    /// The sockets in the order of the list.
    pub(super) fn sockets(&self) -> &[BorrowedFd<'a>] {
        &self.sockets
    }

    /// The file.
    pub(super) fn state(&self) -> BorrowedFd<'_> {
        self.state.as_fd()
    }

    /// All descriptors with their names, the file last.
    pub(super) fn all(&self) -> (Vec<String>, Vec<BorrowedFd<'_>>) {
        let names = self.names.iter().chain([&Name::State(0)]).map(ToString::to_string);
        (names.collect(), self.sockets.iter().copied().chain([self.state()]).collect())
    }
}
