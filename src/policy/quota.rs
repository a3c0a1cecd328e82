//! How many allocations one user holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the allocations of each user over all shards. Only users that hold one take memory.
#[derive(Debug)]
pub struct Quota {
    per_user: AtomicU32,
    held: Mutex<HashMap<Arc<str>, u32>>,
}

impl Quota {
    /// At most `per_user` allocations for each user name.
    #[must_use]
    pub fn new(per_user: u32) -> Self {
        Self { per_user: AtomicU32::new(per_user), held: Mutex::default() }
    }

    /// Takes over the limit of `other`, for what begins from now on.
    pub fn follow(&self, other: &Self) {
        self.per_user.store(other.per_user.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// One more allocation for `user`; `None` when the user holds as many as it may.
    #[must_use]
    //= 8656-5-user-limits
    pub fn take(self: &Arc<Self>, user: &str) -> Option<QuotaTicket> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let per_user = self.per_user.load(Ordering::Relaxed);
        let user = match held.get_key_value(user) {
            Some((_, count)) if *count >= per_user => return None,
            Some((user, _)) => Arc::clone(user),
            None if per_user == 0 => return None,
            None => user.into(),
        };
        *held.entry(Arc::clone(&user)).or_insert(0) += 1;
        Some(QuotaTicket { quota: Arc::clone(self), user })
    }

    /// How many users hold an allocation now.
    #[must_use]
    pub fn users(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One allocation's place in the quota; given back when dropped.
#[derive(Debug)]
pub struct QuotaTicket {
    quota: Arc<Quota>,
    user: Arc<str>,
}

impl QuotaTicket {
    /// The user it is counted for.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl Drop for QuotaTicket {
    fn drop(&mut self) {
        let mut held = self.quota.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_stopped_at_the_limit_and_others_are_not() {
        let quota = Arc::new(Quota::new(2));
        let first = quota.take("alice").unwrap();
        let _second = quota.take("alice").unwrap();
        assert!(quota.take("alice").is_none());
        assert!(quota.take("bob").is_some());
        drop(first);
        assert!(quota.take("alice").is_some());
    }

    #[test]
    fn another_limit_ends_nothing_and_holds_for_the_next() {
        let quota = Arc::new(Quota::new(2));
        let held = [quota.take("alice").unwrap(), quota.take("alice").unwrap()];
        quota.follow(&Quota::new(1));
        assert_eq!(quota.users(), 1);
        assert!(quota.take("alice").is_none());
        quota.follow(&Quota::new(3));
        assert!(quota.take("alice").is_some());
        drop(held);
        assert_eq!(quota.users(), 0);
    }

    #[test]
    fn users_without_allocations_take_no_memory() {
        let quota = Arc::new(Quota::new(2));
        for n in 0..1000 {
            drop(quota.take(&format!("user{n}")));
        }
        assert_eq!(quota.users(), 0);
    }
}
