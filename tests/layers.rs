//! Which module may use which, what the lower ones must not know, and where `unsafe` may be.
//!
//! The sources are read as text: comments and strings are taken out, then every path that begins
//! with `crate::` is held against the table.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the library, and those it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("stun", &[]),
    ("clock", &[]),
    ("tls", &[]),
    ("proxy_protocol", &[]),
    ("process", &[]),
    ("dtls", &[]),
    ("notify", &[]),
    ("auth", &["stun", "clock"]),
    ("policy", &["stun", "clock"]),
    ("turn", &["auth", "policy", "stun", "clock"]),
    ("config", &["turn", "auth", "policy", "stun", "clock", "tls"]),
    ("net", &["turn", "auth", "policy", "stun", "clock", "tls", "proxy_protocol", "dtls"]),
    ("admin", &["config", "net", "turn", "auth", "policy", "stun", "clock", "tls"]),
    ("ctl", &["admin", "config", "net", "turn", "auth", "policy", "stun", "clock", "tls"]),
];

/// Time, randomness and sockets are arguments to these.
const WITHOUT_WORLD: &[&str] = &["stun", "turn", "auth", "policy", "clock"];

/// What nobody without a world may name. Tests beside the code are held to it as well.
const WORLD: &[&str] = &[
    "tokio",
    "mio",
    "libc",
    "socket2",
    "rustix",
    "getrandom",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UnixDatagram",
    "Instant",
    "SystemTime",
    "fs",
    "env",
    "thread",
];

/// Relative to `src`. Those that do not exist yet are named all the same.
const MAY_BE_UNSAFE: &[&str] = &["net/batch/linux.rs", "net/readiness.rs", "dtls/ffi.rs"];

/// A source file: its path below `src`, and its code without comments and strings.
struct Source {
    path: PathBuf,
    code: String,
}

impl Source {
    /// The module of the library that it belongs to; `None` for the crate's roots.
    fn layer(&self) -> Option<String> {
        let mut parts = self.path.iter().map(|part| part.to_str().unwrap());
        let first = parts.next().unwrap();
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!["lib", "main", "bin"].contains(&name)).then(|| name.to_owned())
    }

    /// How many `super::` lead from here to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.iter().count();
        if self.path.ends_with("mod.rs") { parts - 1 } else { parts }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut rest) = (Vec::new(), vec![root.clone()]);
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let code = code_of(&fs::read_to_string(&path).unwrap());
                found.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// `text` without comments and without what stands in quotes.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let literal = raw_string(rest).or_else(|| match first {
            '/' if rest.starts_with("//") => Some(rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => Some(block_comment(rest)),
            '"' => Some(quoted(rest, '"')),
            // A lifetime has no closing quote behind its first character.
            '\'' if rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'') => {
                Some(quoted(rest, '\''))
            }
            _ => None,
        });
        // `r` at the end of a name begins no raw string.
        let in_name = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = literal.filter(|_| !(in_name && first.is_alphabetic()));
        match skipped {
            Some(length) => {
                code.push(' ');
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The modules at the crate's root that `code` names: by `crate::` (groups in braces as well), and
/// by as many `super::` as lead there.
fn uses(code: &str, depth: usize) -> BTreeSet<String> {
    let code: String = code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" :: ", "::");
    let mut found = BTreeSet::new();
    let up = "super::".repeat(depth);
    for start in ["crate::", &up] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let path = &code[at + start.len()..];
            if start != "crate::" {
                // Fewer `super::` may lead to a namesake of a layer, such as net::clock.
                let name = words(path).next().unwrap_or("");
                let known = LAYERS.iter().any(|(layer, _)| *layer == name);
                if known && !code[..at].ends_with("super::") {
                    found.insert(name.to_owned());
                }
            } else if path.starts_with('{') {
                found.extend(heads_of_group(path));
            } else {
                found.extend(words(path).next().map(str::to_owned));
            }
        }
    }
    found
}

/// The first name of each path in `{a::b, c::{d, e}}`.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut item, mut heads) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            heads.extend(words(&item).next().map(str::to_owned));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn allowed(layer: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(name, _)| *name == layer).map(|(_, may)| *may)
}

#[test]
fn dependencies_point_down_only() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(layer) = source.layer() else { continue };
        let path = source.path.display();
        let Some(may) = allowed(&layer) else {
            faults.push(format!("{path}: give the module {layer} a line in LAYERS"));
            continue;
        };
        for used in uses(&source.code, source.depth()) {
            let fine = used == layer || may.contains(&used.as_str());
            // Types and macros at the root of the crate would go around the layers.
            if !fine {
                faults.push(format!("{path}: {layer} must not use crate::{used}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    for (at, (layer, may)) in LAYERS.iter().enumerate() {
        for below in *may {
            let lower = LAYERS[..at].iter().any(|(name, _)| name == below);
            assert!(lower, "{layer} uses {below}, which does not stand above it in the table");
        }
    }
}

#[test]
fn the_protocol_sees_no_socket_no_file_and_no_clock() {
    let mut faults = Vec::new();
    for source in sources() {
        if source.layer().is_some_and(|layer| WITHOUT_WORLD.contains(&layer.as_str())) {
            let named: BTreeSet<_> =
                words(&source.code).filter(|word| WORLD.contains(word)).collect();
            faults.extend(named.iter().map(|word| format!("{}: {word}", source.path.display())));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn unsafe_is_where_it_is_known_to_be() {
    let mut faults = Vec::new();
    for source in sources() {
        let here = MAY_BE_UNSAFE.iter().any(|path| source.path == Path::new(path));
        let lifted = source.code.contains("allow(unsafe_code)");
        if !here && (lifted || words(&source.code).any(|word| word == "unsafe")) {
            faults.push(source.path.display().to_string());
        }
    }
    assert!(faults.is_empty(), "unsafe outside of {MAY_BE_UNSAFE:?}: {faults:?}");
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let code =
        code_of("a // crate::x\n/* crate::y /* */ */ 'c' \"crate::z\\\"\" r#\"unsafe\"# 'a b");
    assert_eq!(words(&code).collect::<Vec<_>>(), ["a", "a", "b"]);
    let named = |code: &str, depth| uses(code, depth).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use crate::{net::io, stun::{A, turn}, auth};", 2), ["auth", "net", "stun"]);
    assert_eq!(named("fn f() -> crate::net::Io {} pub(crate) fn g() {}", 2), ["net"]);
    assert_eq!(named("use super::super::net; use super::clock::Clock;", 2), ["net"]);
    assert_eq!(named("use super::net::io;", 1), ["net"]);
    assert!(sources().len() > 50, "the sources were not found");
}
