//! A file without a name, for inputs that are read from a path: in memory where there is such a place,
//! and gone with the process.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

thread_local! {
    static FILE: File = tempfile::tempfile_in("/dev/shm")
        .or_else(|_| tempfile::tempfile())
        .expect("a place for temporary files");
}

/// Puts `bytes` into the file of this thread, in place of what it held; returns a path to it.
pub fn holding(bytes: &[u8]) -> PathBuf {
    FILE.with(|mut file| {
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(bytes));
        written.expect("room for the file");
        PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
    })
}
