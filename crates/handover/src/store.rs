//! What systemd keeps for the service, and passes to its next process (`FileDescriptorStoreMax=`): the sockets, all
//! of them in one, and the state. A later state replaces an earlier one once it is there as a whole, so that a
//! process that is killed at any moment leaves one that can be used.
//!
//! systemd does not watch the descriptors (FDPOLL=0): the sending end of the one in which sockets wait is closed,
//! which would count as its end.

use std::collections::BTreeSet;
use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::handover::Handover;
use super::name::Name;
use super::queue;

/// How many descriptors the store must have room for: those of the old state and of the new one.
pub const STORE_ROOM: usize = 4;

/// How long systemd may take to read what was sent before.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why nothing was kept. What was kept before is still there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The service manager does not read.
    #[error("the service manager did not take the descriptors in time")]
    Late,
    /// More sockets would wait than processes of this user may have descriptors.
    #[error(
        "this server may not have so many descriptors wait in the service manager. Allow it more: LimitNOFILE= in \
         the systemd unit"
    )]
    Room,
    /// The system refuses.
    #[error("cannot have the service manager keep the sockets: {0}")]
    Io(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match (error.kind(), error.raw_os_error()) {
            (_, Some(libc::ETOOMANYREFS)) => Self::Room,
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => Self::Late,
            _ => Self::Io(error),
        }
    }
}

/// The store of this service. A call may block for a second if systemd is busy.
#[derive(Debug)]
pub struct Store {
    line: UnixDatagram,
    /// The names of what is kept, whatever release gave it.
    kept: BTreeSet<String>,
}

