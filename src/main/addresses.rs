//! The addresses of this host while the server runs: whether they are peers, and whether the relayed
//! ones are still there.

use std::net::IpAddr;
use std::sync::Arc;

use taciturn::admin::ServerHandle;
use taciturn_net::external::{External, local_addresses};
use taciturn_net::{AddressNotices, AddressWatch, OwnAddresses, Running};
use taciturn_turn::policy::is_public;
use taciturn_turn::{RelayAddress, Withdrawn};

use super::failure::Failure;
use super::in_use::InUse;
use super::rules::{peers, tenant_peers};

/// The addresses, and what was logged about them.
pub(super) struct Addresses {
    watch: AddressWatch,
    own: OwnAddresses,
    /// Relayed addresses that the host has not got now.
    missing: Vec<RelayAddress>,
    /// That they cannot be read was said.
    told_unreadable: bool,
}

impl Addresses {
    /// As they were found at the start. Within a runtime.
    pub(super) fn new(notices: AddressNotices, external: &External) -> Self {
        let public: Vec<_> =
            external.addresses.iter().flatten().map(|address| address.public).collect();
        let own = OwnAddresses::new(&external.own, &public);
        Self { watch: notices.watch(), own, missing: Vec::new(), told_unreadable: false }
    }

    /// Waits until the addresses may have changed.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Reads the addresses; if that fails, the old ones stay. Returns the new ones.
    fn read(&mut self) -> Vec<IpAddr> {
        match local_addresses() {
            Ok(present) => {
                self.told_unreadable = false;
                self.own.see(&present)
            }
            Err(error) => {
                if !self.told_unreadable {
                    tracing::warn!(
                        "cannot list the addresses of this host: {error}. Until this works, the server does \
                         not recognize a new address as its own, and clients can use it as a peer"
                    );
                }
                self.told_unreadable = true;
                Vec::new()
            }
        }
    }

    /// Logs which relayed addresses have disappeared since the last call, and which are back.
    fn tell_relayed(&mut self, external: &External) {
        for address in external.addresses.iter().flatten() {
            let (here, was_missing) = (self.own.has(address.local), self.missing.contains(address));
            let local = address.local;
            match (here, was_missing) {
                (false, false) => {
                    tracing::warn!(
                        "the relayed address {local} is no longer on this machine: until it is back, the \
                         server cannot create allocations on it, and running ones are cut off. If the \
                         address has changed for good, restart the server; if external_ip names it, set \
                         the new one first"
                    );
                    self.missing.push(*address);
                }
                (true, true) => {
                    tracing::info!("the relayed address {local} is on this machine again");
                    self.missing.retain(|missing| missing != address);
                }
                (true, false) | (false, true) => {}
            }
        }
    }
}

impl InUse {
    /// Denies new addresses of this machine as peers, for running calls as well.
    pub(super) async fn follow_addresses(
        &mut self,
        addresses: &mut Addresses,
        running: &Running,
        server: &ServerHandle,
    ) -> Result<(), Failure> {
        let mut new = addresses.read();
        // Others are denied whether they are here or not: each container brings some.
        new.retain(|ip| is_public(*ip));
        addresses.tell_relayed(&self.external);
        server.health().set_relayed_missing(addresses.missing.iter());
        self.external.own = addresses.own.all();
        if new.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = new.iter().map(ToString::to_string).collect();
        tracing::info!(
            "new addresses of this machine, denied as peers from now on: {}",
            shown.join(", ")
        );
        self.shared.rules.peers = Arc::new(peers(&self.config, &self.external));
        self.shared.rules.tenant_peers = Arc::new(tenant_peers(&self.config, &self.external));
        let withdrawn = running.set_rules(&self.shared).await?;
        tell_withdrawn(withdrawn);
        Ok(())
    }

    /// Reads the addresses for a reload, and forgets those that no longer exist.
    pub(super) fn refresh_addresses(&mut self, addresses: &mut Addresses) {
        addresses.read();
        addresses.own.forget_departed();
        self.external.own = addresses.own.all();
    }
}

/// Logs what new peer rules have ended.
pub(super) fn tell_withdrawn(withdrawn: Withdrawn) {
    let Withdrawn { permissions, channels, connections, .. } = withdrawn;
    if [permissions, channels, connections] != [0; 3] {
        tracing::info!(
            permissions,
            channels,
            connections,
            "the new peer rules ended permissions, channels or connections that they deny"
        );
    }
}
