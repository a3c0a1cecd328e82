//! `turnctl users`: users in a file of the state directory, for who wants neither a configuration file to edit nor a
//! database server.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use taciturn_config::uris::Host;
use taciturn_config::{Config, Environment, rows, users_file};
use taciturn_control::Request;
use taciturn_database::{UsersFile, UsersFileError};
use taciturn_turn::auth::long_term_key;
use zeroize::Zeroizing;

use super::socket::{SocketArgs, ask_once};
use super::{CtlError, ServerFiles};

/// Bytes that are read for a password.
const LONGEST_PASSWORD: u64 = 1024;

/// The arguments of `users`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  turnctl users add alice\n      \
    Asks for the password.\n  \
    turnctl users add alice < password-file\n  \
    turnctl users list\n  \
    turnctl users remove alice && turnctl kick --user alice\n\n\
    The users are in users.db in the state directory of the server, beside those of its configuration.")]
pub struct UsersArgs {
    #[command(flatten)]
    server: ServerFiles,
    /// What to do
    #[arg(value_name = "ACTION")]
    action: Action,
    /// The name that the user logs in with
    #[arg(value_name = "NAME", required_if_eq_any([("action", "add"), ("action", "remove")]))]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Add a user, or give it another password, which is asked for or read from standard input
    Add,
    /// List the users
    List,
    /// Remove a user; its running calls go on
    Remove,
}

/// Why the users were not changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The name cannot be one.
    #[error("{0}")]
    Name(&'static str),
    /// The password is no good.
    #[error("{0}; a good one: openssl rand -hex 12")]
    Password(&'static str),
    /// It was typed in two ways.
    #[error("the two passwords are not the same")]
    NotTheSame,
    /// It cannot be read.
    #[error("cannot read the password: {0}")]
    NotRead(io::Error),
    /// The server does not read the file.
    #[error(
        "the server reads {0}, and not users.db: add the user there, or remove url from [auth.database] and restart the server"
    )]
    Elsewhere(String),
    /// There is no state directory.
    #[error(
        "there is no state directory {}: start taciturn once, which makes it, or name another one with --state-dir",
        .0.display()
    )]
    NoDirectory(PathBuf),
    /// There is no such user.
    #[error("there is no user {0} in {path}", path = .1.display())]
    NoUser(String, PathBuf),
    /// The file.
    #[error(transparent)]
    File(#[from] UsersFileError),
}

impl From<UsersError> for CtlError {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::File(_) | UsersError::NotRead(_) => Self::failure(error),
            _ => Self::mistake(error),
        }
    }
}

pub(super) fn run(
    args: &UsersArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    let (config, path) = server(&args.server, env, err)?;
    // Without a name only for `list`: clap has seen to that.
    let name = args.name.as_deref().unwrap_or_default();
    match args.action {
        Action::Add => add(name, &config, &path, env, out),
        Action::List => list(&config, &path, out),
        Action::Remove => remove(name, &config, &path, env, out),
    }
}

/// The configuration of the server, and the path of its users.
fn server(
    files: &ServerFiles,
    env: &Environment,
    err: &mut dyn Write,
) -> Result<(Config, PathBuf), CtlError> {
    let source = files.source(env);
    if let Some(server) = source.server() {
        writeln!(err, "note: this is for {server}")?;
    }
    source.enter();
    let config = Config::inspect(&source.args, &source.env)?.config;
    let path = users_file(&config.state_dir);
    match &config.database.url {
        Some(url) if url.file() != Some(path.as_path()) => {
            Err(UsersError::Elsewhere(url.to_string()).into())
        }
        _ => Ok((config, path)),
    }
}

