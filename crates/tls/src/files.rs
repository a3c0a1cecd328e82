//! Reading files, and saying why that fails.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::CertError;

/// Reads a whole file of at most `limit` bytes, wiped from memory after use.
pub(super) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, CertError> {
    let unreadable = |error| CertError::unreadable(path, error);
    let meta = fs::metadata(path).map_err(unreadable)?;
    // Asked before opening: opening a pipe would wait for its writer.
    if !meta.is_file() {
        return Err(CertError::NotAFile { path: path.into(), directory: meta.is_dir() });
    }
    let too_large = || CertError::TooLarge { path: path.into(), limit };
    let size = usize::try_from(meta.len()).map_err(|_| too_large())?;
    if meta.len() > limit {
        return Err(too_large());
    }
    // Enough capacity from the start: growing would leave unwiped copies in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() {
        0 => Err(CertError::Empty { path: path.into() }),
        read if read as u64 > limit => Err(too_large()),
        _ => Ok(bytes),
    }
}

/// Metadata that distinguishes one state of a file from another without reading it. Links are followed, so that a
/// link that points elsewhere is another state. `None` for a file that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i64; 7]>);

impl Stamp {
    /// The state of `path` now.
    pub(super) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|meta| {
            [
                meta.dev().cast_signed(),
                meta.ino().cast_signed(),
                meta.size().cast_signed(),
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec(),
            ]
        }))
    }
}

/// Whether every user of this machine can read the file: by its mode, and by that of all directories on
/// the way to it. Not what a container runtime mounts at /run/secrets, which only the container sees.
pub(super) fn is_exposed(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let allows = |path: &Path, bits| fs::metadata(path).is_ok_and(|meta| meta.mode() & bits != 0);
    !path.starts_with("/run/secrets")
        && allows(&path, 0o004)
        && path.ancestors().skip(1).all(|dir| allows(dir, 0o001))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::access::Access;
    use super::*;

    #[test]
    fn a_file_is_exposed_where_its_mode_and_its_directories_let_everybody_through() {
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let key = dir.path().join("key.pem");
        fs::write(&key, "x").unwrap();
        for (of_dir, of_key, exposed) in [
            (0o755, 0o644, true),
            (0o700, 0o644, false),
            (0o755, 0o640, false),
            (0o711, 0o604, true),
        ] {
            mode(dir.path(), of_dir).unwrap();
            mode(&key, of_key).unwrap();
            assert_eq!(is_exposed(&key), exposed, "{of_dir:o} {of_key:o}");
        }
        assert!(!is_exposed(&dir.path().join("nothing")));
    }

    #[test]
    fn a_refused_file_is_named_with_owner_mode_and_our_uid() {
        let access = Access {
            path: "/letsencrypt/acme.json".into(),
            uid: 0,
            gid: 0,
            mode: 0o600,
            ours: Some((65532, 65532)),
        };
        let error = CertError::Unreadable {
            path: access.path.clone(),
            error: io::ErrorKind::PermissionDenied.into(),
            access: Some(access),
        };
        assert_eq!(
            error.to_string(),
            "cannot read /letsencrypt/acme.json: permission denied; /letsencrypt/acme.json is \
             owned by uid 0, gid 0, mode 0600, and this process runs as uid 65532, gid 65532. Run \
             it as that uid, or give it the right to read the file (not by chmod or an ACL: Traefik insists on \
             mode 0600)"
        );
    }

    #[test]
    fn what_is_no_file_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let say = |limit| read(&path, limit).unwrap_err().to_string();

        assert!(say(10).contains("cannot read"), "{}", say(10));
        symlink("../../archive/cert1.pem", &path).unwrap();
        assert!(say(10).contains("mount the whole directory"), "{}", say(10));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(say(10).contains("Docker makes one"), "{}", say(10));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(say(10).ends_with("is empty"), "{}", say(10));
        fs::write(&path, "eleven bytes").unwrap();
        assert!(say(10).contains("larger than 10 bytes"), "{}", say(10));
        assert_eq!(**read(&path, 12).unwrap(), *b"eleven bytes");
        assert!(matches!(read(Path::new("/dev/zero"), 10), Err(CertError::NotAFile { .. })));
    }

    #[test]
    fn a_stamp_sees_a_link_that_points_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, link) =
            (dir.path().join("one"), dir.path().join("two"), dir.path().join("link"));
        fs::write(&one, "same").unwrap();
        fs::write(&two, "same").unwrap();
        symlink(&one, &link).unwrap();
        let before = Stamp::of(&link);
        assert_eq!(before, Stamp::of(&link));
        fs::remove_file(&link).unwrap();
        assert_eq!(Stamp::of(&link), Stamp(None));
        symlink(&two, &link).unwrap();
        assert_ne!(before, Stamp::of(&link));
    }
}
