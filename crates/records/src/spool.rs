//! Records on disk that a receiver has not taken yet.
//!
//! The directory has files of one delivery each, `PROCESS-NUMBER.jsonl`, and for each process that writes there a lock,
//! `PROCESS.lock`, which the system releases when the process ends, however it does. Files whose process has ended are
//! delivered by whoever finds them. A process that has handed over to another one delivers its own.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::lock::try_keep;
use super::segment::{Open, Segment};

/// Bytes of one delivery, with which no further records are added.
const SEGMENT: u64 = 256 * 1024;

/// Why there is no spool.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {error}", path = path.display())]
pub struct SpoolError {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

/// Records that wait for their delivery.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    /// Bytes at most.
    limit: u64,
    /// Of this process.
    name: String,
    _lock: File,
    /// The number of the next file.
    next: u64,
    open: Option<Open>,
    /// The oldest first.
    waiting: VecDeque<Segment>,
    /// Of processes that have ended, kept until the last of their files is delivered.
    orphans: Vec<Orphan>,
}

#[derive(Debug)]
struct Orphan {
    name: String,
    _lock: File,
}

/// What became of records that were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// They are on the disk.
    Kept,
    /// There is no room.
    Full,
}

impl Spool {
    /// Opens the spool in `dir`, which is made if need be, for at most `limit` bytes. Takes over what processes have left
    /// that have ended.
    ///
    /// # Errors
    /// If the directory cannot be written to.
    pub fn open(dir: &Path, limit: u64) -> Result<Self, SpoolError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |error| SpoolError { what, path, error }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make", dir))?;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| failed("find a name in", dir)(io::Error::other(error.to_string())))?;
        let name = format!("{:016x}", u64::from_be_bytes(random));
        let path = dir.join(format!("{name}.lock"));
        let lock = open_lock(&path, true).map_err(failed("make", &path))?;
        if !try_keep(&lock).map_err(failed("lock", &path))? {
            return Err(failed("lock", &path)(ErrorKind::AlreadyExists.into()));
        }
        let mut spool = Self {
            dir: dir.to_owned(),
            limit,
            name,
            _lock: lock,
            next: 1,
            open: None,
            waiting: VecDeque::new(),
            orphans: Vec::new(),
        };
        spool.adopt().map_err(failed("read", dir))?;
        Ok(spool)
    }

    /// Takes over what processes have left that have ended.
    pub(crate) fn adopt(&mut self) -> io::Result<()> {
        let (mut locks, mut files) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(process) = name.strip_suffix(".lock").filter(|name| is_process(name)) {
                locks.push(process.to_owned());
            } else if let Some(process) = process_of(name) {
                files.push((process.to_owned(), path));
            }
        }
        // A file without a lock has lost it after its process has ended: anybody may make it anew.
        locks.extend(files.iter().map(|(name, _)| name.clone()));
        locks.sort();
        locks.dedup();
        files.sort();
        let known = |name: &String| {
            *name == self.name || self.orphans.iter().any(|orphan| orphan.name == *name)
        };
        locks.retain(|name| !known(name));
        for name in locks {
            let lock = open_lock(&self.dir.join(format!("{name}.lock")), false)?;
            if !try_keep(&lock)? {
                continue;
            }
            for (_, path) in files.iter().filter(|(of, _)| *of == name) {
                match Segment::found(path.clone()) {
                    Ok(found) => self.waiting.extend(found),
                    // Its process has ended only after it was delivered.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            self.orphans.push(Orphan { name, _lock: lock });
        }
        self.forget_empty_orphans();
        Ok(())
    }

    /// Adds lines, of so many records. They are on the disk when this returns that they are kept.
    ///
    /// # Errors
    /// Those of the system. None of them is kept then.
    pub(crate) fn add(&mut self, lines: &[u8], records: u64) -> io::Result<Added> {
        if self.bytes() + lines.len() as u64 > self.limit {
            return Ok(Added::Full);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                // A name that could not be used is not tried again.
                let number = self.next;
                self.next += 1;
                Open::create(&self.dir, &format!("{}-{number:08}.jsonl", self.name))?
            }
        };
        let outcome = open.append(lines, records);
        match open.segment.bytes >= SEGMENT || (outcome.is_err() && open.segment.records > 0) {
            true => self.waiting.push_back(open.segment),
            false => self.open = Some(open),
        }
        outcome.map(|()| Added::Kept)
    }

    /// The records that are delivered next; no more are added to them. `None` if none wait.
    pub(crate) fn next(&mut self) -> Option<Segment> {
        if self.waiting.is_empty()
            && let Some(open) = self.open.take_if(|open| open.segment.records > 0)
        {
            self.waiting.push_back(open.segment);
        }
        self.waiting.front().cloned()
    }

    /// Removes records that were delivered.
    ///
    /// # Errors
    /// If the system refuses. They would be delivered again by the next process.
    pub(crate) fn remove(&mut self, segment: &Segment) -> io::Result<()> {
        self.waiting.retain(|known| known.path != segment.path);
        let removed = segment.remove();
        self.forget_empty_orphans();
        removed
    }

    /// What the names of its own files begin with.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many records wait.
    pub(crate) fn records(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.segment.records);
        open + self.waiting.iter().map(|segment| segment.records).sum::<u64>()
    }

    /// How many bytes they have.
    pub(crate) fn bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.segment.bytes);
        open + self.waiting.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    fn forget_empty_orphans(&mut self) {
        let (dir, waiting) = (&self.dir, &self.waiting);
        self.orphans.retain(|orphan| {
            let prefix = format!("{}-", orphan.name);
            let is_of = |segment: &Segment| {
                segment
                    .path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            };
            let has_some = waiting.iter().any(is_of);
            if !has_some {
                // What stays is found by the next process.
                let _ = fs::remove_file(dir.join(format!("{}.lock", orphan.name)));
            }
            has_some
        });
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(open) = self.open.take_if(|open| open.segment.bytes == 0) {
            let _ = open.segment.remove();
        }
        if self.records() == 0 {
            let _ = fs::remove_file(self.dir.join(format!("{}.lock", self.name)));
        }
    }
}

/// The process that has written a file of this name; `None` if it is no file of the spool.
fn process_of(name: &str) -> Option<&str> {
    let (process, number) = name.strip_suffix(".jsonl")?.split_once('-')?;
    let is_number = number.len() >= 8 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && is_process(process)).then_some(process)
}

fn is_process(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn open_lock(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(new).truncate(false).mode(0o600).open(path)
}
