//! The rights that the process gives up once its ports are bound.

use std::path::PathBuf;

use taciturn::process::{self, Account, Sandbox, Sandboxed};
use taciturn_config::Config;
use taciturn_tls::CertSource;

use super::Failure;

/// Gives up what is not needed once the ports are bound: root, the file system, core dumps. Before
/// the workers start, so that it holds for their threads.
/// Returns whether the file system is shut.
pub(super) fn confine(config: &Config) -> Result<bool, Failure> {
    let listeners = config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    let certificates = config.tls.certificates.iter().chain(listeners);
    let secrets = config.auth.secrets.iter().filter_map(|secret| secret.path.clone());
    let mut files: Vec<_> = certificates.flat_map(CertSource::files).chain(secrets).collect();
    files.extend(config.file.clone());
    if let Some(user) = &config.process.user {
        let account = Account::find(user)?;
        account.take_over(&config.state_dir)?;
        config.admin.socket.as_deref().map_or(Ok(()), |path| account.take_over(path))?;
        for secret in config.auth.secrets.iter().filter(|secret| secret.generated) {
            secret.path.as_deref().map_or(Ok(()), |path| account.take_over(path))?;
        }
        account.assume()?;
        for (path, error) in process::unreadable(files.iter().map(PathBuf::as_path)) {
            tracing::warn!(
                "{} cannot be read as {}: {error}. What is in it was read as root at the start; a change of \
                 it will not be seen. Give {} the right to read it, for example by its group",
                path.display(),
                account.name(),
                account.name()
            );
        }
    }
    if let Err(error) = process::forbid_core_dumps() {
        tracing::warn!("{error}");
    }
    if config.process.sandbox {
        let sandbox = Sandbox { read: files, write: vec![config.state_dir.clone()] };
        match sandbox.enter()? {
            Sandboxed::Fully | Sandboxed::Partly => return Ok(true),
            Sandboxed::Not => tracing::debug!("this kernel has no landlock: no sandbox"),
        }
    }
    Ok(false)
}
