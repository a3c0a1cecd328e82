//! Help, man pages and completions of both programs.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::process::{Command, Output};

use clap::CommandFactory as _;
use taciturn_config::ServerArgs;
use turnctl::{Cli, completions_and_man};

fn turnctl(args: &[&str]) -> Output {
    Command::new(testkit::program::turnctl())
        .args(args)
        .env_clear()
        .env("STATE_DIRECTORY", "/nonexistent")
        .output()
        .unwrap()
}

/// Every command: its name as it is typed, and itself.
fn commands() -> Vec<(String, clap::Command)> {
    let mut all = Vec::new();
    let mut rest = vec![
        ("taciturn".to_owned(), ServerArgs::command()),
        ("turnctl".to_owned(), Cli::command()),
    ];
    while let Some((typed, command)) = rest.pop() {
        let below = command.get_subcommands();
        rest.extend(below.map(|below| (format!("{typed} {}", below.get_name()), below.clone())));
        all.push((typed, command));
    }
    all
}

#[test]
fn command_lines_are_sound() {
    for (_, command) in commands() {
        command.debug_assert();
    }
}

#[test]
fn every_command_shows_an_example_of_itself() {
    for (typed, mut command) in commands() {
        let help = command.render_long_help().to_string();
        let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{typed}: none"));
        assert!(examples.contains(&format!("{typed} ")), "{typed}: {examples}");
    }
}

/// The arguments of each command of ours in a line of a shell, without what the shell takes.
fn typed_in(line: &str) -> Vec<Vec<String>> {
    let commands = line.split(['|', ';']).flat_map(|part| part.split("&&"));
    commands
        .map(|command| {
            let words = shlex::split(command).unwrap_or_default().into_iter();
            words.take_while(|word| !word.starts_with(['>', '<'])).collect()
        })
        .filter(|words: &Vec<String>| {
            words.first().is_some_and(|word| ["turnctl", "taciturn"].contains(&word.as_str()))
        })
        .collect()
}

#[test]
fn every_example_is_a_command_line_that_is_understood() {
    let mut seen = 0;
    for (typed, command) in commands() {
        let help = command.get_after_help().unwrap().to_string();
        for words in help.lines().filter(|line| line.starts_with("  ")).flat_map(typed_in) {
            let program = match words[0].as_str() {
                "taciturn" => ServerArgs::command(),
                _ => Cli::command(),
            };
            let outcome = program.try_get_matches_from(&words);
            assert!(outcome.is_ok(), "{typed}: {words:?}: {}", outcome.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= commands().len(), "{seen}");
}

#[test]
fn every_command_has_a_man_page_with_the_example() {
    let pages = completions_and_man::pages(Cli::command()).unwrap();
    assert_eq!(pages.len(), commands().len());
    for (typed, _) in commands() {
        let file = format!("{}.", typed.replace(' ', "-"));
        let wanted = |(path, _): &&(std::path::PathBuf, Vec<u8>)| {
            path.file_name().unwrap().to_str().unwrap().starts_with(&file)
        };
        let (path, page) = pages.iter().find(wanted).unwrap_or_else(|| panic!("{file}"));
        let page = String::from_utf8(page.clone()).unwrap();
        assert!(page.contains(".TH ") && page.contains(".SH NAME"), "{}", path.display());
        let (_, examples) = page.split_once(".SH EXAMPLES").unwrap_or_else(|| panic!("{typed}"));
        assert!(examples.replace('\\', "").contains(&typed), "{typed}: {examples}");
    }
}

#[test]
fn man_pages_and_completions_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let output = turnctl(&["man", dir.path().to_str().unwrap()]);
    assert!(output.status.success());
    for page in ["man8/taciturn.8", "man1/turnctl.1", "man1/turnctl-doctor.1"] {
        assert!(dir.path().join(page).exists(), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let text = String::from_utf8(turnctl(&["completions", shell]).stdout).unwrap();
        assert!(text.contains("import-coturn"), "{shell}");
        let output = turnctl(&["completions", shell, "--program", "taciturn"]);
        assert!(String::from_utf8(output.stdout).unwrap().contains("coturn-config"), "{shell}");
    }
}
