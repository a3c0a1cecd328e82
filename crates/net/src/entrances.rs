//! Which realm the clients of a listener get, where tenants have realms of their own.

use std::collections::HashMap;
use std::sync::Arc;

use super::listener::id::ListenerId;

/// The realms of listeners, and whether names that clients ask for by TLS matter. A reload replaces all of it.
#[derive(Clone, Debug, Default)]
pub struct Entrances {
    realms: HashMap<ListenerId, Arc<str>>,
    by_name: bool,
}

impl Entrances {
    /// With the realms of these listeners. With `by_name`, what a client asks for by TLS decides as well.
    #[must_use]
    pub fn new(realms: impl IntoIterator<Item = (ListenerId, Arc<str>)>, by_name: bool) -> Self {
        Self { realms: realms.into_iter().collect(), by_name }
    }

    /// The realm of a listener, if it has one of its own.
    pub(crate) fn realm(&self, listener: ListenerId) -> Option<Arc<str>> {
        self.realms.get(&listener).map(Arc::clone)
    }

    /// Whether it is kept what name a client has asked for.
    pub(crate) const fn by_name(&self) -> bool {
        self.by_name
    }
}
