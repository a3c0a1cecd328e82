//! `--tenant`: which customer of the server is meant.

use taciturn_config::{Config, NoTenant};

/// The tenant that something is for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TenantArg {
    /// For this tenant: with its secret, its users, and the name that leads to its realm
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

impl TenantArg {
    /// The configuration as that tenant sees it.
    pub(super) fn see(&self, config: Config) -> Result<Config, NoTenant> {
        match &self.tenant {
            Some(tenant) => config.as_tenant(tenant),
            None => Ok(config),
        }
    }
}
