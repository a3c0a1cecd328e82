//! Whether the kernel relays, and on which interfaces.

use super::key::Kind;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `kernel_relay.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelMode {
    /// The sockets relay everything.
    #[default]
    Off,
    /// A program at TC ingress relays what it may.
    Tc,
}

impl KernelMode {
    /// Its name in the configuration: `off`, `tc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Tc => "tc",
        }
    }
}

impl Value for KernelMode {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        reader.word(key, [Self::Off, Self::Tc], Self::name, "is no mode")
    }

    fn toml(&self) -> String {
        quoted(self.name())
    }
}

impl Shown for KernelMode {
    fn words(&self) -> Words {
        Words::One(self.name().to_owned())
    }
}

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters of the longest name (IFNAMSIZ).
const LONGEST: usize = 15;

impl Value for Vec<InterfaceName> {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::List
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        if !reader.settings.contains_key(key) {
            return None;
        }
        let items = reader.list(key, "a list: [\"eth0\"]");
        let mut names = Self::new();
        for item in &items {
            let text = item.text.trim();
            let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
            if (1..=LONGEST).contains(&text.len()) && text.chars().all(plain) {
                names.push(InterfaceName(text.to_owned()));
            } else {
                let message = format!("\"{text}\" is no name of an interface");
                reader.error(item, message, "write names as `ip link` shows them: [\"eth0\"]");
            }
        }
        Some(names)
    }

    fn toml(&self) -> String {
        let items: Vec<_> = self.iter().map(quoted).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Shown for Vec<InterfaceName> {
    fn words(&self) -> Words {
        Words::entries(self)
    }
}
