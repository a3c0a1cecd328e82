//! `turnctl import-coturn`: a configuration out of coturn's turnserver.conf, its command line, or both.

mod compose;
mod database;
mod interpolate;
mod tenants;

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use taciturn_config::coturn::{CommandLine, Copied, Sources};
use taciturn_config::{ConfigErrors, Loaded, Translation};
use zeroize::Zeroizing;

use super::CtlError;
use super::private_file::{self, WriteError};
use compose::{ComposeError, Service};
use database::{ImportDatabaseError, Uses};
use tenants::Tenants;

const EXAMPLES: &str = "\
Examples:
  turnctl import-coturn /etc/turnserver.conf -o /etc/taciturn/taciturn.toml
      Writes a new file that only its owner can read, and reports on each line on standard error.
  turnctl import-coturn /etc/turnserver.conf
      The same to standard output, secrets included.
  turnctl import-coturn --coturn-args '-c /etc/turnserver.conf --static-auth-secret=SECRET'
      Options of coturn's command line as well; they win over the file's.
  turnctl import-coturn --compose compose.yaml
      The options and the file of the service in a Compose file that runs coturn.
  turnctl import-coturn /etc/turnserver.conf --db /var/lib/turn/turndb -o /etc/taciturn/taciturn.toml
      Users, secrets and peer ranges of its database as well, of all realms. To keep the database: docs/databases.md.

To try a server with coturn's file as it is: taciturn --coturn-config /etc/turnserver.conf";

/// Bytes of the longest URL that is read from standard input.
const LONGEST_URL: u64 = 4096;

/// Arguments of `turnctl import-coturn`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// coturn's configuration
    #[arg(value_name = "TURNSERVER.CONF", required_unless_present_any = ["coturn_args", "compose", "db"])]
    pub file: Option<PathBuf>,

    /// coturn's command line, as for a shell; `-` reads it from standard input, so that `ps` shows no secret
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub coturn_args: Option<String>,

    /// A Compose file that runs coturn: its command, its environment and the mounted turnserver.conf
    #[arg(long, value_name = "FILE", conflicts_with = "coturn_args")]
    pub compose: Option<PathBuf>,

    /// The service of the Compose file [default: the one that runs coturn]
    #[arg(long, value_name = "NAME", requires = "compose")]
    pub service: Option<String>,

    /// coturn's database, copied once: a file of SQLite, or postgres://ROLE@HOST/DATABASE; `-` reads it from standard
    /// input, so that `ps` shows no password
    #[arg(long, value_name = "FILE|URL")]
    pub db: Option<String>,

    /// A PEM file with the authorities that the database's certificate may be from
    #[arg(long, value_name = "FILE", requires = "db")]
    pub db_ca: Option<PathBuf>,

    /// The server's own realm; the others of the database become tenants [default: that of the file, or the only one of
    /// the database]
    #[arg(long, value_name = "REALM", requires = "db")]
    pub realm: Option<String>,

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
    /// A Compose file.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A database.
    #[error(transparent)]
    Database(#[from] ImportDatabaseError),
    /// Quotes that are not closed.
    #[error("--coturn-args: a quote is not closed; write the options as for a shell")]
    Words,
    /// Where coturn's file may be.
    #[error(
        "coturn also reads a turnserver.conf, in /etc or where -c says: name it (turnctl import-coturn \
         /etc/turnserver.conf --coturn-args ...), or add -n to the options if there is none"
    )]
    WhichFile,
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

/// What coturn was found to be configured by.
struct Found {
    file: Option<PathBuf>,
    text: Zeroizing<String>,
    arguments: Option<CommandLine>,
    notes: Vec<String>,
    /// The kind of database that was read.
    copied: Option<Copied>,
    /// Users of a database that are to stand beside its secrets.
    users: Vec<Zeroizing<String>>,
    /// Sections for other realms of a database.
    tenants: Zeroizing<String>,
}

impl Found {
    fn sources(&self, allow_weak_credentials: bool) -> Sources<'_> {
        Sources {
            file: &self.text,
            arguments: self.arguments.as_ref(),
            allow_weak_credentials,
            copied: self.copied,
            has_tenants: !self.tenants.is_empty(),
        }
    }

    /// All that was found, in our terms.
    fn translation(&self, allow_weak_credentials: bool) -> Translation {
        let mut translation = Translation::of_sources(&self.sources(allow_weak_credentials));
        if !self.users.is_empty() {
            translation.toml = with_users(&translation.toml, &self.users);
        }
        if !self.tenants.is_empty() {
            translation.toml = Zeroizing::new([&**translation.toml, &**self.tenants].concat());
        }
        translation
    }

    /// What errors call it.
    fn name(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| "coturn's options".into())
    }
}

