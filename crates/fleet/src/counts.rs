//! How many allocations users hold, as nodes tell each other.
//!
//! Users are known by a tag that has no name in it, and a message is sealed with a key that the board does not know: it
//! can hold messages back, and repeat them, but not make one.

use std::collections::HashMap;

use ring::hmac;

use super::node::{LONGEST_NAME, is_name};

/// The first byte of a message: its form.
const FORM: u8 = 1;

/// Bytes of a user's tag.
const TAG: usize = 16;

/// Bytes of a user's tag and count.
const ENTRY: usize = TAG + 4;

/// Bytes of the seal at the end: HMAC-SHA256 of all before it.
const SEAL: usize = 32;

/// How many users there are in one message: it is read in a moment.
const MOST_USERS: usize = 400;

/// How many nodes are heard.
const MOST_NODES: usize = 256;

/// A node that is not heard for so many rounds is forgotten.
const SILENT_ROUNDS: u32 = 3;

/// A user and how many allocations it holds. The user is known by 16 bytes that every node finds out alike.
pub type UserCount = ([u8; TAG], u32);

/// What one node tells of the allocations that users hold on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The node.
    pub node: String,
    /// Whether it is the first word of a new process of that node: what an earlier one held is void.
    pub is_new: bool,
    /// Users, and how many each holds. None is a question: the node asks what all others hold.
    pub users: Vec<UserCount>,
}

/// When a process began, in milliseconds since 1970, and the number of a message of that process: each is later than
/// those before it.
type Moment = (u64, u64);

/// Tells of the allocations of one node.
#[derive(Debug)]
pub struct Teller {
    node: String,
    key: hmac::Key,
    told: Moment,
}

impl Teller {
    /// Of a process that began at this time, in milliseconds since 1970.
    #[must_use]
    pub fn new(node: &str, began: u64, key: &[u8; 32]) -> Self {
        Self {
            node: node.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            told: (began, 0),
        }
    }

    /// Has what is told from now on be sealed with another key.
    pub fn set_key(&mut self, key: &[u8; 32]) {
        self.key = hmac::Key::new(hmac::HMAC_SHA256, key);
    }

    /// The messages that tell of these users.
    #[must_use]
    pub fn messages(&mut self, users: &[UserCount]) -> Vec<Vec<u8>> {
        users.chunks(MOST_USERS).map(|some| self.message(some)).collect()
    }

    /// The message that asks all others for theirs.
    #[must_use]
    pub fn question(&mut self) -> Vec<Vec<u8>> {
        vec![self.message(&[])]
    }

    fn message(&mut self, users: &[UserCount]) -> Vec<u8> {
        self.told.1 += 1;
        let mut bytes = Vec::with_capacity(64 + self.node.len() + users.len() * ENTRY);
        bytes.push(FORM);
        bytes.extend(self.told.0.to_be_bytes());
        bytes.extend(self.told.1.to_be_bytes());
        // A name has 64 letters at most.
        bytes.push(u8::try_from(self.node.len()).unwrap_or(u8::MAX));
        bytes.extend(self.node.as_bytes());
        for (tag, count) in users {
            bytes.extend(tag);
            bytes.extend(count.to_be_bytes());
        }
        let seal = hmac::sign(&self.key, &bytes);
        bytes.extend(seal.as_ref());
        bytes
    }
}

/// Hears what others tell, and believes what only a node of the fleet can have said, once.
#[derive(Debug)]
pub struct Hearer {
    /// This node, which needs not be told.
    own: (String, u64),
    key: hmac::Key,
    /// What was heard last, and how many rounds ago.
    heard: HashMap<String, (Moment, u32)>,
}

impl Hearer {
    /// For the node of this name, whose process began at this time, in milliseconds since 1970.
    #[must_use]
    pub fn new(node: &str, began: u64, key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { own: (node.to_owned(), began), key, heard: HashMap::new() }
    }

    /// Has what is heard from now on be opened with another key.
    pub fn set_key(&mut self, key: &[u8; 32]) {
        self.key = hmac::Key::new(hmac::HMAC_SHA256, key);
    }

    /// Another round of ten seconds. A node that is silent is forgotten: it may have another clock when it comes back, and
    /// another node its place.
    pub fn pass(&mut self) {
        self.heard.retain(|_, (_, rounds)| {
            *rounds += 1;
            *rounds <= SILENT_ROUNDS
        });
    }

    /// What a message tells; `None` if it is this node's own, was heard before, or is not of the fleet.
    pub fn hear(&mut self, message: &[u8]) -> Option<Counts> {
        let (body, seal) = message.split_last_chunk::<SEAL>()?;
        hmac::verify(&self.key, body, seal).ok()?;
        let (form, rest) = body.split_first()?;
        let (began, rest) = rest.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let (name, users) = rest.split_at_checked(usize::from(*length))?;
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
        let moment = (u64::from_be_bytes(*began), u64::from_be_bytes(*number));
        let is_whole = users.len() % ENTRY == 0 && users.len() / ENTRY <= MOST_USERS;
        let is_own = self.own.0 == name && self.own.1 == moment.0;
        if *form != FORM || !is_whole || is_own {
            return None;
        }
        let before = self.heard.get(name).map(|(moment, _)| *moment);
        if before.is_some_and(|before| before >= moment)
            || before.is_none() && self.heard.len() >= MOST_NODES
        {
            return None;
        }
        self.heard.insert(name.to_owned(), (moment, 0));
        let user = |entry: &[u8]| {
            let (tag, count) = entry.split_first_chunk::<TAG>()?;
            Some((*tag, u32::from_be_bytes(count.try_into().ok()?)))
        };
        Some(Counts {
            node: name.to_owned(),
            is_new: before.is_none_or(|before| before.0 != moment.0),
            users: users.chunks_exact(ENTRY).filter_map(user).collect(),
        })
    }
}

