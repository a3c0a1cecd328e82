//! The options that name a server: its configuration and its state.

use std::io::Write;
use std::path::PathBuf;

use taciturn_config::{Config, Environment, Loaded, ServerArgs};

use super::{CtlError, running};

/// Where the server's configuration and state are. The same as the server's own flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServerFiles {
    /// Configuration file of the server; also TACITURN_CONFIG
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// coturn's turnserver.conf, if the server was started with it; also TACITURN_COTURN_CONFIG
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub coturn_config: Option<PathBuf>,

    /// Directory where the server keeps the secret it generated; also TACITURN_STATE_DIR
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// What a server is configured with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) args: ServerArgs,
    pub(super) env: Environment,
    /// The process of the running server that these are from.
    pub(super) pid: Option<u32>,
}

impl Source {
    /// Whether the configuration is coturn's.
    pub(super) fn is_coturn(&self) -> bool {
        let named = |name| self.env.get(name).is_some();
        self.args.coturn_config.is_some()
            || self.args.config.is_none()
                && !named("TACITURN_CONFIG")
                && named("TACITURN_COTURN_CONFIG")
    }
}

impl ServerFiles {
    /// Returns what was named, in the arguments or the environment; else what the one server that runs here was
    /// started with; else the defaults.
    pub(super) fn source(&self, env: &Environment) -> Source {
        let args = ServerArgs {
            config: self.config.clone(),
            coturn_config: self.coturn_config.clone(),
            state_dir: self.state_dir.clone(),
            ..ServerArgs::default()
        };
        let named =
            self.config.is_some() || self.coturn_config.is_some() || self.state_dir.is_some();
        if !named
            && !env.configures_a_server()
            && env.is_of_a_process()
            && let Some((pid, args, env)) = running::only(running::here())
        {
            return Source { args, env, pid: Some(pid) };
        }
        Source { args, env: env.clone(), pid: None }
    }

    /// Loads the configuration that the server would run with, and prints its notes to `err`. Nothing is
    /// created: if the server has not generated its secret yet, that is an error.
    pub(super) fn load(
        &self,
        secret_file: Option<&PathBuf>,
        env: &Environment,
        err: &mut dyn Write,
    ) -> Result<Config, CtlError> {
        let Source { mut args, env, pid } = self.source(env);
        args.secret_file.extend(secret_file.cloned());
        let Loaded { config, notes } = Config::load_existing(&args, &env)?;
        if let Some(pid) = pid {
            writeln!(err, "note: this is for the server that runs here (process {pid})")?;
        }
        for note in notes {
            writeln!(err, "{note}")?;
        }
        let generated = config.auth.secrets.iter().any(|secret| secret.generated);
        let named = args.config.is_some() || args.state_dir.is_some();
        if generated && !named && pid.is_none() && !env.is_root() {
            writeln!(
                err,
                "note: this is the secret of a server that runs as this user; for one that \
                 runs as a service, use sudo or --config FILE"
            )?;
        }
        Ok(config)
    }
}
