//! Appending to a file, wholly or not at all.

use std::fs::File;
use std::io::{self, Write as _};

/// Appends to a file of `len` bytes, and returns when that is on the disk. After an error the file is as it was, as far as
/// the system lets it.
pub(crate) fn append(mut file: &File, len: u64, bytes: &[u8]) -> io::Result<()> {
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // What of it was written must not become the beginning of another line. If this fails, who reads the file
        // leaves out what has no end.
        let _ = file.set_len(len);
    }
    written
}
