//! Notes about the configuration, in the log.

use taciturn_config::{Note, NoteLevel};

/// Logs each note once for as long as it applies.
#[derive(Default)]
pub(crate) struct Notes {
    /// The texts of the configuration read last.
    logged: Vec<String>,
}

impl Notes {
    /// Logs those that the configuration read before did not have.
    pub(crate) fn tell(&mut self, notes: &[Note]) {
        for note in notes.iter().filter(|note| !self.logged.contains(&note.text)) {
            match note.level {
                NoteLevel::Info => tracing::info!("{}", note.text),
                NoteLevel::Warning => tracing::warn!("{}", note.text),
            }
        }
        self.logged = notes.iter().map(|note| note.text.clone()).collect();
    }
}
