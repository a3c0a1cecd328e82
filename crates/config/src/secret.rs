//! A shared secret.

use std::path::PathBuf;

use taciturn_turn::auth::SharedSecret;

/// A shared secret and where it was read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The secret.
    pub secret: SharedSecret,
    /// Its file, if it has one.
    pub path: Option<PathBuf>,
    /// Whether the server made it up itself on its first start.
    pub generated: bool,
}
