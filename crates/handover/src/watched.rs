//! For tests: a descriptor that tells when all copies of it are closed, whatever other tests do meanwhile.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have as many descriptors as it may; returns how many.
pub(crate) fn allow_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

/// A socket that is given away, and its other end.
pub(crate) struct Watched {
    given: Option<UnixStream>,
    watch: UnixStream,
}

impl Watched {
    pub(crate) fn new() -> Self {
        let (given, watch) = UnixStream::pair().unwrap();
        watch.set_nonblocking(true).unwrap();
        Self { given: Some(given), watch }
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.given.as_ref().unwrap().as_fd()
    }

    /// Closes its own copy, and checks that there is no other.
    pub(crate) fn assert_closed(mut self) {
        assert!(self.is_held(), "it tells one that is open from one that is not");
        self.given = None;
        assert!(!self.is_held(), "a copy is open");
    }

    fn is_held(&self) -> bool {
        match (&self.watch).read(&mut [0]) {
            Ok(0) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            other => panic!("{other:?}"),
        }
    }
}
