//! What is written to the log.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use super::key::Kind;
use super::nearest::nearest;
use super::read::Reader;
use super::shown::{Shown, Words};
use super::value::{Value, quoted};

/// From the quietest on.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The key `log.level`: a level, or levels by module, in tracing's syntax: `info,taciturn::net=debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no filter, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct BadFilter {
    what: String,
    help: String,
}

impl FromStr for LogFilter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let text = text.trim();
        let bad = |part: &str, what: &str| {
            let mut help = format!(
                "write one of {}, or levels by module: \"info,taciturn::net=debug\"",
                LEVELS.join(", ")
            );
            let word = part.rsplit('=').next().unwrap_or(part).to_ascii_lowercase();
            if let Some(near) = nearest(&word, LEVELS.into_iter()) {
                help = format!("did you mean \"{near}\"? Otherwise {help}");
            }
            BadFilter { what: what.to_owned(), help }
        };
        if text.is_empty() {
            return Err(bad("", "is empty"));
        }
        for part in text.split(',').map(str::trim) {
            // tracing takes a word that is no level for the name of a module, and hides all others.
            let module = part.starts_with("taciturn") || part.contains(['=', '[']);
            if !module && !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
                return Err(bad(part, &format!("\"{part}\" is no level")));
            }
        }
        match EnvFilter::try_new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(bad(text, &format!("\"{text}\" is no level and no filter"))),
        }
    }
}

impl Value for LogFilter {
    type Bounds = ();

    fn kind((): &()) -> Kind {
        Kind::Text
    }

    fn read(reader: &mut Reader<'_>, key: &'static str, (): &()) -> Option<Self> {
        let item = reader.text(key, "\"info\"")?;
        let filter = item.text.parse();
        filter.map_err(|BadFilter { what, help }| reader.error(&item, what, &help)).ok()
    }

    fn toml(&self) -> String {
        quoted(self)
    }
}

impl Shown for LogFilter {
    fn words(&self) -> Words {
        Words::One(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_taken() {
        for good in
            ["info", "DEBUG", "off", " warn ", "info,taciturn::net=debug", "rustls=trace,info"]
        {
            let filter: LogFilter = good.parse().unwrap();
            assert_eq!(filter.as_str(), good.trim());
        }
    }

    #[test]
    fn anything_else_is_told_what_there_is() {
        for bad in ["", "verbose", "info,loud", "taciturn=loud", "info,,debug", "a=b=c", "[", "6"] {
            let error = bad.parse::<LogFilter>().unwrap_err().to_string();
            assert!(error.contains("off, error, warn, info, debug, trace"), "{bad}: {error}");
        }
        let error = "inof".parse::<LogFilter>().unwrap_err().to_string();
        assert!(error.contains("\"inof\" is no level; did you mean \"info\"?"), "{error}");
        let error = "taciturn::net=debgu".parse::<LogFilter>().unwrap_err().to_string();
        assert!(error.contains("did you mean \"debug\"?"), "{error}");
    }
}
