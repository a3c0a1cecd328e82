//! Old files of records: `records.jsonl.1` is the newest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Gives a file the number 1, and each older one the next number. What is beyond `keep` is removed.
///
/// # Errors
/// Those of the system. The files have not been written to then, but some may have their new numbers.
pub(crate) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    ignore_missing(fs::remove_file(numbered(path, keep.max(1))))?;
    for number in (1..keep.max(1)).rev() {
        ignore_missing(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    fs::rename(path, numbered(path, 1))
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
