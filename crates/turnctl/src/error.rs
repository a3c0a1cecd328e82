//! Why a subcommand failed, and its exit code.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use taciturn_config::ConfigErrors;

/// Why a subcommand failed. The error of a subcommand becomes a [`Mistake`](Self::Mistake) or a
/// [`Failure`](Self::Failure).
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The subcommand cannot work with these arguments or this configuration.
    #[error("error: {0}")]
    Mistake(Box<dyn Error + Send + Sync>),
    /// The arguments are right, but a server or this machine refuses.
    #[error("error: {0}")]
    Failure(Box<dyn Error + Send + Sync>),
    /// A man page cannot be written.
    #[error("error: cannot write {}: {error}", path.display())]
    Man {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// `--host` is not a host.
    #[error(
        "error: --host \"{0}\": write a DNS name or an IP address alone, without turn: and port"
    )]
    Host(String),
    /// Standard output is closed.
    #[error("error: cannot write: {0}")]
    Output(#[from] io::Error),
}

impl CtlError {
    pub(super) fn mistake(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Mistake(Box::new(error))
    }

    pub(super) fn failure(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Failure(Box::new(error))
    }

    /// 2 for a mistake in the arguments or the configuration, 1 for everything else.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Output(_) | Self::Failure(_) => 1,
            Self::Config(_) | Self::Mistake(_) | Self::Man { .. } | Self::Host(_) => 2,
        }
    }
}

impl From<taciturn_config::NoTenant> for CtlError {
    fn from(error: taciturn_config::NoTenant) -> Self {
        Self::mistake(error)
    }
}

impl From<taciturn_config::homeserver::BlockError> for CtlError {
    fn from(error: taciturn_config::homeserver::BlockError) -> Self {
        Self::mistake(error)
    }
}
