//! The conformance table (`docs/conformance.toml`), the annotations that prove it, and the document
//! that is made of both.
//!
//! A rule has an id. The code that meets it has a line `//= ID` above it, and so has the test that
//! proves it, right above its `#[test]`. What is met has both; `docs/conformance.md` tells where.
//! `UPDATE_GOLDEN=1 cargo test --test repository conformance` rewrites the tables of that document.
#![allow(clippy::expect_used, clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

const DOCUMENT: &str = "docs/conformance.md";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rule: Vec<Rule>,
    case: Vec<Case>,
}

/// A rule of an RFC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    rfc: u16,
    section: String,
    level: Level,
    what: String,
    status: Status,
    /// Why it does not hold, or how it is meant.
    #[serde(default)]
    note: String,
}

/// The key word of the RFC; `says` where it tells without one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Level {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    #[serde(rename = "RECOMMENDED")]
    Recommended,
    #[serde(rename = "says")]
    Says,
}

impl Level {
    const fn text(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::MustNot => "MUST NOT",
            Self::Should => "SHOULD",
            Self::ShouldNot => "SHOULD NOT",
            Self::Recommended => "RECOMMENDED",
            Self::Says => "says",
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Met,
    NotApplicable,
    Open,
}

impl Status {
    const fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotApplicable => "not applicable",
            Self::Open => "open",
        }
    }
}

/// What went wrong elsewhere, or is tested there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Where it is from.
    from: String,
    what: String,
    /// `FILE::NAME` of each test that holds it here.
    #[serde(default)]
    tests: Vec<String>,
    /// Why there is none, or what else is to be said.
    #[serde(default)]
    note: String,
}

/// A place with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: PathBuf,
    /// The test's name; `None` for code.
    test: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table() -> Table {
    let text = fs::read_to_string(root().join("docs/conformance.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// Every source file of the library and of the tests but this one, by its path in the tree.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root().join("src"), root().join("crates"), root().join("tests")];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && path != root().join(file!())
            {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
            }
        }
    }
    found
}

/// The name of the test that begins at the first of `lines`, if one does.
fn test_at<'a>(file: &Path, lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut is_test = false;
    for line in lines.map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = function(line) {
            // What a fuzz target calls is replayed by a test of the module's name.
            if name == "run" && file.starts_with("tests/corpus") {
                let parts = file.iter().map(|part| part.to_str().unwrap());
                let parts: Vec<_> = parts.filter(|part| *part != "mod.rs").collect();
                return parts.last().map(|name| name.trim_end_matches(".rs").to_owned());
            }
            return is_test.then(|| name.to_owned());
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            return None;
        }
    }
    None
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Where each id is annotated.
fn annotations(sources: &BTreeMap<PathBuf, String>) -> BTreeMap<String, BTreeSet<Place>> {
    let mut found: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
    for (file, text) in sources {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(ids) = line.trim_start().strip_prefix("//= ") else { continue };
            let test = test_at(file, lines[at..].iter().copied());
            for id in ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
                let place = Place { file: file.clone(), test: test.clone() };
                found.entry(id.to_owned()).or_default().insert(place);
            }
        }
    }
    found
}

/// Every test there is, as `FILE::NAME`.
fn tests(sources: &BTreeMap<PathBuf, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in sources {
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() {
            let begins = lines[at].trim_start();
            let begins = begins.starts_with("#[test]")
                || begins.starts_with("#[tokio::test")
                || (file.starts_with("tests/corpus") && function(begins) == Some("run"));
            if let Some(name) = test_at(file, lines[at..].iter().copied()).filter(|_| begins) {
                found.insert(format!("{}::{name}", file.display()));
            }
        }
    }
    found
}

