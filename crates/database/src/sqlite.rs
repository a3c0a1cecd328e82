//! A file of SQLite: opened to read only, and not trusted.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params_from_iter};

use super::error::DatabaseError;
use super::rows::{Cell, MOST_ROWS, Rows};
use super::settings::Settings;
use super::tables::{Known, Reading, Table, cell, other_realm};

/// How long to wait for who writes.
const BUSY: Duration = Duration::from_secs(2);

/// How long the tables may take.
pub(super) const READ: Duration = Duration::from_secs(10);

/// A file that was changed less than this before it was looked at may be changed again at the same moment.
const MOMENT: Duration = Duration::from_secs(2);

/// Device, number, size, and the seconds and nanoseconds of the last change.
type Mark = (u64, u64, u64, i64, i64);

/// What tells a file from what it was: without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// Of the file, and of what was written ahead of it.
    files: [Option<Mark>; 2],
    /// Whether it is old enough that a later change has another time.
    is_settled: bool,
}

impl Signature {
    /// Of the file as it is.
    pub(super) fn of(path: &Path) -> Self {
        let now = SystemTime::now();
        let mut is_settled = true;
        let mut of = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok());
            is_settled &= age.is_some_and(|age| age > MOMENT);
            Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
        };
        let files = [of(path), of(&beside(path, "-wal"))];
        Self { files, is_settled }
    }

    /// Whether what was read then is what there is now.
    pub(super) fn is_still(&self, now: &Self) -> bool {
        self.is_settled && self.files == now.files
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Opens the file to read it, for as long as [`READ`].
pub(super) fn open(path: &Path) -> Result<Connection, DatabaseError> {
    check(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| explain(path, error))?;
    prepare(&connection).map_err(|error| explain(path, error))?;
    Ok(connection)
}

/// What others have put into the file runs nothing of its own, ends in time, and takes no memory without end.
pub(super) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 1024 * 1024),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    connection.execute_batch(
        "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; \
         PRAGMA hard_heap_limit = 67108864;",
    )?;
    let until = Instant::now() + READ;
    connection.progress_handler(10_000, Some(move || Instant::now() > until))?;
    Ok(())
}

/// Refuses what anybody could have written.
fn check(path: &Path) -> Result<(), DatabaseError> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
    };
    let meta = std::fs::metadata(path).map_err(named)?;
    if !meta.is_file() {
        return Err(DatabaseError::Unsafe(format!("{} is no file", path.display())));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(DatabaseError::Unsafe(format!(
            "{0} can be written by every user of this machine: chmod o= {0}",
            path.display()
        )));
    }
    Ok(())
}

/// The error, and what helps if it is one of the usual ones.
fn explain(path: &Path, error: rusqlite::Error) -> DatabaseError {
    let code = error.sqlite_error_code();
    let mut text = format!("{}: {}", path.display(), DatabaseError::from(error));
    if matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) && is_in_wal_mode(path) {
        text.push_str(
            ". It is in WAL mode, and its -wal and -shm files are not there or cannot be read: have the program \
             that writes it keep it open, let taciturn's user read both, or turn WAL off: PRAGMA journal_mode = DELETE",
        );
    }
    DatabaseError::Refused(text)
}

fn is_in_wal_mode(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    // The format versions of the file's header.
    read.is_ok() && head[18..] == [2, 2]
}

/// Reads all tables.
pub(super) fn read(
    path: &Path,
    settings: &Settings,
    known: &mut Known,
) -> Result<Rows, DatabaseError> {
    let realms: Vec<_> = settings.realms().collect();
    let connection = open(path)?;
    let explain = |error| explain(path, error);
    // All of one moment.
    connection.execute_batch("BEGIN").map_err(explain)?;
    let mut there = BTreeMap::new();
    for table in Table::ALL {
        let columns = columns(&connection, table).map_err(explain)?;
        if !columns.is_empty() {
            there.insert(table, columns);
        }
    }
    let mut rows = Rows::default();
    let readings = known.judge(&there)?;
    for reading in &readings {
        let number = read_table(&connection, reading, &realms, &mut rows).map_err(explain)?;
        if number > MOST_ROWS {
            return Err(DatabaseError::TooManyRows(reading.table.name()));
        }
    }
    if rows.users.is_empty() && rows.secrets.is_empty() {
        for table in readings.iter().map(|reading| reading.table).filter(|table| table.has_realm())
        {
            let statement = other_realm(None, table, realms.len());
            let mut statement = connection.prepare(&statement).map_err(explain)?;
            let found = statement.query_row(params_from_iter(&realms), |row| Ok(cell_of(row, 0)));
            let found = found.ok().flatten().map(|realm| realm.as_str().to_owned());
            rows.other_realm = rows.other_realm.or(found);
        }
    }
    Ok(rows)
}

fn columns(connection: &Connection, table: Table) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info($1) LIMIT 1000")?;
    let names = statement.query_map([table.name()], |row| row.get(0))?;
    names.collect()
}

/// Returns the number of rows, which is one more than there may be if there are more.
fn read_table(
    connection: &Connection,
    reading: &Reading,
    realms: &[&str],
    rows: &mut Rows,
) -> Result<usize, rusqlite::Error> {
    let mut statement = connection.prepare(&reading.statement(None, realms.len()))?;
    if reading.table.has_realm() {
        for (realm, at) in realms.iter().zip(1..) {
            statement.raw_bind_parameter(at, realm)?;
        }
    }
    let mut found = statement.raw_query();
    let mut number = 0;
    while let Some(row) = found.next()? {
        number += 1;
        reading.add(rows, (0..reading.width()).map(|at| cell_of(row, at)).collect());
    }
    Ok(number)
}

/// Runs a statement without parameters, and returns so many columns of its rows.
pub(super) fn all(
    connection: &Connection,
    table: &'static str,
    statement: &str,
    width: usize,
) -> Result<Vec<Vec<Cell>>, DatabaseError> {
    let mut statement = connection.prepare(statement)?;
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        if rows.len() == MOST_ROWS {
            return Err(DatabaseError::TooManyRows(table));
        }
        rows.push((0..width).map(|at| cell_of(row, at)).collect());
    }
    Ok(rows)
}

/// Whether there is a table or view of this name.
pub(super) fn has(connection: &Connection, name: &str) -> Result<bool, DatabaseError> {
    let mut statement = connection.prepare("SELECT count(*) FROM pragma_table_info($1)")?;
    let columns: i64 = statement.query_row([name], |row| row.get(0))?;
    Ok(columns > 0)
}

fn cell_of(row: &Row<'_>, at: usize) -> Cell {
    match row.get_ref(at) {
        Ok(ValueRef::Text(bytes)) => cell(bytes),
        _ => None,
    }
}
