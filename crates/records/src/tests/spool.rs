//! The spool, when a process ends at any moment.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::lines::whole;
use crate::segment::Segment;
use crate::spool::{Added, Spool};

fn open(dir: &Path) -> Spool {
    Spool::open(dir, 1 << 20).unwrap()
}

fn line(number: usize) -> String {
    format!("{{\"id\":\"{number}\",\"pad\":\"{}\"}}\n", "x".repeat(number % 50))
}

/// Takes all that waits, as a delivery does.
fn take(spool: &mut Spool) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(segment) = spool.next() {
        let contents = segment.read().unwrap();
        let (lines, damaged) = whole(&contents);
        assert_eq!(damaged, 0);
        all.extend(lines.iter().map(|line| format!("{}\n", std::str::from_utf8(line).unwrap())));
        spool.remove(&segment).unwrap();
    }
    all
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_was_added_comes_in_its_order_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    // Several files of it.
    let all: Vec<_> = (0..9000).map(line).collect();
    for some in all.chunks(100) {
        assert_eq!(spool.add(some.concat().as_bytes(), some.len() as u64).unwrap(), Added::Kept);
    }
    assert_eq!((spool.records(), spool.bytes()), (9000, all.concat().len() as u64));
    assert!(names(dir.path()).len() > 2);
    assert_eq!(take(&mut spool), all);
    assert_eq!((spool.records(), spool.bytes()), (0, 0));
    drop(spool);
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_full_spool_takes_nothing_until_something_was_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), 10).unwrap();
    assert_eq!(spool.add(b"{\"a\":1}\n", 1).unwrap(), Added::Kept);
    assert_eq!(spool.add(b"{\"b\":1}\n", 1).unwrap(), Added::Full);
    assert_eq!(take(&mut spool), ["{\"a\":1}\n"]);
    assert_eq!(spool.add(b"{\"c\":1}\n", 1).unwrap(), Added::Kept);
    // The limit holds for what was left by others, too.
    drop(spool);
    let mut next = Spool::open(dir.path(), 10).unwrap();
    assert_eq!(next.add(b"{\"d\":1}\n", 1).unwrap(), Added::Full);
}

#[test]
fn what_a_running_process_has_is_its_own_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = open(dir.path());
    old.add(b"{\"a\":1}\n", 1).unwrap();
    let mut new = open(dir.path());
    assert_eq!(new.next(), None);
    new.adopt().unwrap();
    assert_eq!((new.next(), new.records()), (None, 0));
    old.add(b"{\"b\":2}\n", 1).unwrap();
    drop(old);
    new.adopt().unwrap();
    // A third one does not take it from the second.
    let mut third = open(dir.path());
    assert_eq!(third.next(), None);
    assert_eq!(take(&mut new), ["{\"a\":1}\n", "{\"b\":2}\n"]);
    drop((new, third));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_directory_that_cannot_be_had_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Spool::open(&dir.path().join("file/spool"), 1).unwrap_err().to_string();
    assert!(error.contains("cannot make") && error.contains("file/spool"), "{error}");
}

#[test]
fn other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["README", "x.jsonl", ".hidden", "usage-2026.jsonl", "usage.lock"] {
        fs::write(dir.path().join(name), "{}\n").unwrap();
    }
    assert_eq!(take(&mut open(dir.path())), [""; 0]);
    assert_eq!(names(dir.path()).len(), 5);
}

#[derive(Clone, Debug)]
enum Step {
    /// So many records are added at once.
    Add(usize),
    /// The oldest file is delivered; the process ends before it has noted so, or after.
    Deliver { noted: bool },
    /// The process is killed. What it was writing, and was not confirmed, is there up to this part of it.
    Kill { writing: usize, part: f64 },
    /// Another process takes over and the old one goes on for a while.
    TakeOver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..20).prop_map(Step::Add),
        3 => any::<bool>().prop_map(|noted| Step::Deliver { noted }),
        2 => (0_usize..5, 0.0..1.0).prop_map(|(writing, part)| Step::Kill { writing, part }),
        1 => Just(Step::TakeOver),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What a process has written when it is killed within a write.
fn write_partly(dir: &Path, process: &str, text: &str, part: f64) {
    let is_its = |name: &String| name.starts_with(process) && name.ends_with(".jsonl");
    let newest = names(dir).into_iter().filter(is_its).max();
    let path = dir.join(newest.unwrap_or_else(|| format!("{process}-00009999.jsonl")));
    let mut contents = fs::read(&path).unwrap_or_default();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let len = (text.len() as f64 * part) as usize;
    contents.extend(&text.as_bytes()[..len]);
    fs::write(path, contents).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever happens, each record that was confirmed is delivered at least once, whole, and only what was written is.
    #[test]
    fn nothing_that_was_confirmed_is_lost(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path());
        let mut beside: Option<Spool> = None;
        let (mut next, mut confirmed, mut unconfirmed) = (0, Vec::new(), Vec::new());
        let mut delivered: Vec<String> = Vec::new();
        let mut lines = |count: usize| -> Vec<String> {
            (0..count).map(|_| { next += 1; line(next) }).collect()
        };
        for step in steps {
            match step {
                Step::Add(count) => {
                    let some = lines(count);
                    prop_assert_eq!(spool.add(some.concat().as_bytes(), count as u64).unwrap(), Added::Kept);
                    confirmed.extend(some);
                }
                Step::Deliver { noted } => {
                    let Some(segment) = spool.next() else { continue };
                    delivered.extend(lines_of(&segment));
                    if noted {
                        spool.remove(&segment).unwrap();
                    }
                }
                Step::Kill { writing, part } => {
                    drop(beside.take());
                    let some = lines(writing);
                    let killed = std::mem::replace(&mut spool, open(&dir.path().join("none")));
                    let process = killed.name().to_owned();
                    std::mem::forget(killed);
                    // Its lock is gone with it; a test cannot kill itself.
                    unlock_all(dir.path());
                    write_partly(dir.path(), &process, &some.concat(), part);
                    unconfirmed.extend(some);
                    spool = open(dir.path());
                }
                Step::TakeOver => {
                    let new = open(dir.path());
                    beside = Some(std::mem::replace(&mut spool, new));
                }
            }
        }
        drop(beside);
        spool.adopt().unwrap();
        delivered.extend(take(&mut spool));
        for record in &confirmed {
            prop_assert!(delivered.contains(record), "{record} is lost");
        }
        for record in &delivered {
            prop_assert!(confirmed.contains(record) || unconfirmed.contains(record), "{record} was never written");
        }
    }
}

fn lines_of(segment: &Segment) -> Vec<String> {
    let contents = segment.read().unwrap();
    let (lines, _) = whole(&contents);
    lines.iter().map(|line| format!("{}\n", std::str::from_utf8(line).unwrap())).collect()
}

/// Puts a lock that nobody holds in place of each.
fn unlock_all(dir: &Path) {
    for name in names(dir).into_iter().filter(|name| name.ends_with(".lock")) {
        fs::remove_file(dir.join(&name)).unwrap();
        fs::write(dir.join(name), "").unwrap();
    }
}
