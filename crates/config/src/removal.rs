//! What becomes of sessions whose user or secret is removed.

use super::read::Reader;

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

/// Reads the key.
pub(super) fn on_removal(reader: &mut Reader<'_>) -> OnRemoval {
    let help = "\"end\" or \"keep\"";
    let Some(item) = reader.text("auth.on_removal", help) else { return OnRemoval::default() };
    match item.text.trim() {
        "end" => OnRemoval::End,
        "keep" => OnRemoval::Keep,
        other => {
            let message = format!("\"{other}\" is not what can become of a session");
            reader.error(&item, message, &format!("write {help}"));
            OnRemoval::default()
        }
    }
}
