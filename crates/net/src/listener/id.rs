//! Which listener a socket belongs to.

/// Names a listener of the configuration: the same in every worker, and never used for another one while the
/// server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);
