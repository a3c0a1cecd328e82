//! How many allocations one user holds, and how many there are; and what a user has spent of the
//! rates ([`Meter`]), over all allocations and shards.

mod sharing;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use borsh::{BorshDeserialize, BorshSerialize};

use self::sharing::Sharing;
pub use self::sharing::UserTag;
use super::meter::{Meter, Spent};
use crate::clock::{TakeOver, Tick};
use crate::user::UserId;

/// How many users are remembered at most that hold no allocation any more.
const REMEMBERED: usize = 4096;

/// Why there is no allocation for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The user holds as many as it may.
    #[error("the user holds as many allocations as it may")]
    User,
    /// With those that it holds on other servers of the fleet, the user holds as many as it may.
    #[error("the user holds as many allocations as it may, with those on other servers")]
    UserElsewhere,
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
/// as long as it matters those that have spent of a rate: nobody gets a fresh one by coming back.
#[derive(Debug)]
pub struct Quota {
    per_user: AtomicU32,
    in_all: AtomicU32,
    /// How often a user was refused because of what it holds on other servers.
    refused_elsewhere: AtomicU64,
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
    /// With other servers, if it is shared with any.
    sharing: Option<Box<Sharing>>,
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
        Self { per_user, in_all, refused_elsewhere: AtomicU64::new(0), held: Mutex::default() }
    }

    /// Has other limits hold, for what begins from now on.
    pub fn set_limits(&self, per_user: u32, in_all: u32) {
        self.per_user.store(per_user, Ordering::Relaxed);
        self.in_all.store(in_all, Ordering::Relaxed);
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
        let per_user = self.per_user.load(Ordering::Relaxed);
        if known >= per_user {
            return Err(QuotaError::User);
        }
        let elsewhere = held.sharing.as_ref().map_or(0, |sharing| sharing.elsewhere(user, now));
        if known.saturating_add(elsewhere) >= per_user {
            self.refused_elsewhere.fetch_add(1, Ordering::Relaxed);
            return Err(QuotaError::UserElsewhere);
        }
        let in_all = self.in_all.load(Ordering::Relaxed);
        if in_all > 0 && held.in_all >= in_all {
            return Err(QuotaError::All);
        }
        Ok(self.one_more(&mut held, user))
    }

    /// The place of an allocation that another process had. None is refused: the limits may have been
    /// lowered meanwhile, and are for what begins.
    pub fn restore(self: &Arc<Self>, user: &UserId) -> QuotaTicket {
        self.one_more(&mut self.lock(), user)
    }

    /// What users have spent that may not be forgotten yet, whether they hold allocations or not: for
    /// another process. Those without come in the order in which they gave up their last.
    #[must_use]
    pub fn spent(&self, now: Tick) -> Vec<SpentByUser> {
        let held = self.lock();
        let holders = held.users.values().filter(|entry| entry.count > 0);
        let others = held.remembered.iter().filter_map(|user| held.users.get(user));
        let all = holders.chain(others.filter(|entry| entry.count == 0));
        all.filter(|entry| !entry.user.meter().is_whole(now))
            .map(|entry| SpentByUser {
                user: entry.user.id().clone(),
                spent: entry.user.meter().spent(now),
            })
            .collect()
    }

    /// Spends what users have spent in another process, as far as that matters still. Before or after
    /// their allocations are restored.
    pub fn restore_spent(&self, spent: &[SpentByUser], there: &TakeOver) {
        let mut held = self.lock();
        for SpentByUser { user, spent } in spent.iter().filter(|of| !of.spent.is_nothing(there)) {
            let entry = held.entry(user);
            entry.user.meter().restore(spent, there);
            if entry.count == 0 && !entry.remembered {
                entry.remembered = true;
                held.remembered.push_back(user.clone());
                held.forget(|_| false);
            }
        }
    }

    fn one_more(self: &Arc<Self>, held: &mut Held, user: &UserId) -> QuotaTicket {
        held.in_all += 1;
        let entry = held.entry(user);
        entry.count += 1;
        let (user, is_first) = (Arc::clone(&entry.user), entry.count == 1);
        held.holders += usize::from(is_first);
        if let Some(sharing) = &mut held.sharing {
            sharing.note(user.id());
        }
        QuotaTicket { quota: Arc::clone(self), user, is_first }
    }

    /// How many users hold an allocation now.
    #[must_use]
    pub fn users(&self) -> usize {
        self.lock().holders
    }

    /// Has other servers count as well, which all know users by tags of this key; or none any more. What was shared before
    /// is forgotten.
    pub fn share(&self, key: Option<&[u8; 32]>) {
        self.lock().sharing = key.map(|key| Box::new(Sharing::new(key)));
    }

    /// Whether other servers count as well.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.lock().sharing.is_some()
    }

    /// Waits until a user holds another number of allocations than was told. Of two who wait, the one that came last is
    /// woken.
    pub fn poll_changed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut held = self.lock();
        let sharing = held.sharing.as_mut();
        match sharing.is_some_and(|sharing| sharing.has_changed(context.waker())) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// What the other servers are to be told: of the users that hold another number than before, how many each holds.
    #[must_use]
    pub fn changed(&self) -> Vec<(UserTag, u32)> {
        let mut held = self.lock();
        let Held { users, sharing: Some(sharing), .. } = &mut *held else { return Vec::new() };
        let changed = sharing.take_changed().into_iter();
        let counts: Vec<_> = changed
            .map(|user| {
                let count = users.get(&user).map_or(0, |entry| entry.count);
                (user, count)
            })
            .collect();
        let tags = sharing.tags().clone();
        // Nobody waits for the hashes.
        drop(held);
        counts.into_iter().map(|(user, count)| (tags.of(&user), count)).collect()
    }

    /// What a server is to be told that knows nothing yet: of all users that hold allocations, how many each holds.
    #[must_use]
    pub fn counted(&self) -> Vec<(UserTag, u32)> {
        let held = self.lock();
        let Some(sharing) = &held.sharing else { return Vec::new() };
        let tags = sharing.tags().clone();
        let holders = held.users.values().filter(|entry| entry.count > 0);
        let counts: Vec<_> = holders.map(|entry| (Arc::clone(&entry.user), entry.count)).collect();
        drop(held);
        counts.into_iter().map(|(user, count)| (tags.of(user.id()), count)).collect()
    }

    /// What another server has told. If it `is_new`, what it told before does not hold any more. A count holds for 30
    /// seconds, unless it is told again.
    pub fn hear(
        &self,
        server: &str,
        is_new: bool,
        users: impl IntoIterator<Item = (UserTag, u32)>,
        now: Tick,
    ) {
        if let Some(sharing) = &mut self.lock().sharing {
            sharing.hear(server, is_new, users.into_iter(), now);
        }
    }

    /// Frees what other servers have told too long ago. It does not hold any more in any case.
    pub fn forget_elsewhere(&self, now: Tick) {
        if let Some(sharing) = &mut self.lock().sharing {
            sharing.forget(now);
        }
    }

    /// How often a user was refused because of what it holds on other servers.
    #[must_use]
    pub fn refused_elsewhere(&self) -> u64 {
        self.refused_elsewhere.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a user has spent at some moment, for another process.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SpentByUser {
    /// The user.
    pub user: UserId,
    /// In all its allocations together.
    pub spent: Spent,
}

impl Held {
    /// A user's, made where there is none.
    fn entry(&mut self, user: &UserId) -> &mut Entry {
        self.users.entry(user.clone()).or_insert_with(|| Entry {
            count: 0,
            remembered: false,
            user: Arc::new(User { id: user.clone(), meter: Meter::default() }),
        })
    }

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
        let count = entry.count;
        if let Some(sharing) = &mut self.sharing {
            sharing.note(user.id());
        }
        if count > 0 {
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
mod tests;
