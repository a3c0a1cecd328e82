//! Where a configuration comes from: the file that is named, coturn's or our own, the environment and the
//! command line.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::args::ServerArgs;
use super::build::{Generate, build};
use super::config::{Config, Loaded};
use super::coturn::Translation;
use super::environment::Environment;
use super::error::{ConfigErrors, Findings, Note, Origin, Source};

impl Config {
    /// Reads the file that `args` or `TACITURN_CONFIG` names, if any, lays the environment and then
    /// `args` over it, and checks the result.
    ///
    /// Where it holds no credential at all, a secret is made and kept in the state directory: only
    /// then, and only if all else is right, is anything written.
    ///
    /// # Errors
    /// All errors that were found, not only the first.
    pub fn load(args: &ServerArgs, env: &Environment) -> Result<Loaded, ConfigErrors> {
        load_with(args, env, Generate::Yes)
    }

    /// As [`Config::load`], for everybody but the server: a secret that the server has made is
    /// read, but none is made, and nothing is written.
    ///
    /// # Errors
    /// As [`Config::load`]; and where the server's own secret is needed and cannot be read.
    pub fn load_existing(args: &ServerArgs, env: &Environment) -> Result<Loaded, ConfigErrors> {
        load_with(args, env, Generate::No)
    }

    /// As [`Config::load`], but writes nothing: where no credential is configured, the result has
    /// none.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn inspect(args: &ServerArgs, env: &Environment) -> Result<Loaded, ConfigErrors> {
        load_with(args, env, Generate::Never)
    }

    /// Checks `text` as if it were a file, with no environment and no flags. Reads and writes nothing else: as
    /// [`Config::inspect`], where no credential is configured the result has none.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str) -> Result<Loaded, ConfigErrors> {
        let (args, env) = (ServerArgs::default(), Environment::default());
        let source = Source::new(Path::new("taciturn.toml"), Zeroizing::new(text.into()));
        build(Some(source), &args, &env, Findings::default(), Generate::Never)
    }
}

/// Which file to read, and who named it.
struct Named {
    path: PathBuf,
    origin: Origin,
    is_coturns: bool,
}

fn named(args: &ServerArgs, env: &Environment) -> Option<Named> {
    let flag = |path: &Option<PathBuf>, name, is_coturns| {
        let path = path.clone()?;
        Some(Named { path, origin: Origin::Flag(name), is_coturns })
    };
    let variable = |name: &str, is_coturns| {
        let path = env.get(name).map(PathBuf::from)?;
        Some(Named { path, origin: Origin::Variable(name.into()), is_coturns })
    };
    flag(&args.config, "--config", false)
        .or_else(|| flag(&args.coturn_config, "--coturn-config", true))
        .or_else(|| variable("TACITURN_CONFIG", false))
        .or_else(|| variable("TACITURN_COTURN_CONFIG", true))
}

fn load_with(
    args: &ServerArgs,
    env: &Environment,
    generate: Generate,
) -> Result<Loaded, ConfigErrors> {
    let mut findings = Findings::default();
    let Some(named) = named(args, env) else { return build(None, args, env, findings, generate) };
    let bytes = std::fs::read(&named.path)
        .map_err(|error| unreadable(&named, &error.to_string(), Some(error.kind())))?;
    let text = String::from_utf8(bytes).map(Zeroizing::new);
    let text = text.map_err(|_| unreadable(&named, "it is not UTF-8 text", None))?;
    let source = match named.is_coturns {
        false => Source::new(&named.path, text),
        true => translated(&named.path, &text, &mut findings),
    };
    build(Some(source), args, env, findings, generate)
}

/// A turnserver.conf as a source of ours; what is lost on the way goes into `findings`.
fn translated(path: &Path, text: &str, findings: &mut Findings) -> Source {
    let translation = Translation::of(text);
    let file = path.display();
    for setting in translation.errors() {
        let help = "see what becomes of every line: turnctl import-coturn FILE";
        findings.error(&Origin::Unplaced, "", format!("{file}, {setting}"), help);
    }
    for warning in translation.warnings() {
        findings.notes.push(Note::warning(format!("{file}, {warning}")));
    }
    findings.notes.push(Note::info(format!(
        "{file} is coturn's: {} settings were read; `turnctl import-coturn {file}` tells what became \
         of each, and writes a configuration of taciturn's own",
        translation.settings.len()
    )));
    Source { translated: true, ..Source::new(path, translation.toml) }
}

fn unreadable(named: &Named, why: &str, cause: Option<std::io::ErrorKind>) -> ConfigErrors {
    let mut findings = Findings::default();
    let message = format!("cannot read {}: {why}", named.path.display());
    let help = match named.is_coturns {
        false => "name a TOML file that taciturn's user can read",
        true => "name coturn's turnserver.conf; taciturn's user must be able to read it",
    };
    findings.error(&named.origin, "", message, help);
    findings.caused_by(cause);
    findings.into_errors(&Source::default())
}
