//! Any bytes as the configuration file.

use std::fs;
use std::path::PathBuf;

use taciturn::config::{Config, Environment, ServerArgs};
use tempfile::TempDir;

thread_local! {
    /// In memory where there is such a place: a disk would be written for each input.
    static DIRECTORY: TempDir = TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a directory for temporary files");
}

/// Reads `bytes` as a taciturn.toml, and writes nothing anywhere.
pub(crate) fn run(bytes: &[u8]) {
    let path: PathBuf = DIRECTORY.with(|directory| directory.path().join("taciturn.toml"));
    fs::write(&path, bytes).expect("room for the file");
    let args = ServerArgs { config: Some(path), ..ServerArgs::default() };
    match Config::inspect(&args, &Environment::default()) {
        Ok(loaded) => {
            let config = &loaded.config;
            // What the rest of the server relies on.
            assert!(!config.listen.is_empty() && !config.realm.is_empty());
            assert!(config.relay_ports.first() <= config.relay_ports.last());
            drop(format!("{config:?}"));
        }
        Err(errors) => assert!(!errors.to_string().is_empty(), "a refusal without a word"),
    }
}
