//! The state that goes along with the descriptors: which there are, the bytes that belong to single connections,
//! and the snapshot. All of it is one sealed file, or one that systemd keeps.
//!
//! ```text
//!  0  "taciturn"
//!  8  version, u16          the numbers are little-endian
//! 10  0, u16
//! 12  CRC-32 of all that follows
//! 16  number of entries, u32
//! 20  length of the snapshot, u64
//! 28  the entries: length of the name, u8; length of the unread bytes, u32; of the unsent bytes, u32; then these
//!     the snapshot
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::name::{BadName, Name};

/// The longest state, in bytes.
pub const LONGEST_STATE: usize = 256 * 1024 * 1024;

/// How many descriptors go from one process to the next: two relay sockets for each port there is, and more than as
/// many connections as any limit allows.
pub const MOST_DESCRIPTORS: usize = 262_144;

/// What a client has sent of a message that is not complete, in bytes: a message has at most 65,555.
const MOST_UNREAD: usize = 128 * 1024;

/// What waits for a client that reads slowly, in bytes.
const MOST_UNSENT: usize = 512 * 1024;

const MAGIC: &[u8; 8] = b"taciturn";

/// The version that is written. Those from 1 on are read.
const VERSION: u16 = 1;

/// Where the checksum begins, and where what it covers does.
const CHECKSUM: usize = 12;
const CHECKED: usize = 16;

/// What there is to be handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Every descriptor but that of the state itself.
    pub entries: Vec<Entry>,
    /// What the server knows.
    pub snapshot: Snapshot,
}

/// What the server knows, as bytes. There are keys in it: it is wiped when it is dropped, and shown nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Snapshot(Zeroizing<Vec<u8>>);

impl From<Vec<u8>> for Snapshot {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Deref for Snapshot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} bytes)", self.len())
    }
}

/// A descriptor, and the bytes of a connection that are between the socket and the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub name: Name,
    /// Read from the socket: the beginning of a message.
    pub unread: Vec<u8>,
    /// To be written to the socket before anything else.
    pub unsent: Vec<u8>,
}

impl Entry {
    /// A descriptor that has no bytes waiting.
    #[must_use]
    pub const fn new(name: Name) -> Self {
        Self { name, unread: Vec::new(), unsent: Vec::new() }
    }
}

/// Why a state cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It is something else, or cut off.
    #[error("it is not the state of a server, or not all of it")]
    Malformed,
    /// It is not what was written.
    #[error("it is damaged: its checksum is wrong")]
    Damaged,
    /// A later release wrote it.
    #[error("a later release wrote it, in version {0}; this one reads up to {VERSION}")]
    TooNew(u16),
    /// A descriptor has no name that this release knows.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A descriptor is there twice, or is one that cannot be there.
    #[error("it lists {0}, which cannot be there")]
    Unexpected(Name),
    /// There is more than is handed over.
    #[error("it has {what}: {found}, and at most {most} are possible")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        most: usize,
    },
}

/// Returns an error if there is more than can be.
const fn bound(what: &'static str, found: usize, most: usize) -> Result<(), StateError> {
    if found > most { Err(StateError::TooMuch { what, found, most }) } else { Ok(()) }
}

impl State {
    /// The state as bytes, which are wiped when they are dropped.
    ///
    /// # Errors
    /// If it is not one that [`State::decode`] would read.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, StateError> {
        self.check()?;
        let names: Vec<String> = self.entries.iter().map(|entry| entry.name.to_string()).collect();
        let texts = self.entries.iter().zip(&names);
        let sizes =
            texts.map(|(entry, name)| 9 + name.len() + entry.unread.len() + entry.unsent.len());
        let size = sizes.fold(28 + self.snapshot.len(), usize::saturating_add);
        bound("bytes", size, LONGEST_STATE)?;
        // A vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((self.entries.len() as u32).to_le_bytes());
        bytes.extend((self.snapshot.len() as u64).to_le_bytes());
        for (entry, name) in self.entries.iter().zip(&names) {
            bytes.push(name.len() as u8);
            bytes.extend((entry.unread.len() as u32).to_le_bytes());
            bytes.extend((entry.unsent.len() as u32).to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(&entry.unread);
            bytes.extend(&entry.unsent);
        }
        bytes.extend(self.snapshot.iter());
        let checksum = bytes.get(CHECKED..).map(crc32fast::hash).unwrap_or_default();
        if let Some(place) = bytes.get_mut(CHECKSUM..CHECKED) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        Ok(bytes)
    }