// A name fits into the byte for its length.
const _: () = assert!(LONGEST_NAME <= u8::MAX as usize);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::channels::LONGEST_MESSAGE;
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn users(number: u32) -> Vec<UserCount> {
        (0..number).map(|n| ([n.to_be_bytes(); 4].concat().try_into().unwrap(), n)).collect()
    }

    #[test]
    fn what_is_told_is_heard_in_messages_that_fit() {
        let mut teller = Teller::new(&"n".repeat(LONGEST_NAME), 5, &KEY);
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        let messages = teller.messages(&users(1000));
        assert!(messages.len() == 3 && messages.iter().all(|one| one.len() <= LONGEST_MESSAGE));
        let heard: Vec<_> = messages.iter().map(|one| hearer.hear(one).unwrap()).collect();
        assert_eq!(heard.iter().map(|one| one.is_new).collect::<Vec<_>>(), [true, false, false]);
        let all: Vec<_> = heard.into_iter().flat_map(|one| one.users).collect();
        assert_eq!(all, users(1000));
        assert_eq!(teller.messages(&[]).len(), 0);
        let question = teller.question();
        assert_eq!(question.len(), 1);
        assert_eq!(hearer.hear(&question[0]).unwrap().users, []);
    }

    #[test]
    fn nothing_is_heard_twice_and_nothing_of_a_process_that_is_gone() {
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        let old = Teller::new("fra2", 4, &KEY).messages(&users(2)).remove(0);
        let mut teller = Teller::new("fra2", 5, &KEY);
        let messages: Vec<_> = (1..4).map(|n| teller.messages(&users(n)).remove(0)).collect();
        assert!(hearer.hear(&old).unwrap().is_new);
        assert!(hearer.hear(&messages[1]).unwrap().is_new);
        for again in [&old, &messages[0], &messages[1]] {
            assert_eq!(hearer.hear(again), None);
        }
        assert!(!hearer.hear(&messages[2]).unwrap().is_new);
    }

    #[test]
    fn a_node_that_is_silent_is_forgotten() {
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        let early = Teller::new("fra2", 1, &KEY).messages(&users(1)).remove(0);
        let mut teller = Teller::new("fra2", 7, &KEY);
        for _ in 0..10 {
            assert!(hearer.hear(&teller.messages(&users(1))[0]).is_some());
            (0..SILENT_ROUNDS).for_each(|_| hearer.pass());
        }
        assert_eq!(hearer.hear(&early), None);
        hearer.pass();
        // Its machine has begun anew, with a clock that is wrong.
        assert!(hearer.hear(&early).unwrap().is_new);
    }

    #[test]
    fn its_own_is_not_heard_but_another_process_of_its_name_is() {
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        assert_eq!(hearer.hear(&Teller::new("fra1", 5, &KEY).messages(&users(1))[0]), None);
        assert!(hearer.hear(&Teller::new("fra1", 6, &KEY).messages(&users(1))[0]).is_some());
    }

    #[test]
    fn what_is_sealed_with_another_key_is_not_heard_and_neither_is_a_part() {
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        let message = Teller::new("fra2", 5, &[8; 32]).messages(&users(3)).remove(0);
        assert_eq!(hearer.hear(&message), None);
        hearer.set_key(&[8; 32]);
        for at in 0..message.len() {
            let mut other = message.clone();
            other[at] ^= 1;
            assert_eq!(hearer.hear(&other), None, "{at}");
            assert_eq!(hearer.hear(&message[..at]), None, "{at}");
        }
        assert!(hearer.hear(&message).is_some());
    }

    /// What who has the key could say, and means ill.
    #[test]
    fn what_is_malformed_is_not_heard_although_it_is_sealed() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        let head = |form: u8, length: u8| [&[form][..], &[0; 7], &[1], &[9; 8], &[length]].concat();
        let well = [&head(FORM, 1)[..], b"x", &[0; ENTRY]].concat();
        for body in [
            Vec::new(),
            vec![FORM],
            head(FORM, 0),
            head(FORM, 200),
            [&head(2, 1)[..], b"x"].concat(),
            [&head(FORM, 1)[..], b"\n"].concat(),
            [&head(FORM, 2)[..], b"\xff\xfe"].concat(),
            [&well[..], &[0; ENTRY - 1]].concat(),
            [&well[..], &vec![0; MOST_USERS * ENTRY]].concat(),
        ] {
            let seal = hmac::sign(&key, &body);
            let message = [&body[..], seal.as_ref()].concat();
            assert_eq!(hearer.hear(&message), None, "{body:?}");
        }
        for n in 0..1000 {
            hearer.hear(&Teller::new(&format!("n{n}"), 5, &KEY).messages(&users(1))[0]);
        }
        assert_eq!(hearer.heard.len(), MOST_NODES);
    }

    #[test]
    fn garbage_is_not_heard_and_nothing_grows() {
        let mut hearer = Hearer::new("fra1", 5, &KEY);
        for n in 0..100_000_u64 {
            let length = usize::try_from(n % 97).unwrap();
            let bytes: Vec<u8> = (0..length).map(|at| (n >> (at % 8)).to_be_bytes()[7]).collect();
            assert_eq!(hearer.hear(&bytes), None);
        }
        assert!(hearer.heard.is_empty());
    }
}
