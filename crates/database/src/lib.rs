//! Users and secrets that others keep in PostgreSQL, SQLite or Redis: read whole, bounded, and again and again.
//!
//! No request waits for a database: a task of the main thread reads it, and the server takes over what has changed.
//! What a database holds is judged as a stranger's, here for its size, and by the caller for its contents. Whatever
//! goes wrong, the last rows stay.
#![forbid(unsafe_code)]

mod dump;
mod error;
mod postgres;
mod redis_keys;
mod redis_session;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod redis_tests;
mod rows;
mod secured;
mod settings;
mod sqlite;
mod tables;
mod task;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod users_file;

pub use dump::{Dump, dump};
pub use error::DatabaseError;
pub use rows::{RowKey, Rows, SecretRow, UserRow};
pub use settings::{Engine, Password, Place, Settings};
pub use task::{Database, State};
pub use users_file::{UsersFile, UsersFileError};
