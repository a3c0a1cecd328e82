//! The options that name a server: its configuration and its state.

use std::io::Write;
use std::path::PathBuf;

use taciturn_config::{Config, Environment, Loaded, ServerArgs};

use super::CtlError;

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

impl ServerFiles {
    /// As flags of the server.
    pub(super) fn server_args(&self) -> ServerArgs {
        ServerArgs {
            config: self.config.clone(),
            coturn_config: self.coturn_config.clone(),
            state_dir: self.state_dir.clone(),
            ..ServerArgs::default()
        }
    }

    /// Whether the configuration is coturn's.
    pub(super) fn is_coturn(&self, env: &Environment) -> bool {
        let named = |name| env.get(name).is_some();
        self.coturn_config.is_some()
            || self.config.is_none() && !named("TACITURN_CONFIG") && named("TACITURN_COTURN_CONFIG")
    }

    /// Loads the configuration that the server would run with, and prints its notes to `err`. Nothing is
    /// created: if the server has not generated its secret yet, that is an error.
    pub(super) fn load(
        &self,
        secret_file: Option<&PathBuf>,
        env: &Environment,
        err: &mut dyn Write,
    ) -> Result<Config, CtlError> {
        let secret_file = secret_file.into_iter().cloned().collect();
        let args = ServerArgs { secret_file, ..self.server_args() };
        let Loaded { config, notes } = Config::load_existing(&args, env)?;
        for note in notes {
            writeln!(err, "{note}")?;
        }
        let generated = config.auth.secrets.iter().any(|secret| secret.generated);
        let named = args.config.is_some() || args.state_dir.is_some();
        if generated && !named && !env.is_root() {
            writeln!(
                err,
                "note: this is the secret of a server that runs as this user; for one that \
                 runs as a service, use sudo or --config FILE"
            )?;
        }
        Ok(config)
    }
}
