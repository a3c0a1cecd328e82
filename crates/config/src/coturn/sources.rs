//! What a translation is made from.

use super::command_line::CommandLine;
use super::copied::Copied;

/// What coturn is configured by.
#[derive(Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The text of turnserver.conf; empty where there is none.
    pub file: &'a str,
    /// coturn's command line. Its options win over the file's, and add to lists.
    pub arguments: Option<&'a CommandLine>,
    /// Whether credentials are taken over that everybody can guess.
    pub allow_weak_credentials: bool,
    /// The kind of the database whose rows are among the lines, if it was read.
    pub copied: Option<Copied>,
    /// Whether tenants with credentials will stand beside what is translated: then it may do without its own.
    pub has_tenants: bool,
}
