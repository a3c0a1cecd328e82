//! What the program was called with.

use clap::Parser as _;
use taciturn_config::{Config, ConfigErrors, Environment, Loaded, ServerArgs};

/// The arguments and the environment. The configuration is read with them at the start and at each
/// reload.
pub(crate) struct Invocation {
    args: ServerArgs,
    pub(crate) environment: Environment,
}

impl Invocation {
    /// That of this process. Arguments that cannot be understood end it.
    pub(crate) fn of_process() -> Self {
        Self { args: ServerArgs::parse(), environment: Environment::of_process() }
    }

    /// Whether a running server is to be taken over from.
    pub(crate) const fn takes_over(&self) -> bool {
        self.args.take_over
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(&self.args, &self.environment)
    }
}
