//! What became of one setting of coturn's.

use std::fmt;

use super::place::Place;

/// What became of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Where it stands.
    pub place: Place,
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
        self.place.fmt(f)?;
        if !self.option.is_empty() {
            write!(f, ", {}", self.option)?;
        }
        write!(f, ": {}", self.outcome.words())
    }
}

impl Outcome {
    /// What is said of the setting: the key, or why.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Mapped(text)
            | Self::NotNeeded(text)
            | Self::Unsupported(text)
            | Self::Unknown(text)
            | Self::Error(text) => text,
        }
    }
}
