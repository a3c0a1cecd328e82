//! The options that name a server: its configuration and its state.

use std::io::Write;
use std::path::PathBuf;

use taciturn_config::{Config, Environment, Loaded, ServerArgs, Topic};

use super::CtlError;
use super::running::{self, Only};

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
    /// The directory of that server, if it can be seen; so can its environment then.
    directory: Option<PathBuf>,
    /// The processes of several servers that run, of which none was taken.
    several: Vec<u32>,
}

impl Source {
    /// Which running server it is of, or why of none.
    pub(super) fn server(&self) -> Option<String> {
        if !self.several.is_empty() {
            let processes: Vec<_> = self.several.iter().map(ToString::to_string).collect();
            let processes = processes.join(", ");
            return Some(format!(
                "no running server: there are several (processes {processes}). Name one by --config or --state-dir"
            ));
        }
        let pid = self.pid?;
        let unseen = match self.directory {
            Some(_) => "",
            None => ", but for its environment, which only root sees",
        };
        Some(format!("the server that runs here (process {pid}), as it was started{unseen}"))
    }

    /// Moves to the directory of the server, where relative paths in its configuration begin.
    pub(super) fn enter(&self) {
        if let Some(directory) = &self.directory {
            running::enter(directory);
        }
    }

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
        let default =
            |several| Source { args, env: env.clone(), pid: None, directory: None, several };
        if named || env.configures_a_server() || !env.is_of_a_process() {
            return default(Vec::new());
        }
        match running::only(running::here(), env) {
            Ok(Only { pid, args, env, directory }) => {
                Source { args, env, pid: Some(pid), directory, several: Vec::new() }
            }
            Err(several) => default(several),
        }
    }

    /// Loads the configuration that the server would run with, and prints its notes to `err`. Nothing is
    /// created: if the server has not generated its secret yet, that is an error.
    pub(super) fn load(
        &self,
        secret_file: Option<&PathBuf>,
        env: &Environment,
        err: &mut dyn Write,
    ) -> Result<Config, CtlError> {
        let source = self.source(env);
        let server = source.server();
        let secret_file =
            secret_file.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        source.enter();
        let Source { mut args, env, pid, .. } = source;
        args.secret_file.extend(secret_file);
        if let Some(server) = server {
            writeln!(err, "note: this is for {server}")?;
        }
        let Loaded { config, notes } = Config::load_existing(&args, &env)?;
        for note in notes.iter().filter(|note| note.topic != Some(Topic::Unconfigured)) {
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
