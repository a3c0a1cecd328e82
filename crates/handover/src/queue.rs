//! Any number of sockets in one: they wait as messages that nobody has received yet (SCM_RIGHTS), for as long as the
//! receiving end is open somewhere, whatever becomes of the process that sent them.
//!
//! So systemd keeps two descriptors and not thousands. It compares each new one with all that it has, which takes
//! seconds for some thousands, and Linux starts no process with a longer list of names than 128 KiB.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::rights::MOST_AT_ONCE;
use super::state::MOST_DESCRIPTORS;

/// Puts sockets into a new one, in their order.
///
/// # Errors
/// When the system refuses: more descriptors than RLIMIT_NOFILE of one user are on their way (ETOOMANYREFS), or more
/// messages than a socket holds.
pub(super) fn fill(sockets: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let (sender, receiver) = UnixStream::pair()?;
    // What does not fit is not waited for: nobody reads.
    sender.set_nonblocking(true)?;
    for sockets in sockets.chunks(MOST_AT_ONCE) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&sender, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(receiver.into())
}

/// Takes all sockets out, in their order.
///
/// # Errors
/// If it is not a socket, or has too many in it, or this process may not have so many.
pub(super) fn empty(receiver: OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let receiver = UnixStream::from(receiver);
    receiver.set_nonblocking(true)?;
    let mut sockets = Vec::new();
    loop {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let message = match recvmsg(&receiver, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => message,
            Err(Errno::INTR) => continue,
            // The process that sent them is still there.
            Err(Errno::AGAIN) => return Ok(sockets),
            Err(error) => return Err(error.into()),
        };
        let mut came = 0;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                came += descriptors.len();
                sockets.extend(descriptors);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("this process may not have so many descriptors"));
        }
        if message.bytes == 0 {
            return Ok(sockets);
        }
        if came == 0 || sockets.len() > MOST_DESCRIPTORS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::watched::{Watched, allow_descriptors};

    #[test]
    fn sockets_come_out_in_the_order_in_which_they_went_in() {
        allow_descriptors();
        let sockets: Vec<_> = (0..300).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
        for count in [0, 1, 253, 254, 300] {
            let some: Vec<_> = sockets.iter().take(count).map(|socket| socket.as_fd()).collect();
            let out = empty(fill(&some).unwrap()).unwrap();
            for socket in &out {
                let flags = rustix::io::fcntl_getfd(socket).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
            let out = out.into_iter().map(|socket| UdpSocket::from(socket).local_addr().unwrap());
            assert_eq!(out.collect::<Vec<_>>(), addresses[..count]);
        }
    }

    #[test]
    fn what_nobody_takes_out_is_closed_with_it() {
        allow_descriptors();
        let watched = Watched::new();
        drop(fill(&[watched.descriptor(); 600]).unwrap());
        watched.assert_closed();
    }

    /// All relay ports of both families, and as many connections as the limits allow.
    #[test]
    fn a_large_server_fits() {
        let room = allow_descriptors();
        let watched = Watched::new();
        // Those of other tests wait as well.
        let count = room.min(80_000) as usize / 4;
        let filled = fill(&vec![watched.descriptor(); count]).unwrap();
        assert_eq!(empty(filled).unwrap().len(), count);
        watched.assert_closed();
    }

    #[test]
    fn something_else_has_no_sockets_in_it() {
        assert!(empty(tempfile::tempfile().unwrap().into()).is_err());
        assert!(empty(std::net::TcpListener::bind("127.0.0.1:0").unwrap().into()).is_err());
        // Bytes without a socket.
        let (one, other) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &one, b"bytes").unwrap();
        assert!(empty(other.into()).is_err());
        let (_open, other) = UnixStream::pair().unwrap();
        assert_eq!(empty(other.into()).unwrap().len(), 0);
    }
}
