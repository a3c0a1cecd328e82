//! Bytes in a file that has no place in a file system (memfd), sealed: from then on nobody can change them, not
//! even who gave them away.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// What must not be possible any more before the bytes are read: a file that shrinks while it is read would end
/// the reader, and one that changes could be another one when it is used than when it was examined.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// Why a descriptor is not read.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It is not a memfd that is sealed: its contents could still be changed.
    #[error("it is not a sealed file in memory")]
    NotSealed,
    /// It has more bytes than are read.
    #[error("it has {size} bytes, and at most {most} are read")]
    TooLong {
        /// What it has.
        size: u64,
        /// What is read.
        most: usize,
    },
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A sealed file with these bytes. `name` is what /proc shows of it.
///
/// # Errors
/// When the system has no memory for it, or no such files.
pub fn write(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(create(name)?);
    file.write_all(bytes)?;
    // The seal that no seal can be added is the last: it cannot be taken off.
    fcntl_add_seals(&file, SEALS | SealFlags::SEAL)?;
    Ok(file.into())
}

fn create(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // It is never to be a program. Linux 6.3 has a flag for that; an older one refuses the flag.
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(memfd_create(name, flags)?),
        made => Ok(made?),
    }
}

/// The bytes of a sealed file, at most `most` of them. They are wiped when they are dropped.
///
/// # Errors
/// If it is not sealed, too long, or cannot be read.
pub fn read(file: impl AsFd, most: usize) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let file = file.as_fd();
    // Whatever is no memfd has no seals.
    let seals = fcntl_get_seals(file).map_err(|_| SealedError::NotSealed)?;
    if !seals.contains(SEALS) {
        return Err(SealedError::NotSealed);
    }
    let size = u64::try_from(fstat(file).map_err(io::Error::from)?.st_size).unwrap_or_default();
    let len = usize::try_from(size).ok().filter(|len| *len <= most);
    let len = len.ok_or(SealedError::TooLong { size, most })?;
    let mut bytes = Zeroizing::new(Vec::new());
    // Of its full size from the start: a vector that grows leaves copies behind.
    bytes.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.resize(len, 0);
    // Not from where the other process has left off.
    File::from(file.try_clone_to_owned()?).read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom};

    use super::*;

    #[test]
    fn what_was_written_is_read_however_often() {
        for bytes in [&b""[..], b"secret", &[7; 100_000]] {
            let file = write("test", bytes).unwrap();
            for _ in 0..2 {
                assert_eq!(*read(&file, bytes.len()).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_sealed_file_cannot_be_changed_and_is_closed_by_exec() {
        let file = write("test", b"secret").unwrap();
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let mut file = File::from(file);
        assert!(file.write_all(b"other!").is_err());
        assert!(file.set_len(1).is_err() && file.set_len(1000).is_err());
        assert!(fcntl_add_seals(&file, SealFlags::FUTURE_WRITE).is_err());
        assert_eq!(*read(&file, 100).unwrap(), b"secret");
    }

    #[test]
    fn too_many_bytes_are_not_read() {
        let file = write("test", &[1; 101]).unwrap();
        let error = read(&file, 100).unwrap_err();
        assert!(matches!(error, SealedError::TooLong { size: 101, most: 100 }), "{error}");
    }

    #[test]
    fn what_somebody_could_still_change_is_not_read() {
        let not_sealed = |file: &dyn Fn() -> OwnedFd| {
            assert!(matches!(read(file(), 100), Err(SealedError::NotSealed)));
        };
        not_sealed(&|| create("test").unwrap());
        not_sealed(&|| tempfile::tempfile().unwrap().into());
        not_sealed(&|| std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into());
        not_sealed(&|| io::pipe().unwrap().0.into());
        for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            not_sealed(&|| {
                let file = create("test").unwrap();
                fcntl_add_seals(&file, SEALS - missing).unwrap();
                file
            });
        }
    }

    /// The other process may have read it, or may be about to.
    #[test]
    fn where_another_reader_has_left_off_does_not_matter() {
        let file = File::from(write("test", b"secret").unwrap());
        (&file).seek(SeekFrom::Start(3)).unwrap();
        assert_eq!(*read(&file, 100).unwrap(), b"secret");
    }
}
