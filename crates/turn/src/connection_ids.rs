//! CONNECTION-IDs, and the peer connections that wait for their ConnectionBind (RFC 6062 section
//! 5.2 to 5.4). All shards share them: the data connection may come to another worker than the one
//! that has the allocation.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;

use super::types::{ConnectionId, PeerAddr};
use crate::user::UserId;
use taciturn_stun::LongTermKey;

/// How often another number is tried where one is in use: four thousand million are there.
const TRIES: u32 = 8;

/// Which CONNECTION-IDs there are. Asked when a peer connection begins, is bound and ends; never
/// for data.
#[derive(Debug)]
pub struct ConnectionIds {
    limit: AtomicUsize,
    /// An id without an entry is being connected, or bound.
    ids: Mutex<AHashMap<ConnectionId, Option<Unbound>>>,
}

/// A peer connection that waits to be bound, and who may bind it.
#[derive(Debug)]
pub(super) struct Unbound {
    pub(super) username: UserId,
    /// The key that the allocation was made with.
    pub(super) key: LongTermKey,
    pub(super) peer: PeerAddr,
}

/// Why a peer connection cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbindable {
    /// There is none of this id, or it is bound already.
    Unknown,
    /// It is another user's.
    NotYours,
}

impl ConnectionIds {
    /// For at most `limit` peer connections at a time, over all allocations.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), ids: Mutex::default() }
    }

    /// Has another limit hold, for peer connections that begin from now on.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How many peer connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an id that nobody has; `None` when there are as many connections as may be.
    pub(super) fn take(self: &Arc<Self>, mut random: impl FnMut() -> u32) -> Option<IdTicket> {
        let mut ids = self.lock();
        if ids.len() >= self.limit.load(Ordering::Relaxed) {
            return None;
        }
        for _ in 0..TRIES {
            let id = ConnectionId(random());
            if let Entry::Vacant(vacant) = ids.entry(id) {
                vacant.insert(None);
                return Some(IdTicket { all: Arc::clone(self), id });
            }
        }
        None
    }

    /// The id of a peer connection that another process had; `None` where it is in use. None is refused
    /// because of the limit, which is for what begins.
    pub(super) fn restore(self: &Arc<Self>, id: ConnectionId) -> Option<IdTicket> {
        match self.lock().entry(id) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                vacant.insert(None);
                Some(IdTicket { all: Arc::clone(self), id })
            }
        }
    }

    /// The user that a waiting connection is for, with the key, if that is the name.
    pub(super) fn key(&self, id: ConnectionId, name: &str) -> Option<(UserId, LongTermKey)> {
        let ids = self.lock();
        let waiting = ids.get(&id)?.as_ref()?;
        (waiting.username.name() == name).then(|| (waiting.username.clone(), waiting.key.clone()))
    }

    /// The peer of a connection that waits for the user that `is_its_user` knows.
    pub(super) fn peer(
        &self,
        id: ConnectionId,
        is_its_user: impl Fn(&UserId) -> bool,
    ) -> Result<PeerAddr, Unbindable> {
        match self.lock().get(&id) {
            Some(Some(waiting)) if is_its_user(&waiting.username) => Ok(waiting.peer),
            Some(Some(_)) => Err(Unbindable::NotYours),
            Some(None) | None => Err(Unbindable::Unknown),
        }
    }

    /// Ends the waiting of a connection; returns whether it did wait. Of two that ask, one is told
    /// so.
    pub(super) fn claim(&self, id: ConnectionId) -> bool {
        self.lock().get_mut(&id).is_some_and(|waiting| waiting.take().is_some())
    }

    fn lock(&self) -> MutexGuard<'_, AHashMap<ConnectionId, Option<Unbound>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id in use; given back when dropped.
#[derive(Debug)]
pub(super) struct IdTicket {
    all: Arc<ConnectionIds>,
    id: ConnectionId,
}

impl IdTicket {
    pub(super) const fn id(&self) -> ConnectionId {
        self.id
    }

    /// From now on the connection can be bound.
    pub(super) fn offer(&self, unbound: Unbound) {
        self.all.lock().insert(self.id, Some(unbound));
    }

    /// Whether it still waits to be bound.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.all.lock().get(&self.id), Some(Some(_)))
    }

    /// Takes the offer back; returns whether it was still there.
    pub(super) fn withdraw(&self) -> bool {
        self.all.claim(self.id)
    }
}

impl Drop for IdTicket {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(username: &str) -> Unbound {
        let peer = PeerAddr("8.8.8.8:80".parse().unwrap());
        Unbound { username: UserId::of_tests(username), key: LongTermKey::md5([1; 16]), peer }
    }

    fn is(name: &str) -> impl Fn(&UserId) -> bool {
        move |holder| *holder == UserId::of_tests(name)
    }

    #[test]
    fn an_id_in_use_is_not_given_again() {
        let ids = Arc::new(ConnectionIds::new(9));
        let mut numbers = [7, 7, 7, 8].into_iter();
        let mut random = || numbers.next().unwrap();
        let first = ids.take(&mut random).unwrap();
        let second = ids.take(&mut random).unwrap();
        assert_eq!((first.id(), second.id()), (ConnectionId(7), ConnectionId(8)));
        assert!(ids.take(|| 7).is_none());
        drop(first);
        assert!(ids.take(|| 7).is_some());
    }

    #[test]
    fn there_is_a_limit_in_all() {
        let ids = Arc::new(ConnectionIds::new(1));
        let one = ids.take(|| 1);
        assert!(one.is_some() && ids.take(|| 2).is_none());
        drop(one);
        assert!(ids.is_empty() && ids.take(|| 2).is_some());
    }

    #[test]
    fn a_connection_is_bound_once_and_by_its_user() {
        let ids = Arc::new(ConnectionIds::new(9));
        let ticket = ids.take(|| 1).unwrap();
        let id = ticket.id();
        assert_eq!(ids.peer(id, is("alice")), Err(Unbindable::Unknown), "not offered yet");
        ticket.offer(waiting("alice"));
        assert_eq!(ids.peer(id, is("bob")), Err(Unbindable::NotYours));
        assert!(ids.key(id, "bob").is_none() && ids.key(id, "alice").is_some());
        assert!(ids.peer(id, is("alice")).is_ok() && ticket.is_waiting());
        assert!(ids.claim(id));
        assert!(!ids.claim(id) && !ticket.is_waiting() && !ticket.withdraw());
        assert_eq!(ids.peer(id, is("alice")), Err(Unbindable::Unknown));
        assert_eq!(ids.len(), 1, "the id is in use for as long as the connection is");
    }
}
