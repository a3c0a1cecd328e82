//! Bytes and descriptors through a UNIX socket (SCM_RIGHTS), until a moment at which it takes too long.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::patience::{late, wait_until};

/// The most descriptors that the kernel takes with one message (SCM_MAX_FD).
pub(super) const MOST_AT_ONCE: usize = 253;

const SPACE: usize = cmsg_space!(ScmRights(MOST_AT_ONCE));

/// Why nothing was received.
#[derive(Debug)]
pub(super) enum Failed {
    /// The other side has closed the connection.
    Gone,
    /// More descriptors came than were expected, or where none are.
    TooMany,
    /// Not all descriptors could be received: this process may have no more.
    Full,
    /// The system refuses, or nothing came in time.
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Self::Gone,
            _ => Self::Io(late(error)),
        }
    }
}

/// Sends all of `bytes` by `moment`, with `descriptors` at the first of them.
///
/// # Errors
/// When the other side is gone, or does not read in time.
pub(super) fn send(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    moment: Instant,
) -> io::Result<()> {
    let mut sent = 0;
    if !descriptors.is_empty() {
        sent = send_rights(stream, bytes, descriptors, moment)?;
    }
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        wait_until(stream, moment)?;
        match (&*stream).write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => sent += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(late(error)),
        }
    }
    Ok(())
}

/// Sends descriptors with the first of `bytes`; returns how many bytes went along.
fn send_rights(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    moment: Instant,
) -> io::Result<usize> {
    loop {
        wait_until(stream, moment)?;
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent.map_err(|error| late(error.into())),
        }
    }
}

/// Fills `bytes` by `moment`. Descriptors that come with them are added to `descriptors`, at most `most` in all.
pub(super) fn receive(
    stream: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    most: usize,
    moment: Instant,
) -> Result<(), Failed> {
    let mut received = 0;
    while let Some(rest) = bytes.get_mut(received..).filter(|rest| !rest.is_empty()) {
        wait_until(stream, moment)?;
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let message = match recvmsg(stream, &mut [IoSliceMut::new(rest)], &mut control, flags) {
            Ok(message) => message,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        for came in control.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = came {
                descriptors.extend(came);
            }
        }
        // The kernel gives no more than this process may have, and says only that some are missing.
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Failed::Full);
        }
        if descriptors.len() > most {
            return Err(Failed::TooMany);
        }
        match message.bytes {
            0 => return Err(Failed::Gone),
            more => received += more,
        }
    }
    Ok(())
}

/// Fills `bytes` by `moment`. The kernel closes descriptors that come with them.
pub(super) fn read(stream: &UnixStream, bytes: &mut [u8], moment: Instant) -> Result<(), Failed> {
    let mut received = 0;
    while let Some(rest) = bytes.get_mut(received..).filter(|rest| !rest.is_empty()) {
        wait_until(stream, moment)?;
        match (&*stream).read(rest) {
            Ok(0) => return Err(Failed::Gone),
            Ok(more) => received += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watched::Watched;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(100)
    }

    #[test]
    fn descriptors_come_with_the_bytes_as_many_as_the_kernel_takes() {
        let watched = Watched::new();
        let (one, other) = UnixStream::pair().unwrap();
        for count in [0, 1, MOST_AT_ONCE] {
            send(&one, b"bytes", &vec![watched.descriptor(); count], soon()).unwrap();
            let (mut bytes, mut came) = ([0; 5], Vec::new());
            receive(&other, &mut bytes, &mut came, count, soon()).unwrap();
            assert_eq!((&bytes, came.len()), (b"bytes", count));
            for descriptor in came {
                let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
        }
        let too_many = vec![watched.descriptor(); MOST_AT_ONCE + 1];
        assert!(send(&one, b"bytes", &too_many, soon()).is_err());
        drop((one, other));
        watched.assert_closed();
    }

    #[test]
    fn more_descriptors_than_expected_are_an_error_and_all_are_closed() {
        let watched = Watched::new();
        let (one, other) = UnixStream::pair().unwrap();
        // As many as one message takes with each byte, however few are read at a time.
        for _ in 0..4 {
            send(&one, b"x", &[watched.descriptor(); MOST_AT_ONCE], soon()).unwrap();
        }
        let mut came = Vec::new();
        let failed = receive(&other, &mut [0; 4], &mut came, MOST_AT_ONCE, soon());
        assert!(matches!(failed, Err(Failed::TooMany)));
        assert!(came.len() <= 2 * MOST_AT_ONCE, "the rest is not received at all");
        drop((one, other, came));
        watched.assert_closed();
    }

    #[test]
    fn descriptors_where_none_are_expected_are_closed() {
        let watched = Watched::new();
        let (one, other) = UnixStream::pair().unwrap();
        send(&one, b"bytes", &[watched.descriptor(); 3], soon()).unwrap();
        read(&other, &mut [0; 5], soon()).unwrap();
        drop((one, other));
        watched.assert_closed();
    }

    #[test]
    fn one_that_sends_nothing_or_a_byte_now_and_then_is_too_late() {
        let (one, other) = UnixStream::pair().unwrap();
        let began = Instant::now();
        let late = |failed| match failed {
            Err(Failed::Io(error)) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        };
        assert!(late(read(&other, &mut [0; 5], soon())));
        let sender = std::thread::spawn(move || {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(20));
                if (&one).write_all(b"x").is_err() {
                    break;
                }
            }
        });
        assert!(late(receive(&other, &mut [0; 1000], &mut Vec::new(), 0, soon())));
        drop(other);
        sender.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn one_that_does_not_read_is_too_late_and_one_that_is_gone_is_gone() {
        let (one, other) = UnixStream::pair().unwrap();
        let error = send(&one, &vec![0; 10_000_000], &[], soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(other);
        let error = send(&one, b"x", &[], soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let (one, other) = UnixStream::pair().unwrap();
        drop(one);
        assert!(matches!(read(&other, &mut [0; 1], soon()), Err(Failed::Gone)));
        let failed = receive(&other, &mut [0; 1], &mut Vec::new(), 0, soon());
        assert!(matches!(failed, Err(Failed::Gone)));
    }
}
