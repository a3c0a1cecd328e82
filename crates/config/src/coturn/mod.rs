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
mod copied;
mod databases;
mod effects;
mod grammar;
mod options;
mod peer_nets;
mod place;
mod report;
mod setting;
mod sources;
mod table;
mod translate;
mod write;

use std::path::Path;

use zeroize::Zeroizing;

use super::error::{Findings, Source};
use collected::Translated;

use super::{ConfigErrors, Environment, Generate, Loaded, ServerArgs};

pub use command_line::CommandLine;
pub use copied::Copied;
pub use options::{CoturnOption, Effect, Fate, Takes};
pub use place::Place;
pub use setting::{Outcome, Setting};
pub use sources::Sources;
pub use table::OPTIONS;

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
        draft.has_tenants = sources.has_tenants;
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
