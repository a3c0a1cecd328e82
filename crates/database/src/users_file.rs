//! A file of SQLite with users, for who wants neither a database server nor a configuration file to edit.
//!
//! Its table is coturn's, so that coturn's own tools can read it. It is for its owner only.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::DatabaseError;
use super::rows::MOST_ROWS;

const TABLES: &str = "CREATE TABLE IF NOT EXISTS turnusers_lt (realm varchar(127) DEFAULT '', name varchar(512), \
                      hmackey char(128), PRIMARY KEY (realm, name));";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    /// The system refuses.
    #[error("{}: {error}", path.display())]
    System {
        /// What it refuses.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is somebody else's.
    #[error("{} belongs to the user with number {owner}, and its directory to {directory}: chown it", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The owner of the directory.
        directory: u32,
    },
    /// It is full.
    #[error("there are {MOST_ROWS} users, and no more are read")]
    Full,
    /// It is no such file.
    #[error("{}: {error}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        error: DatabaseError,
    },
}

/// The file, opened to be changed.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
    connection: Connection,
}

impl UsersFile {
    /// Opens it; makes it, for the owner of its directory, if it is not there and `make` says so. Returns `None` if it
    /// is not there.
    ///
    /// # Errors
    /// When that is refused, or the file is somebody else's.
    pub fn open(path: &Path, make: bool) -> Result<Option<Self>, UsersFileError> {
        let system = |error| UsersFileError::System { path: path.to_owned(), error };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let of_directory = fs::metadata(directory)
            .map_err(|error| UsersFileError::System { path: directory.to_owned(), error })?;
        match fs::symlink_metadata(path) {
            Ok(meta) => {
                if !meta.is_file() {
                    return Err(system(io::Error::other("it is no file")));
                }
                let is_theirs = meta.uid() != of_directory.uid();
                // The superuser may give it to whom it is for.
                if is_theirs && chown(path, Some(of_directory.uid()), None).is_err() {
                    let (owner, directory) = (meta.uid(), of_directory.uid());
                    return Err(UsersFileError::Owner { path: path.to_owned(), owner, directory });
                }
                if meta.mode() & 0o077 != 0 {
                    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(system)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                let mut options = OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(path);
                let meta = file.and_then(|file| file.metadata()).map_err(system)?;
                if meta.uid() != of_directory.uid() {
                    chown(path, Some(of_directory.uid()), Some(of_directory.gid()))
                        .map_err(system)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(system(error)),
        }
        let opened = (|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            // Without files beside it, which would be of whoever runs this.
            connection.execute_batch(&format!("PRAGMA journal_mode = DELETE; {TABLES}"))?;
            Ok(connection)
        })();
        let connection = opened.map_err(|error: rusqlite::Error| UsersFileError::Database {
            path: path.to_owned(),
            error: error.into(),
        })?;
        Ok(Some(Self { path: path.to_owned(), connection }))
    }

    fn failed(&self, error: rusqlite::Error) -> UsersFileError {
        UsersFileError::Database { path: self.path.clone(), error: error.into() }
    }

    /// Adds a user, or gives it another key: the hex digits of MD5(NAME:REALM:PASSWORD). Returns whether it is new.
    ///
    /// # Errors
    /// When it is full, or cannot be written.
    pub fn add(&self, realm: &str, name: &str, key: &str) -> Result<bool, UsersFileError> {
        let count = "SELECT count(*), coalesce(sum(realm = ?1 AND name = ?2), 0) FROM turnusers_lt";
        let counted = self.connection.query_row(count, [realm, name], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        let (all, same) = counted.map_err(|error| self.failed(error))?;
        if same == 0 && usize::try_from(all).is_ok_and(|all| all >= MOST_ROWS) {
            return Err(UsersFileError::Full);
        }
        let add = "INSERT OR REPLACE INTO turnusers_lt (realm, name, hmackey) VALUES (?1, ?2, ?3)";
        let added = self.connection.execute(add, [realm, name, key]);
        added.map_err(|error| self.failed(error))?;
        Ok(same == 0)
    }

    /// Removes a user. Returns whether there was one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remove(&self, realm: &str, name: &str) -> Result<bool, UsersFileError> {
        let remove = "DELETE FROM turnusers_lt WHERE realm = ?1 AND name = ?2";
        let removed = self.connection.execute(remove, [realm, name]);
        Ok(removed.map_err(|error| self.failed(error))? > 0)
    }

    /// The names of the users, each with its realm.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self) -> Result<Vec<(String, String)>, UsersFileError> {
        let listed = (|| {
            let list = "SELECT CAST(realm AS text), CAST(name AS text) FROM turnusers_lt ORDER BY realm, name";
            let mut statement = self.connection.prepare(list)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<_>, _>>()
        })();
        listed.map_err(|error| self.failed(error))
    }
}