impl Store {
    /// The store that is reached by `line`, which is connected to NOTIFY_SOCKET and used for nothing else. `kept` is
    /// what it holds already: the names of the descriptors that this process was started with. The next state
    /// replaces them, those too that this release does not know.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(line: UnixDatagram, kept: impl IntoIterator<Item = String>) -> io::Result<Self> {
        line.set_nonblocking(false)?;
        line.set_write_timeout(Some(PATIENCE))?;
        // A message has a line for each field. systemd keeps no such name.
        let kept = kept.into_iter().filter(|name| !name.contains(char::is_control));
        Ok(Self { line, kept: kept.collect() })
    }

    /// Has this kept in place of what was kept before.
    ///
    /// # Errors
    /// If there are more sockets than the system lets wait, or systemd does not take them.
    pub fn save(&mut self, handover: &Handover<'_>) -> Result<(), StoreError> {
        let number = self.last().wrapping_add(1);
        let sockets = queue::fill(handover.sockets())?;
        let before = self.kept.clone();
        // A state that is there has its sockets.
        self.keep(Name::Sockets(number), sockets.as_fd())?;
        self.keep(Name::State(number), handover.state())?;
        self.forget(before)
    }

    /// Has nothing kept any more: the next process begins anew.
    ///
    /// # Errors
    /// If systemd does not hear it.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.forget(self.kept.clone())
    }

    /// Waits until systemd has read everything. Without that a process could end before, and a message of a process
    /// that is gone belongs to no service.
    ///
    /// # Errors
    /// If it takes longer than `patience`.
    pub fn settle(&self, patience: Duration) -> Result<(), StoreError> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(patience))?;
        self.say("BARRIER=1", theirs.as_fd())?;
        drop(theirs);
        // systemd closes it unread when it comes to it.
        match (&ours).read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The number of the latest state.
    fn last(&self) -> u32 {
        let numbers = self.kept.iter().filter_map(|name| match name.parse() {
            Ok(Name::Sockets(number) | Name::State(number)) => Some(number),
            _ => None,
        });
        numbers.max().unwrap_or_default()
    }

    fn keep(&mut self, name: Name, descriptor: BorrowedFd<'_>) -> Result<(), StoreError> {
        self.say(&format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"), descriptor)?;
        self.kept.insert(name.to_string());
        Ok(())
    }

    fn forget(&mut self, names: BTreeSet<String>) -> Result<(), StoreError> {
        for name in names {
            self.line.send(format!("FDSTOREREMOVE=1\nFDNAME={name}").as_bytes())?;
            self.kept.remove(&name);
        }
        Ok(())
    }

    fn say(&self, words: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let words = [IoSlice::new(words.as_bytes())];
        sendmsg(&self.line, &words, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;
    use std::thread;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;
    use crate::claim::claim;
    use crate::state::{Entry, Snapshot};
    use crate::watched::{Watched, allow_descriptors};

    /// As systemd: what it is told to keep, under its names, the latest first.
    #[derive(Default)]
    struct Manager {
        kept: Vec<(String, OwnedFd)>,
        most: usize,
    }

    impl Manager {
        /// Reads until the line is closed, or `messages` were read.
        fn listen(mut self, line: &UnixDatagram, messages: usize) -> Self {
            for _ in 0..messages {
                let Some((words, came)) = heard(line) else { return self };
                let name = words.rsplit_once("FDNAME=").map_or("", |(_, name)| name).to_owned();
                if words.starts_with("FDSTORE=1\nFDPOLL=0\n") {
                    self.kept.splice(0..0, came.into_iter().map(|came| (name.clone(), came)));
                } else if words.starts_with("FDSTOREREMOVE=1\n") {
                    self.kept.retain(|(kept, _)| *kept != name);
                } else {
                    assert_eq!((words.as_str(), came.len()), ("BARRIER=1", 1));
                }
                self.most = self.most.max(self.kept.len());
            }
            self
        }
    }

    fn heard(line: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
        let mut text = [0; 300];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut text)];
        let message = recvmsg(line, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
        let mut came = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                came.extend(descriptors);
            }
        }
        let words = String::from_utf8(text[..message.bytes].to_vec()).unwrap();
        (!words.is_empty()).then_some((words, came))
    }

    /// A line to a manager, and its other end.
    fn line() -> (UnixDatagram, UnixDatagram) {
        let (line, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        (line, theirs)
    }

    fn handover<'a>(sockets: &'a [UdpSocket], snapshot: &[u8]) -> Handover<'a> {
        let sockets = sockets
            .iter()
            .map(|socket| (Entry::new(Name::Relay(socket.local_addr().unwrap())), socket.as_fd()));
        Handover::new(sockets, Snapshot::from(snapshot.to_vec())).unwrap()
    }

    fn sockets(count: usize) -> Vec<UdpSocket> {
        (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect()
    }

    #[test]
    fn the_next_process_gets_the_latest_state_with_all_its_sockets() {
        allow_descriptors();
        let (line, theirs) = line();
        let mut sockets = sockets(600);
        let manager = thread::spawn(move || Manager::default().listen(&theirs, usize::MAX));
        let mut store = Store::new(line, []).unwrap();
        for snapshot in [b"first", b"later"] {
            store.save(&handover(&sockets, snapshot)).unwrap();
            sockets.truncate(500);
        }
        store.settle(Duration::from_secs(20)).unwrap();
        let addresses: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
        // The process ends.
        store.line.send(b"").unwrap();
        drop((store, sockets));
        let manager = manager.join().unwrap();
        assert!(manager.most <= STORE_ROOM);
        let names: Vec<_> = manager.kept.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["state/2", "sockets/2"]);
        let claimed = claim(manager.kept);
        assert_eq!(*claimed.snapshot.unwrap(), *b"later");
        assert!(claimed.refused.is_empty() && claimed.missing.is_empty());
        // The second state was saved with the sockets that were left after the first.
        let held: Vec<_> = claimed.held.iter().map(|held| held.name).collect();
        assert_eq!(held, addresses.into_iter().map(Name::Relay).collect::<Vec<_>>());
    }

    /// Killed after each message.
    #[test]
    fn a_process_that_is_killed_while_it_saves_leaves_a_state_that_can_be_used() {
        for messages in 2..=6 {
            let (line, theirs) = line();
            let sockets = sockets(3);
            let mut store = Store::new(line, []).unwrap();
            let manager = thread::spawn(move || Manager::default().listen(&theirs, messages));
            store.save(&handover(&sockets, b"first")).unwrap();
            // Nobody listens any more.
            let _ = store.save(&handover(&sockets, b"later"));
            drop((store, sockets));
            let claimed = claim(manager.join().unwrap().kept);
            let expected = if messages < 4 { &b"first"[..] } else { b"later" };
            assert_eq!(*claimed.snapshot.unwrap(), *expected, "{messages}");
            assert_eq!((claimed.held.len(), claimed.missing.len()), (3, 0), "{messages}");
        }
    }

    #[test]
    fn what_the_store_held_before_is_replaced_and_can_be_taken_out() {
        let (line, theirs) = line();
        let before = ["state/7", "sockets/7", "of another release", "not\na name"];
        let mut store = Store::new(line, before.map(str::to_owned)).unwrap();
        let sockets = sockets(1);
        let said = thread::spawn(move || [(); 7].map(|()| heard(&theirs).unwrap().0));
        store.save(&handover(&sockets, b"")).unwrap();
        store.clear().unwrap();
        let keep = |name| format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}");
        let forget = |name| format!("FDSTOREREMOVE=1\nFDNAME={name}");
        let expected = [
            keep("sockets/8"),
            keep("state/8"),
            forget("of another release"),
            forget("sockets/7"),
            forget("state/7"),
            forget("sockets/8"),
            forget("state/8"),
        ];
        assert_eq!(said.join().unwrap(), expected);
        assert!(store.kept.is_empty());
    }

    /// The kernel's own words, "cannot splice", lead nobody to the limit.
    #[test]
    fn a_server_that_may_not_have_so_many_descriptors_is_told_the_limit() {
        let error = StoreError::from(io::Error::from_raw_os_error(libc::ETOOMANYREFS));
        assert!(error.to_string().contains("LimitNOFILE="), "{error}");
    }

    #[test]
    fn no_socket_stays_open_that_nobody_keeps() {
        let watched = Watched::new();
        let (line, theirs) = line();
        let mut store = Store::new(line, []).unwrap();
        let client = Entry::new(Name::Control);
        let handover = Handover::new([(client, watched.descriptor())], Snapshot::default());
        store.save(&handover.unwrap()).unwrap();
        drop((store, theirs));
        watched.assert_closed();
    }

    #[test]
    fn it_settles_when_the_manager_has_come_to_the_end_and_not_before() {
        let (line, theirs) = line();
        let store = Store::new(line, []).unwrap();
        let late = store.settle(Duration::from_millis(50)).unwrap_err();
        assert!(matches!(late, StoreError::Late), "{late}");
        // The one that was too late, and the one that is waited for.
        let manager = thread::spawn(move || Manager::default().listen(&theirs, 2));
        store.settle(Duration::from_secs(20)).unwrap();
        manager.join().unwrap();
    }

    #[test]
    fn a_manager_that_does_not_read_is_waited_for_for_a_second() {
        let (line, _theirs) = line();
        let mut store = Store::new(line, []).unwrap();
        let sockets = sockets(1);
        let failed = (0..1000).find_map(|_| store.save(&handover(&sockets, b"")).err());
        assert!(matches!(failed, Some(StoreError::Late)), "{failed:?}");
    }
}
