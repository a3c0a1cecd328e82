//! Whom a credential, a limit or an allocation is for.

use std::sync::Arc;

use super::tenant::TenantName;

/// A name in a realm, of a tenant. Users of two realms or of two tenants are never the same, whatever their
/// names.
///
/// It costs no memory to clone one: all parts are shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId {
    tenant: TenantName,
    realm: Arc<str>,
    name: Arc<str>,
}

impl UserId {
    /// The user `name` of `realm`, of the default tenant.
    #[must_use]
    pub fn new(realm: &Arc<str>, name: impl Into<Arc<str>>) -> Self {
        Self { tenant: TenantName::default(), realm: Arc::clone(realm), name: name.into() }
    }

    /// The user of that realm and name, of `tenant`.
    #[must_use]
    pub fn of_tenant(self, tenant: &TenantName) -> Self {
        Self { tenant: tenant.clone(), ..self }
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The realm that the name is valid in.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// All that tells users apart, in one order.
    pub(crate) fn parts(&self) -> [&str; 3] {
        let Self { tenant, realm, name } = self;
        [tenant.name().unwrap_or_default(), realm, name]
    }

    /// The name, for people and for comparison with what clients send.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
impl UserId {
    /// A user of the realm that tests have.
    pub(crate) fn of_tests(name: &str) -> Self {
        Self::new(&"example.org".into(), name)
    }
}
