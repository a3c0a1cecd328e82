//! The workflows do what runs here too, with actions that nobody can replace. What actionlint and zizmor say of them is
//! in stages/packaging.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

/// Programs of the runner that a step may call; all else is a script of the repository.
const PROGRAMS: [&str; 4] = ["cargo", "cosign", "docker", "git"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn workflows() -> Vec<(String, String, Yaml)> {
    let files = fs::read_dir(root().join(".github/workflows")).unwrap();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let yaml = YamlLoader::load_from_str(&text).unwrap().remove(0);
        (path.file_name().unwrap().to_string_lossy().into_owned(), text, yaml)
    };
    files.map(|file| read(file.unwrap().path())).collect()
}

fn jobs(yaml: &Yaml) -> Vec<&Yaml> {
    yaml["jobs"].as_hash().unwrap().values().collect()
}

fn steps(yaml: &Yaml) -> Vec<&Yaml> {
    jobs(yaml).into_iter().flat_map(|job| job["steps"].as_vec().unwrap()).collect()
}

fn printed(program: &str, argument: &str) -> Vec<String> {
    let output = Command::new(root().join(program)).arg(argument).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn strings(list: &Yaml) -> Vec<String> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn actions_and_images_are_named_by_their_hashes() {
    let is_hash = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    for (file, text, yaml) in workflows() {
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let (_, action) = line.split_once("uses: ").unwrap();
            let (action, version) = action.split_once(" # v").unwrap();
            assert!(is_hash(action.split_once('@').unwrap().1, 40), "{file}: {line}");
            assert_eq!(version.split('.').count(), 3, "{file}: {line}");
        }
        for job in jobs(&yaml) {
            let Some(image) = job["container"]["image"].as_str() else { continue };
            assert!(is_hash(image.split_once("@sha256:").unwrap().1, 64), "{file}: {image}");
        }
    }
}

#[test]
fn no_job_has_permissions_that_it_does_not_name() {
    for (file, _, yaml) in workflows() {
        assert!(yaml["permissions"].as_hash().unwrap().is_empty(), "{file}");
        for job in jobs(&yaml) {
            let named = job["permissions"].as_hash().unwrap();
            assert!(
                named.values().all(|value| ["read", "write"].contains(&value.as_str().unwrap()))
            );
            assert!(job["timeout-minutes"].as_i64().is_some(), "{file}");
        }
    }
}

#[test]
fn every_command_is_a_script_of_this_repository_or_a_known_program() {
    for (file, _, yaml) in workflows() {
        for command in steps(&yaml).into_iter().filter_map(|step| step["run"].as_str()) {
            assert_eq!(command.lines().count(), 1, "{file}: {command}: put it into a script");
            let program = command.split(' ').next().unwrap();
            let path = root().join(program);
            let is_script =
                path.is_file() && path.metadata().unwrap().permissions().mode() & 0o111 != 0;
            assert!(is_script || PROGRAMS.contains(&program), "{file}: {command}");
        }
    }
}

#[test]
fn all_that_is_checked_here_and_every_fuzz_target_has_a_job() {
    for (file, _, yaml) in workflows() {
        match file.as_str() {
            "check.yml" => {
                let parts = &yaml["jobs"]["part"]["strategy"]["matrix"]["part"];
                assert_eq!(strings(parts), printed(".ci/run", "--list"));
            }
            "weekly.yml" => {
                let targets = &yaml["jobs"]["fuzz"]["strategy"]["matrix"]["target"];
                assert_eq!(strings(targets), printed("fuzz/run", "--list"));
            }
            _ => {}
        }
    }
}
