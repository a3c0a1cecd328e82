//! turnctl, one file a subcommand.
#![forbid(unsafe_code)]

pub mod check;
pub mod client;
mod control;
mod credentials;
pub mod homeserver;
pub mod report;
pub mod uris;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigErrors, Environment, Loaded, ServerArgs};

pub use check::CheckArgs;
pub use control::{DrainArgs, KickArgs, SessionsArgs, SocketArgs};
pub use credentials::CredentialsArgs;
pub use homeserver::SnippetArgs;

/// The helper of the taciturn relay server.
#[derive(Clone, Debug, Parser)]
#[command(name = "turnctl", version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the TURN block for Synapse's homeserver.yaml
    HomeserverSnippet(SnippetArgs),
    /// Print a username and password that are good for a limited time
    Credentials(CredentialsArgs),
    /// Find out why calls fail: test a TURN server of any make, as a client
    Check(Box<CheckArgs>),
    /// Show how the running server is
    #[command(after_help = "Example:\n  turnctl status --json")]
    Status(SocketArgs),
    /// List the allocations of the running server
    Sessions(SessionsArgs),
    /// End allocations of a user or a client
    Kick(KickArgs),
    /// Have the running server read its configuration again, and show what changes
    #[command(after_help = "Example:\n  turnctl reload && turnctl status")]
    Reload(SocketArgs),
    /// Let the running server take nobody new, and end with its last call
    Drain(DrainArgs),
}

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The block cannot be made from this configuration.
    #[error("error: {0}")]
    Block(#[from] homeserver::BlockError),
    /// No credentials can be made from this configuration or these arguments.
    #[error("error: {0}")]
    Credentials(#[from] credentials::CredentialsError),
    /// Nothing can be checked with these arguments.
    #[error("error: {0}")]
    Check(#[from] check::CheckError),
    /// The running server cannot be asked, or refuses.
    #[error("error: {0}")]
    Control(#[from] control::ControlError),
    /// `--host` is no host.
    #[error(
        "error: --host \"{0}\": write a DNS name or an IP address alone, without turn: and port"
    )]
    Host(String),
    /// Standard output is gone.
    #[error("error: cannot write: {0}")]
    Output(#[from] io::Error),
}

impl Cli {
    /// Runs the subcommand: its result goes to `out`, everything else to `err`. The exit code is 0,
    /// 2 for a mistake in the arguments or the configuration, 1 when `out` cannot be written to.
    /// That of `check` is 1 for warnings and 2 for failures as well.
    pub fn run(&self, env: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
        let mut code = 0;
        let done = match &self.command {
            Command::HomeserverSnippet(args) => homeserver::run(args, env, out, err),
            Command::Credentials(args) => credentials::run(args, env, out, err),
            Command::Check(args) => check::run(args, env, out, err).map(|found| code = found),
            Command::Status(args) => control::status(args, env, out),
            Command::Sessions(args) => control::sessions(args, env, out),
            Command::Kick(args) => control::kick(args, env, out),
            Command::Reload(args) => control::reload(args, env, out),
            Command::Drain(args) => control::drain(args, env, out),
        };
        let Err(error) = done.and_then(|()| Ok(out.flush()?)) else { return ExitCode::from(code) };
        if let CtlError::Output(error) = &error
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::FAILURE;
        }
        // Nothing is left to be done about a standard error that is gone as well.
        let _ = writeln!(err, "{error}");
        ExitCode::from(match error {
            CtlError::Output(_) | CtlError::Control(_) => 1,
            _ => 2,
        })
    }
}

/// Loads the configuration the server would run with, and passes its notes on.
fn load(
    config: Option<&PathBuf>,
    secret_file: Option<&PathBuf>,
    env: &Environment,
    err: &mut dyn Write,
) -> Result<Config, CtlError> {
    let args = ServerArgs {
        config: config.cloned(),
        secret_file: secret_file.into_iter().cloned().collect(),
        ..ServerArgs::default()
    };
    let Loaded { config, notes } = Config::load(&args, env)?;
    for note in notes {
        writeln!(err, "{note}")?;
    }
    let generated = config.auth.secrets.iter().any(|secret| secret.generated);
    if generated && args.config.is_none() && !env.is_root() {
        writeln!(
            err,
            "note: this is the secret of a server that runs as this same user; for one that runs \
             as a service, use sudo or --config FILE"
        )?;
    }
    Ok(config)
}

/// Checks `--host`.
fn host_argument(host: Option<&String>) -> Result<Option<String>, CtlError> {
    let parse =
        |host: &String| crate::config::parse_host(host).ok_or_else(|| CtlError::Host(host.clone()));
    host.map(parse).transpose()
}
