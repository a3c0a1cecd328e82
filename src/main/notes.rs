//! Notes about the configuration, in the log.

use taciturn_config::{Note, NoteLevel, Topic};

/// Logs each note once for as long as it applies.
#[derive(Default)]
pub(crate) struct Notes {
    /// The texts of the configuration read last.
    logged: Vec<String>,
}

impl Notes {
    /// Logs those of the configuration that the server starts with, but for what its report says.
    pub(crate) fn at_start(&mut self, notes: &[Note]) {
        Self::log(notes.iter().filter(|note| note.topic != Some(Topic::Unconfigured)));
        self.keep(notes);
    }

    /// Logs those that the configuration read before did not have.
    pub(crate) fn tell(&mut self, notes: &[Note]) {
        Self::log(notes.iter().filter(|note| !self.logged.contains(&note.text)));
        self.keep(notes);
    }

    fn log<'a>(notes: impl Iterator<Item = &'a Note>) {
        for note in notes {
            match note.level {
                NoteLevel::Info => tracing::info!("{}", note.text),
                NoteLevel::Warning => tracing::warn!("{}", note.text),
            }
        }
    }

    fn keep(&mut self, notes: &[Note]) {
        self.logged = notes.iter().map(|note| note.text.clone()).collect();
    }
}
