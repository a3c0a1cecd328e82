//! How many allocations one user holds, and how many there are; and what a user has spent of the
//! rates ([`Meter`]), over all allocations and shards.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rates::Meter;
use crate::clock::Tick;
use crate::user::UserId;

/// How many users are remembered at most that hold no allocation any more.
const REMEMBERED: usize = 4096;

/// Why there is no allocation for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The user holds as many as it may.
    #[error("the user holds as many allocations as it may")]
    User,
    /// There are as many as may be.
    #[error("there are as many allocations as may be")]
    All,
}

/// A user that holds allocations, or did a moment ago.
#[derive(Debug)]
pub struct User {
    id: UserId,
    meter: Meter,
}

impl User {
    /// Whom limits go by: with a name of the REST scheme, its stable part.
    #[must_use]
    pub const fn id(&self) -> &UserId {
        &self.id
    }

    /// What all its allocations together have spent.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// Counts the allocations of each user over all shards. Users that hold one take memory, and for
/// as long as it matters those that have spent of a rate: nobody gets a fresh one by coming anew.
#[derive(Debug)]
pub struct Quota {
    per_user: AtomicU32,
    in_all: AtomicU32,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    in_all: u32,
    /// Users with allocations.
    holders: usize,
    users: HashMap<UserId, Entry>,
    /// Users without, in the order in which they gave up their last.
    remembered: VecDeque<UserId>,
}

#[derive(Debug)]
struct Entry {
    count: u32,
    /// Whether it is among those remembered. It may have come back since.
    remembered: bool,
    user: Arc<User>,
}

impl Quota {
    /// At most `per_user` allocations for each user, and `in_all`; 0 in all is no limit.
    #[must_use]
    pub fn new(per_user: u32, in_all: u32) -> Self {
        let (per_user, in_all) = (AtomicU32::new(per_user), AtomicU32::new(in_all));
        Self { per_user, in_all, held: Mutex::default() }
    }

    /// Takes over the limits of `other`, for what begins from now on.
    pub fn follow(&self, other: &Self) {
        for (mine, theirs) in [(&self.per_user, &other.per_user), (&self.in_all, &other.in_all)] {
            mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// One more allocation for `user`.
    ///
    /// # Errors
    /// With the limit that is reached.
    //= 8656-5-user-limits
    pub fn take(self: &Arc<Self>, user: &UserId, now: Tick) -> Result<QuotaTicket, QuotaError> {
        let mut held = self.lock();
        held.forget(|meter| meter.is_whole(now));
        let known = held.users.get(user).map_or(0, |entry| entry.count);
        if known >= self.per_user.load(Ordering::Relaxed) {
            return Err(QuotaError::User);
        }
        let in_all = self.in_all.load(Ordering::Relaxed);
        if in_all > 0 && held.in_all >= in_all {
            return Err(QuotaError::All);
        }
        held.in_all += 1;
        held.holders += usize::from(known == 0);
        if !held.users.contains_key(user) {
            let new = Arc::new(User { id: user.clone(), meter: Meter::default() });
            held.users.insert(user.clone(), Entry { count: 0, remembered: false, user: new });
        }
        let Some(entry) = held.users.get_mut(user) else { return Err(QuotaError::User) };
        entry.count += 1;
        let user = Arc::clone(&entry.user);
        Ok(QuotaTicket { quota: Arc::clone(self), user, is_first: known == 0 })
    }

    /// How many users hold an allocation now.
    #[must_use]
    pub fn users(&self) -> usize {
        self.lock().holders
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Forgets users from the front, for as long as they may be.
    fn forget(&mut self, may_be: impl Fn(&Meter) -> bool) {
        while let Some(user) = self.remembered.front() {
            let Some(entry) = self.users.get_mut(user) else {
                self.remembered.pop_front();
                continue;
            };
            if entry.count > 0 {
                entry.remembered = false;
            } else if may_be(entry.user.meter()) || self.remembered.len() > REMEMBERED {
                self.users.remove(user);
            } else {
                return;
            }
            self.remembered.pop_front();
        }
    }

    fn give_back(&mut self, user: &User) {
        self.in_all -= 1;
        let Some(entry) = self.users.get_mut(user.id()) else { return };
        entry.count -= 1;
        if entry.count > 0 {
            return;
        }
        self.holders -= 1;
        // Whole at the very start: nothing was ever spent.
        if user.meter().is_whole(Tick(0)) && !entry.remembered {
            self.users.remove(user.id());
        } else if !entry.remembered {
            entry.remembered = true;
            self.remembered.push_back(user.id().clone());
            self.forget(|_| false);
        }
    }
}

/// One allocation's place in the quota; given back when dropped.
#[derive(Debug)]
pub struct QuotaTicket {
    quota: Arc<Quota>,
    user: Arc<User>,
    is_first: bool,
}

impl QuotaTicket {
    /// The user it is counted for.
    #[must_use]
    pub fn user(&self) -> &UserId {
        self.user.id()
    }

    /// Whether the user had no other when this was taken.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.is_first
    }

    /// What the user has spent.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        self.user.meter()
    }

    pub(super) const fn holder(&self) -> &Arc<User> {
        &self.user
    }
}

impl Drop for QuotaTicket {
    fn drop(&mut self) {
        self.quota.lock().give_back(&self.user);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rates::{Each, RateLimits, Rates};
    use super::*;

    const NOW: Tick = Tick(1000);

    fn id(name: &str) -> UserId {
        UserId::of_tests(name)
    }

    #[test]
    fn a_name_in_two_realms_is_two_users() {
        let quota = Arc::new(Quota::new(1, 0));
        let elsewhere = UserId::new(&"example.net".into(), "alice");
        let here = quota.take(&id("alice"), NOW).unwrap();
        let there = quota.take(&elsewhere, NOW).unwrap();
        assert!(here.is_first() && there.is_first());
        assert_eq!(quota.users(), 2);
        assert_eq!(quota.take(&elsewhere, NOW).unwrap_err(), QuotaError::User);
        drop(there);
        assert!(quota.take(&id("alice"), NOW).is_err() && quota.take(&elsewhere, NOW).is_ok());
    }

    #[test]
    fn a_user_is_stopped_at_the_limit_and_others_are_not() {
        let quota = Arc::new(Quota::new(2, 0));
        let first = quota.take(&id("alice"), NOW).unwrap();
        let second = quota.take(&id("alice"), NOW).unwrap();
        assert!(first.is_first() && !second.is_first());
        assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::User);
        assert!(quota.take(&id("bob"), NOW).is_ok());
        drop(first);
        assert!(quota.take(&id("alice"), NOW).is_ok());
    }

