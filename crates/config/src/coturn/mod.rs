//! Translates coturn's turnserver.conf into our TOML, and says what became of each line.
//!
//! `grammar` takes lines apart, `options` knows every option, `translate`, `assemble` and
//! `places` give values their place here, `write` makes the file.

mod assemble;
mod grammar;
mod options;
mod places;
mod translate;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::{Findings, Source};
use super::{ConfigErrors, Environment, Generate, Loaded, ServerArgs};

pub use options::{CoturnOption, Fate, OPTIONS, Takes};

/// A turnserver.conf in our terms.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The configuration, with comments. It may hold secrets.
    pub toml: Zeroizing<String>,
    /// What became of each setting, in the order of the file. No secrets.
    pub settings: Vec<Setting>,
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Line number, from 1.
    pub line: usize,
    /// The option's name; empty where the line could be anything, a secret for one.
    pub option: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What else is to be said about the line.
    pub remarks: Vec<String>,
}

/// What became of one line of turnserver.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the new file, as this key.
    Mapped(String),
    /// It can be left out, because ...
    NotNeeded(String),
    /// It has no effect here; what to do instead.
    Unsupported(String),
    /// Neither coturn nor we know it.
    Unknown(String),
    /// It cannot be taken over as it is, and without it the server would do what it must not.
    Error(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.option.is_empty() {
            write!(f, ", {}", self.option)?;
        }
        match &self.outcome {
            Outcome::Mapped(key) => write!(f, ": {key}"),
            Outcome::NotNeeded(text)
            | Outcome::Unsupported(text)
            | Outcome::Unknown(text)
            | Outcome::Error(text) => write!(f, ": {text}"),
        }
    }
}

impl Translation {
    /// Reads a turnserver.conf. Whatever it holds, there is a translation; whether it can be used
    /// is told by [`Self::errors`].
    #[must_use]
    pub fn of(text: &str) -> Self {
        let (draft, settings) = translate::translate(text);
        Self { toml: write::toml(&draft, &settings), settings }
    }

    /// As [`Self::of`], with credentials taken over that everybody can guess.
    #[must_use]
    pub fn with_weak_credentials(text: &str) -> Self {
        let (mut draft, settings) = translate::translate(text);
        draft.allow_weak_credentials = true;
        Self { toml: write::toml(&draft, &settings), settings }
    }

    /// Checks the translation as the server would, but for the secret that it would make. `file`
    /// is how errors call it.
    ///
    /// # Errors
    /// What the server would not start with.
    pub fn check(&self, file: &Path) -> Result<Loaded, ConfigErrors> {
        let source = Source { translated: true, ..Source::new(file, self.toml.clone()) };
        let (args, env) = (ServerArgs::default(), Environment::default());
        super::build(Some(source), &args, &env, Findings::default(), Generate::Never)
    }

    /// The lines that stand in the way of using it.
    pub fn errors(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(|setting| matches!(setting.outcome, Outcome::Error(_)))
    }

    /// What the operator has to know before it is used: settings without effect, unknown ones, and
    /// remarks; a line each.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.settings.iter().flat_map(|setting| {
            let lost = matches!(setting.outcome, Outcome::Unsupported(_) | Outcome::Unknown(_));
            let lost = lost.then(|| match setting.outcome {
                Outcome::Unknown(_) => setting.to_string(),
                _ => format!("{setting} (not supported)"),
            });
            let place = match setting.option.as_str() {
                "" => format!("line {}", setting.line),
                name => format!("line {}, {name}", setting.line),
            };
            let remarks = setting.remarks.iter().map(move |remark| format!("{place}: {remark}"));
            lost.into_iter().chain(remarks)
        })
    }

    /// The whole of it in words, for a terminal. Holds no secret.
    #[must_use]
    pub fn summary(&self) -> String {
        type Chosen = fn(&Outcome) -> bool;
        let groups: [(&str, Chosen); 5] = [
            ("taken over", |o| matches!(o, Outcome::Mapped(_))),
            ("not needed here", |o| matches!(o, Outcome::NotNeeded(_))),
            ("not supported", |o| matches!(o, Outcome::Unsupported(_))),
            ("unknown to coturn as well", |o| matches!(o, Outcome::Unknown(_))),
            ("wrong", |o| matches!(o, Outcome::Error(_))),
        ];
        let mut counts = Vec::new();
        let mut text = String::new();
        for (title, chosen) in groups {
            let of_group: Vec<_> =
                self.settings.iter().filter(|setting| chosen(&setting.outcome)).collect();
            if of_group.is_empty() {
                continue;
            }
            counts.push(format!("{} {title}", of_group.len()));
            text.push_str(&format!(
                "\n{}{} ({}):\n",
                title[..1].to_uppercase(),
                &title[1..],
                of_group.len()
            ));
            // Many lines of one option, denied-peer-ip above all, are one line here.
            let mut merged: BTreeMap<(usize, &str, String), Vec<usize>> = BTreeMap::new();
            for setting in of_group {
                let words =
                    Setting { line: 0, option: String::new(), ..setting.clone() }.to_string();
                let same = merged
                    .iter_mut()
                    .find(|((_, option, said), _)| *option == setting.option && *said == words);
                match same {
                    Some((_, lines)) => lines.push(setting.line),
                    None => {
                        merged.insert((setting.line, &setting.option, words), vec![setting.line]);
                    }
                }
            }
            for ((_, option, words), lines) in merged {
                let words = words.strip_prefix("line 0: ").unwrap_or(&words);
                let option = if option.is_empty() { String::new() } else { format!(", {option}") };
                text.push_str(&format!("  {}{option}: {words}\n", places::line_numbers(&lines)));
            }
        }
        let remarks: Vec<_> = self
            .settings
            .iter()
            .flat_map(|setting| setting.remarks.iter().map(|remark| (setting.line, remark)))
            .collect();
        if !remarks.is_empty() {
            text.push_str("\nTo be checked:\n");
            for (line, remark) in remarks {
                text.push_str(&format!("  line {line}: {remark}\n"));
            }
        }
        let counts = if counts.is_empty() { "nothing set".to_owned() } else { counts.join(", ") };
        format!("{} settings: {counts}\n{text}", self.settings.len())
    }
}
