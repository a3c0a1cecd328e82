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
pub struct LogFilter {
    written: String,
    effective: String,
}

impl LogFilter {
    /// What this build can log of it: released builds hold no lines below `debug`, and tracing writes a warning for
    /// programmers where it is asked for them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.effective
    }

    fn of(written: &str, has_trace: bool) -> Self {
        let part = |part: &str| match part.rsplit_once('=') {
            _ if has_trace => part.to_owned(),
            Some((module, level)) if level.trim().eq_ignore_ascii_case("trace") => {
                format!("{module}=debug")
            }
            None if part.trim().eq_ignore_ascii_case("trace") => "debug".to_owned(),
            _ => part.to_owned(),
        };
        let effective = written.split(',').map(part).collect::<Vec<_>>().join(",");
        Self { written: written.to_owned(), effective }
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self::of("info", true)
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
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
        // As the manifest of the server has it (release_max_level_debug).
        let filter = Self::of(text, cfg!(debug_assertions));
        match EnvFilter::try_new(filter.as_str()) {
            Ok(_) => Ok(filter),
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
        Words::One(self.written.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_is_debug_where_a_build_has_no_lines_for_it() {
        let effective = |written| LogFilter::of(written, false).as_str().to_owned();
        assert_eq!(effective("trace"), "debug");
        assert_eq!(effective("TRACE"), "debug");
        assert_eq!(effective("rustls=trace,info"), "rustls=debug,info");
        assert_eq!(effective("info,taciturn::net=debug"), "info,taciturn::net=debug");
        assert_eq!(LogFilter::of("trace", true).as_str(), "trace");
        assert_eq!(LogFilter::of("trace", false).to_string(), "trace", "shown as it was written");
    }

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
