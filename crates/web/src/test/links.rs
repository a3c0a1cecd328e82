//! The links that are out, and who tests by them.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use taciturn_control::TestReport;

use super::Fingerprint;
use super::messages::Signals;
use super::reports::Reports;
use super::room::{NotLeft, Place};

/// Links at a time.
pub const LINKS: usize = 8;

/// Tests that a link is good for, for each person.
const TESTS: u32 = 5;

/// How long a link that has ended is still known, so that tests that run may report, and who comes late is told.
const KNOWN: Duration = Duration::from_secs(600);

type Hash = [u8; 32];

/// The links that are out. Of a token only its hash is kept.
#[derive(Debug, Default)]
pub struct Links {
    /// How many are known: while there is none, nobody asks for more.
    number: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    links: Vec<Link>,
    reports: Reports,
    last_number: u64,
}

#[derive(Debug)]
struct Link {
    number: u64,
    hash: Hash,
    ends: Instant,
    ends_at: u64,
    people: u32,
    secrets: Fingerprint,
    /// `TESTS` for each person at most.
    tests: Vec<Test>,
}

#[derive(Debug)]
struct Test {
    id: String,
    guest: String,
    address: IpAddr,
    begun_at: u64,
    place: Place,
}

/// A link that was made: the only place that has its token.
pub struct NewLink {
    /// Its number, which is no secret.
    pub number: u64,
    /// 22 characters.
    pub token: String,
}

/// A test that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its name.
    pub id: String,
    /// How many people the link is for.
    pub people: u32,
    /// The end of the link, in seconds since 1970.
    pub ends_at: u64,
}

/// Why no test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// The link is not known.
    Unknown,
    /// Its time is over, or all of its tests have begun.
    Ended,
    /// There are too many guests now.
    Busy,
}

/// A test that a browser reports about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The number of the link.
    pub link: u64,
    /// The how many-th test of the link it is, from 1 on.
    pub person: u32,
    /// The guest's USERNAME.
    pub guest: String,
    /// Where the page was read from when the test began.
    pub address: IpAddr,
    /// When it began, in seconds since 1970.
    pub begun_at: u64,
    /// The shared secrets as they were when the link was made.
    pub secrets: Fingerprint,
}

impl Links {
    /// Makes a link out of random bits, which is good for so long. `None` if there are as many as may be.
    pub fn issue(
        &self,
        random: [u8; 16],
        (now, unix): (Instant, u64),
        valid: Duration,
        people: u32,
        secrets: Fingerprint,
    ) -> Option<NewLink> {
        let mut inner = self.at(now);
        if inner.links.iter().filter(|link| link.ends > now).count() >= LINKS {
            return None;
        }
        if inner.links.len() >= 2 * LINKS {
            inner.links.remove(0);
        }
        let token = URL_SAFE_NO_PAD.encode(random);
        inner.last_number += 1;
        let number = inner.last_number;
        inner.links.push(Link {
            number,
            hash: hash(&token),
            ends: now + valid,
            ends_at: unix.saturating_add(valid.as_secs()),
            people,
            secrets,
            tests: Vec::new(),
        });
        self.number.store(inner.links.len(), Relaxed);
        Some(NewLink { number, token })
    }

    /// Ends all links, as if there had been none. Returns how many there were. What they have found stays.
    pub fn end_all(&self, now: Instant) -> usize {
        let mut inner = self.at(now);
        let ended = inner.links.iter().filter(|link| link.ends > now).count();
        inner.links.clear();
        self.number.store(0, Relaxed);
        ended
    }

    /// Whether any link may be known. Without a lock, and so it may be late to say no.
    pub fn is_any_out(&self) -> bool {
        self.number.load(Relaxed) > 0
    }

    /// Whether a token is one of a link that is known. All hashes are compared, so the time that this takes tells
    /// nothing.
    pub fn knows(&self, token: &str, now: Instant) -> bool {
        let mut inner = self.at(now);
        find(&mut inner.links, token).is_some()
    }

    /// Begins a test: `name` becomes its name, and `admit` makes the guest, whose USERNAME it returns, if there is room.
    ///
    /// # Errors
    /// If it cannot begin.
    pub fn begin(
        &self,
        token: &str,
        name: [u8; 5],
        (now, unix): (Instant, u64),
        address: IpAddr,
        admit: impl FnOnce() -> Option<String>,
    ) -> Result<Begun, NotBegun> {
        let mut inner = self.at(now);
        let link = find(&mut inner.links, token).ok_or(NotBegun::Unknown)?;
        if link.ends <= now || link.tests.len() >= (TESTS * link.people) as usize {
            return Err(NotBegun::Ended);
        }
        let guest = admit().ok_or(NotBegun::Busy)?;
        let mut id = String::new();
        for byte in name {
            // Writing to a String does not fail.
            let _ = write!(id, "{byte:02x}");
        }
        let place = Place::default();
        link.tests.push(Test { id: id.clone(), guest, address, begun_at: unix, place });
        Ok(Begun { id, people: link.people, ends_at: link.ends_at })
    }

