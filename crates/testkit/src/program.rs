//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The top of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap()
}

/// `taciturn`, built as the test is.
pub fn taciturn() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("taciturn"))
}

/// `turnctl`, built as the test is.
pub fn turnctl() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("turnctl"))
}

/// The program in the directory of the test's own. Cargo tells a test only where the programs of its own package are, and
/// `cargo test -p` builds no others; so where Cargo runs the test, it is asked to bring the program up to date.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/PROFILE/deps/TEST
    let directory = test.ancestors().nth(2).unwrap();
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        // Both at once: for one package alone the features of some crates are others, and all above is compiled anew.
        build.current_dir(repository()).args(["build", "--quiet", "--locked", "--bins"]);
        if directory.ends_with("release") {
            build.arg("--release");
        }
        if !cfg!(feature = "dtls") {
            build.arg("--no-default-features");
        }
        assert!(build.status().unwrap().success(), "{name} does not build");
    }
    let program = directory.join(name);
    assert!(program.exists(), "{} is not built: cargo build", program.display());
    program
}
