//! The way from a file, the environment and the command line to a configuration in which everything is right.

use super::args::ServerArgs;
use super::check;
use super::config::{Config, Loaded};
use super::environment::Environment;
use super::error::{ConfigErrors, Findings, Note, Origin, Source};
use super::load;
use super::secrets;
use super::settings::Settings;
use super::tenants;

/// What happens where there is no credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Generate {
    /// It is made.
    Yes,
    /// That of the server is read.
    No,
    /// It does not matter.
    Never,
}

/// Merges the three, checks the result, and sees to a credential.
pub(super) fn build(
    mut source: Option<Source>,
    args: &ServerArgs,
    env: &Environment,
    mut findings: Findings,
    generate: Generate,
) -> Result<Loaded, ConfigErrors> {
    let mut settings = Settings::new();
    if let Some(source) = &mut source {
        load::file(source, &mut settings, &mut findings);
    }
    load::environment(env, &mut settings, &mut findings);
    load::flags(args, &mut settings, &mut findings);
    let mut config = check::check(&settings, env, source.as_ref(), &mut findings);
    if findings.is_clean() {
        ensure_credential(&mut config, env, generate, &mut findings);
        // A file that is only translated is not the one that will be used.
        let used = source.as_ref().filter(|_| generate != Generate::Never);
        warn_of_exposed_file(&settings, used, &mut findings);
    }
    if findings.is_clean() {
        return Ok(Loaded { config, notes: findings.notes });
    }
    Err(findings.into_errors(&source.unwrap_or_default()))
}

/// Adds the generated secret where there is no other credential.
fn ensure_credential(
    config: &mut Config,
    env: &Environment,
    generate: Generate,
    findings: &mut Findings,
) {
    // With tenants there is somebody who may log in.
    if generate == Generate::Never || !config.tenants.is_empty() {
        return;
    }
    let is_elsewhere = config.database.url.is_some();
    if is_elsewhere || !config.auth.users.is_empty() || !config.auth.secrets.is_empty() {
        let path = secrets::path_in(&config.state_dir);
        let used = config.auth.secrets.iter().any(|secret| secret.path.as_ref() == Some(&path));
        if path.exists() && !used {
            findings.notes.push(Note::info(format!(
                "{} holds a shared secret that was made for an earlier start and is not in use now, \
                 because credentials are configured. If a homeserver still uses it, add it to \
                 secret_files in the section [auth]",
                path.display()
            )));
        }
        return;
    }
    if generate == Generate::No {
        match secrets::existing(&config.state_dir, env) {
            Ok(secret) => config.auth.secrets.push(secret),
            Err(error) => no_secret(error, findings),
        }
        return;
    }
    match secrets::generated(&config.state_dir) {
        Ok((secret, made)) => {
            let path = secrets::path_in(&config.state_dir);
            let text = match made {
                true => format!(
                    "no credentials are configured: made a shared secret and keep it in {}",
                    path.display()
                ),
                false => format!(
                    "no credentials are configured: using the shared secret kept in {}",
                    path.display()
                ),
            };
            findings.notes.push(Note::unconfigured(text));
            config.auth.secrets.push(secret);
        }
        Err(error) => no_secret(error, findings),
    }
}

fn no_secret(error: secrets::NoSecret, findings: &mut Findings) {
    findings.error(&Origin::Unplaced, "", error.message, error.help);
    findings.caused_by(error.cause);
}

/// Warns of a configuration file that holds credentials and that everybody can read. A file that is one
/// secret is refused then; this one is not, because it has settings besides, and Kubernetes (ConfigMap) and
/// bind mounts of Docker, where the user inside is another one, give it a mode that has to let all read.
fn warn_of_exposed_file(settings: &Settings, source: Option<&Source>, findings: &mut Findings) {
    use std::os::unix::fs::MetadataExt as _;
    let in_file =
        |key| settings.get(key).is_some_and(|node| matches!(node.origin, Origin::File(_)));
    let any = ["auth.users", "auth.secrets", "ice.tokens"].into_iter().any(in_file);
    if !any && !tenants::hold_credentials(settings) {
        return;
    }
    let Some(path) = source.map(|source| &source.path) else { return };
    let exposed = std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o007 != 0);
    if exposed {
        let text = format!(
            "{0} holds credentials and can be read by every user of this machine: chmod o= {0}",
            path.display()
        );
        findings.notes.push(Note::warning(text));
    }
}
