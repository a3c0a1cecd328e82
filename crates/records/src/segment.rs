//! One file of the spool: the records of one delivery.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::append::append;

/// A file that records are added to.
#[derive(Debug)]
pub(crate) struct Open {
    file: File,
    pub(crate) segment: Segment,
}

/// A file of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
}

impl Open {
    /// Makes a new one. Its name is on the disk when this returns.
    pub(crate) fn create(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(name);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        File::open(dir)?.sync_all()?;
        Ok(Self { file, segment: Segment { path, bytes: 0, records: 0 } })
    }

    /// Adds records. They are on the disk when this returns; after an error none of them is.
    pub(crate) fn append(&mut self, lines: &[u8], records: u64) -> io::Result<()> {
        append(&self.file, self.segment.bytes, lines)?;
        self.segment.bytes += lines.len() as u64;
        self.segment.records += records;
        Ok(())
    }
}

impl Segment {
    /// One that a process before this one has left. Returns `None` if there is nothing in it.
    pub(crate) fn found(path: PathBuf) -> io::Result<Option<Self>> {
        let contents = fs::read(&path)?;
        let records = contents.iter().filter(|byte| **byte == b'\n').count() as u64;
        if records == 0 {
            fs::remove_file(path)?;
            return Ok(None);
        }
        Ok(Some(Self { path, bytes: contents.len() as u64, records }))
    }

    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.path)
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}
