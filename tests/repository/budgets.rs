//! Every path that answers, signs, opens, keeps or logs something for somebody who has proven nothing, or
//! for one user as often as that user likes, asks a budget.
//!
//! The sources are read as text, as in `layers.rs`: the calls of `KINDS` are looked for, function by
//! function, and each must have a line in tests/repository/budgets.txt that names what bounds it. A new
//! call, or one more in a function that has some, fails here until somebody has thought about it; `HELP`
//! says what is to be done then. `UPDATE_GOLDEN=1` writes new ones into the table with "?" for the budget,
//! takes out those that are gone, and fails while there is a "?".
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
const TESTS: &[&str] =
    &["tests", "tests.rs", "test_rules.rs", "recorder.rs", "rig.rs", "floods.rs"];

/// What costs something, and the calls that do it. Where one of them is renamed, its pattern is to be as well:
/// `every_pattern_finds_a_call` says which one finds nothing any more.
const KINDS: &[(&str, &[&str])] = &[
    // Bytes to somebody who may have asked nothing.
    (
        "answer",
        &[
            r"Verdict::Reply(From)?\b",
            r"\b(write_)?answer(_from)?\(",
            r"\brecords\.push\(",
            r"\boutside\.tell\(",
            r"\b(queue|dtls)\.data\(",
            r"\b(out|clients)\.send(_from)?\(",
            r"\bself\.send(_datagram)?\((client|listeners)\b",
            r"\bout\.carry_out\(",
            r"\brefuse\(cx\.parts\b",
            r"\bform\.finish\(",
            r"\banswer_with\(",
            r"\bserve_connection\(",
            r"\bsay\(",
        ],
    ),
    // A signature, an HMAC: a handshake, a credential that is judged, an answer that is signed.
    (
        "sign",
        &[
            r"\btls\.begin\(",
            r"\baccept\.await\b",
            r"&mut accept\)\.poll\(",
            r"\bstream\.accept\(",
            r"\bdatagram_from_unknown\w*\(",
            r"\bkeys\.(make|verify)\(",
            r"\brealm\.authenticate\(",
            r"\.verify_integrity\(",
            r"\bpassword_(?:for|by)\(",
            r"\bnonces\.(issue|verify)\(",
            r"\btickets\.(open|seal)\(",
            r"\bsignature\.sign\(",
        ],
    ),
    // A socket, a port.
    (
        "open",
        &[
            r"\bopen\w*_relay\(",
            r"\bSocket::new\(",
            r"\btcp_socket::open\(",
            r"\bUdpSocket::bind\(",
            r"\bTcp(Listener|Stream)::(bind|connect)\(",
            r"\.connect(_peer)?\(",
            r"\bsocket\.(poll_)?accept\(",
            r"\bports\s*\.(lease|lease_for|redeem|reserve_next)\(",
        ],
    ),
    // Memory that lasts longer than the call: a place, a task, an entry.
    (
        "keep",
        &[
            r"\b(connections|connection_ids|ids|half_open|quota)\s*\.take\w*\(",
            r"\bwaiting\.take\(\w",
            r"\bspawn(_local)?\(",
            r"\bvacant_entry\(",
            r"\.insert\(",
            r"\.entry\(",
            r"\.push_back\(",
            r"\b(connections|guard|parked|deadlines|heap|retired)\.push\(",
            r"\btcp\.push\(",
            r"\badd_(connection|unbound)\(",
            r"\bunread\.extend_from_slice\(",
        ],
    ),
    // A line, or what may become one.
    (
        "log",
        &[
            r"\b(info|warn|error)!\(",
            r"\.warn\(",
            r"\.(slow_client|slowed_down|long_messages)\(",
            r"\boutside\s*\.event\(",
            r"\breport\(",
            r"\bControlPeer::log\(",
        ],
    ),
];

