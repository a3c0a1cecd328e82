//! The databases whose rows the import can read itself.

/// A kind of database that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// A file of SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}
