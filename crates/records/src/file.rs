//! The file that records are written to.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use super::append::append;
use super::lock::exclusively;
use super::rotation::rotate;
use super::time;

/// A line of a record is shorter: names have 513 bytes at most, of which each may be written as six.
const LONGEST_LINE: u64 = 64 * 1024;

/// Which file, and when it becomes an old one.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Its path.
    pub path: PathBuf,
    /// Bytes that it has at most.
    pub rotate_at: u64,
    /// How long after its first record it becomes an old one; zero is never.
    pub rotate_after: Duration,
    /// How many old ones are kept.
    pub keep: u32,
}

/// A file of records. Another process may write to it, and rename it, meanwhile.
#[derive(Debug)]
pub struct RecordFile {
    settings: FileSettings,
    file: File,
    /// When the first record was written, in seconds since 1970, if that is known.
    began: Option<u64>,
}

impl RecordFile {
    /// Opens it, or makes it with the mode 0640. What was not written to its end when a process was killed is removed.
    ///
    /// # Errors
    /// If it cannot be written to, or has something else than records in it.
    pub fn open(settings: FileSettings) -> io::Result<Self> {
        let file = open(&settings)?;
        {
            let _locked = exclusively(&file)?;
            repair(&file)?;
        }
        let began = first_record(&file);
        Ok(Self { settings, file, began })
    }

    /// Opens the file of that name again: another program has renamed this one.
    ///
    /// # Errors
    /// As with [`Self::open`]. It goes on with the one that it has then.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(self.settings.clone())?;
        Ok(())
    }

    /// Appends lines. They are on the disk when it returns.
    ///
    /// # Errors
    /// Those of the system. Nothing was appended then. `Ok(Some(_))` says that it was, but that the file has not become an
    /// old one, as it should have.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<Option<io::Error>> {
        let mut not_rotated = None;
        for _ in 0..3 {
            let locked = exclusively(&self.file)?;
            if !self.is_current() {
                drop(locked);
                self.reopen()?;
                continue;
            }
            let len = repair(&self.file)?;
            if not_rotated.is_none() && self.is_full(len, lines.len()) {
                match rotate(&self.settings.path, self.settings.keep) {
                    Ok(()) => {
                        drop(locked);
                        self.reopen()?;
                    }
                    Err(error) => not_rotated = Some(error),
                }
                continue;
            }
            append(&self.file, len, lines)?;
            if len == 0 {
                self.began = Some(time::unix_now());
            }
            return Ok(not_rotated);
        }
        Err(io::Error::other("other programs rename it all the time"))
    }

    fn is_full(&self, len: u64, more: usize) -> bool {
        let too_long = len + more as u64 > self.settings.rotate_at;
        let after = self.settings.rotate_after.as_secs();
        let too_old = self
            .began
            .is_some_and(|began| after > 0 && time::unix_now().saturating_sub(began) >= after);
        len > 0 && (too_long || too_old)
    }

    /// Whether the file of that name is still this one.
    fn is_current(&self) -> bool {
        let number = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let named = std::fs::metadata(&self.settings.path).map(number).ok();
        named.is_some() && named == self.file.metadata().map(number).ok()
    }
}

fn open(settings: &FileSettings) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&settings.path)
}

/// Removes what has no end. Returns the length.
fn repair(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let len = metadata.len();
    let from = len.saturating_sub(LONGEST_LINE);
    let mut last = [0];
    if len == 0 || (file.read_at(&mut last, len - 1)? == 1 && last == *b"\n") {
        return Ok(len);
    }
    let mut tail = vec![0; usize::try_from(len - from).unwrap_or_default()];
    file.read_exact_at(&mut tail, from)?;
    let begins = match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => at + 1,
        None if from == 0 => 0,
        None => return Err(no_records()),
    };
    // Zeros are what some file systems leave of what was not confirmed.
    match tail.get(begins) {
        Some(b'{' | 0) => {}
        _ => return Err(no_records()),
    }
    let whole = from + begins as u64;
    file.set_len(whole)?;
    file.sync_data()?;
    Ok(whole)
}

fn no_records() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "it ends with something that is no record: name a file of its own",
    )
}

