//! What becomes of sessions whose user or secret is removed.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `auth.on_removal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRemoval {
    /// They end with the reload that removes it.
    #[default]
    End,
    /// They go on.
    Keep,
}

impl OnRemoval {
    /// Its name in the configuration: `end`, `keep`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Keep => "keep",
        }
    }
}

impl Value for OnRemoval {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let both = [Self::End, Self::Keep];
        reader.word(key, both, Self::name, "is not what can become of a session")
    }

    fn toml(&self) -> String {
        quoted(self.name())
    }
}

impl Shown for OnRemoval {
    fn words(&self) -> Words {
        Words::One(self.name().to_owned())
    }
}
