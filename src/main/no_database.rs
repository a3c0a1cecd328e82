//! A build without databases: users and secrets are those of the configuration.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use taciturn::admin::ServerHandle;
use taciturn_config::Config;
use taciturn_net::Running;

use super::failure::Failure;
use super::in_use::InUse;
use super::rules::Extra;

/// A server without a database.
pub(super) struct DatabaseReader;

impl DatabaseReader {
    /// Refuses a configuration that wants one.
    pub(super) async fn open(config: &Config) -> Result<(Self, Arc<Extra>), Failure> {
        match config.database.url {
            Some(_) => {
                Err("[auth.database]: this server was built without the feature sql; remove url"
                    .into())
            }
            None => Ok((Self, Arc::default())),
        }
    }

    pub(super) async fn changed(&mut self) -> Infallible {
        std::future::pending().await
    }

    pub(super) async fn take_up(
        &mut self,
        read: Infallible,
        _: &mut InUse,
        _: &Running,
    ) -> Result<(), Failure> {
        match read {}
    }

    pub(super) fn reconfigured(&mut self, _: &Config) {}

    pub(super) fn look(&mut self, _: &ServerHandle, _: &InUse) {}

    pub(super) fn leave(&mut self) {}
}

/// The files that a database needs: none.
pub(super) fn files(_: &Config) -> (Vec<PathBuf>, Vec<PathBuf>) {
    (Vec::new(), Vec::new())
}
