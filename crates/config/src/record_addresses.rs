//! What of clients' addresses records have.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `records.addresses`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordAddresses {
    /// Address and port.
    #[default]
    Full,
    /// The network.
    Network,
    /// Nothing.
    None,
}

impl RecordAddresses {
    /// Its name in the configuration: `full`, `network`, `none`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Network => "network",
            Self::None => "none",
        }
    }
}

impl Value for RecordAddresses {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.word(key, [Self::Full, Self::Network, Self::None], Self::name, "is no such word")
    }

    fn toml(&self) -> String {
        quoted(self.name())
    }
}

impl Shown for RecordAddresses {
    fn words(&self) -> Words {
        Words::One(self.name().to_owned())
    }
}
