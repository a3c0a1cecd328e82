//! The peer rules of each tenant.

use std::collections::HashMap;
use std::sync::Arc;

use super::peers::PeerPolicy;
use crate::tenant::TenantName;

/// The peer rules of each tenant but the default one. Asked where an allocation is made or moved, and after a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantPeers(HashMap<TenantName, Arc<PeerPolicy>>);

impl TenantPeers {
    /// With these.
    #[must_use]
    pub fn new(all: impl IntoIterator<Item = (TenantName, PeerPolicy)>) -> Self {
        Self(all.into_iter().map(|(tenant, peers)| (tenant, Arc::new(peers))).collect())
    }

    /// Those of a tenant, given those of the server; `None` of the default one, which has these. A tenant that is not
    /// configured any more has nothing allowed.
    #[must_use]
    pub fn of(&self, tenant: &TenantName, server: &PeerPolicy) -> Option<Arc<PeerPolicy>> {
        if tenant.is_default() {
            return None;
        }
        let known = self.0.get(tenant).map(Arc::clone);
        let removed = || Arc::new(server.of_tenant(Vec::new(), Vec::new(), &[]));
        Some(known.unwrap_or_else(removed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_own_list_of_what_is_allowed_and_what_the_server_denies_is_denied() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let own = vec!["203.0.113.7".parse().unwrap()];
        let server = PeerPolicy::new(nets(&["10.0.0.0/24"]), nets(&["9.9.9.0/24"]), own);
        let [acme, beta, gone] = ["acme", "beta", "gone"].map(|name| name.parse().unwrap());
        let peers =
            |allow: &[&str], deny: &[&str]| server.of_tenant(nets(allow), Vec::new(), &nets(deny));
        let all = TenantPeers::new([
            (TenantName::clone(&acme), peers(&["10.1.0.0/24", "9.9.9.9/32"], &[])),
            (TenantName::clone(&beta), peers(&[], &["8.8.8.8/32"])),
        ]);
        assert_eq!(all.of(&TenantName::default(), &server), None);
        let may = |tenant, peer: &str| {
            all.of(tenant, &server).unwrap().check(peer.parse().unwrap()).is_ok()
        };
        for (peer, expected) in [
            ("10.0.0.1", [false, false, false]),
            ("10.1.0.1", [true, false, false]),
            ("9.9.9.9", [true, false, false]),
            ("9.9.9.8", [false, false, false]),
            ("8.8.8.8", [true, false, true]),
            ("8.8.4.4", [true, true, true]),
            ("203.0.113.7", [false, false, false]),
        ] {
            assert_eq!([&acme, &beta, &gone].map(|tenant| may(tenant, peer)), expected, "{peer}");
        }
    }
}
