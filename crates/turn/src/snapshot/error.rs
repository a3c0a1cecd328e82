//! Why bytes are no snapshot that can be restored.

use super::format::{FORMAT, LONGEST};

/// Why a snapshot cannot be written or read. Nothing has changed by then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Something else.
    #[error("this is not a snapshot of taciturn")]
    Foreign,
    /// A format that this version does not know.
    #[error(
        "the snapshot was written by a newer version, taciturn {writer}, in format {format}; \
         this is taciturn {own}, which reads formats up to {newest}",
        own = env!("CARGO_PKG_VERSION"),
        newest = FORMAT
    )]
    Newer {
        /// The number of its format.
        format: u16,
        /// The version of the program that wrote it.
        writer: String,
    },
    /// It ends too early, or something follows it.
    #[error("the snapshot has {found} bytes instead of {expected}")]
    Length {
        /// Bytes that are there.
        found: u64,
        /// Bytes that there should be.
        expected: u64,
    },
    /// Longer than any that is written.
    #[error("the snapshot has {0} bytes; more than {longest} are not read or written", longest = LONGEST)]
    TooLong(u64),
    /// Not as it was written.
    #[error("the snapshot is damaged: its checksum does not fit")]
    Damaged,
    /// As it was written, and what it says cannot be.
    #[error("the snapshot cannot be right: {0}")]
    Invalid(String),
}
