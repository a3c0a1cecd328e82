//! How lines of the log are written.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: a terminal, the journal.
    #[default]
    Text,
    /// For programs: each line is an object.
    Json,
}

impl LogFormat {
    /// Its name in the configuration: `text`, `json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Value for LogFormat {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.word(key, [Self::Text, Self::Json], Self::name, "is no format")
    }

    fn toml(&self) -> String {
        quoted(self.name())
    }
}

impl Shown for LogFormat {
    fn words(&self) -> Words {
        Words::One(self.name().to_owned())
    }
}
