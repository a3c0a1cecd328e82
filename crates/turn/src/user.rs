//! Whom a credential, a limit or an allocation is for.

use std::sync::Arc;

/// A name in a realm. Users of two realms are never the same, whatever their names.
///
/// It costs no memory to clone one: both parts are shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId {
    realm: Arc<str>,
    name: Arc<str>,
}

impl UserId {
    /// The user `name` of `realm`.
    #[must_use]
    pub fn new(realm: &Arc<str>, name: impl Into<Arc<str>>) -> Self {
        Self { realm: Arc::clone(realm), name: name.into() }
    }

    /// The realm that the name is valid in.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// All that tells users apart, in one order.
    pub(crate) fn parts(&self) -> [&str; 2] {
        let Self { realm, name } = self;
        [realm, name]
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
