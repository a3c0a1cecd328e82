//! Every path that answers, signs, opens, keeps or logs something for somebody who has proven nothing, or
//! for one user as often as that user likes, asks a budget.
//!
//! The sources are read as text, as in `layers.rs`: the calls of `KINDS` are looked for, function by
//! function, and each must have a line in tests/repository/budgets.txt that names what bounds it. A new call, or one
//! more in a function that has some, fails here until somebody has thought about it.
//! `UPDATE_GOLDEN=1` writes new ones into the table with "?" for the budget, takes out those that are
//! gone, and fails while there is a "?".
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::code::code_of;

const TABLE: &str = "tests/repository/budgets.txt";

/// What is read: the name in the table, and where the sources are.
const ROOTS: &[(&str, &str)] =
    &[("turn", "crates/turn/src"), ("net", "crates/net/src"), ("admin", "src/admin")];

/// Files and directories of tests within them.
const TESTS: &[&str] = &["tests", "tests.rs", "test_rules.rs", "rig.rs"];

/// What costs something, and the calls that do it.
const KINDS: &[(&str, &str)] = &[
    // Bytes to somebody who may have asked nothing.
    ("answer", r"Verdict::Reply\b|\bwrite_answer\(|\boutbox\.push\(|\.tell\(|\bline\.answer\("),
    // A signature, an HMAC: a handshake, a credential that is judged.
    (
        "sign",
        r"\btls\.accept\(|\bstream\.accept\(|\bdatagram_from_unknown\w*\(|\.authenticate\w*\(|\bauthenticator\.\w*check\w*\(|\bnonces\.issue\(",
    ),
    // A socket, a port.
    (
        "open",
        r"\bopen\w*_relay\(|\bSocket::new\(|\bUdpSocket::bind\(|\bTcp(Listener|Stream|Socket)::(bind|connect)\(|\.connect(_peer)?\(|\bsocket\.accept\(|\bports\s*\.lease\(|\breserve_next\(",
    ),
    // Memory that lasts longer than the call: a place, a task, an entry.
    ("keep", r"\b(connections|half_open)\.take\w*\(|\bspawn(_local)?\(|\bvacant_entry\("),
    // A line, or what may become one.
    ("log", r"\b(info|warn|error)!\(|\blimited_warning\(|\boutside\.event\(|\breport\("),
];

static FUNCTION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bfn\s+(\w+)").unwrap());
static CALLS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    KINDS.iter().map(|(kind, calls)| (*kind, Regex::new(calls).unwrap())).collect()
});

/// The call sites of one kind in one function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: String,
    function: String,
    kind: String,
}

impl Place {
    fn text(&self) -> String {
        format!("{} {} {}", self.file, self.function, self.kind)
    }
}

/// How often, and what bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    count: usize,
    budget: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The code of each file below the roots, without tests; by its name in the table.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, dir) in ROOTS {
        let dir = root().join(dir);
        assert!(dir.is_dir(), "{} is no directory: mend ROOTS", dir.display());
        for path in files(&dir) {
            let below = path.strip_prefix(&dir).unwrap();
            let code = without_tests(&code_of(&fs::read_to_string(&path).unwrap()));
            found.insert(format!("{name}/{}", below.display()), code);
        }
    }
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut rest) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if TESTS.iter().any(|tests| path.ends_with(tests)) {
                continue;
            } else if path.is_dir() {
                rest.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Takes out every item behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::new(), code);
    while let Some((before, behind)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let mut depth = 0;
        let end = behind.char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.map_or("", |(at, _)| &behind[at + 1..]);
    }
    kept + rest
}

/// The calls of `KINDS` in `code`, with how many of them each function has.
fn places(file: &str, code: &str) -> BTreeMap<Place, usize> {
    let starts: Vec<_> = FUNCTION.captures_iter(code).collect();
    let mut found = BTreeMap::new();
    for (kind, calls) in CALLS.iter() {
        for call in calls.find_iter(code) {
            let before = code[..call.start()].trim_end();
            // Where it is defined.
            if before.ends_with("fn") {
                continue;
            }
            let inside =
                starts.iter().rev().find(|start| start.get(0).unwrap().end() <= call.start());
            let function = inside.map_or("-", |start| start.get(1).unwrap().as_str());
            let place = Place {
                file: file.to_owned(),
                function: function.to_owned(),
                kind: (*kind).to_owned(),
            };
            *found.entry(place).or_default() += 1;
        }
    }
    found
}

fn found() -> BTreeMap<Place, usize> {
    sources().iter().flat_map(|(file, code)| places(file, code)).collect()
}

/// The lines of the table: file, function, kind, count, and behind " | " the budget.
fn told() -> BTreeMap<Place, Entry> {
    let text = fs::read_to_string(root().join(TABLE)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("{TABLE}: {line}"))).collect()
}

fn parse(line: &str) -> Option<(Place, Entry)> {
    let (place, budget) = line.split_once(" | ")?;
    let mut words = place.split_whitespace().map(str::to_owned);
    let place = Place { file: words.next()?, function: words.next()?, kind: words.next()? };
    let count = words.next()?.parse().ok()?;
    Some((place, Entry { count, budget: budget.to_owned() }))
}

