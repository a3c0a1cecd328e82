//! What became of coturn's settings, in words.

use std::fmt::Write as _;

use super::Translation;
use super::place::{Place, places};
use super::setting::{Outcome, Setting};

type Chosen = fn(&Outcome) -> bool;

/// The groups of the report, in its order.
const GROUPS: [(&str, Chosen); 5] = [
    ("taken over", |outcome| matches!(outcome, Outcome::Mapped(_))),
    ("not needed here", |outcome| matches!(outcome, Outcome::NotNeeded(_))),
    ("not supported", |outcome| matches!(outcome, Outcome::Unsupported(_))),
    ("unknown to coturn as well", |outcome| matches!(outcome, Outcome::Unknown(_))),
    ("wrong", |outcome| matches!(outcome, Outcome::Error(_))),
];

impl Translation {
    /// What the operator has to know before it is used: settings without effect, unknown ones, remarks, and what
    /// coturn serves without a setting; a line each.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let of_settings = self.settings.iter().flat_map(|setting| {
            let lost = match setting.outcome {
                Outcome::Unknown(_) => Some(setting.to_string()),
                Outcome::Unsupported(_) => Some(format!("{setting} (not supported)")),
                _ => None,
            };
            let place = match setting.option.as_str() {
                "" => setting.place.to_string(),
                name => format!("{}, {name}", setting.place),
            };
            let remarks = setting.remarks.iter().map(move |remark| format!("{place}: {remark}"));
            lost.into_iter().chain(remarks)
        });
        of_settings.chain(
            self.absent
                .iter()
                .map(|text| format!("coturn serves, and this server does not: {text}")),
        )
    }

    /// The whole of it in words, for a terminal. Holds no secret.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut counts = Vec::new();
        let mut text = String::new();
        for (title, chosen) in GROUPS {
            let of_group: Vec<_> =
                self.settings.iter().filter(|setting| chosen(&setting.outcome)).collect();
            if of_group.is_empty() {
                continue;
            }
            counts.push(format!("{} {title}", of_group.len()));
            let _ = write!(text, "\n{} ({}):\n", capital(title), of_group.len());
            for line in merged(&of_group) {
                let _ = writeln!(text, "  {line}");
            }
        }
        self.remarks(&mut text);
        if !self.absent.is_empty() {
            text.push_str("\nServed by coturn without a line for it, and not here:\n");
            for absent in &self.absent {
                let _ = writeln!(text, "  {absent}");
            }
        }
        if !self.commands.is_empty() {
            text.push('\n');
            for line in &self.commands {
                let _ = writeln!(text, "{line}");
            }
        }
        let counts = if counts.is_empty() { "nothing set".to_owned() } else { counts.join(", ") };
        format!("{} settings: {counts}\n{text}", self.settings.len())
    }

    fn remarks(&self, text: &mut String) {
        let remarks: Vec<_> = self
            .settings
            .iter()
            .flat_map(|setting| setting.remarks.iter().map(|remark| (setting.place, remark)))
            .collect();
        if !remarks.is_empty() {
            text.push_str("\nTo be checked:\n");
            for (place, remark) in remarks {
                let _ = writeln!(text, "  {place}: {remark}");
            }
        }
    }
}

fn capital(title: &str) -> String {
    let (first, rest) = title.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

/// A line each; many settings of one option that say the same, denied-peer-ip above all, are one line.
fn merged(settings: &[&Setting]) -> Vec<String> {
    let mut merged: Vec<(&str, String, Vec<Place>)> = Vec::new();
    for setting in settings {
        let words = setting.outcome.words().to_owned();
        let same =
            merged.iter_mut().find(|(option, said, _)| *option == setting.option && *said == words);
        match same {
            Some((_, _, places)) => places.push(setting.place),
            None => merged.push((&setting.option, words, vec![setting.place])),
        }
    }
    let line = |(option, words, all): (&str, String, Vec<Place>)| {
        let option = if option.is_empty() { String::new() } else { format!(", {option}") };
        match all.as_slice() {
            [Place::Nowhere] => words,
            all => format!("{}{option}: {words}", places(all)),
        }
    };
    merged.into_iter().map(line).collect()
}
