//! What the signal to end does to running calls.

use std::time::Duration;

use super::key::Kind;
use super::read::{Reader, parse_duration, show_duration};
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// The key `process.stop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// They end.
    #[default]
    Now,
    /// They go on until they end by themselves, or for so long.
    Drain(Option<Duration>),
}

/// Its value with a time, as an example.
const WITH_TIME: &str = "drain:1h";

impl Stop {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "now" => Some(Self::Now),
            None if text == "drain" => Some(Self::Drain(None)),
            Some(("drain", within)) => {
                let within = parse_duration(within).filter(|within| !within.is_zero())?;
                Some(Self::Drain(Some(within)))
            }
            _ => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::Drain(None) => "drain".to_owned(),
            Self::Drain(Some(within)) => format!("drain:{}", show_duration(within)),
        }
    }
}

impl Value for Stop {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let help = format!("\"now\", \"drain\" or \"{WITH_TIME}\"");
        let item = reader.text(key, &help)?;
        let text = item.text.trim();
        let stop = Self::parse(text);
        if stop.is_none() {
            let message = format!("\"{text}\" is no way to stop");
            reader.error(&item, message, &format!("write {help}"));
        }
        stop
    }

    fn toml(&self) -> String {
        quoted(self.text())
    }
}

impl Shown for Stop {
    fn words(&self) -> Words {
        Words::One(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let hour = Duration::from_secs(3600);
        for (text, stop) in [
            ("now", Stop::Now),
            ("drain", Stop::Drain(None)),
            (WITH_TIME, Stop::Drain(Some(hour))),
            ("drain:90s", Stop::Drain(Some(Duration::from_secs(90)))),
        ] {
            assert_eq!(Stop::parse(text), Some(stop));
            assert_eq!(stop.text(), text);
        }
        for text in ["", "later", "drain:", "drain:0s", "now:1h", "drain:1h:"] {
            assert_eq!(Stop::parse(text), None, "{text}");
        }
    }
}
