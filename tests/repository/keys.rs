//! The protocol knows no configuration: nothing in `taciturn-turn` names one of its keys, least of all to clients.
//! What an operator reads gets the names from `src/admin/keys.rs`.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use testkit::program::repository;

/// The paths of all keys, as docs/reference.md has them. A test there holds them to the schema.
fn keys() -> Vec<String> {
    let heading = Regex::new(r"(?m)^### `([a-z0-9_.]+)`$").unwrap();
    let reference = include_str!("../../docs/reference.md");
    heading.captures_iter(reference).map(|found| found[1].to_owned()).collect()
}

/// The files with code that is not for tests.
fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut rest) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let for_tests = path.ends_with("tests") || path.ends_with("tests.rs");
            if path.is_dir() && !for_tests {
                rest.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !for_tests {
                found.push(path);
            }
        }
    }
    found
}

/// What a source names: with its section anywhere, comments included; without it in what stands in quotes, where it
/// is no ordinary word.
struct Reader {
    keys: Vec<String>,
    /// `peers.allow`, but not the field of a field.
    dotted: Regex,
    /// `relay_ports`, `allocations_per_user`.
    words: Regex,
    comment: Regex,
    quoted: Regex,
}

impl Reader {
    fn new() -> Self {
        let keys = keys();
        // A tenant is one of the protocol's own things, and has a name and users there.
        let is_of_tenant = |key: &&String| key.starts_with("tenant.");
        let dotted = keys.iter().filter(|key| key.contains('.') && !is_of_tenant(key));
        let dotted: Vec<_> = dotted.cloned().collect();
        let last = |key: &String| key.rsplit('.').next().unwrap_or_default().to_owned();
        let words: Vec<_> = keys.iter().map(last).filter(|word| word.contains('_')).collect();
        Self {
            keys,
            dotted: Regex::new(&format!(r"(?m)(?:^|[^\w.])({})\b", dotted.join("|"))).unwrap(),
            words: Regex::new(&format!(r"\b({})\b", words.join("|"))).unwrap(),
            comment: Regex::new("(?m)^ *//.*$").unwrap(),
            quoted: Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap(),
        }
    }

    fn named(&self, text: &str) -> Vec<String> {
        let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = self.comment.replace_all(text, "");
        let dotted = self.dotted.captures_iter(text).map(|found| found[1].to_owned());
        let words = self.quoted.find_iter(&code).flat_map(|quoted| {
            self.words.captures_iter(quoted.as_str()).map(|found| found[1].to_owned())
        });
        let mut named: Vec<_> = dotted.chain(words).collect();
        named.sort();
        named.dedup();
        named
    }
}

#[test]
fn the_protocol_names_no_key_of_the_configuration() {
    let reader = Reader::new();
    assert!(reader.keys.len() > 50, "{:?}", reader.keys);
    let files = files(&repository().join("crates/turn/src"));
    assert!(files.len() > 40, "{files:?}");
    let faults: Vec<_> = files
        .iter()
        .map(|path| (path.display(), fs::read_to_string(path).unwrap()))
        .filter_map(|(path, text)| {
            let named = reader.named(&text);
            (!named.is_empty()).then(|| format!("{path}: {}", named.join(", ")))
        })
        .collect();
    assert!(
        faults.is_empty(),
        "give the limit a type in crates/turn, and its key in src/admin/keys.rs:\n{}",
        faults.join("\n")
    );
}

#[test]
fn the_reader_of_keys_sees_what_it_must() {
    let reader = Reader::new();
    let of = |text| reader.named(text);
    assert_eq!(of("//! As peers.deny has it.\n"), ["peers.deny"]);
    assert_eq!(
        of("let a = \"too many (limits.allocations_per_user)\";"),
        ["allocations_per_user", "limits.allocations_per_user"]
    );
    assert_eq!(of("let a = \"no port (relay_ports)\";"), ["relay_ports"]);
    assert_eq!(of("let a = \"see allocations_per_user\";"), ["allocations_per_user"]);
    let fields =
        "// relay_ports\nlet a = \"realm\"; self.ports_reserved_percent; rules.peers.allow";
    assert!(of(fields).is_empty());
    assert!(of("a\n#[cfg(test)]\nmod tests {\n\"relay_ports\" }").is_empty());
}
