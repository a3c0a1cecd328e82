//! Any bytes as the configuration file.

use taciturn_config::{Config, Environment, ServerArgs};

use testkit::unnamed_file;

/// Reads `bytes` as a taciturn.toml, and writes nothing anywhere.
pub(crate) fn run(bytes: &[u8]) {
    let path = unnamed_file::holding(bytes);
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