static FUNCTION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bfn\s+(\w+)").unwrap());
static FOR_TESTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#\[cfg\((test|all\(test\b[^\]]*)\)\]").unwrap());
static CALLS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    KINDS.iter().map(|(kind, calls)| (*kind, Regex::new(&calls.join("|")).unwrap())).collect()
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

    fn words(&self) -> String {
        format!("{}, fn {}, {}", self.file, self.function, self.kind)
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

/// Takes out every item behind `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(found) = FOR_TESTS.find(rest) {
        let (before, behind) = (&rest[..found.start()], &rest[found.end()..]);
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

/// What whoever has added a call reads.
const HELP: &str = "\
What answers, signs, opens, keeps or logs something for strangers, or for one user, has to have a budget:
without one, a flood of requests becomes a flood of that. (turn/ is crates/turn/src, net/ is
crates/net/src, admin/ is src/admin.) For each call above:
  1. UPDATE_GOLDEN=1 cargo test --test repository budgets
     writes the missing lines with \"?\", and takes out those whose calls are gone.
  2. Read the function and its callers: what bounds how often somebody outside gets there? If nothing
     does, ask a budget before the call. There are
       answers to strangers        answer_budget::answers, Gate::answers_stranger (policy/unverified.rs)
       requests of one client      takes_request (policy/requests.rs)
       wrong credentials           answer_budget::judges (policy/failures.rs)
       handshakes                  Gate (net/handshakes.rs, policy/handshakes.rs)
       connections                 Connections::take (policy/connections.rs)
       allocations, new peers and packets a second    RateLimits (policy/rates.rs)
       lines of the log            EventLog (net/log_budget.rs)
  3. In the table, write what bounds it in place of the \"?\", with the names of keys of the configuration,
     of constants and of functions in backticks; or \"none: \" and why nobody outside can cause it as
     often as they like, also where the call costs nothing. If somebody can, and that is acceptable,
     \"none: unbounded\", who can, and what it costs. A \"?\" before an old budget means that the number of
     calls has changed: look again, then take it away.
A call that costs something and is not seen here belongs in KINDS.";

const HEAD: &str = "\
# What answers, signs, opens, keeps or logs for strangers and users, and what bounds it: file, function, kind,
# how many calls, | the budget. Held by tests/repository/budgets.rs.
#
# A budget names in backticks what is asked: a key of the configuration, a constant or a function. \"none: \"
# and a reason stands where nobody outside can cause it as often as they like; \"none: unbounded\" where
# somebody can, with who that is and what it costs. UPDATE_GOLDEN=1 adds new calls with \"?\".
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

/// Where the table is not what the sources are.
fn faults(found: &BTreeMap<Place, usize>, told: &BTreeMap<Place, Entry>) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, count) in found {
        match told.get(place) {
            None => faults.push(format!("{}: {count} new, without a line", place.words())),
            Some(entry) if entry.count != *count => {
                faults.push(format!(
                    "{}: there are {count}, told are {}",
                    place.words(),
                    entry.count
                ));
            }
            Some(entry) if entry.budget.starts_with('?') => {
                faults.push(format!("{}: has a \"?\" for its budget", place.words()));
            }
            Some(_) => {}
        }
    }
    let gone = told.keys().filter(|place| !found.contains_key(place));
    faults.extend(gone.map(|place| format!("{}: a line, and no such call", place.words())));
    faults
}

#[test]
fn every_call_that_costs_something_has_a_budget() {
    let (found, mut told) = (found(), told());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(TABLE), renewed(&found, &told)).unwrap();
        told = self::told();
    }
    let faults = faults(&found, &told);
    assert!(faults.is_empty(), "{TABLE}:\n  {}\n\n{HELP}", faults.join("\n  "));
    assert!(found.len() > 40, "the sources were not read: {} places", found.len());
}

/// What has another name now is looked for in vain, and nobody is told.
#[test]
fn every_pattern_finds_a_call() {
    let code: Vec<String> = sources().into_values().collect();
    let is_called = |pattern: &str| {
        let call = Regex::new(pattern).unwrap();
        code.iter().any(|code| {
            call.find_iter(code).any(|found| !code[..found.start()].trim_end().ends_with("fn"))
        })
    };
    let patterns = KINDS.iter().flat_map(|(_, patterns)| *patterns);
    let idle: Vec<_> = patterns.filter(|pattern| !is_called(pattern)).collect();
    assert!(idle.is_empty(), "KINDS has patterns of calls that are gone or renamed: {idle:?}");
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
            faults.push(format!("{}: names nothing in backticks: {budget}", place.words()));
        }
        let missing = named.iter().filter(|name| !words.contains(*name));
        faults.extend(missing.map(|name| format!("{}: there is no {name}", place.words())));
    }
    assert!(faults.is_empty(), "{TABLE}:\n  {}\n\n{HELP}", faults.join("\n  "));
}

#[test]
fn the_reader_of_calls_sees_what_it_must() {
    let code = "impl A { fn one(&self) { warn!(a); if b { records.push(c); } tracing::info!(d) } }\n\
                fn open_relay() {} async fn two() { tls.begin(start, signing); open_relay(e) }\n\
                #[cfg(test)] mod tests { fn three() { warn!(f) } }\n\
                #[cfg(all(test, unix))] mod more { fn five() { warn!(f) } }\n\
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
    let told_of = |told: &BTreeMap<Place, Entry>| faults(&found, told).join("; ");
    assert_eq!(told_of(&told(2)), "");
    assert_eq!(told_of(&told(1)), "a.rs, fn one, log: there are 2, told are 1");
    assert_eq!(told_of(&BTreeMap::new()), "a.rs, fn one, log: 2 new, without a line");
    let gone = faults(&BTreeMap::new(), &told(2)).join("; ");
    assert_eq!(gone, "a.rs, fn one, log: a line, and no such call");
    assert_eq!(
        parse("a.rs one log 2 | `b`"),
        Some((place(), Entry { count: 2, budget: "`b`".into() }))
    );
}
