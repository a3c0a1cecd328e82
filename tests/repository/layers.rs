//! Which crate may use which, which of them the server carries, and where `unsafe` may be.
//!
//! The compiler holds the layers: a crate sees only what its manifest names. This holds the manifests to the table
//! in docs/architecture.md.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::program::repository;

/// Each crate of the workspace that is shipped, and those of the workspace that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("taciturn-stun", &[]),
    ("taciturn-tls", &[]),
    ("taciturn-control", &[]),
    ("taciturn-handover", &[]),
    ("taciturn-outbound", &[]),
    ("taciturn-fleet", &["taciturn-outbound"]),
    ("taciturn-records", &["taciturn-outbound"]),
    ("taciturn-database", &["taciturn-outbound"]),
    ("taciturn-kernel", &[]),
    ("taciturn-web", &["taciturn-control"]),
    ("taciturn-turn", &["taciturn-stun"]),
    ("taciturn-net", &["taciturn-handover", "taciturn-stun", "taciturn-tls", "taciturn-turn"]),
    ("taciturn-config", &["taciturn-net", "taciturn-stun", "taciturn-tls", "taciturn-turn"]),
    (
        "taciturn",
        &[
            "taciturn-config",
            "taciturn-control",
            "taciturn-database",
            "taciturn-fleet",
            "taciturn-handover",
            "taciturn-kernel",
            "taciturn-net",
            "taciturn-records",
            "taciturn-stun",
            "taciturn-tls",
            "taciturn-turn",
            "taciturn-web",
        ],
    ),
    (
        "turnctl",
        &[
            "taciturn-config",
            "taciturn-control",
            "taciturn-database",
            "taciturn-kernel",
            "taciturn-net",
            "taciturn-stun",
            "taciturn-tls",
            "taciturn-turn",
        ],
    ),
];

/// Crates that only turnctl needs: none of them is built into the server.
const ONLY_TURNCTLS: &[&str] = &[
    "clap_complete",
    "clap_mangen",
    "hdrhistogram",
    "qrcode",
    "ratatui",
    "rpassword",
    "shlex",
    "ureq",
    "webpki-roots",
    "yaml-rust2",
];

/// Where `unsafe` may be: the system calls of a batch, a program for the kernel, registrations with epoll, a call to the allocator, what the `openssl`
/// crate does not bind, descriptors that are known by their numbers; and an allocator that counts, and one call to OpenSSL, of tests.
const MAY_BE_UNSAFE: &[&str] = &[
    "crates/handover/src/raw.rs",
    "crates/net/src/batch/linux.rs",
    "crates/net/src/batch/linux/tests.rs",
    "crates/net/src/dtls/ffi.rs",
    "crates/net/src/memory.rs",
    "crates/net/src/readiness.rs",
    "crates/net/src/steering.rs",
    "crates/net/src/stream/receive_buffer.rs",
    "crates/testkit/src/dtls.rs",
];

/// The names of the crates that each crate is built with, in a build for use. For this platform: of others cargo has
/// downloaded nothing.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--locked",
            "--filter-platform",
            &platform,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeMap<_, _> =
        packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let normal = |node: &Value| {
        let all = node["deps"].as_array().unwrap().iter();
        let normal = all.filter(|dependency| {
            dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
        });
        normal.map(|dependency| names[dependency["pkg"].as_str().unwrap()].clone()).collect()
    };
    nodes.iter().map(|node| (names[node["id"].as_str().unwrap()].clone(), normal(node))).collect()
}

#[test]
fn each_crate_uses_those_below_it_and_no_other() {
    let dependencies = dependencies();
    let ours = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    for (layer, may_use) in LAYERS {
        let uses = dependencies[*layer].iter().map(String::as_str);
        let uses: BTreeSet<_> = uses.filter(|name| ours(name) || *name == "testkit").collect();
        assert_eq!(uses, may_use.iter().copied().collect(), "{layer}");
    }
    let members = fs::read_dir(repository().join("crates")).unwrap().count();
    assert_eq!(members, LAYERS.len(), "all but the server's own, and testkit, are in the table");
}

#[test]
fn the_server_carries_nothing_that_only_turnctl_needs() {
    let dependencies = dependencies();
    let (mut carried, mut rest) = (BTreeSet::new(), vec!["taciturn".to_owned()]);
    while let Some(name) = rest.pop() {
        if carried.insert(name.clone()) {
            rest.extend(dependencies.get(&name).into_iter().flatten().cloned());
        }
    }
    assert!(carried.contains("tokio"), "the graph was read");
    let too_much: Vec<_> = ONLY_TURNCTLS.iter().filter(|name| carried.contains(**name)).collect();
    assert!(too_much.is_empty(), "the server carries {too_much:?}");
    let turnctls = &dependencies["turnctl"];
    let unknown: Vec<_> = ONLY_TURNCTLS.iter().filter(|name| !turnctls.contains(**name)).collect();
    assert!(
        unknown.is_empty(),
        "turnctl does not use {unknown:?} any more: take them off the list"
    );
}

/// The sources below a directory, with their paths in the repository.
fn sources(below: &Path) -> Vec<(PathBuf, String)> {
    let (mut found, mut rest) = (Vec::new(), vec![below.to_owned()]);
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(repository()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

#[test]
fn unsafe_is_in_the_files_of_system_calls_alone() {
    let mut unsafe_files = BTreeSet::new();
    for directory in ["src", "crates"] {
        for (path, text) in sources(&repository().join(directory)) {
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            let is_unsafe = |line: &str| {
                let allowed = line.contains("allow(unsafe_code");
                allowed || ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|u| line.contains(u))
            };
            if code.into_iter().any(is_unsafe) {
                unsafe_files.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    // This test's own words are not below `src` or `crates`.
    assert_eq!(unsafe_files, MAY_BE_UNSAFE.iter().map(|&path| path.to_owned()).collect());
}

#[test]
fn every_crate_but_that_of_the_system_calls_forbids_unsafe() {
    let mut roots = vec![repository().join("src/lib.rs"), repository().join("src/main.rs")];
    for entry in fs::read_dir(repository().join("crates")).unwrap() {
        let source = entry.unwrap().path().join("src");
        roots.extend(["lib.rs", "main.rs"].map(|name| source.join(name)));
    }
    for root in roots.into_iter().filter(|root| root.exists()) {
        let may = ["crates/handover/", "crates/net/", "crates/testkit/"]
            .iter()
            .any(|name| root.to_str().unwrap().contains(name));
        let text = fs::read_to_string(&root).unwrap();
        assert_eq!(!may, text.contains("#![forbid(unsafe_code)]"), "{}", root.display());
    }
}

/// In these every line of the log asks a budget, or no client can cause it (the machine's own addresses); what else
/// clients can reach writes none at `info` or above.
const MAY_LOG: &[&str] = &[
    "crates/net/src/address_notices.rs",
    "crates/net/src/event_log.rs",
    "crates/net/src/log_budget.rs",
];

#[test]
fn no_line_of_the_log_that_a_client_can_cause_is_without_a_limit() {
    let mut found = Vec::new();
    for directory in ["crates/net/src", "crates/turn/src", "crates/stun/src"] {
        for (path, text) in sources(&repository().join(directory)) {
            if MAY_LOG.iter().any(|may| path == Path::new(may)) {
                continue;
            }
            for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
                let logs = ["info!", "warn!", "error!", "event!", "Level::"];
                if logs.iter().any(|call| line.contains(call)) {
                    found.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "write these through event_log of net: {found:#?}");
}