#[test]
fn what_is_met_has_code_and_a_test_and_what_is_not_a_reason() {
    let (table, sources) = (table(), sources());
    let annotations = annotations(&sources);
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for rule in &table.rule {
        let id = &rule.id;
        if !ids.insert(id.as_str()) {
            faults.push(format!("{id} is there twice"));
        }
        if !id.starts_with(&format!("{}-{}-", rule.rfc, rule.section)) {
            faults.push(format!("{id} does not begin with its RFC and section"));
        }
        let places = annotations.get(id);
        let has = |test| places.is_some_and(|all| all.iter().any(|p| p.test.is_some() == test));
        match rule.status {
            Status::Met => {
                for (test, what) in [(false, "code"), (true, "test")] {
                    if !has(test) {
                        faults.push(format!("{id} is met, but no {what} says so by `//= {id}`"));
                    }
                }
            }
            Status::NotApplicable | Status::Open => {
                if rule.note.is_empty() {
                    faults.push(format!("{id} is not met: its note has to say why"));
                }
                if places.is_some() {
                    faults.push(format!("{id} is not met, and yet annotated"));
                }
            }
        }
    }
    for (id, places) in &annotations {
        if !ids.contains(id.as_str()) {
            faults
                .push(format!("{}: there is no rule {id}", places.first().unwrap().file.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn cases_of_others_are_tests_here() {
    let tests = tests(&sources());
    let mut faults = Vec::new();
    for case in table().case {
        if case.tests.is_empty() && case.note.is_empty() {
            faults.push(format!("{}: {}: a test, or a note why not", case.from, case.what));
        }
        for test in case.tests {
            // One of coturn's clients is run by bash.
            let script = test.split_once("::").filter(|(file, _)| !file.ends_with(".rs"));
            let is_there = match script {
                Some((file, name)) => fs::read_to_string(root().join(file))
                    .is_ok_and(|text| text.lines().any(|line| line.starts_with(name))),
                None => tests.contains(&test),
            };
            if !is_there {
                faults.push(format!("{}: {}: there is no {test}", case.from, case.what));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_document_is_made_of_table_and_annotations() {
    let path = root().join(DOCUMENT);
    let document = fs::read_to_string(&path).unwrap();
    let table = table();
    let annotations = annotations(&sources());
    let mut wanted = document.clone();
    for rfc in [8489, 8656, 8016, 5780, 7983] {
        wanted = filled(&wanted, &format!("rfc{rfc}"), &rules(&table, rfc, &annotations));
    }
    wanted = filled(&wanted, "counts", &counts_table(&table));
    wanted = filled(&wanted, "cases", &cases(&table));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &wanted).unwrap();
        return;
    }
    let differs = wanted.lines().zip(document.lines()).find(|(a, b)| a != b);
    assert!(
        wanted == document,
        "{DOCUMENT} is not what its table says; write it by UPDATE_GOLDEN=1 and read the \
         difference. First of it: {differs:#?}"
    );
}

/// `document` with `text` between the marks of `name`.
fn filled(document: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (front, rest) = document.split_once(&begin).expect("the mark that begins it");
    let (_, back) = rest.split_once(&end).expect("the mark that ends it");
    format!("{front}{begin}{text}{end}{back}")
}

fn rules(table: &Table, rfc: u16, annotations: &BTreeMap<String, BTreeSet<Place>>) -> String {
    let mut text =
        "| Section | Level | Rule | Status | Code | Tests, or why not |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for rule in table.rule.iter().filter(|rule| rule.rfc == rfc) {
        let none = BTreeSet::new();
        let places = annotations.get(&rule.id).unwrap_or(&none);
        let code = places.iter().filter(|place| place.test.is_none()).map(|place| {
            let shown = place.file.strip_prefix("src").unwrap_or(&place.file);
            format!("[{}](../{})", shown.display(), place.file.display())
        });
        let proofs = places.iter().filter_map(|place| {
            Some(format!("[{}](../{})", place.test.as_ref()?, place.file.display()))
        });
        let code = code.collect::<Vec<_>>().join(", ");
        let mut last = proofs.collect::<Vec<_>>();
        last.extend((!rule.note.is_empty()).then(|| rule.note.clone()));
        let (level, status) = (rule.level.text(), rule.status.text());
        let (section, what, last) = (&rule.section, &rule.what, last.join("<br>"));
        writeln!(text, "| {section} | {level} | {what} | {status} | {code} | {last} |").unwrap();
    }
    text
}

fn cases(table: &Table) -> String {
    let mut text = "| From | Case | Test here |\n|---|---|---|\n".to_owned();
    for case in &table.case {
        let shown = case.tests.iter().map(|test| {
            let (file, name) = test.split_once("::").unwrap();
            format!("[{name}](../{file})")
        });
        let mut last: Vec<String> = shown.collect();
        last.extend((!case.note.is_empty()).then(|| case.note.clone()));
        writeln!(text, "| {} | {} | {} |", case.from, case.what, last.join("<br>")).unwrap();
    }
    text
}

fn count(table: &Table, rfc: Option<u16>, status: Status) -> usize {
    let of_rfc = |rule: &&Rule| rfc.is_none_or(|rfc| rule.rfc == rfc);
    table.rule.iter().filter(of_rfc).filter(|rule| rule.status == status).count()
}

fn counts_table(table: &Table) -> String {
    let mut text = "| | met | not applicable | open |\n|---|---|---|---|\n".to_owned();
    for (name, rfc) in [
        ("RFC 8489", Some(8489)),
        ("RFC 8656", Some(8656)),
        ("RFC 8016", Some(8016)),
        ("RFC 5780", Some(5780)),
        ("RFC 7983", Some(7983)),
        ("all", None),
    ] {
        let count = |status| count(table, rfc, status);
        let (met, not, open) =
            (count(Status::Met), count(Status::NotApplicable), count(Status::Open));
        writeln!(text, "| {name} | {met} | {not} | {open} |").unwrap();
    }
    text
}

#[test]
fn both_readmes_tell_the_counts() {
    let table = table();
    let count = |status| count(&table, None, status);
    let (met, not, open) = (count(Status::Met), count(Status::NotApplicable), count(Status::Open));
    for (readme, words) in [
        ("README.md", format!("{met} met, {not} not applicable, {open} open")),
        ("README.ru.md", format!("выполнено {met}, не относится к серверу {not}, открыто {open}")),
    ] {
        let text = fs::read_to_string(root().join(readme)).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&words), "{readme} does not say \"{words}\"");
    }
}

#[test]
fn the_reader_of_annotations_sees_what_it_must() {
    let text = "
        //= a, b
        let x = 1;
        /// Words.
        //= c
        #[test]
        #[cfg(unix)]
        fn holds() {}
        //= d
        fn helper() {}
    ";
    let sources = BTreeMap::from([(PathBuf::from("src/x.rs"), text.to_owned())]);
    let found = annotations(&sources);
    let test_of = |id: &str| found[id].first().unwrap().test.clone();
    assert_eq!(found.len(), 4);
    assert_eq!((test_of("a"), test_of("b"), test_of("d")), (None, None, None));
    assert_eq!(test_of("c").as_deref(), Some("holds"));
    assert_eq!(tests(&sources), BTreeSet::from(["src/x.rs::holds".to_owned()]));
    let run = BTreeMap::from([(
        PathBuf::from("tests/corpus/shard/mod.rs"),
        "//= e\npub(crate) fn run(bytes: &[u8]) {}".to_owned(),
    )]);
    assert_eq!(annotations(&run)["e"].first().unwrap().test.as_deref(), Some("shard"));
}