    /// The test of this name.
    pub fn tested(&self, token: &str, id: &str, now: Instant) -> Option<Tested> {
        let mut inner = self.at(now);
        let link = find(&mut inner.links, token)?;
        let at = link.tests.iter().position(|test| test.id == id)?;
        let test = link.tests.get(at)?;
        Some(Tested {
            link: link.number,
            person: u32::try_from(at + 1).unwrap_or(u32::MAX),
            guest: test.guest.clone(),
            address: test.address,
            begun_at: test.begun_at,
            secrets: link.secrets,
        })
    }

    /// Leaves something for the other person of a link, and fetches what that one has left.
    ///
    /// # Errors
    /// If it is not taken.
    pub fn signal(
        &self,
        token: &str,
        id: &str,
        data: Option<Value>,
        after: u32,
        now: Instant,
    ) -> Result<Signals, NotLeft> {
        let mut inner = self.at(now);
        let link = find(&mut inner.links, token).ok_or(NotLeft::Unknown)?;
        let tests = &mut link.tests;
        let own = tests.iter().position(|test| test.id == id).ok_or(NotLeft::Unknown)?;
        // Who has come last is the one that is there now: a page that was read anew leaves the old one behind.
        let is_there = |test: &Test| test.id != id && test.place.is_there(now);
        let other = tests.iter().rposition(is_there).filter(|_| link.people > 1);
        if let Some(own) = tests.get_mut(own) {
            own.place.note(now);
            if let (Some(data), Some(_)) = (&data, other) {
                own.place.leaves(data)?;
            }
        }
        if let (Some(data), Some(other)) = (data, other.and_then(|other| tests.get_mut(other))) {
            other.place.receive(data);
        }
        let peer = other.and_then(|other| tests.get(other)).map(|other| other.id.clone());
        let messages = tests.get_mut(own).map(|own| own.place.fetch(after)).unwrap_or_default();
        Ok(Signals { peer, messages })
    }

    /// Keeps what a test has found.
    pub fn keep(&self, now: Instant, report: TestReport) {
        self.at(now).reports.keep(now, report);
    }

    /// What the tests of a link have found, or of all, with a higher revision.
    pub fn reports(&self, now: Instant, link: Option<u64>, after: u64) -> Vec<TestReport> {
        self.at(now).reports.after(now, link, after)
    }

    /// All there is, without the links that ended long ago.
    fn at(&self, now: Instant) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.links.retain(|link| now < link.ends + KNOWN);
        self.number.store(inner.links.len(), Relaxed);
        inner
    }
}

