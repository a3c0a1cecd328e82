//! What no library does safely: to own the descriptors that the service manager passed, by their numbers, and to
//! ask who is at the other end of a socket.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// The descriptor with this number, from now on closed with its owner and by exec; `None` if none is open.
///
/// The caller answers for it that no other part of the process owns that number: see
/// [`inherited`](super::inherited()).
pub(super) fn adopt(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD has no pointer among its arguments; for a number that is not open it fails.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, as the call above has shown. The process was started with it, for itself, and whoever
    // may take it does so once: all that the process opens itself has other numbers.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The process id and the user id of the process that has connected, or that listened when this socket was
/// connected (SO_PEERCRED). The process id is 0 where it is in a namespace that cannot be seen from this one, which
/// the type of `rustix` has no value for.
///
/// # Errors
/// When the system refuses.
pub(super) fn credentials(stream: &UnixStream) -> io::Result<(i32, u32)> {
    let mut known = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let size = size_of::<libc::ucred>();
    let mut length = size as libc::socklen_t;
    // SAFETY: `known` is writable, `length` says how long it is, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut known).cast(),
            &raw mut length,
        )
    };
    match result {
        0 if length as usize == size => Ok((known.pid, known.uid)),
        0 => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::last_os_error()),
    }
}