fn add(
    name: &str,
    config: &Config,
    path: &Path,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    if !config.state_dir.is_dir() {
        return Err(UsersError::NoDirectory(config.state_dir.clone()).into());
    }
    let name = rows::user_name(name).map_err(UsersError::Name)?;
    let password = password(&name)?;
    let allow_weak = config.auth.allow_weak_credentials;
    rows::user_with_password(&name, &password, allow_weak).map_err(UsersError::Password)?;
    let key = long_term_key(&name, &config.realm, &password);
    let key: Zeroizing<String> =
        Zeroizing::new(key.bytes().iter().map(|byte| format!("{byte:02x}")).collect());
    let is_first = !path.exists();
    // It is there: it is made where it is not.
    let Some(users) = UsersFile::open(path, true).map_err(UsersError::File)? else {
        return Err(UsersError::NoDirectory(config.state_dir.clone()).into());
    };
    let is_new = users.add(&config.realm, &name, &key).map_err(UsersError::File)?;
    drop(users);
    let shown = name.escape_debug();
    match is_new {
        true => writeln!(out, "added {shown} to {}", path.display())?,
        false => writeln!(out, "{shown} has another password now")?,
    }
    if config.auth.users.iter().any(|user| user.name == name) {
        writeln!(out, "warning: a user of this name is in the configuration, and counts instead")?;
    }
    let is_running = tell(config, is_first, env, out)?;
    let host = Host::of(config, None, None);
    match is_running {
        true => writeln!(
            out,
            "Next, from the user's side: turnctl check turn:{host} --user '{}'",
            shown.to_string().replace('\'', r"'\''")
        )?,
        false => writeln!(out, "Next: start the server, which reads it")?,
    }
    Ok(())
}

/// Whether a server runs. It looks at the file once a second, but for one that was not there when it began.
fn tell(
    config: &Config,
    is_first: bool,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<bool, CtlError> {
    let Some(socket) = config.admin.socket.clone().filter(|path| UnixStream::connect(path).is_ok())
    else {
        return Ok(false);
    };
    if is_first {
        let args = SocketArgs { socket: Some(socket), json: false };
        match ask_once(&args, env, &Request::Reload, out) {
            Ok(_) => {}
            Err(error) => {
                writeln!(
                    out,
                    "the running server was not reloaded, and has no users of the file yet: {error}"
                )?;
                return Ok(true);
            }
        }
    }
    writeln!(out, "the running server has it within a second")?;
    Ok(true)
}

/// From the terminal, without an echo and twice, or the first line of standard input.
fn password(name: &str) -> Result<Zeroizing<String>, UsersError> {
    if io::stdin().is_terminal() {
        let ask = |prompt: String| {
            rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(UsersError::NotRead)
        };
        let first = ask(format!("Password of {}: ", name.escape_debug()))?;
        if *ask("Again: ".to_owned())? != *first {
            return Err(UsersError::NotTheSame);
        }
        return Ok(first);
    }
    let mut line = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(LONGEST_PASSWORD).read_line(&mut line);
    read.map_err(UsersError::NotRead)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}

fn list(config: &Config, path: &Path, out: &mut dyn Write) -> Result<(), CtlError> {
    let users = match UsersFile::open(path, false).map_err(UsersError::File)? {
        Some(users) => users.list().map_err(UsersError::File)?,
        None => Vec::new(),
    };
    if users.is_empty() {
        writeln!(out, "no users; add one: turnctl users add NAME")?;
    }
    for (realm, name) in users {
        let name = name.escape_debug();
        match realm == config.realm {
            true => writeln!(out, "{name}")?,
            false => writeln!(
                out,
                "{name} (of the realm {}, which is not that of the server: add it again)",
                realm.escape_debug()
            )?,
        }
    }
    Ok(())
}

fn remove(
    name: &str,
    config: &Config,
    path: &Path,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let users = UsersFile::open(path, false).map_err(UsersError::File)?;
    let removed = match &users {
        Some(users) => users.remove(&config.realm, name).map_err(UsersError::File)?,
        None => false,
    };
    let shown = name.escape_debug().to_string();
    if !removed {
        return Err(UsersError::NoUser(shown, path.to_owned()).into());
    }
    writeln!(out, "removed {shown}")?;
    if tell(config, false, env, out)? {
        writeln!(out, "Running calls go on; to end them: turnctl kick --user '{shown}'")?;
    }
    Ok(())
}
