//! Who is at the other end: descriptors and keys go to the same user or to root, and come from there.

use std::io;
use std::os::unix::net::UnixStream;

use super::raw;

/// The process at the other end of a socket, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whom it ran as when the connection was made.
    pub uid: u32,
    /// `None` if it is in a PID namespace that cannot be seen from this one.
    pub pid: Option<i32>,
}

/// The process at the other end may not have, or give, what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it runs as uid {uid}, and only {} may", self.known())]
pub struct Stranger {
    /// Whom it runs as.
    pub uid: u32,
    /// Whom this process runs as.
    pub own: u32,
    /// The account that this process will switch to.
    pub account: Option<u32>,
}

impl Stranger {
    fn known(&self) -> String {
        let others =
            [Some(self.own), self.account].into_iter().flatten().filter(|uid| *uid != ROOT);
        others.fold("root".to_owned(), |known, uid| format!("{known} and uid {uid}"))
    }
}

impl Peer {
    /// The one that is connected to `stream`.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let (pid, uid) = raw::credentials(stream)?;
        Ok(Self { uid, pid: (pid > 0).then_some(pid) })
    }

    /// Whether it may have what this process, which runs as `own`, would give away: sockets, keys and calls.
    ///
    /// # Errors
    /// If it runs as another user than this process, and not as root.
    pub const fn may_take(self, own: u32) -> Result<(), Stranger> {
        self.is_one_of(own, None)
    }

    /// Whether this process, which runs as `own`, may use what it gives: whoever can put a socket where the
    /// server's is expected must not be able to provide its keys. A process that still runs as root and will
    /// switch to the user `account` takes from a server that has done so.
    ///
    /// # Errors
    /// If it runs as another user than these, and not as root.
    pub const fn may_give(self, own: u32, account: Option<u32>) -> Result<(), Stranger> {
        // Only root becomes somebody else: for others their own uid is all there is.
        self.is_one_of(own, if own == ROOT { account } else { None })
    }

    const fn is_one_of(self, own: u32, account: Option<u32>) -> Result<(), Stranger> {
        let known = match account {
            Some(account) => self.uid == account,
            None => false,
        };
        if known || self.uid == own || self.uid == ROOT {
            return Ok(());
        }
        Err(Stranger { uid: self.uid, own, account })
    }
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    const fn peer(uid: u32) -> Peer {
        Peer { uid, pid: Some(1) }
    }

    #[test]
    fn the_same_user_and_root_may_take_and_nobody_else() {
        assert_eq!(peer(1000).may_take(1000), Ok(()));
        assert_eq!(peer(0).may_take(1000), Ok(()));
        assert_eq!(peer(0).may_take(0), Ok(()));
        let refused = peer(1001).may_take(1000).unwrap_err();
        assert_eq!(refused.to_string(), "it runs as uid 1001, and only root and uid 1000 may");
        // Where the server is root, another user is a stranger all the more.
        assert!(peer(1001).may_take(0).is_err());
        assert!(peer(u32::MAX).may_take(0).is_err());
    }

    #[test]
    fn root_takes_from_the_account_that_it_will_switch_to_and_others_do_not() {
        assert_eq!(peer(990).may_give(0, Some(990)), Ok(()));
        let refused = peer(991).may_give(0, Some(990)).unwrap_err();
        assert_eq!(refused.to_string(), "it runs as uid 991, and only root and uid 990 may");
        assert!(peer(990).may_give(0, None).is_err());
        assert!(peer(990).may_give(1000, Some(990)).is_err(), "who is not root switches to nobody");
        assert_eq!(peer(1000).may_give(1000, None), Ok(()));
    }

    #[test]
    fn the_kernel_tells_who_is_at_the_other_end() {
        let (one, _other) = UnixStream::pair().unwrap();
        let known = Peer::of(&one).unwrap();
        assert_eq!(known.uid, rustix::process::geteuid().as_raw());
        assert_eq!(known.pid, Some(std::process::id().cast_signed()));
    }
}
