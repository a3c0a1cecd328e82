//! Why a database cannot be read.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use super::rows::MOST_ROWS;

/// Why a database cannot be read. No text holds a password or what is in a row.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, or a file that belongs to it cannot be read.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It refuses, or says something else than is expected.
    #[error("{0}")]
    Refused(String),
    /// It is silent.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// None of the tables is there.
    #[error(
        "there is no table turnusers_lt, turn_secret (coturn's), turn_users or turn_secrets that this role can see; \
         docs/databases.md says how to make them, and schema in [auth.database] names another schema"
    )]
    NoTables,
    /// One that was there is not there any more.
    #[error("the table {0} is gone")]
    TableGone(&'static str),
    /// The columns of a table are others.
    #[error("the table {table} has no column {column}")]
    NoColumn {
        /// Its name.
        table: &'static str,
        /// The column, or the columns of which there should be one.
        column: &'static str,
    },
    /// It holds too much.
    #[error("the table {0} has more than {MOST_ROWS} rows")]
    TooManyRows(&'static str),
    /// A Redis holds too much.
    #[error("there are more than {MOST_ROWS} users or secrets, or their keys are too long")]
    TooManyKeys,
    /// A file of SQLite is not safe.
    #[error("{0}")]
    Unsafe(String),
}

/// What a database says is a stranger's word: no longer than this, and without control characters.
fn bounded(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        // Its details may quote a row.
        if let Some(said) = error.as_db_error() {
            return Self::Refused(bounded(said.message()));
        }
        let text = match error.source() {
            Some(source) => source.to_string(),
            None => error.to_string(),
        };
        Self::Refused(bounded(&text))
    }
}

impl From<redis::RedisError> for DatabaseError {
    fn from(error: redis::RedisError) -> Self {
        Self::Refused(bounded(&error.to_string()))
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(bounded(&error.to_string()))
    }
}
