//! Reading files, and saying why that fails.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use super::error::CertError;

/// Symbolic links that are followed at most, as in Linux.
const MAX_LINKS: usize = 40;

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
    // Room for all of it at once: growing would leave unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() {
        0 => Err(CertError::Empty { path: path.into() }),
        read if read as u64 > limit => Err(too_large()),
        _ => Ok(bytes),
    }
}

/// What tells one state of a file from another without reading it. Links are followed, so that a
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

/// Who may use a file, and who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file, or the directory on the way to it that lets nobody through.
    pub path: PathBuf,
    /// Its owner's user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
    /// The effective user and group id of this process, where the system tells.
    pub ours: Option<(u32, u32)>,
}

impl Access {
    /// Finds what stands in the way to `path`; `None` when it is gone meanwhile.
    pub(super) fn to(path: &Path) -> Option<Self> {
        let path = obstacle(path);
        let meta = fs::metadata(&path).ok()?;
        let (uid, gid, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        Some(Self { path, uid, gid, mode, ours: our_ids() })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, uid, gid, mode, ours } = self;
        write!(f, "{} is owned by uid {uid}, gid {gid}, mode {mode:04o}", path.display())?;
        if let Some((uid, gid)) = ours {
            write!(f, ", and this process runs as uid {uid}, gid {gid}")?;
        }
        write!(f, ". Run it as that uid, or let it read the file")?;
        // Traefik refuses to start when group or others may do anything, ACLs included.
        if path.extension().is_some_and(|extension| extension == "json") {
            write!(f, " (not by chmod or an ACL: Traefik insists on mode 0600)")?;
        }
        Ok(())
    }
}

/// Walks `path` as the kernel does, links and all, to the first directory that hides its entries;
/// the file itself if there is none.
fn obstacle(path: &Path) -> PathBuf {
    let mut at = PathBuf::from(".");
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        let next = at.join(&part);
        match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return at,
            Ok(meta) if meta.is_symlink() && links < MAX_LINKS => {
                links += 1;
                let Ok(target) = fs::read_link(&next) else { return next };
                // An absolute target replaces `at` when it is joined.
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(part);
                }
            }
            Ok(_) => at = next,
            Err(_) => return next,
        }
    }
    at
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    let kept = |part: &Component<'_>| !matches!(part, Component::CurDir);
    path.components().filter(kept).map(|part| part.as_os_str().to_owned())
}

/// The effective ids. Asking the system itself would need unsafe code; Linux has them in a file.
fn our_ids() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let effective = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((effective("Uid:")?, effective("Gid:")?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

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
             it as that uid, or let it read the file (not by chmod or an ACL: Traefik insists on \
             mode 0600)"
        );
    }

    /// Root is refused nothing, so that the second half needs another user.
    #[test]
    fn the_directory_in_the_way_is_named_and_not_the_file_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        let live = dir.path().join("live");
        fs::create_dir(&archive).unwrap();
        fs::create_dir(&live).unwrap();
        fs::write(archive.join("privkey1.pem"), "x").unwrap();
        let link = live.join("privkey.pem");
        symlink("../archive/privkey1.pem", &link).unwrap();
        let end = fs::canonicalize(obstacle(&link)).unwrap();
        assert_eq!(end, fs::canonicalize(archive.join("privkey1.pem")).unwrap());

        fs::set_permissions(&archive, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(&link).is_err() {
            let error = read(&link, 10).unwrap_err().to_string();
            let (uid, _) = our_ids().unwrap();
            assert!(error.contains("archive is owned by uid"), "{error}");
            assert!(error.contains("mode 0000"), "{error}");
            assert!(error.contains(&format!("runs as uid {uid}")), "{error}");
        }
        fs::set_permissions(&archive, fs::Permissions::from_mode(0o700)).unwrap();
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
