//! Descriptors that tokio waits for without reading them: a worker's own epoll, and what `turnctl bench`
//! reads in batches.
#![allow(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};

use mio::Poll;
use tokio::io::Interest;
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

/// Readable when the socket is; nobody is told when it can be written to.
pub fn watch_socket(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: the AsyncFd owns the socket, so it stays open for as long as it is registered.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// Readable when the descriptor is.
#[cfg(target_os = "linux")]
pub fn watch_descriptor(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the AsyncFd owns the descriptor, so it stays open for as long as it is registered.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
