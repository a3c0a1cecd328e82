//! Rules for the scripts of the stages that shellcheck does not know.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::Path;

fn scripts() -> Vec<(String, String)> {
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages");
    let mut scripts = Vec::new();
    for stage in fs::read_dir(stages).unwrap() {
        for file in fs::read_dir(stage.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if text.starts_with("#!/bin/bash") || text.starts_with("# shellcheck shell=bash") {
                scripts.push((path.display().to_string(), text));
            }
        }
    }
    scripts
}

/// In a namespace as the kernel makes it, one socket in thirty gets a port of the relay's range, and a case that counts
/// what leaves relay ports counts a client's requests.
#[test]
fn namespaces_have_local_ports_outside_of_the_relay_ports() {
    let made_by = |call: &str| {
        let scripts = scripts();
        let files = scripts.iter().filter(|(_, text)| text.contains(call));
        files.map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let direct = made_by("ip netns add");
    assert!(
        direct.len() == 1 && direct[0].ends_with("lib/common.sh"),
        "use new_namespace: {direct:?}"
    );
    assert!(made_by("new_namespace").len() > 10);
}
