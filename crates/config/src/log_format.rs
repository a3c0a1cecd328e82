//! How lines of the log are written.

use super::read::Reader;

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

/// Reads the key.
pub(super) fn log_format(reader: &mut Reader<'_>) -> LogFormat {
    let help = "\"text\" or \"json\"";
    let Some(item) = reader.text("log.format", help) else { return LogFormat::default() };
    match item.text.trim() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => {
            let message = format!("\"{other}\" is no format");
            reader.error(&item, message, &format!("write {help}"));
            LogFormat::default()
        }
    }
}
