//! Files that may hold secrets: for their owner only, written whole or not at all, and never over
//! another file by mistake.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is there.
    #[error("{} exists; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Writes `bytes` to `path`, mode 0600; over an existing file only with `force`.
pub(super) fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), WriteError> {
    let failed = |error| WriteError::Io { path: path.into(), error };
    if !force && path.symlink_metadata().is_ok() {
        return Err(WriteError::Exists(path.into()));
    }
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if force {
            return fs::rename(&temporary, path);
        }
        // A link does not replace what has come into being since.
        fs::hard_link(&temporary, path)
    })();
    // After a rename there is nothing left to remove.
    let _ = fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !force => {
            Err(WriteError::Exists(path.into()))
        }
        other => other.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn written_file_is_private_and_replaced_on_demand_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taciturn.toml");
        write(&path, b"one", false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(write(&path, b"two", false), Err(WriteError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temporary file left behind");
    }

    #[test]
    fn directory_that_is_not_there_is_named() {
        let told = write(Path::new("/nowhere/at/all.toml"), b"", true).unwrap_err().to_string();
        assert!(told.contains("/nowhere/at/all.toml"), "{told}");
    }
}
