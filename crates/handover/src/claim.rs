//! From descriptors with names to sockets that a server may use.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::examine::{Unfit, examine};
use super::name::{Name, Transport};
use super::queue;
use super::sealed;
use super::state::{self, LONGEST_STATE, Snapshot, State};

/// What may be used of the descriptors that another process, or the service manager, passed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The snapshot. Without one, nothing else is here either: the server begins anew.
    pub snapshot: Option<Snapshot>,
    /// Listening sockets, those of one address together.
    pub groups: Vec<Group>,
    /// All others.
    pub held: Vec<Held>,
    /// Those that were closed, and why.
    pub refused: Vec<Refused>,
    /// Those that are in the list and did not come.
    pub missing: Vec<Name>,
}

/// All listening sockets that share an address and port (SO_REUSEPORT), in the order by which the kernel chooses.
#[derive(Debug)]
pub struct Group {
    /// What comes in there.
    pub transport: Transport,
    /// Where they are bound.
    pub address: SocketAddr,
    /// The first is that of the first worker.
    pub sockets: Vec<OwnedFd>,
}

/// A socket that is what it is called.
#[derive(Debug)]
pub struct Held {
    /// What it is.
    pub name: Name,
    /// The socket, non-blocking.
    pub socket: OwnedFd,
    /// Of a connection: what was read from it, the beginning of a message.
    pub unread: Vec<u8>,
    /// Of a connection: what is to be written to it first.
    pub unsent: Vec<u8>,
}

/// A descriptor that was closed.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Refused {
    /// What it was called; another text than a name of this server is shown in short.
    pub name: String,
    /// Why it is not used.
    pub why: Unfit,
}

/// Takes the descriptors that are what the list among them says, and closes all others. Any text may be a name.
pub fn claim(received: impl IntoIterator<Item = (String, OwnedFd)>) -> Claimed {
    let mut claimed = Claimed::default();
    let (mut states, mut queues) = (BTreeMap::new(), BTreeMap::new());
    let mut sockets = BTreeMap::new();
    for (text, descriptor) in received {
        let Ok(name) =
            text.parse::<Name>().map_err(|bad| claimed.refuse(bad.shown(), Unfit::Unnamed))
        else {
            continue;
        };
        let new = match name {
            Name::State(number) => add(&mut states, number, descriptor),
            Name::Sockets(number) => add(&mut queues, number, descriptor),
            _ => add(&mut sockets, name, descriptor),
        };
        if !new {
            claimed.refuse(name, Unfit::Twice);
        }
    }
    match claimed.latest(states) {
        Some((number, state)) => {
            if let Some(queue) = queues.remove(&number) {
                claimed.take_out(number, queue, &state, &mut sockets);
            }
            claimed.compare(state, sockets);
        }
        None => sockets.into_keys().for_each(|name| claimed.refuse(name, Unfit::WithoutList)),
    }
    queues.into_keys().for_each(|number| claimed.refuse(Name::Sockets(number), Unfit::Unlisted));
    claimed
}

/// Adds what is not there yet; returns whether it was not. The service manager passes the latest first.
fn add<K: Ord>(all: &mut BTreeMap<K, OwnedFd>, key: K, descriptor: OwnedFd) -> bool {
    match all.entry(key) {
        Entry::Vacant(free) => {
            free.insert(descriptor);
            true
        }
        Entry::Occupied(_) => false,
    }
}

impl Claimed {
    fn refuse(&mut self, name: impl ToString, why: Unfit) {
        self.refused.push(Refused { name: name.to_string(), why });
    }

    /// The latest state that can be read, with its number.
    fn latest(&mut self, states: BTreeMap<u32, OwnedFd>) -> Option<(u32, State)> {
        states.into_iter().rev().find_map(|(number, file)| {
            let state = sealed::read(file, LONGEST_STATE).map_err(Unfit::from);
            let state = state.and_then(|bytes| Ok(State::decode(&bytes)?));
            match state {
                Ok(state) => Some((number, state)),
                Err(why) => {
                    self.refuse(Name::State(number), why);
                    None
                }
            }
        })
    }

    /// Takes the sockets out that wait in `queue`, in the order of the list.
    fn take_out(
        &mut self,
        number: u32,
        queue: OwnedFd,
        state: &State,
        sockets: &mut BTreeMap<Name, OwnedFd>,
    ) {
        match queue::empty(queue) {
            Ok(waited) if waited.len() == state.entries.len() => {
                for (entry, socket) in state.entries.iter().zip(waited) {
                    if !add(sockets, entry.name, socket) {
                        self.refuse(entry.name, Unfit::Twice);
                    }
                }
            }
            Ok(waited) => {
                let (found, listed) = (waited.len(), state.entries.len());
                self.refuse(Name::Sockets(number), Unfit::Number { found, listed });
            }
            Err(error) => self.refuse(Name::Sockets(number), Unfit::Queue(error)),
        }
    }

    /// Each descriptor of the list is here as what it is called, or is missing.
    fn compare(&mut self, state: State, mut sockets: BTreeMap<Name, OwnedFd>) {
        let mut members = BTreeMap::<_, Vec<(Name, OwnedFd)>>::new();
        for state::Entry { name, unread, unsent } in state.entries {
            let Some(socket) = sockets.remove(&name) else {
                self.missing.push(name);
                continue;
            };
            if let Err(why) = examine(&name, &socket) {
                self.refuse(name, why);
                continue;
            }
            match name {
                Name::Listener { transport, address, .. } => {
                    members.entry((transport, address)).or_default().push((name, socket));
                }
                _ => self.held.push(Held { name, socket, unread, unsent }),
            }
        }
        for ((transport, address), members) in members {
            self.join(transport, address, members);
        }
        sockets.into_keys().for_each(|name| self.refuse(name, Unfit::Unlisted));
        self.snapshot = Some(state.snapshot);
    }

    /// Takes the sockets of one address if they are all there are.
    fn join(
        &mut self,
        transport: Transport,
        address: SocketAddr,
        mut members: Vec<(Name, OwnedFd)>,
    ) {
        members.sort_by_key(|(name, _)| *name);
        let place = |name: &Name| match name {
            Name::Listener { place, .. } => Some(*place),
            _ => None,
        };
        let size = members.len();
        let in_place = |(at, (name, _)): (usize, &(Name, OwnedFd))| {
            place(name).is_some_and(|place| {
                usize::from(place.index()) == at && usize::from(place.of()) == size
            })
        };
        if !members.iter().enumerate().all(in_place) {
            members.into_iter().for_each(|(name, _)| self.refuse(name, Unfit::Incomplete));
            return;
        }
        let sockets = members.into_iter().map(|(_, socket)| socket).collect();
        self.groups.push(Group { transport, address, sockets });
    }
}
