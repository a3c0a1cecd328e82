//! Ports of peers that the operator allows.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

/// A port, or a range of ports, both ends included; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPorts {
    first: NonZeroU16,
    last: NonZeroU16,
}

/// Why a text is no port and no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerPortsError {
    /// Neither a number nor two with a hyphen between.
    #[error("a port looks like \"10000\", a range of ports like \"50000-60000\"")]
    Syntax,
    /// No peer has port 0.
    #[error("ports go from 1 to 65535: there is no port 0")]
    Zero,
    /// More than 16 bits hold.
    #[error("ports go from 1 to 65535")]
    TooLarge,
    /// The first port is after the last.
    #[error("the first port, {first}, is greater than the last, {last}")]
    Reversed {
        /// As found.
        first: u16,
        /// As found.
        last: u16,
    },
}

impl PeerPorts {
    /// From `first` to `last`, both included.
    ///
    /// # Errors
    /// When it is empty or holds port 0.
    pub fn new(first: u16, last: u16) -> Result<Self, PeerPortsError> {
        let ends = NonZeroU16::new(first).zip(NonZeroU16::new(last));
        let (low, high) = ends.ok_or(PeerPortsError::Zero)?;
        if low > high {
            return Err(PeerPortsError::Reversed { first, last });
        }
        Ok(Self { first: low, last: high })
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first.get()
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last.get()
    }

    /// Whether `port` is among them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first() <= port && port <= self.last()
    }
}

impl fmt::Display for PeerPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for PeerPorts {
    type Err = PeerPortsError;

    fn from_str(text: &str) -> Result<Self, PeerPortsError> {
        let port = |text: &str| {
            let text = text.trim();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(PeerPortsError::Syntax);
            }
            text.parse::<u16>().map_err(|_| PeerPortsError::TooLarge)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(port(first)?, port(last)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_a_range_is_read_and_shown_alike() {
        for text in ["1", "10000", "65535", "50000-60000", "1-65535"] {
            assert_eq!(text.parse::<PeerPorts>().map(|ports| ports.to_string()), Ok(text.into()));
        }
        assert_eq!("7882-7882".parse::<PeerPorts>().map(|p| p.to_string()), Ok("7882".into()));
        assert_eq!(" 5 - 6 ".parse::<PeerPorts>().map(|p| p.to_string()), Ok("5-6".into()));
        let range = PeerPorts::new(10, 12).unwrap();
        assert_eq!([9, 10, 12, 13].map(|port| range.contains(port)), [false, true, true, false]);
    }

    #[test]
    fn what_is_no_port_is_told_apart() {
        use PeerPortsError::*;
        for (text, error) in [
            ("", Syntax),
            ("-", Syntax),
            ("5-", Syntax),
            ("+5", Syntax),
            ("http", Syntax),
            ("10000/udp", Syntax),
            ("1-2-3", Syntax),
            ("0", Zero),
            ("0-10", Zero),
            ("65536", TooLarge),
            ("99999999999999999999", TooLarge),
            ("6-5", Reversed { first: 6, last: 5 }),
        ] {
            assert_eq!(text.parse::<PeerPorts>(), Err(error), "{text}");
        }
    }
}
