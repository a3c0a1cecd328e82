//! A tenant, as the configuration has it.

use taciturn_turn::TenantName;
use taciturn_turn::auth::StaticUser;
use taciturn_turn::policy::PortRange;

use super::error::Origin;
use super::keys::{Auth, Limits, Peers};
use super::secret::Secret;
use super::settings::Settings;

/// One `[[tenant]]` section.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// The realm that its credentials are valid in.
    pub realm: String,
    /// The names, in lower case, that its clients ask for by TLS; empty where its realm is that of the server.
    pub server_names: Vec<String>,
    /// Static long-term users.
    pub users: Vec<StaticUser>,
    /// REST shared secrets.
    pub secrets: Vec<Secret>,
    /// Tokens with which applications have credentials of the tenant made.
    pub ice_tokens: Vec<Secret>,
    /// Limits: of those that a tenant may have its own, the others those of the server.
    pub limits: Limits,
    /// What is allowed to it, and what is denied besides what the server denies.
    pub peers: Peers,
    /// Relay ports that it has for itself.
    pub relay_ports: Option<PortRange>,
}

/// What the sections are checked against.
pub(super) struct Server<'a> {
    pub(super) realm: &'a str,
    pub(super) auth: &'a Auth,
    pub(super) limits: &'a Limits,
    pub(super) relay_ports: PortRange,
    /// Whether there is a database of users and secrets.
    pub(super) has_database: bool,
}

/// A tenant and where what it was made of stands.
pub(super) struct ReadTenant {
    pub(super) tenant: Tenant,
    pub(super) at: Origin,
    /// By the names that its keys have elsewhere.
    pub(super) settings: Settings,
    /// `tenant[1]`.
    pub(super) key: String,
}
