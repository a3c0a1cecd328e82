//! Who is banned, since when and until when.

use std::collections::BTreeMap;

use taciturn_control::Ban;
use taciturn_turn::policy::Banned;

/// How many bans there are at most.
pub const MOST: usize = 10_000;

/// The time of a ban, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its beginning.
    pub since: u64,
    /// Its end; `None` if only the operator ends it.
    pub until: Option<u64>,
}

impl Term {
    fn is_over(self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Why something is not on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlisted {
    /// There are as many as there may be.
    #[error(
        "there are {MOST} bans already. Ban a network in place of its addresses, or end some: `turnctl unban`"
    )]
    Full,
}

/// All bans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanList(BTreeMap<Banned, Term>);

impl BanList {
    /// Adds one, or gives one that is there another end.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add(&mut self, banned: Banned, term: Term) -> Result<(), Unlisted> {
        let full = self.0.len() >= MOST;
        match self.0.get_mut(&banned) {
            Some(known) => known.until = term.until,
            None if full => return Err(Unlisted::Full),
            None => {
                self.0.insert(banned, term);
            }
        }
        Ok(())
    }

    /// Takes one away; false if it is not there.
    pub fn remove(&mut self, banned: &Banned) -> bool {
        self.0.remove(banned).is_some()
    }

    /// Takes those away that have ended by `now`, and returns them.
    pub fn expire(&mut self, now: u64) -> Vec<Banned> {
        let over: Vec<_> = self
            .iter()
            .filter(|(_, term)| term.is_over(now))
            .map(|(banned, _)| banned.clone())
            .collect();
        for banned in &over {
            self.0.remove(banned);
        }
        over
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Banned, Term)> {
        self.0.iter().map(|(banned, term)| (banned, *term))
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, for the operator.
    #[must_use]
    pub fn shown(&self) -> Vec<Ban> {
        let shown = |(banned, Term { since, until }): (&Banned, Term)| Ban {
            kind: banned.kind().to_owned(),
            value: banned.value(),
            begins_at: since,
            ends_at: until,
        };
        self.iter().map(shown).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FOR_EVER: Term = Term { since: 5, until: None };

    #[test]
    fn a_ban_ends_at_its_second_and_one_without_an_end_does_not() {
        let mut list = BanList::default();
        let (alice, bob) = (Banned::user("alice").unwrap(), Banned::user("bob").unwrap());
        list.add(alice.clone(), Term { since: 5, until: Some(10) }).unwrap();
        list.add(bob.clone(), FOR_EVER).unwrap();
        assert_eq!(list.expire(9), []);
        assert_eq!(list.expire(10), std::slice::from_ref(&alice));
        assert_eq!(list.expire(u64::MAX), []);
        assert!(!list.remove(&alice) && list.remove(&bob) && list.is_empty());
    }

    #[test]
    fn a_ban_that_is_there_gets_another_end_and_begins_when_it_began() {
        let mut list = BanList::default();
        let alice = Banned::user("alice").unwrap();
        list.add(alice.clone(), FOR_EVER).unwrap();
        list.add(alice, Term { since: 7, until: Some(10) }).unwrap();
        let [Ban { begins_at: 5, ends_at: Some(10), .. }] = &list.shown()[..] else {
            panic!("{list:?}")
        };
    }

    #[test]
    fn there_are_no_more_than_so_many_and_one_that_is_there_changes_still() {
        let mut list = BanList::default();
        for n in 0..MOST {
            list.add(Banned::user(&n.to_string()).unwrap(), FOR_EVER).unwrap();
        }
        assert_eq!(list.add(Banned::user("x").unwrap(), FOR_EVER), Err(Unlisted::Full));
        assert_eq!(list.add(Banned::user("7").unwrap(), FOR_EVER), Ok(()));
        assert_eq!(list.len(), MOST);
    }
}
