//! `turnctl import-coturn`: a configuration out of coturn's turnserver.conf.

use std::io::Write;
use std::path::PathBuf;

use taciturn_config::{ConfigErrors, Loaded, Translation};

use super::CtlError;
use super::private_file::{self, WriteError};

const EXAMPLES: &str = "\
Examples:
  turnctl import-coturn /etc/turnserver.conf -o /etc/taciturn/taciturn.toml
      Writes a new file that only its owner can read, and reports on each line on standard error.
  turnctl import-coturn /etc/turnserver.conf
      The same to standard output, secrets included.

To try a server with coturn's file as it is: taciturn --coturn-config /etc/turnserver.conf";

/// Arguments of `turnctl import-coturn`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// coturn's configuration
    #[arg(value_name = "TURNSERVER.CONF")]
    pub file: PathBuf,

    /// Output file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace an existing output file
    #[arg(long, requires = "output")]
    pub force: bool,

    /// Accept credentials that everybody can guess, such as test:test; for tests only
    #[arg(long)]
    pub allow_weak_credentials: bool,
}

/// Why there is no new configuration.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// coturn's file.
    #[error("cannot read {}: {why}", file.display())]
    Unreadable {
        /// As it was named.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// Lines that the summary has named.
    #[error(
        "nothing was written: {0} above, under \"Wrong\". Change or remove it in a copy of the file, \
         and import that"
    )]
    Wrong(String),
    /// Credentials as in every guide.
    #[error(
        "{0}\nnothing was written: attackers try such credentials first, and would use your relay. \
         Change them in a copy of the file and at the homeserver; or, for tests only, add \
         --allow-weak-credentials"
    )]
    Weak(ConfigErrors),
    /// The new configuration would not be taken.
    #[error("{0}\nnothing was written: change it in a copy of the file, and import that")]
    Refused(ConfigErrors),
    /// The output.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ImportError> for CtlError {
    fn from(error: ImportError) -> Self {
        Self::mistake(error)
    }
}

pub(super) fn run(
    args: &ImportArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    let unreadable = |why: String| ImportError::Unreadable { file: args.file.clone(), why };
    let bytes = std::fs::read(&args.file).map_err(|error| unreadable(error.to_string()))?;
    let text = zeroize::Zeroizing::new(
        String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text".into()))?,
    );
    let mut translation = Translation::of(&text);
    write!(err, "{}: {}", args.file.display(), translation.summary())?;
    match translation.errors().count() {
        0 => {}
        1 => return Err(ImportError::Wrong("see the line".into()).into()),
        n => return Err(ImportError::Wrong(format!("see the {n} lines")).into()),
    }
    let notes = match translation.check(&args.file) {
        Ok(Loaded { notes, .. }) => notes,
        Err(errors) => {
            let weak = Translation::with_weak_credentials(&text);
            match weak.check(&args.file) {
                Ok(Loaded { notes, .. }) if args.allow_weak_credentials => {
                    translation = weak;
                    notes
                }
                Ok(_) => return Err(ImportError::Weak(errors).into()),
                Err(errors) => return Err(ImportError::Refused(errors).into()),
            }
        }
    };
    if !notes.is_empty() {
        writeln!(err)?;
    }
    for note in notes {
        writeln!(err, "{note}")?;
    }
    let Some(output) = &args.output else {
        return Ok(out.write_all(translation.toml.as_bytes())?);
    };
    private_file::write(output, translation.toml.as_bytes(), args.force)
        .map_err(ImportError::Write)?;
    let path = output.display();
    Ok(write!(
        err,
        "\nWritten to {path}; only this user can read it. Next:\n  \
         chown USER {path}, where the server runs as another user\n  \
         stop coturn, which holds the ports: systemctl disable --now coturn\n  \
         taciturn --config {path}\n  \
         turnctl doctor --config {path}\n"
    )?)
}
