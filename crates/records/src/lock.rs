//! Locks of files: two processes of the server run for a while when one takes over from the other.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// Waits until no other process has locked the file, and locks it until the guard is dropped.
pub(crate) fn exclusively(file: &File) -> io::Result<Guard<'_>> {
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(Guard(file)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Locks the file for as long as it is open. Returns false if another process has.
pub(crate) fn try_keep(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives the lock up when dropped.
#[derive(Debug)]
pub(crate) struct Guard<'a>(&'a File);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // Closing the file would do as well.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}
