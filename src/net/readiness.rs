//! A worker's own epoll, waited for through tokio's.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use mio::Poll;
use tokio::io::unix::AsyncFd;

/// Readable when a socket of `poll` is.
///
/// Thousands of relay sockets in tokio's own epoll would mean a task for each. So they are in one
/// of the worker's, and tokio watches only that.
pub(super) fn watch(poll: &Poll) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = poll.registry().as_fd().try_clone_to_owned()?;
    // SAFETY: the AsyncFd owns the descriptor, so it stays open for as long as it is registered.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
