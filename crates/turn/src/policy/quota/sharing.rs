//! What other servers of a fleet have told of the allocations that users hold there, and what they are to be told.

use std::collections::{HashMap, HashSet};
use std::task::Waker;
use std::time::Duration;

use ring::hmac;

use crate::clock::Tick;
use crate::user::UserId;

/// What another server has told is forgotten after this time. It tells everything every ten seconds.
const KEPT: Duration = Duration::from_secs(30);

/// How many servers are remembered.
const MOST_SERVERS: usize = 256;

/// How many users are remembered, of all servers together. What is beyond that does not count.
const MOST_USERS: usize = 200_000;

/// How many users wait to be told of. What is beyond that is told with everything.
const MOST_CHANGED: usize = 50_000;

/// A user as other servers know it: by a tag that has no name in it. Only who has the key can say whose it is.
pub type UserTag = [u8; 16];

/// Makes the tags of users.
#[derive(Clone, Debug)]
pub(super) struct Tags(hmac::Key);

impl Tags {
    /// The tag of a user: of all that tells users apart.
    pub(super) fn of(&self, user: &UserId) -> UserTag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in user.parts() {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let whole = context.sign();
        let mut tag = UserTag::default();
        tag.iter_mut().zip(whole.as_ref()).for_each(|(short, byte)| *short = *byte);
        tag
    }
}

/// What is shared of a quota.
#[derive(Debug)]
pub(super) struct Sharing {
    tags: Tags,
    changed: HashSet<UserId>,
    /// Of who tells the others.
    waker: Option<Waker>,
    others: HashMap<Box<str>, Told>,
}

/// What one server has told.
#[derive(Debug, Default)]
struct Told {
    users: HashMap<UserTag, (u32, Tick)>,
}

