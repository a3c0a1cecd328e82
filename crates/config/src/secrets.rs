//! Secrets in files: those the operator names, systemd's credential, and the one the server makes
//! itself when there is no other.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use taciturn_turn::auth::SharedSecret;

use super::credentials::{report_weak, weak_secret};
use super::environment::{Environment, own_uid};
use super::error::Origin;
use super::read::{Item, Reader};
use super::secret::Secret;

/// The name of the generated secret's file in the state directory, and of systemd's credential.
const FILE_NAME: &str = "turn_secret";
/// Where a server keeps its state that runs as root, or as a service with StateDirectory=taciturn.
const STATE_DIR_OF_ROOT: &str = "/var/lib/taciturn";
/// The name of the control socket.
const CONTROL_SOCKET: &str = "control.sock";
const LONGEST: u64 = 4096;
/// 48 of 62 characters are 285 bits.
const GENERATED_LENGTH: usize = 48;

/// Why a secret file is no good.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretFileError {
    #[error("cannot read {path}: {error}{owner}", path = path.display())]
    Unreadable { path: PathBuf, error: io::Error, owner: String },
    #[error("{path} can be read by every user of this machine (mode {mode:04o})", path = path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} {what}", path.display())]
    Content { path: PathBuf, what: &'static str },
}

/// Why the server's own secret is no good, for [`Findings`](super::error::Findings).
#[derive(Debug)]
pub(super) struct NoSecret {
    pub(super) message: String,
    pub(super) help: String,
    /// What the system said, where it refused something.
    pub(super) cause: Option<io::ErrorKind>,
}

impl From<SecretFileError> for NoSecret {
    fn from(error: SecretFileError) -> Self {
        Self { message: error.to_string(), help: error.help(), cause: error.cause() }
    }
}

impl SecretFileError {
    /// What the system said, where it refused something.
    pub(super) fn cause(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Unreadable { error, .. } => Some(error.kind()),
            Self::Exposed { .. } | Self::Content { .. } => None,
        }
    }

    pub(super) fn help(&self) -> String {
        match self {
            Self::Unreadable { path, error, .. } => match error.kind() {
                io::ErrorKind::PermissionDenied => format!(
                    "let taciturn's user read it: chown USER {0} && chmod 400 {0}",
                    path.display()
                ),
                _ => "write the path of a file that holds one secret".into(),
            },
            Self::Exposed { path, .. } => {
                format!("chmod o= {}   (Kubernetes: defaultMode: 0440)", path.display())
            }
            Self::Content { path, .. } => format!(
                "put one secret into it: (umask 077; openssl rand -hex 24 > {})",
                path.display()
            ),
        }
    }
}

