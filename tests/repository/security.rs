//! docs/security.md is true: its tests exist, no advisory is left out. Its figures are measured in
//! `amplification.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

const DOCUMENT: &str = "docs/security.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join(DOCUMENT)).unwrap()
}

/// The rows of every table between the marks of `name`, without their headings.
fn rows(document: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let mut rows = Vec::new();
    for part in document.split(&begin).skip(1) {
        let (table, _) = part.split_once(&end).expect("the mark that ends it");
        let lines = table.lines().filter(|line| line.starts_with('|'));
        rows.extend(lines.skip(2).map(str::to_owned));
    }
    rows
}

/// Whether `file` has a test of that name: of Rust, or a case of a stage.
fn has_test(file: &Path, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
    if file.extension().is_none_or(|end| end != "rs") {
        return text.lines().any(|line| line.split_whitespace().next() == Some(name));
    }
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let function = Regex::new(&format!(r"^(async )?fn {name}\(")).unwrap();
    let at = lines.iter().position(|line| function.is_match(line));
    at.is_some_and(|at| {
        let above = lines[..at].iter().rev();
        let mut attributes =
            above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_promise_and_every_advisory_names_tests_that_exist() {
    let document = document();
    let link = Regex::new(r"\[([a-z0-9_-]+)\]\(\.\./([^)]+)\)").unwrap();
    let mut faults = Vec::new();
    let mut named = 0;
    for table in ["promises", "advisories"] {
        let rows = rows(&document, table);
        assert!(rows.len() > 20, "{table}: {} rows", rows.len());
        for row in rows {
            let held_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let links: Vec<_> = link.captures_iter(held_by).collect();
            if links.is_empty() {
                faults.push(format!("no test: {row}"));
            }
            for link in links {
                named += 1;
                if !has_test(Path::new(&link[2]), &link[1]) {
                    faults.push(format!("there is no {} in {}", &link[1], &link[2]));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(named > 60, "{named}");
    assert!(
        !has_test(Path::new("tests/repository/security.rs"), "rows"),
        "what is no test is taken for one"
    );
    assert!(!has_test(Path::new("stages/attacks/run"), "no-such-case"));
}

/// Every number that docs/conformance.toml has, and every test that is named after one.
#[test]
fn no_advisory_is_left_out() {
    let document = rows(&document(), "advisories").join("\n");
    let table = fs::read_to_string(root().join("docs/conformance.toml")).unwrap();
    let ids = Regex::new(r"CVE-\d{4}-\d+|GHSA-[a-z0-9-]{14}").unwrap();
    let mut wanted: BTreeSet<String> =
        ids.find_iter(&table).map(|id| id.as_str().to_owned()).collect();
    let test = Regex::new(r"fn cve_(\d{4})_(\d+)_").unwrap();
    for file in [
        "tests/server/advisories.rs",
        "crates/net/tests/dtls/records.rs",
        "crates/turn/src/tests/advisories.rs",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        wanted.extend(test.captures_iter(&text).map(|id| format!("CVE-{}-{}", &id[1], &id[2])));
    }
    assert!(wanted.len() > 14, "{wanted:?}");
    let missing: Vec<_> = wanted.iter().filter(|id| !document.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{DOCUMENT} has no row for {missing:?}");
}