impl Sharing {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            tags: Tags(hmac::Key::new(hmac::HMAC_SHA256, key)),
            changed: HashSet::new(),
            waker: None,
            others: HashMap::new(),
        }
    }

    pub(super) const fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Notes that a user holds another number of allocations.
    pub(super) fn note(&mut self, user: &UserId) {
        if self.changed.len() < MOST_CHANGED && !self.changed.contains(user) {
            self.changed.insert(user.clone());
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether there is something to tell. If not, the waker is woken when there is.
    pub(super) fn has_changed(&mut self, waker: &Waker) -> bool {
        if self.changed.is_empty() {
            self.waker = Some(waker.clone());
        }
        !self.changed.is_empty()
    }

    pub(super) fn take_changed(&mut self) -> HashSet<UserId> {
        std::mem::take(&mut self.changed)
    }

    /// Remembers what a server has told.
    pub(super) fn hear(
        &mut self,
        server: &str,
        is_new: bool,
        users: impl Iterator<Item = (UserTag, u32)>,
        now: Tick,
    ) {
        if is_new {
            self.others.remove(server);
        }
        let mut left = MOST_USERS.saturating_sub(self.remembered());
        if !self.others.contains_key(server) {
            if self.others.len() >= MOST_SERVERS {
                return;
            }
            self.others.insert(server.into(), Told::default());
        }
        let Some(Told { users: known }) = self.others.get_mut(server) else { return };
        for (tag, count) in users {
            if count == 0 {
                left += usize::from(known.remove(&tag).is_some());
            } else if let Some(before) = known.get_mut(&tag) {
                *before = (count, now);
            } else if left > 0 {
                known.insert(tag, (count, now));
                left -= 1;
            }
        }
    }

    fn remembered(&self) -> usize {
        self.others.values().map(|told| told.users.len()).sum()
    }

    /// Forgets what was told too long ago.
    pub(super) fn forget(&mut self, now: Tick) {
        for told in self.others.values_mut() {
            told.users.retain(|_, (_, at)| now.since(*at) < KEPT);
            told.users.shrink_to(2 * told.users.len());
        }
        self.others.retain(|_, told| !told.users.is_empty());
    }

    /// How many allocations a user holds on other servers, as far as they have told within the last moments.
    pub(super) fn elsewhere(&self, user: &UserId, now: Tick) -> u32 {
        if self.others.is_empty() {
            return 0;
        }
        let tag = self.tags.of(user);
        let counts = self.others.values().filter_map(|told| told.users.get(&tag));
        let recent = counts.filter(|(_, at)| now.since(*at) < KEPT);
        recent.fold(0, |sum: u32, (count, _)| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1_000_000);

    fn sharing() -> Sharing {
        Sharing::new(&[7; 32])
    }

    fn alice() -> UserId {
        UserId::of_tests("alice")
    }

    /// Users that nobody is.
    fn strangers(from: u32, number: usize) -> impl Iterator<Item = (UserTag, u32)> {
        (from..).take(number).map(|n| {
            let mut tag = UserTag::default();
            tag[..4].copy_from_slice(&n.to_be_bytes());
            (tag, 1)
        })
    }

    #[test]
    fn a_tag_is_of_all_parts_of_a_user_and_of_the_key() {
        let user = |realm: &str, name: &str| UserId::new(&realm.into(), name);
        let all = [user("a", "bc"), user("ab", "c"), user("a", "b"), user("A", "bc")];
        let mut tags: Vec<_> = all.iter().map(|user| sharing().tags.of(user)).collect();
        tags.push(Sharing::new(&[8; 32]).tags.of(&all[0]));
        assert_eq!(tags[0], sharing().tags.of(&all[0]));
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 5);
    }

    #[test]
    fn what_others_tell_is_summed_up_and_replaced_and_ends() {
        let mut sharing = sharing();
        let tag = sharing.tags.of(&alice());
        sharing.hear("b", true, [(tag, 3)].into_iter(), NOW);
        sharing.hear("c", true, [(tag, 4)].into_iter(), NOW);
        assert_eq!(sharing.elsewhere(&alice(), NOW), 7);
        assert_eq!(sharing.elsewhere(&UserId::of_tests("bob"), NOW), 0);
        sharing.hear("b", false, [(tag, 1)].into_iter(), NOW);
        assert_eq!(sharing.elsewhere(&alice(), NOW), 5);
        sharing.hear("b", false, [(tag, 0)].into_iter(), NOW);
        assert_eq!(sharing.elsewhere(&alice(), NOW), 4);
        // Another process of the same name holds none of what the one before it held.
        sharing.hear("c", true, std::iter::empty(), NOW);
        assert_eq!(sharing.elsewhere(&alice(), NOW), 0);
        sharing.hear("b", false, [(tag, u32::MAX)].into_iter(), NOW);
        sharing.hear("c", false, [(tag, u32::MAX)].into_iter(), NOW);
        assert_eq!(sharing.elsewhere(&alice(), NOW), u32::MAX);
    }

    #[test]
    fn what_was_told_thirty_seconds_ago_is_forgotten() {
        let mut sharing = sharing();
        let tag = sharing.tags.of(&alice());
        sharing.hear("b", true, [(tag, 3)].into_iter(), NOW);
        sharing.hear("b", false, strangers(0, 9), Tick(NOW.0 + 10_000));
        let at = |after: u64| Tick(NOW.0 + after);
        assert_eq!(sharing.elsewhere(&alice(), at(29_999)), 3);
        assert_eq!(sharing.elsewhere(&alice(), at(30_000)), 0);
        sharing.forget(at(29_999));
        assert_eq!(sharing.remembered(), 10);
        sharing.forget(at(30_000));
        assert_eq!((sharing.remembered(), sharing.others.len()), (9, 1));
        sharing.forget(at(40_000));
        assert_eq!(sharing.others.len(), 0);
    }

    #[test]
    fn no_server_and_not_all_together_make_it_grow_beyond_its_bounds() {
        let mut sharing = sharing();
        let tag = sharing.tags.of(&alice());
        sharing.hear("b", true, [(tag, 3)].into_iter(), NOW);
        for n in 0..2 * MOST_SERVERS {
            sharing.hear(&format!("n{n}"), true, strangers(0, 1), NOW);
        }
        assert_eq!(sharing.others.len(), MOST_SERVERS);
        for n in 0..3 {
            sharing.hear("n1", false, strangers(n << 20, MOST_USERS / 2), NOW);
        }
        assert_eq!(sharing.remembered(), MOST_USERS);
        // Who is known is known as before.
        sharing.hear("b", false, [(tag, 5)].into_iter(), NOW);
        assert_eq!(sharing.elsewhere(&alice(), NOW), 5);
        sharing.hear("n1", false, strangers(0, 7).map(|(tag, _)| (tag, 0)), NOW);
        sharing.hear("b", false, strangers(9 << 20, 9), NOW);
        assert_eq!(sharing.remembered(), MOST_USERS);
    }

    #[test]
    fn who_has_changed_is_told_once_and_only_so_many_wait() {
        let mut sharing = sharing();
        assert!(!sharing.has_changed(Waker::noop()));
        sharing.note(&alice());
        sharing.note(&alice());
        assert!(sharing.has_changed(Waker::noop()));
        assert_eq!(sharing.take_changed().len(), 1);
        assert!(!sharing.has_changed(Waker::noop()));
        for n in 0..MOST_CHANGED + 10 {
            sharing.note(&UserId::of_tests(&format!("user{n}")));
        }
        assert_eq!(sharing.take_changed().len(), MOST_CHANGED);
    }
}