/// When the first record of a file was written, as far as it says so.
fn first_record(file: &File) -> Option<u64> {
    let mut bytes = vec![0; 4096];
    let read = file.read_at(&mut bytes, 0).ok()?;
    let line = bytes.get(..read)?.split(|byte| *byte == b'\n').next()?;
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    time::parse(record.get("end")?.as_str()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn settings(dir: &Path) -> FileSettings {
        FileSettings {
            path: dir.join("records.jsonl"),
            rotate_at: 1 << 20,
            rotate_after: Duration::ZERO,
            keep: 2,
        }
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    #[test]
    fn the_file_is_for_its_owner_and_the_group_and_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        RecordFile::open(settings(dir.path())).unwrap().append(b"{\"a\":1}\n").unwrap();
        RecordFile::open(settings(dir.path())).unwrap().append(b"{\"b\":2}\n").unwrap();
        assert_eq!(read(dir.path(), "records.jsonl"), "{\"a\":1}\n{\"b\":2}\n");
        let mode = fs::metadata(dir.path().join("records.jsonl")).unwrap().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
    }

    /// Killed after any byte of the last write: what has no end is gone, and nothing else.
    #[test]
    fn a_line_that_was_cut_off_anywhere_is_removed_and_harms_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, last) = ("{\"a\":1}\n{\"b\":2}\n", "{\"c\":3}\n");
        for cut in 0..=last.len() {
            fs::write(dir.path().join("records.jsonl"), format!("{whole}{}", &last[..cut]))
                .unwrap();
            let mut file = RecordFile::open(settings(dir.path())).unwrap();
            file.append(b"{\"d\":4}\n").unwrap();
            let kept = if cut == last.len() { last } else { "" };
            assert_eq!(
                read(dir.path(), "records.jsonl"),
                format!("{whole}{kept}{{\"d\":4}}\n"),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(100_000);
        for text in ["no record", "root:x:0:0", long.as_str()] {
            fs::write(dir.path().join("records.jsonl"), text).unwrap();
            let error = RecordFile::open(settings(dir.path())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert_eq!(read(dir.path(), "records.jsonl"), text);
        }
        fs::remove_file(dir.path().join("records.jsonl")).unwrap();
        fs::create_dir(dir.path().join("records.jsonl")).unwrap();
        assert!(RecordFile::open(settings(dir.path())).is_err());
    }

    #[test]
    fn a_long_file_becomes_an_old_one_of_which_some_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut file =
            RecordFile::open(FileSettings { rotate_at: 20, ..settings(dir.path()) }).unwrap();
        for number in 0..8 {
            file.append(format!("{{\"n\":{number}}}\n").as_bytes()).unwrap();
        }
        let all = ["records.jsonl", "records.jsonl.1", "records.jsonl.2"]
            .map(|name| read(dir.path(), name));
        assert_eq!(
            all,
            ["{\"n\":6}\n{\"n\":7}\n", "{\"n\":4}\n{\"n\":5}\n", "{\"n\":2}\n{\"n\":3}\n"]
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_old_file_becomes_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let old = "{\"end\":\"2001-01-01T00:00:00Z\"}\n";
        fs::write(dir.path().join("records.jsonl"), old).unwrap();
        let after = Duration::from_secs(3600);
        let mut file =
            RecordFile::open(FileSettings { rotate_after: after, ..settings(dir.path()) }).unwrap();
        file.append(b"{\"a\":1}\n").unwrap();
        file.append(b"{\"b\":2}\n").unwrap();
        assert_eq!(read(dir.path(), "records.jsonl.1"), old);
        assert_eq!(read(dir.path(), "records.jsonl"), "{\"a\":1}\n{\"b\":2}\n");
    }

    /// As logrotate does, before and after it says so; and as another process of the server does.
    #[test]
    fn a_file_that_was_renamed_is_written_to_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RecordFile::open(settings(dir.path())).unwrap();
        let mut other =
            RecordFile::open(FileSettings { rotate_at: 10, ..settings(dir.path()) }).unwrap();
        file.append(b"{\"a\":1}\n").unwrap();
        fs::rename(dir.path().join("records.jsonl"), dir.path().join("moved")).unwrap();
        file.append(b"{\"b\":2}\n").unwrap();
        other.append(b"{\"c\":3}\n").unwrap();
        file.append(b"{\"d\":4}\n").unwrap();
        let all = ["moved", "records.jsonl.1", "records.jsonl"].map(|name| read(dir.path(), name));
        assert_eq!(all, ["{\"a\":1}\n", "{\"b\":2}\n", "{\"c\":3}\n{\"d\":4}\n"]);
    }

    #[test]
    fn a_file_that_cannot_become_an_old_one_is_written_to_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut file =
            RecordFile::open(FileSettings { rotate_at: 10, ..settings(dir.path()) }).unwrap();
        file.append(b"{\"a\":1}\n").unwrap();
        fs::create_dir_all(dir.path().join("records.jsonl.1/x")).unwrap();
        fs::create_dir_all(dir.path().join("records.jsonl.2/x")).unwrap();
        assert!(file.append(b"{\"b\":2}\n").unwrap().is_some());
        assert_eq!(read(dir.path(), "records.jsonl"), "{\"a\":1}\n{\"b\":2}\n");
    }
}
