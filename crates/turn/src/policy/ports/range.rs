//! The range that relay ports are taken from.

use std::fmt;
use std::str::FromStr;

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is no port range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// Not two numbers with a hyphen between.
    #[error("a port range looks like \"59000-60100\"")]
    Syntax,
    /// The first port is after the last.
    #[error("the first port, {first}, is greater than the last, {last}")]
    Reversed {
        /// As found.
        first: u16,
        /// As found.
        last: u16,
    },
    /// Ports below 1024 belong to other services.
    #[error("relay ports below 1024 are not allowed")]
    Privileged,
}

impl PortRange {
    /// The default: what the coturn set-ups for Matrix that this server replaces have open.
    pub const DEFAULT: Self = Self { first: 59000, last: 60100 };

    /// A range from `first` to `last`, both included.
    ///
    /// # Errors
    /// When it is empty or reaches below 1024.
    //= 8656-7.2-port-range, 8656-7.2-no-well-known-ports
    pub const fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        if first > last {
            return Err(PortRangeError::Reversed { first, last });
        }
        if first < 1024 {
            return Err(PortRangeError::Privileged);
        }
        Ok(Self { first, last })
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports there are; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Whether `port` lies in it.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').ok_or(PortRangeError::Syntax)?;
        let port = |s: &str| s.trim().parse::<u16>().map_err(|_| PortRangeError::Syntax);
        Self::new(port(first)?, port(last)?)
    }
}