    #[test]
    fn the_limit_in_all_holds_over_users() {
        let quota = Arc::new(Quota::new(2, 3));
        let held = ["alice", "alice", "bob"].map(|user| quota.take(&id(user), NOW).unwrap());
        assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::User);
        assert_eq!(quota.take(&id("bob"), NOW).unwrap_err(), QuotaError::All);
        assert_eq!(quota.take(&id("carol"), NOW).unwrap_err(), QuotaError::All);
        assert_eq!(quota.users(), 2);
        drop(held);
        assert!(quota.take(&id("carol"), NOW).is_ok());
    }

    #[test]
    fn other_limits_end_nothing_and_hold_for_the_next() {
        let quota = Arc::new(Quota::new(2, 0));
        let held = [quota.take(&id("alice"), NOW).unwrap(), quota.take(&id("alice"), NOW).unwrap()];
        quota.follow(&Quota::new(1, 0));
        assert_eq!(quota.users(), 1);
        assert!(quota.take(&id("alice"), NOW).is_err());
        quota.follow(&Quota::new(3, 2));
        assert_eq!(quota.take(&id("alice"), NOW).unwrap_err(), QuotaError::All);
        quota.follow(&Quota::new(3, 3));
        assert!(quota.take(&id("alice"), NOW).is_ok());
        drop(held);
        assert_eq!(quota.users(), 0);
    }

    #[test]
    fn users_without_allocations_take_no_memory() {
        let quota = Arc::new(Quota::new(2, 0));
        for n in 0..1000 {
            drop(quota.take(&id(&format!("user{n}")), NOW));
        }
        assert_eq!(quota.users(), 0);
        assert!(quota.lock().users.is_empty() && quota.lock().remembered.is_empty());
    }

    /// Spends a second's worth for `user`; returns how many packets that are.
    fn spend(quota: &Arc<Quota>, user: &str, now: Tick) -> usize {
        let packets = Each { user: 5, ..Each::default() };
        let limits = RateLimits::new(Rates { packets, ..Rates::default() });
        let ticket = quota.take(&id(user), now).unwrap();
        let direction = super::super::rates::Direction::ToPeers;
        let own = Meter::default();
        (0..99).filter(|_| limits.packet(now, direction, 1, &own, ticket.meter()).is_ok()).count()
    }

    #[test]
    fn who_comes_anew_has_not_more_to_spend() {
        let quota = Arc::new(Quota::new(2, 0));
        assert_eq!(spend(&quota, "alice", NOW), 5);
        for _ in 0..3 {
            assert_eq!(spend(&quota, "alice", NOW), 0);
        }
        assert_eq!((quota.users(), quota.lock().remembered.len()), (0, 1));
        assert_eq!(spend(&quota, "bob", NOW), 5);
        let later = Tick(NOW.0 + 1000);
        let carol = quota.take(&id("carol"), later).unwrap();
        assert_eq!(quota.lock().users.len(), 1, "the others are forgotten");
        drop(carol);
        assert_eq!(spend(&quota, "alice", later), 5);
    }

    #[test]
    fn the_memory_for_users_that_left_is_bounded() {
        let quota = Arc::new(Quota::new(2, 0));
        for n in 0..3 * REMEMBERED {
            assert_eq!(spend(&quota, &format!("user{n}"), NOW), 5);
        }
        let held = quota.lock();
        assert_eq!((held.users.len(), held.remembered.len()), (REMEMBERED, REMEMBERED));
    }
}
