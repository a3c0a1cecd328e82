//! The process itself: whom it runs as, what it may still open and call, and that it leaves no copy
//! of its memory behind.
#![forbid(unsafe_code)]

mod account;
mod capabilities;
mod error;
mod sandbox;
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    path = "process/no_system_calls.rs"
)]
mod system_calls;

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use error::refused;

pub use account::Account;
pub use capabilities::{drop_bounding_set, drop_capabilities};
pub use error::{Filtered, ProcessError};
pub use sandbox::{Sandbox, Sandboxed, shared_directory};
pub use system_calls::filter_system_calls;

/// Keeps secrets out of core dumps, and other processes of the same user out of this one's memory.
///
/// # Errors
/// When the system refuses; nothing else is wrong then.
pub fn forbid_core_dumps() -> Result<(), ProcessError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused("forbid core dumps"))?;
    // A core_pattern that names a program does not ask for the limit.
    prctl::set_dumpable(false).map_err(refused("forbid core dumps"))
}

/// Whether the process runs as uid 0.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Those of `paths` that cannot be read, and why.
#[must_use]
pub fn unreadable<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<(PathBuf, io::Error)> {
    let failed =
        |path: &Path| std::fs::File::open(path).err().map(|error| (path.to_owned(), error));
    paths.into_iter().filter_map(failed).collect()
}
