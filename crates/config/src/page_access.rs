//! Who may read the status page.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `admin.page`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageAccess {
    /// Programs on the same machine; others need a token.
    #[default]
    Local,
    /// Who has a token.
    Token,
    /// There is no page.
    Off,
}

impl PageAccess {
    /// Its name in the configuration: `local`, `token`, `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Token => "token",
            Self::Off => "off",
        }
    }
}

impl Value for PageAccess {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.word(key, [Self::Local, Self::Token, Self::Off], Self::name, "is no access")
    }

    fn toml(&self) -> String {
        quoted(self.name())
    }
}

impl Shown for PageAccess {
    fn words(&self) -> Words {
        Words::One(self.name().to_owned())
    }
}
