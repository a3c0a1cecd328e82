//! Owners and modes: which part of a path denies this process access.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Symbolic links that are followed at most, as in Linux.
const MAX_LINKS: usize = 40;

/// The owner and mode of a file, and the ids of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file, or the first directory on its path that denies access.
    pub path: PathBuf,
    /// Its owner's user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
    /// The effective user and group id of this process, if known.
    pub ours: Option<(u32, u32)>,
}

impl Access {
    /// Finds the part of `path` that denies access; `None` if it no longer exists.
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
        write!(f, ". Run it as that uid, or give it the right to read the file")?;
        // Traefik refuses to start when group or others may do anything, ACLs included.
        if path.extension().is_some_and(|extension| extension == "json") {
            write!(f, " (not by chmod or an ACL: Traefik insists on mode 0600)")?;
        }
        Ok(())
    }
}

/// Resolves `path` as the kernel does, including links, up to the first directory that denies access;
/// the file itself if none does.
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

/// The effective ids. The system calls would need unsafe code; Linux has the ids in a file.
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

    /// Root is denied nothing, so the second half needs another user.
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
            let error = Access::to(&link).unwrap().to_string();
            let (uid, _) = our_ids().unwrap();
            assert!(error.contains("archive is owned by uid"), "{error}");
            assert!(error.contains("mode 0000"), "{error}");
            assert!(error.contains(&format!("runs as uid {uid}")), "{error}");
        }
        fs::set_permissions(&archive, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