/// Reads one secret; white space around it is no part of it, as Synapse has it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let unreadable = |error: io::Error| {
        // Named so that nobody has to look it up: whose it is, its mode, who is asking.
        let owner = match (fs::metadata(path), own_uid()) {
            (Ok(meta), Some(uid)) => format!(
                " (owner uid {}, mode {:04o}; taciturn runs as uid {uid})",
                meta.uid(),
                meta.mode() & 0o7777
            ),
            (Err(_), Some(uid)) => format!(" (taciturn runs as uid {uid})"),
            _ => String::new(),
        };
        SecretFileError::Unreadable { path: path.into(), error, owner }
    };
    let content = |what| SecretFileError::Content { path: path.into(), what };
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_dir() {
        return Err(content("is a directory"));
    }
    let mode = meta.mode() & 0o7777;
    // What a container runtime mounts at /run/secrets is world-readable by default, and only
    // inside the container.
    if mode & 0o007 != 0 && !path.starts_with("/run/secrets") {
        return Err(SecretFileError::Exposed { path: path.into(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(content("is larger than 4096 bytes: that is no secret"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| content("is not UTF-8 text"))?.trim();
    match text {
        "" => Err(content("is empty")),
        _ if text.contains(['\n', '\r']) => Err(content("holds more than one line")),
        _ => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// The secrets of `auth.secret_files` and of systemd's credential `turn_secret`.
pub(super) fn files(reader: &mut Reader<'_>, env: &Environment, allow_weak: bool) -> Vec<Secret> {
    let mut items = reader.list("auth.secret_files", "a list: [\"/run/secrets/turn\"]");
    let name = "CREDENTIALS_DIRECTORY";
    let credential = env.get(name).map(|dir| Path::new(dir).join(FILE_NAME));
    // One that cannot be reached is an error below, not a reason to take another secret.
    if let Some(path) = credential.filter(|path| path.try_exists().unwrap_or(true)) {
        items.push(Item {
            text: Zeroizing::new(path.to_string_lossy().into_owned()),
            origin: Origin::Variable(name.into()),
            key: "systemd credential turn_secret".into(),
        });
    }
    read_all(reader, items, allow_weak, weak_secret)
}

/// The secrets of these files.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    items: Vec<Item>,
    allow_weak: bool,
    weakness: fn(&str) -> Option<&'static str>,
) -> Vec<Secret> {
    let mut secrets = Vec::with_capacity(items.len());
    for item in items {
        let path = PathBuf::from(item.text.as_str());
        match read(&path) {
            Ok(text) => {
                if let Some(weakness) = weakness(&text) {
                    let what = format!("the secret in {}", path.display());
                    let weakness = match allow_weak {
                        true => weakness.to_owned(),
                        false => format!("{what} {weakness}"),
                    };
                    report_weak(reader, &item, allow_weak, &what, &weakness);
                }
                let secret = SharedSecret::new(text.as_bytes());
                secrets.push(Secret { secret, path: Some(path), generated: false });
            }
            Err(error) => {
                reader.error(&item, error.to_string(), &error.help());
                reader.findings.caused_by(error.cause());
            }
        }
    }
    secrets
}

/// The state directory where none is configured.
pub(super) fn default_state_dir(env: &Environment) -> PathBuf {
    // systemd lists several with colons; the first is the one of StateDirectory=taciturn.
    let of_systemd = env.get("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(dirs).next());
    if let Some(first) = of_systemd {
        return first;
    }
    let of_user = || {
        let xdg = env.get("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let home = || env.get("HOME").map(|home| Path::new(home).join(".local/state"));
        Some(xdg.or_else(home)?.join("taciturn"))
    };
    let of_user = if env.is_root() { None } else { of_user() };
    of_user.unwrap_or_else(|| STATE_DIR_OF_ROOT.into())
}

/// The control socket where none is configured: in the runtime directory that systemd gives, else
/// in the state directory.
pub(super) fn default_control_socket(env: &Environment, state_dir: &Path) -> PathBuf {
    let of_systemd = env.get("RUNTIME_DIRECTORY").and_then(|d| std::env::split_paths(d).next());
    of_systemd.as_deref().unwrap_or(state_dir).join(CONTROL_SOCKET)
}

/// Where the control socket of a server may be that was started without a word about it.
#[must_use]
pub fn control_sockets(env: &Environment) -> Vec<PathBuf> {
    let mut all = vec![default_control_socket(env, &default_state_dir(env))];
    for directory in ["/run/taciturn", "/var/lib/taciturn"] {
        let path = Path::new(directory).join(CONTROL_SOCKET);
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

/// Where the generated secret of `state_dir` is kept.
pub(super) fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE_NAME)
}

/// The secret that the server has made, for those who must not make one.
///
/// # Errors
/// Where it was looked for, and what to do.
pub(super) fn existing(state_dir: &Path, env: &Environment) -> Result<Secret, NoSecret> {
    let path = path_in(state_dir);
    let error = match read(&path) {
        Ok(text) => {
            let secret = SharedSecret::new(text.as_bytes());
            return Ok(Secret { secret, path: Some(path), generated: true });
        }
        Err(error) => error,
    };
    let cause = error.cause();
    let missing = cause == Some(io::ErrorKind::NotFound);
    let denied = cause == Some(io::ErrorKind::PermissionDenied);
    let mut help = String::new();
    if !missing && !denied {
        return Err(error.into());
    }
    let message = if missing {
        format!(
            "no credentials are configured, and there is no secret of the server's own: looked for {}",
            path.display()
        )
    } else {
        format!(
            "no credentials are configured, and the server's own secret is not to be read: {error}"
        )
    };
    // Where servers that were started in another way keep theirs.
    let of_root = Path::new(STATE_DIR_OF_ROOT);
    let elsewhere = missing && state_dir != of_root && of_root.symlink_metadata().is_ok();
    if elsewhere && env.is_root() {
        help.push_str("there is /var/lib/taciturn: add --state-dir /var/lib/taciturn\n");
    } else if elsewhere {
        help.push_str(
            "there is /var/lib/taciturn, of a server that runs as a service: run this with sudo\n",
        );
    } else if denied {
        help.push_str("run this as the user of the server, or with sudo\n");
    } else {
        help.push_str("start taciturn once: it makes the secret\n");
    }
    help.push_str(
        "if the server has a configuration file, name it: --config FILE;\n\
         if it keeps its state elsewhere: --state-dir DIR",
    );
    Err(NoSecret { message, help, cause })
}

/// The file of `turnctl users` in a state directory.
#[must_use]
pub fn users_file(state_dir: &Path) -> PathBuf {
    state_dir.join("users.db")
}

/// The path of the secret in `dir`, made now if there is none, for its owner only. The flag says
/// whether it was. One that is there is never replaced.
///
/// # Errors
/// What is wrong, in words.
pub fn secret_in(dir: &Path) -> Result<(PathBuf, bool), String> {
    let made = match path_in(dir).symlink_metadata() {
        Ok(_) => generated(dir).map(|_| false).map_err(|error| error.message),
        Err(_) => store(dir, &path_in(dir))
            .map_err(|error| format!("cannot write {}: {error}", path_in(dir).display())),
    }?;
    Ok((path_in(dir), made))
}

/// The secret of the state directory, made now if there is none. The flag says whether it was.
///
/// # Errors
/// What is wrong, and what to do.
pub(super) fn generated(state_dir: &Path) -> Result<(Secret, bool), NoSecret> {
    let path = path_in(state_dir);
    let existing = |made| match read(&path) {
        Ok(text) => {
            let secret = SharedSecret::new(text.as_bytes());
            Ok((Secret { secret, path: Some(path.clone()), generated: true }, made))
        }
        Err(error) => Err(error.into()),
    };
    if path.symlink_metadata().is_ok() {
        return existing(false);
    }
    match store(state_dir, &path) {
        Ok(made) => existing(made),
        Err(error) => Err(NoSecret {
            message: format!(
                "no credentials are configured, and the secret made instead cannot be kept in {}: \
                 {error}",
                path.display()
            ),
            help: "set state_dir (or TACITURN_STATE_DIR, or --state-dir) to a directory that taciturn\n\
                   may write to, or configure a credential in [auth]"
                .into(),
            cause: Some(error.kind()),
        }),
    }
}

/// Writes a new secret to `path`, whole or not at all. `false` when another process was faster.
fn store(state_dir: &Path, path: &Path) -> io::Result<bool> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let secret = random_text(GENERATED_LENGTH)?;
    let temporary = state_dir.join(format!(".{FILE_NAME}.{}", *random_text(12)?));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(secret.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // A hard link never replaces what is there, a rename would: the server and turnctl may
        // start at the same moment. Some file systems have no hard links.
        match fs::hard_link(&temporary, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(_) => fs::rename(&temporary, path).map(|()| true),
        }
    })();
    match fs::remove_file(&temporary) {
        Err(error) if written.is_ok() && error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => written,
    }
}

/// Letters and digits from the system's randomness, each as likely as any other.
fn random_text(length: usize) -> io::Result<Zeroizing<String>> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        let mut byte = [0; 1];
        getrandom::fill(&mut byte).map_err(|error| io::Error::other(error.to_string()))?;
        // 248 is the largest multiple of 62 that a byte holds: above it, draw again.
        let [byte] = byte;
        if byte < 248 {
            text.extend(ALPHABET.get(usize::from(byte % 62)).map(|b| char::from(*b)));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn what_the_system_refused_is_told_by_kind() {
        let denied = SecretFileError::Unreadable {
            path: "/run/turn".into(),
            error: io::ErrorKind::PermissionDenied.into(),
            owner: String::new(),
        };
        assert_eq!(NoSecret::from(denied).cause, Some(io::ErrorKind::PermissionDenied));
        let missing = read(Path::new("/nowhere/Permission denied")).unwrap_err();
        assert_eq!(missing.cause(), Some(io::ErrorKind::NotFound));
        let (_dir, path) = file(b"", 0o600);
        assert_eq!(read(&path).unwrap_err().cause(), None, "the content is wrong, not the access");
    }

    #[test]
    fn white_space_around_a_secret_is_no_part_of_it() {
        let (_dir, path) = file(b" abc def\r\n\n", 0o600);
        assert_eq!(read(&path).unwrap().as_str(), "abc def");
    }

    #[test]
    fn empty_binary_long_and_many_line_files_are_refused() {
        for (text, words) in [
            (&b" \n"[..], "is empty"),
            (b"\xff\xfe", "is not UTF-8"),
            (b"one\ntwo\n", "more than one line"),
            (&[b'a'; 5000], "larger than 4096"),
        ] {
            let (_dir, path) = file(text, 0o600);
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn files_that_everybody_can_read_are_refused_with_the_chmod_line() {
        let (_dir, path) = file(b"abcdefabcdefabcdef", 0o644);
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("mode 0644"), "{error}");
        assert!(error.help().starts_with(&format!("chmod o= {}", path.display())));
        let (_dir, path) = file(b"abcdefabcdefabcdef", 0o640);
        assert!(read(&path).is_ok());
    }

    #[test]
    fn missing_files_and_directories_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = read(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("nowhere: No such file"), "{missing}");
        assert!(read(dir.path()).unwrap_err().to_string().contains("is a directory"));
    }

    #[test]
    fn generated_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let (first, made) = generated(&state).unwrap();
        assert!(made && first.generated);
        assert_eq!(first.secret.expose().len(), 48);
        assert!(first.secret.expose().iter().all(u8::is_ascii_alphanumeric));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&state), mode(&path_in(&state))), (0o700, 0o600));
        let (second, made) = generated(&state).unwrap();
        assert!(!made);
        assert_eq!(first.secret.expose(), second.secret.expose());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "temporary file left behind");
    }

    #[test]
    fn two_processes_that_start_together_agree_on_one_secret() {
        let dir = tempfile::tempdir().unwrap();
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| generated(dir.path()).unwrap().0.secret.expose().to_vec()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn state_directory_that_cannot_be_made_says_what_to_set() {
        let (_dir, path) = file(b"", 0o600);
        let NoSecret { message, help, .. } = generated(&path.join("sub")).unwrap_err();
        assert!(message.contains("cannot be kept in"), "{message}");
        assert!(help.contains("TACITURN_STATE_DIR"));
    }

    #[test]
    fn state_directory_follows_systemd_then_the_user() {
        let dir = |vars: &[(&str, &str)]| default_state_dir(&Environment::new(vars.to_vec()));
        let user = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/x")];
        assert_eq!(dir(&user), Path::new("/x/taciturn"));
        assert_eq!(dir(&user[..1]), Path::new("/home/a/.local/state/taciturn"));
        assert_eq!(dir(&[("STATE_DIRECTORY", "/s:/t"), ("HOME", "/h")]), Path::new("/s"));
        assert_eq!(dir(&[]), Path::new("/var/lib/taciturn"));
    }
}
