//! Bans of one node and of the board that several share: what each learns of the other.
//!
//! The board is right about what it has: a ban that is not there any more was ended on another node. What was begun or
//! ended here is told, and holds here until the board has it. A board that this node has not met, or that has lost what
//! it had, knows nothing of bans that were made before: then both have what either had.

use std::collections::{BTreeMap, BTreeSet};

use super::list::{BanList, MOST, Term};
use taciturn_turn::policy::Banned;

/// What a node remembers of the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Which board it has met last; empty before the first.
    pub epoch: String,
    /// Bans that began, or got another end, here, and that the board is not known to have.
    pub begun: BTreeSet<Banned>,
    /// Bans that were ended here, and that the board may have still.
    pub ended: BTreeSet<Banned>,
}

/// What the board is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tell {
    /// Bans that it has not, or that have another end.
    pub add: Vec<(Banned, Option<u64>)>,
    /// Bans that it has, and that were ended here.
    pub remove: Vec<Banned>,
}

impl Tell {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

impl Memory {
    /// Notes that a ban has begun here, or has another end.
    pub fn begin(&mut self, banned: Banned) {
        self.ended.remove(&banned);
        self.begun.insert(banned);
    }

    /// Notes that a ban was ended here.
    pub fn end(&mut self, banned: Banned) {
        self.begun.remove(&banned);
        if self.ended.len() < MOST {
            self.ended.insert(banned);
        }
    }

    /// Takes what the board has into `list`.
    pub fn merge(
        &mut self,
        list: &mut BanList,
        epoch: &str,
        board: &BTreeMap<Banned, Option<u64>>,
        now: u64,
    ) {
        let here: BTreeMap<_, _> =
            list.iter().map(|(banned, term)| (banned.clone(), term)).collect();
        if self.epoch != epoch {
            epoch.clone_into(&mut self.epoch);
            self.begun.extend(here.keys().cloned());
        }
        self.ended.retain(|banned| board.contains_key(banned));
        self.begun.retain(|banned| {
            here.get(banned).is_some_and(|term| board.get(banned) != Some(&term.until))
        });
        let mut merged = BanList::default();
        for (banned, term) in here.iter().filter(|(banned, _)| self.begun.contains(*banned)) {
            // It was on the list, so it fits.
            let _ = merged.add(banned.clone(), *term);
        }
        for (banned, until) in board {
            if self.ended.contains(banned) || self.begun.contains(banned) {
                continue;
            }
            let since = here.get(banned).map_or(now, |term| term.since);
            // The board may have more than there may be; which are left out does not matter then.
            let _ = merged.add(banned.clone(), Term { since, until: *until });
        }
        *list = merged;
    }

    /// What the board is to be told, as far as this node knows.
    #[must_use]
    pub fn outstanding(&self, list: &BanList) -> Tell {
        let begun = list.iter().filter(|(banned, _)| self.begun.contains(*banned));
        Tell {
            add: begun.map(|(banned, term)| (banned.clone(), term.until)).collect(),
            remove: self.ended.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn user(name: &str) -> Banned {
        Banned::user(name).unwrap()
    }

    fn list(names: &[(&str, Option<u64>)]) -> BanList {
        let mut list = BanList::default();
        for (name, until) in names {
            list.add(user(name), Term { since: 1, until: *until }).unwrap();
        }
        list
    }

    fn board(names: &[(&str, Option<u64>)]) -> BTreeMap<Banned, Option<u64>> {
        names.iter().map(|(name, until)| (user(name), *until)).collect()
    }

    /// Merges, and returns what is to be told.
    fn merge(
        memory: &mut Memory,
        list: &mut BanList,
        epoch: &str,
        on_board: &[(&str, Option<u64>)],
    ) -> Tell {
        memory.merge(list, epoch, &board(on_board), 6);
        memory.outstanding(list)
    }

    fn names(list: &BanList) -> Vec<(String, Option<u64>)> {
        list.iter().map(|(banned, term)| (banned.value(), term.until)).collect()
    }

    #[test]
    fn the_first_time_both_have_what_either_had() {
        let (mut memory, mut here) = (Memory::default(), list(&[("a", None), ("b", Some(9))]));
        let tell = merge(&mut memory, &mut here, "one", &[("c", None)]);
        assert_eq!(names(&here), [("a".into(), None), ("b".into(), Some(9)), ("c".into(), None)]);
        assert_eq!(tell.add, [(user("a"), None), (user("b"), Some(9))]);
        // The board has them, and nothing is told twice.
        let all = [("a", None), ("b", Some(9)), ("c", None)];
        assert!(merge(&mut memory, &mut here, "one", &all).is_empty());
        assert_eq!(names(&here).len(), 3);
    }

    #[test]
    fn a_ban_that_another_node_has_ended_ends_here_also_after_a_time_apart() {
        let (mut memory, mut here) = (Memory::default(), list(&[]));
        merge(&mut memory, &mut here, "one", &[("a", None), ("b", None)]);
        let tell = merge(&mut memory, &mut here, "one", &[("b", Some(7))]);
        assert!(tell.is_empty());
        assert_eq!(names(&here), [("b".into(), Some(7))]);
    }

    #[test]
    fn what_was_done_here_while_the_board_was_away_holds_and_is_told() {
        let (mut memory, mut here) = (Memory::default(), list(&[]));
        merge(&mut memory, &mut here, "one", &[("a", None), ("b", None)]);
        here.remove(&user("a"));
        memory.end(user("a"));
        here.add(user("x"), Term { since: 6, until: None }).unwrap();
        memory.begin(user("x"));
        here.add(user("b"), Term { since: 6, until: Some(9) }).unwrap();
        memory.begin(user("b"));
        let tell = merge(&mut memory, &mut here, "one", &[("a", None), ("b", None), ("c", None)]);
        assert_eq!(names(&here), [("b".into(), Some(9)), ("c".into(), None), ("x".into(), None)]);
        assert_eq!(tell.add, [(user("b"), Some(9)), (user("x"), None)]);
        assert_eq!(tell.remove, [user("a")]);
        let tell =
            merge(&mut memory, &mut here, "one", &[("b", Some(9)), ("c", None), ("x", None)]);
        assert!(tell.is_empty() && memory.begun.is_empty() && memory.ended.is_empty());
    }

    #[test]
    fn a_board_that_has_lost_everything_ends_no_ban() {
        let (mut memory, mut here) = (Memory::default(), list(&[]));
        merge(&mut memory, &mut here, "one", &[("a", None), ("b", Some(9))]);
        let tell = merge(&mut memory, &mut here, "two", &[]);
        assert_eq!(names(&here).len(), 2);
        assert_eq!(tell.add.len(), 2);
    }

    #[test]
    fn a_board_with_too_much_makes_no_list_longer_than_it_may_be() {
        let (mut memory, mut here) = (Memory::default(), list(&[("mine", None)]));
        let many: BTreeMap<_, _> = (0..2 * MOST).map(|n| (user(&n.to_string()), None)).collect();
        memory.merge(&mut here, "one", &many, 5);
        assert_eq!(here.len(), MOST);
        assert!(here.iter().any(|(banned, _)| *banned == user("mine")));
    }
}