/// The link of a token. All hashes are compared, and each to its end.
fn find<'a>(links: &'a mut [Link], token: &str) -> Option<&'a mut Link> {
    let wanted = hash(token);
    let mut found = None;
    for link in links {
        let differs = link.hash.iter().zip(&wanted).fold(0, |all, (a, b)| all | (a ^ b));
        if differs == 0 {
            found = Some(link);
        }
    }
    found
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn out(people: u32) -> (Links, String, Instant) {
        let (links, now) = (Links::default(), Instant::now());
        let link = links.issue([7; 16], (now, 1000), HOUR, people, Fingerprint::default()).unwrap();
        (links, link.token, now)
    }

    fn begin(links: &Links, token: &str, name: u8, now: Instant) -> Result<Begun, NotBegun> {
        links.begin(token, [name; 5], (now, 1000), HOME, || Some(format!("test-{name}")))
    }

    #[test]
    fn a_link_has_128_bits_and_only_their_hash_is_kept() {
        let (links, token, now) = out(2);
        assert_eq!(token.len(), 22);
        assert!(!format!("{links:?}").contains(&token));
        assert!(links.knows(&token, now));
        for other in ["", "x", &token[1..], &format!("{token}A")] {
            assert!(!links.knows(other, now), "{other}");
        }
    }

    #[test]
    fn a_link_ends_by_time_and_is_forgotten() {
        let (links, token, now) = out(2);
        let end = now + HOUR;
        assert!(begin(&links, &token, 1, end - Duration::from_millis(1)).is_ok());
        assert_eq!(begin(&links, &token, 2, end), Err(NotBegun::Ended));
        assert!(links.knows(&token, end) && links.is_any_out(), "tests that run may report");
        assert!(links.tested(&token, "0101010101", end).is_some());
        assert!(!links.knows(&token, end + KNOWN) && !links.is_any_out());
        assert_eq!(begin(&links, &token, 3, end + KNOWN), Err(NotBegun::Unknown));
    }

    #[test]
    fn a_link_ends_by_use() {
        let (links, token, now) = out(1);
        for name in 0..5 {
            assert!(begin(&links, &token, name, now).is_ok());
        }
        assert_eq!(begin(&links, &token, 5, now), Err(NotBegun::Ended));
    }

    #[test]
    fn a_guest_that_there_is_no_place_for_spends_no_test() {
        let (links, token, now) = out(1);
        for _ in 0..9 {
            let begun = links.begin(&token, [1; 5], (now, 0), HOME, || None);
            assert_eq!(begun, Err(NotBegun::Busy));
        }
        assert!(begin(&links, &token, 1, now).is_ok());
    }

    #[test]
    fn links_are_few_and_end_at_a_word() {
        let (links, token, now) = out(2);
        let issue =
            |number: u8, at| links.issue([number; 16], (at, 0), HOUR, 2, Fingerprint::default());
        for number in 10..17 {
            assert!(issue(number, now).is_some());
        }
        assert!(issue(17, now).is_none());
        assert!(issue(18, now + HOUR).is_some(), "those that have ended take no place");
        assert_eq!(links.end_all(now), 9);
        assert!(!links.knows(&token, now) && !links.is_any_out());
        assert_eq!(links.end_all(now), 0);
    }

    #[test]
    fn two_people_leave_messages_for_each_other() {
        let (links, token, now) = out(2);
        let ids: Vec<_> = [1, 2].map(|name| begin(&links, &token, name, now).unwrap().id).into();
        let ask = |id: &str, data, after, at| links.signal(&token, id, data, after, at).unwrap();
        assert_eq!(ask(&ids[0], Some(json!({"lost": 1})), 0, now), Signals::default());
        let second = ask(&ids[1], Some(json!({"offer": 1})), 0, now);
        assert_eq!((second.peer.as_ref(), second.messages.len()), (Some(&ids[0]), 0));
        let first = ask(&ids[0], None, 0, now);
        assert_eq!(first.messages, [super::super::Offered { n: 1, data: json!({"offer": 1}) }]);
        assert_eq!(ask(&ids[0], None, 0, now).messages.len(), 1, "an answer may be lost");
        assert!(ask(&ids[0], None, 1, now).messages.is_empty());
        assert_eq!(ask(&ids[0], None, 1, now + Duration::from_secs(10)).peer, None, "gone away");
    }

    #[test]
    fn what_people_leave_is_bounded() {
        let (links, token, now) = out(2);
        let ids: Vec<_> = [1, 2].map(|name| begin(&links, &token, name, now).unwrap().id).into();
        let ask = |id: &str, data| links.signal(&token, id, data, 0, now);
        ask(&ids[1], None).unwrap();
        let long = json!("x".repeat(4096));
        assert_eq!(ask(&ids[0], Some(long)), Err(NotLeft::Long));
        for _ in 0..32 {
            ask(&ids[0], Some(json!(1))).unwrap();
        }
        assert_eq!(ask(&ids[0], Some(json!(1))), Err(NotLeft::TooMany));
        assert_eq!(ask(&ids[1], None).unwrap().messages.len(), 32);
        assert_eq!(ask("nobody", None), Err(NotLeft::Unknown));
        assert_eq!(links.signal("x", &ids[0], None, 0, now), Err(NotLeft::Unknown));
    }

    #[test]
    fn one_person_has_nobody_to_reach() {
        let (links, token, now) = out(1);
        let ids: Vec<_> = [1, 2].map(|name| begin(&links, &token, name, now).unwrap().id).into();
        for id in &ids {
            assert_eq!(links.signal(&token, id, None, 0, now), Ok(Signals::default()));
        }
    }

    #[test]
    fn a_test_is_found_again_with_what_was_when_the_link_was_made() {
        let (links, now) = (Links::default(), Instant::now());
        let before = Fingerprint::of(&[1; 32], [&b"secret"[..]]);
        let link = links.issue([7; 16], (now, 0), HOUR, 2, before).unwrap();
        begin(&links, &link.token, 1, now).unwrap();
        begin(&links, &link.token, 2, now).unwrap();
        let tested = links.tested(&link.token, "0202020202", now).unwrap();
        assert_eq!((tested.person, tested.guest.as_str(), tested.address), (2, "test-2", HOME));
        assert_eq!(tested.secrets, before);
        assert_ne!(before, Fingerprint::of(&[1; 32], [&b"another"[..]]));
        assert_ne!(before, Fingerprint::of(&[2; 32], [&b"secret"[..]]));
        assert_ne!(before, Fingerprint::of(&[1; 32], [&b"sec"[..], &b"ret"[..]]));
    }
}
