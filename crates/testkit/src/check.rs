//! `turnctl check` as a program, and what it finds.

use std::process::Command;

use serde_json::Value;

pub struct Checked {
    pub code: i32,
    pub report: Value,
    /// All that was printed, on both outputs.
    pub printed: String,
    /// Findings that the set-up of the test makes, and that are not what it is about.
    expected: &'static [&'static str],
}

/// Runs `turnctl check --json` with nothing in its environment but `vars`.
pub fn check(args: &[&str], vars: &[(&str, &str)]) -> Checked {
    let output = Command::new(crate::program::turnctl())
        .args(["check", "--json"])
        .args(args)
        .env_clear()
        .envs(vars.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let report = serde_json::from_str(&out).unwrap_or_default();
    Checked {
        code: output.status.code().unwrap(),
        report,
        printed: format!("{out}{err}"),
        expected: &[],
    }
}

impl Checked {
    pub fn findings(&self) -> Vec<&Value> {
        let sections =
            self.report["sections"].as_array().unwrap_or_else(|| panic!("{}", self.printed));
        sections.iter().flat_map(|section| section["findings"].as_array().unwrap()).collect()
    }

    /// The ids of warnings and failures, each once, in order.
    pub fn faults(&self) -> Vec<&str> {
        let mut ids = Vec::new();
        for finding in self.findings() {
            let id = finding["id"].as_str().unwrap();
            let fault = ["warn", "fail"].contains(&finding["status"].as_str().unwrap());
            if fault && !ids.contains(&id) && !self.expected.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Leaves these findings out of account, and with them the exit status.
    pub fn apart_from(mut self, expected: &'static [&'static str]) -> Self {
        self.expected = expected;
        self
    }

    #[track_caller]
    fn ends_with(&self, code: i32) {
        if self.expected.is_empty() {
            assert_eq!(self.code, code, "{}", self.printed);
        }
    }

    /// Whether a test with this id has passed.
    pub fn passed(&self, id: &str) -> bool {
        self.findings().iter().any(|finding| finding["id"] == id && finding["status"] == "pass")
    }

    /// Nothing but this one failure was found.
    #[track_caller]
    pub fn fails_with(&self, id: &str) {
        assert_eq!(self.faults(), [id], "{}", self.printed);
        self.ends_with(2);
        let finding = self.findings().into_iter().find(|finding| finding["id"] == id).unwrap();
        for part in ["title", "why", "fix"] {
            assert!(
                finding[part].as_str().is_some_and(|text| text.len() > 10),
                "{id} has no {part}"
            );
        }
    }

    /// Nothing but this one warning was found.
    #[track_caller]
    pub fn warns_of(&self, id: &str) {
        assert_eq!(self.faults(), [id], "{}", self.printed);
        self.ends_with(1);
    }

    /// All is well.
    #[track_caller]
    pub fn is_healthy(&self) {
        assert_eq!(self.faults(), [""; 0], "{}", self.printed);
        self.ends_with(0);
    }

    /// The finding's title, reason and remedy in one.
    pub fn words(&self, id: &str) -> String {
        let finding = self.findings().into_iter().find(|finding| finding["id"] == id);
        finding.unwrap_or_else(|| panic!("no {id}: {}", self.printed)).to_string()
    }
}
