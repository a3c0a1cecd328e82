//! Translates coturn's turnserver.conf and command line into our TOML, and says what became of each setting.
//!
//! `grammar` and `command_line` take settings apart; `table` has a row for every option, with what becomes of it;
//! `effects` are what values do, `assemble` is what several settings do together; `absent` names what coturn
//! serves without a setting; `write` makes the file and `report` the words about it.

mod absent;
mod addresses;
mod assemble;
mod collected;
mod command_line;
mod databases;
mod effects;
mod grammar;
mod options;
mod peer_nets;
mod place;
mod report;
mod table;
mod translate;
mod write;

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::{Findings, Source};
use translate::Translated;

use super::{ConfigErrors, Environment, Generate, Loaded, ServerArgs};

pub use command_line::CommandLine;
pub use options::{CoturnOption, Effect, Fate, OPTIONS, Takes};
pub use place::Place;

/// What coturn is configured by.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The text of turnserver.conf; empty where there is none.
    pub file: &'a str,
    /// coturn's command line. Its options win over the file's, and add to lists.
    pub arguments: Option<&'a CommandLine>,
    /// Whether credentials are taken over that everybody can guess.
    pub allow_weak_credentials: bool,
}

/// coturn's configuration in our terms.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The configuration, with comments. It may hold secrets.
    pub toml: Zeroizing<String>,
    /// What became of each setting, in the order of the file. No secrets.
    pub settings: Vec<Setting>,
    /// What coturn serves without a setting, and this server does not; with what follows from that.
    pub absent: Vec<String>,
    /// Commands that print what coturn's databases hold, as this server takes it.
    pub commands: Vec<String>,
}

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

impl Translation {
    /// Reads a turnserver.conf. Whatever it holds, there is a translation; whether it can be used
    /// is told by [`Self::errors`].
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::of_sources(&Sources { file: text, ..Sources::default() })
    }

    /// As [`Self::of`], with credentials taken over that everybody can guess.
    #[must_use]
    pub fn with_weak_credentials(text: &str) -> Self {
        Self::of_sources(&Sources {
            file: text,
            allow_weak_credentials: true,
            ..Sources::default()
        })
    }

    /// Reads a turnserver.conf, a command line, or both.
    #[must_use]
    pub fn of_sources(sources: &Sources<'_>) -> Self {
        let Translated { mut draft, settings, absent, commands } = translate::translate(sources);
        draft.allow_weak_credentials = sources.allow_weak_credentials;
        Self { toml: write::toml(&draft, &settings, &absent), settings, absent, commands }
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
}
