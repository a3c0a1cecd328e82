//! The number of the format, and what is too long for it.

/// The newest format, which is the one that is written. A reader knows each one from 1 on.
pub const FORMAT: u16 = 1;

/// Bytes of the longest snapshot. An allocation with one permission and one channel takes some 350.
pub const LONGEST: u64 = 512 << 20;

/// The longest version that a writer may have.
pub(super) const LONGEST_VERSION: usize = 64;
