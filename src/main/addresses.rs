//! The addresses of this host while the server runs: whether they are peers, and whether the relayed
//! ones are still there.

use std::net::IpAddr;
use std::sync::Arc;

use taciturn::admin::Board;
use taciturn_net::external::{External, local_addresses};
use taciturn_net::{AddressNotices, AddressWatch, OwnAddresses, Running};
use taciturn_turn::policy::is_public;
use taciturn_turn::{RelayAddress, Withdrawn};

use super::failure::Failure;
use super::in_use::InUse;
use super::rules::peers;

/// What is known of them.
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

    /// Until one may have come or gone.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Reads them; where that fails, those of before hold. Returns those that are new.
    fn read(&mut self) -> Vec<IpAddr> {
        match local_addresses() {
            Ok(present) => {
                self.told_unreadable = false;
                self.own.see(&present)
            }
            Err(error) => {
                if !self.told_unreadable {
                    tracing::warn!(
                        "cannot list the addresses of this host: {error}. One that is new is no own address \
                         to this server: it could be a peer"
                    );
                }
                self.told_unreadable = true;
                Vec::new()
            }
        }
    }

    /// Says which relayed addresses have left since the last time, and which are back.
    fn tell_relayed(&mut self, external: &External) {
        for address in external.addresses.iter().flatten() {
            let (here, was_missing) = (self.own.has(address.local), self.missing.contains(address));
            let local = address.local;
            match (here, was_missing) {
                (false, false) => {
                    tracing::warn!(
                        "the relayed address {local} is no longer on this machine: until it is back, no \
                         allocation can be made there and running ones are cut off. If it has changed for \
                         good, restart the server; where external_ip names it, set the new one first"
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
    /// Takes up addresses that have come: from now on they are no peers, for running calls as well.
    pub(super) async fn follow_addresses(
        &mut self,
        addresses: &mut Addresses,
        running: &Running,
        board: &Board,
    ) -> Result<(), Failure> {
        let mut new = addresses.read();
        // Others are denied whether they are here or not: each container brings some.
        new.retain(|ip| is_public(*ip));
        addresses.tell_relayed(&self.external);
        board.health().set_relayed_missing(addresses.missing.iter());
        self.external.own = addresses.own.all();
        if new.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = new.iter().map(ToString::to_string).collect();
        tracing::info!("new on this machine, and no peers from now on: {}", shown.join(", "));
        self.shared.rules.peers = Arc::new(peers(&self.config, &self.external));
        let withdrawn = running.set_rules(&self.shared).await?;
        tell_withdrawn(withdrawn);
        Ok(())
    }

    /// Reads the addresses for a reload, and forgets those that have gone.
    pub(super) fn refresh_addresses(&mut self, addresses: &mut Addresses) {
        addresses.read();
        addresses.own.forget_departed();
        self.external.own = addresses.own.all();
    }
}

/// Says what new peer rules have ended.
pub(super) fn tell_withdrawn(withdrawn: Withdrawn) {
    let Withdrawn { permissions, channels, connections, .. } = withdrawn;
    if [permissions, channels, connections] != [0; 3] {
        tracing::info!(
            permissions,
            channels,
            connections,
            "the new peer rules have ended what they refuse"
        );
    }
}