    /// The state in `bytes`.
    ///
    /// # Errors
    /// If it is not whole, not what was written, or of a later release.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        bound("bytes", bytes.len(), LONGEST_STATE)?;
        let mut rest = Reader(bytes);
        if rest.take(MAGIC.len())? != MAGIC {
            return Err(StateError::Malformed);
        }
        let version = rest.u16()?;
        if version > VERSION {
            return Err(StateError::TooNew(version));
        }
        if version == 0 || rest.u16()? != 0 {
            return Err(StateError::Malformed);
        }
        if rest.u32()? != crc32fast::hash(rest.0) {
            return Err(StateError::Damaged);
        }
        let (entries, snapshot) = (rest.size()?, rest.long_size()?);
        bound("descriptors", entries, MOST_DESCRIPTORS)?;
        let entries = (0..entries).map(|_| rest.entry()).collect::<Result<_, _>>()?;
        let snapshot = rest.take(snapshot)?.to_vec().into();
        if !rest.0.is_empty() {
            return Err(StateError::Malformed);
        }
        let state = Self { entries, snapshot };
        state.check()?;
        Ok(state)
    }

    /// Each descriptor once, none that cannot be there, and none with too many bytes.
    fn check(&self) -> Result<(), StateError> {
        bound("descriptors", self.entries.len(), MOST_DESCRIPTORS)?;
        let mut names = BTreeSet::new();
        for Entry { name, unread, unsent } in &self.entries {
            let is_connection = matches!(name, Name::Client { .. } | Name::PeerConnection { .. });
            let is_idle = unread.is_empty() && unsent.is_empty();
            let fits = name.is_consistent() && !name.is_carrier() && (is_connection || is_idle);
            if !fits || !names.insert(name) {
                return Err(StateError::Unexpected(*name));
            }
            bound("unread bytes of a connection", unread.len(), MOST_UNREAD)?;
            bound("unsent bytes of a connection", unsent.len(), MOST_UNSENT)?;
        }
        Ok(())
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(StateError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(StateError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    fn size(&mut self) -> Result<usize, StateError> {
        usize::try_from(self.u32()?).map_err(|_| StateError::Malformed)
    }

    fn long_size(&mut self) -> Result<usize, StateError> {
        usize::try_from(self.array().map(u64::from_le_bytes)?).map_err(|_| StateError::Malformed)
    }

    fn entry(&mut self) -> Result<Entry, StateError> {
        let [name] = self.array()?;
        let (unread, unsent) = (self.size()?, self.size()?);
        // Before anything is copied.
        bound("unread bytes of a connection", unread, MOST_UNREAD)?;
        bound("unsent bytes of a connection", unsent, MOST_UNSENT)?;
        let name = str::from_utf8(self.take(usize::from(name))?);
        let name = name.map_err(|_| StateError::Malformed)?.parse()?;
        Ok(Entry { name, unread: self.take(unread)?.to_vec(), unsent: self.take(unsent)?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::Transport;

    fn client(port: u16) -> Name {
        let (local, remote) = (([192, 0, 2, 1], 3478).into(), ([198, 51, 100, 9], port).into());
        Name::Client { local, remote }
    }

    fn state() -> State {
        let address = ([192, 0, 2, 1], 3478).into();
        let listeners = (0..3).filter_map(|i| Name::listener(Transport::Udp, address, i, 3));
        let mut entries: Vec<Entry> = listeners.chain([Name::Control]).map(Entry::new).collect();
        entries.push(Entry { name: client(1), unread: b"half".to_vec(), unsent: vec![7; 1000] });
        State { entries, snapshot: b"snapshot with keys".to_vec().into() }
    }

    #[test]
    fn a_snapshot_is_not_shown() {
        assert_eq!(format!("{:?}", state().snapshot), "Snapshot(18 bytes)");
    }

    /// A state with this checksum, so that what comes behind it is looked at.
    fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
        let checksum = crc32fast::hash(&bytes[CHECKED..]);
        bytes[CHECKSUM..CHECKED].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        for state in [state(), State::default()] {
            assert_eq!(State::decode(&state.encode().unwrap()), Ok(state));
        }
    }

    /// Written by the first release, and read by every later one.
    #[test]
    fn the_bytes_of_a_state_are_as_they_always_were() {
        let entries = vec![
            Entry::new(Name::Control),
            Entry { name: client(1), unread: vec![1], unsent: vec![2, 3] },
        ];
        let state = State { entries, snapshot: vec![9].into() };
        let mut bytes = b"taciturn\x01\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        bytes.extend(b"\x07\0\0\0\0\0\0\0\0control");
        bytes.extend(
            b"\x24\x01\0\0\0\x02\0\0\0client/192.0.2.1+3478/198.51.100.9+1\x01\x02\x03\x09",
        );
        assert_eq!(*state.encode().unwrap(), checked(bytes));
    }

    #[test]
    fn a_state_that_is_cut_short_anywhere_is_refused() {
        let bytes = state().encode().unwrap();
        for len in 0..bytes.len() {
            assert!(State::decode(&bytes[..len]).is_err(), "{len}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(State::decode(&longer), Err(StateError::Damaged));
        assert_eq!(State::decode(&checked(longer)), Err(StateError::Malformed));
    }

    #[test]
    fn a_state_with_any_byte_changed_is_refused() {
        let bytes = state().encode().unwrap();
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] ^= flip;
                assert!(State::decode(&changed).is_err(), "byte {at} with {flip:#x}");
            }
        }
    }

    #[test]
    fn a_state_of_a_later_release_is_told_from_a_damaged_one() {
        let mut bytes = state().encode().unwrap().to_vec();
        bytes[8] = 2;
        let error = State::decode(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a later release wrote it, in version 2; this one reads up to 1"
        );
    }

    #[test]
    fn lengths_that_promise_more_than_there_is_cost_no_memory() {
        let bytes = state().encode().unwrap().to_vec();
        for (at, len) in [(CHECKED, 4), (20, 8), (29, 4), (33, 4)] {
            let mut changed = bytes.clone();
            changed[at..at + len].fill(0xff);
            assert!(State::decode(&checked(changed)).is_err(), "{at}");
        }
    }

    #[test]
    fn a_descriptor_is_listed_once_and_only_a_connection_has_bytes() {
        let refused = |entries: Vec<Entry>| {
            let state = State { entries, ..State::default() };
            matches!(state.encode(), Err(StateError::Unexpected(_)))
        };
        assert!(refused(vec![Entry::new(Name::Control), Entry::new(Name::Control)]));
        assert!(refused(vec![Entry::new(Name::State(1))]));
        assert!(refused(vec![Entry::new(Name::Sockets(1))]));
        assert!(refused(vec![Entry { unread: vec![1], ..Entry::new(Name::Control) }]));
        let (local, remote) = (([127, 0, 0, 1], 1).into(), ([0_u16; 8], 1).into());
        assert!(refused(vec![Entry::new(Name::Client { local, remote })]));
    }

    #[test]
    fn a_connection_with_too_many_bytes_is_refused() {
        for (unread, unsent) in [(MOST_UNREAD + 1, 0), (0, MOST_UNSENT + 1)] {
            let entry = Entry { name: client(1), unread: vec![0; unread], unsent: vec![0; unsent] };
            let state = State { entries: vec![entry], ..State::default() };
            assert!(matches!(state.encode(), Err(StateError::TooMuch { .. })));
        }
        let entry =
            Entry { name: client(1), unread: vec![0; MOST_UNREAD], unsent: vec![0; MOST_UNSENT] };
        let state = State { entries: vec![entry], ..State::default() };
        assert_eq!(State::decode(&state.encode().unwrap()), Ok(state));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_state_or_an_error(mut tail in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = State::decode(&tail);
            let mut bytes = state().encode().unwrap()[..CHECKED].to_vec();
            bytes.append(&mut tail);
            if let Ok(state) = State::decode(&checked(bytes.clone())) {
                prop_assert_eq!(&*state.encode().unwrap(), &checked(bytes));
            }
        }
    }
}
