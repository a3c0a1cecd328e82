//! Why the server cannot start, or has ended.

/// The reason, in words.
pub(crate) type Failure = Box<dyn std::error::Error>;