fn find(args: &ImportArgs) -> Result<Found, ImportError> {
    let (arguments, mut file, notes) = if let Some(compose) = &args.compose {
        let service = Service::read(compose, args.service.as_deref())?;
        let line = CommandLine::of(&service.words);
        let mounted = match (&args.file, line.no_file) {
            (None, false) => service.file(line.file.as_deref())?,
            _ => None,
        };
        (Some(line), mounted, service.notes)
    } else if let Some(options) = &args.coturn_args {
        let mut text = Zeroizing::new(options.clone());
        if *text == "-" {
            text.clear();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| unreadable(Path::new("standard input"), error.to_string()))?;
        }
        let words = shlex::split(&text).ok_or(ImportError::Words)?;
        let line = CommandLine::of(&words.into_iter().map(Zeroizing::new).collect::<Vec<_>>());
        let named = line.file.as_ref().map(PathBuf::from).filter(|_| !line.no_file);
        if named.is_none() && args.file.is_none() && !line.no_file {
            return Err(ImportError::WhichFile);
        }
        (Some(line), named, Vec::new())
    } else {
        (None, None, Vec::new())
    };
    if args.file.is_some() {
        file.clone_from(&args.file);
    }
    let text = match &file {
        None => Zeroizing::default(),
        Some(file) => {
            let bytes = std::fs::read(file).map_err(|error| unreadable(file, error.to_string()))?;
            let text = String::from_utf8(bytes);
            Zeroizing::new(text.map_err(|_| unreadable(file, "it is not UTF-8 text".into()))?)
        }
    };
    let (users, tenants) = Default::default();
    Ok(Found { file, text, arguments, notes, copied: None, users, tenants })
}

/// Adds what the database holds, as lines of the file.
fn add_database(args: &ImportArgs, found: &mut Found) -> Result<(), ImportError> {
    let Some(db) = &args.db else { return Ok(()) };
    let mut database = Zeroizing::new(db.clone());
    if *database == "-" {
        database.clear();
        let read = std::io::stdin().take(LONGEST_URL).read_to_string(&mut database);
        read.map_err(|error| unreadable(Path::new("standard input"), error.to_string()))?;
    }
    if let Some(realm) = &args.realm {
        // The last line counts.
        found.text.push_str(&format!("\nrealm={realm}\n"));
    }
    let translation = Translation::of_sources(&found.sources(true));
    let realm = args.realm.clone().or_else(|| realm_of(&translation.toml));
    let is_alone = found.file.is_none() && found.arguments.is_none();
    let with_secrets = ["use-auth-secret", "static-auth-secret"];
    let uses = match translation.settings.iter().any(|one| with_secrets.contains(&&*one.option)) {
        _ if is_alone => Uses::Unknown,
        true => Uses::Secrets,
        false => Uses::Users,
    };
    let database = database.trim();
    let read = database::lines(database, args.db_ca.as_deref(), realm.as_deref(), uses)?;
    found.copied = Some(database::kind(database)?);
    let without = Zeroizing::new(format!("{}\n{}", *found.text, read.of_all));
    found.text.push('\n');
    found.text.push_str(&read.text);
    found.notes.extend(read.notes);
    found.users = read.users;
    let conf = Sources { file: &without, ..found.sources(true) };
    let server = Translation::of_sources(&found.sources(true));
    let Tenants { toml, notes, lines } = tenants::tenants(&read.others, &conf, &server);
    found.text.push_str(&lines);
    found.tenants = toml;
    found.notes.extend(notes);
    Ok(())
}

/// Adds users to a configuration that has secrets: both are good here, and one file of coturn has one of them in use.
fn with_users(toml: &str, users: &[Zeroizing<String>]) -> Zeroizing<String> {
    let mut list = Zeroizing::new("[auth]\nusers = [\n".to_owned());
    for user in users {
        list.push_str(&format!("    {},\n", toml::Value::String(user.as_str().to_owned())));
    }
    list.push_str("]\n");
    Zeroizing::new(toml.replacen("[auth]\n", &list, 1))
}

/// The realm that a configuration of ours names.
fn realm_of(toml: &str) -> Option<String> {
    let table: toml::Table = toml.parse().ok()?;
    table.get("realm")?.as_str().map(str::to_owned)
}

fn unreadable(file: &Path, why: String) -> ImportError {
    ImportError::Unreadable { file: file.into(), why }
}

pub(super) fn run(
    args: &ImportArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    let mut found = find(args)?;
    add_database(args, &mut found)?;
    let name = found.name();
    for note in &found.notes {
        writeln!(err, "{note}")?;
    }
    let mut translation = found.translation(false);
    write!(err, "{}: {}", name.display(), translation.summary())?;
    match translation.errors().count() {
        0 => {}
        1 => return Err(ImportError::Wrong("see the line".into()).into()),
        n => return Err(ImportError::Wrong(format!("see the {n} lines")).into()),
    }
    let notes = match translation.check(&name) {
        Ok(Loaded { notes, .. }) => notes,
        Err(errors) => {
            let weak = found.translation(true);
            match weak.check(&name) {
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
    let toml = translation.toml;
    let Some(output) = &args.output else {
        return Ok(out.write_all(toml.as_bytes())?);
    };
    private_file::write(output, toml.as_bytes(), args.force).map_err(ImportError::Write)?;
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