const HEAD: &str = "\
# What answers, signs, opens, keeps or logs for strangers and users, and what bounds it (tests/repository/budgets.rs):
# file, function, kind, how many calls, | the budget.
#
# A budget names in backticks what is asked: a key of the configuration, a constant or a function. \"none: \"
# and a reason stands where nobody outside can cause it as often as they like. UPDATE_GOLDEN=1 adds new
# calls with \"?\".
";

/// The table with what there is now: old budgets stay, changed counts ask for a new look.
fn renewed(found: &BTreeMap<Place, usize>, told: &BTreeMap<Place, Entry>) -> String {
    let mut text = HEAD.to_owned();
    let mut file = "";
    for (place, count) in found {
        if place.file != file {
            text.push('\n');
            file = &place.file;
        }
        let budget = match told.get(place) {
            Some(entry) if entry.count == *count => entry.budget.clone(),
            Some(entry) => format!("? {}", entry.budget.trim_start_matches("? ")),
            None => "?".to_owned(),
        };
        writeln!(text, "{} {count} | {budget}", place.text()).unwrap();
    }
    text
}

#[test]
fn every_call_that_costs_something_has_a_budget() {
    let (found, mut told) = (found(), told());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(TABLE), renewed(&found, &told)).unwrap();
        told = self::told();
    }
    let mut faults = Vec::new();
    for (place, count) in &found {
        match told.get(place) {
            None => faults.push(format!("no line: {} {count}", place.text())),
            Some(entry) if entry.count != *count => {
                faults.push(format!("{} has {count}, told are {}", place.text(), entry.count));
            }
            Some(entry) if entry.budget.starts_with('?') => {
                faults.push(format!("{}: what bounds it?", place.text()));
            }
            Some(_) => {}
        }
    }
    let gone = told.keys().filter(|place| !found.contains_key(place));
    faults.extend(gone.map(|place| format!("gone: {}", place.text())));
    assert!(
        faults.is_empty(),
        "{TABLE}, with a budget for each (UPDATE_GOLDEN=1 writes the lines):\n{}",
        faults.join("\n")
    );
    assert!(found.len() > 40, "the sources were not read: {} places", found.len());
}

/// A name that is gone bounds nothing.
#[test]
fn what_a_budget_names_exists() {
    let mut text = fs::read_to_string(root().join("config/taciturn.toml")).unwrap();
    let trees = ["src", "crates"].map(|dir| root().join(dir));
    for path in trees.iter().filter(|dir| dir.is_dir()).flat_map(|dir| files(dir)) {
        text.push_str(&code_of(&fs::read_to_string(path).unwrap()));
    }
    let words: BTreeSet<_> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut faults = Vec::new();
    for (place, Entry { budget, .. }) in told() {
        // The other test asks for those.
        if budget.starts_with('?') {
            continue;
        }
        let named: Vec<_> = budget.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && !budget.starts_with("none: ") {
            faults.push(format!("{} names nothing: {budget}", place.text()));
        }
        let missing = named.iter().filter(|name| !words.contains(*name));
        faults.extend(missing.map(|name| format!("{}: there is no {name}", place.text())));
    }
    assert!(faults.is_empty(), "{TABLE}:\n{}", faults.join("\n"));
}

#[test]
fn the_reader_of_calls_sees_what_it_must() {
    let code = "impl A { fn one(&self) { warn!(a); if b { outbox.push(c); } tracing::info!(d) } }\n\
                fn open_relay() {} async fn two() { tls.accept(stream).await; open_relay(e) }\n\
                #[cfg(test)] mod tests { fn three() { warn!(f) } }\n\
                #[cfg(test)] use g; fn four() { s.connect(h); writes_answer(); debug!(i); }";
    let seen: Vec<_> = places("a.rs", &without_tests(&code_of(code)))
        .into_iter()
        .map(|(place, count)| format!("{} {count}", place.text()))
        .collect();
    assert_eq!(
        seen,
        [
            "a.rs four open 1",
            "a.rs one answer 1",
            "a.rs one log 2",
            "a.rs two open 1",
            "a.rs two sign 1"
        ]
    );
    let place = || Place { file: "a.rs".into(), function: "one".into(), kind: "log".into() };
    let found = BTreeMap::from([(place(), 2)]);
    let told = |count| BTreeMap::from([(place(), Entry { count, budget: "`b`".to_owned() })]);
    assert!(renewed(&found, &told(2)).ends_with("\na.rs one log 2 | `b`\n"));
    assert!(renewed(&found, &told(1)).ends_with("\na.rs one log 2 | ? `b`\n"));
    assert!(renewed(&found, &BTreeMap::new()).ends_with("\na.rs one log 2 | ?\n"));
    assert_eq!(
        parse("a.rs one log 2 | `b`"),
        Some((place(), Entry { count: 2, budget: "`b`".into() }))
    );
}
