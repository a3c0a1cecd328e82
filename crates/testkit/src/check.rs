//! `turnctl check` as a program, and what it finds.

use std::process::Command;

use serde_json::Value;

pub struct Checked {
    pub code: i32,
    pub report: Value,
    /// All that was printed, on both outputs.
    pub printed: String,
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
    Checked { code: output.status.code().unwrap(), report, printed: format!("{out}{err}") }
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
            if ["warn", "fail"].contains(&finding["status"].as_str().unwrap()) && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        ids
    }

    /// Whether a test with this id has passed.
    pub fn passed(&self, id: &str) -> bool {
        self.findings().iter().any(|finding| finding["id"] == id && finding["status"] == "pass")
    }

    /// Nothing but this one failure was found.
    #[track_caller]
    pub fn fails_with(&self, id: &str) {
        assert_eq!(self.faults(), [id], "{}", self.printed);
        assert_eq!(self.code, 2, "{}", self.printed);
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
        assert_eq!(self.code, 1, "{}", self.printed);
    }

    /// All is well.
    #[track_caller]
    pub fn is_healthy(&self) {
        assert_eq!(self.faults(), [""; 0], "{}", self.printed);
        assert_eq!(self.code, 0, "{}", self.printed);
    }

    /// The finding's title, reason and remedy in one.
    pub fn words(&self, id: &str) -> String {
        let finding = self.findings().into_iter().find(|finding| finding["id"] == id);
        finding.unwrap_or_else(|| panic!("no {id}: {}", self.printed)).to_string()
    }
}
