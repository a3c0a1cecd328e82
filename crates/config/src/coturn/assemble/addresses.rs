//! The external address and the relay ports.

use std::net::IpAddr;

use taciturn_turn::policy::PortRange;

use super::super::collected::{Collected, Sourced};
use super::super::place::Place;
use super::super::{Outcome, Setting};
use super::outcomes::set;

impl Collected {
    /// The addresses of this server that the settings name.
    pub(in super::super) fn own_addresses(&self) -> Vec<IpAddr> {
        let mut own = self.addresses.clone();
        own.extend(self.relay.iter().map(|relay| relay.value));
        for Sourced { value: (public, private), .. } in &self.external {
            own.extend([Some(*public), *private].into_iter().flatten());
        }
        own.retain(|ip| !ip.is_unspecified());
        own
    }

    pub(super) fn put_addresses_together(&mut self) {
        for v4 in [true, false] {
            let external = self.external.iter().find(|external| external.value.0.is_ipv4() == v4);
            let relay = self.relay.iter().find(|relay| relay.value.is_ipv4() == v4);
            // coturn relays from the addresses it listens on, unless told otherwise: with a relay-ip of one
            // family there is none of the other.
            let none_given = self.relay.is_empty();
            let listening = self
                .addresses
                .iter()
                .filter(|_| none_given)
                .find(|ip| ip.is_ipv4() == v4 && !ip.is_unspecified() && !ip.is_loopback());
            let local = relay.map(|relay| relay.value).or_else(|| listening.copied());
            let mut places: Vec<Place> =
                relay.map(|relay| relay.places.clone()).unwrap_or_default();
            let text = match external {
                Some(Sourced { value: (public, private), places: of_external }) => {
                    places.extend(of_external);
                    match private.or(local).filter(|local| local != public) {
                        Some(local) => format!("{public}/{local}"),
                        None => public.to_string(),
                    }
                }
                None => match local {
                    Some(local) => local.to_string(),
                    None => continue,
                },
            };
            places.sort_unstable();
            self.draft.external_ip.push(Sourced { value: text, places });
        }
    }

    pub(super) fn put_ports_together(&mut self, settings: &mut [Setting]) {
        let (first, last) = self.relay_ports();
        let ends = [&self.min_port, &self.max_port];
        let mut places: Vec<Place> =
            ends.into_iter().flatten().flat_map(|port| &port.places).copied().collect();
        places.sort_unstable();
        if !places.is_empty() {
            if let Err(error) = PortRange::new(first, last) {
                set(settings, &places, Outcome::Error(error.to_string()));
            }
            self.draft.relay_ports = Some(Sourced { value: format!("{first}-{last}"), places });
        }
    }

    /// With coturn's default, where one end is given only.
    pub(super) fn relay_ports(&self) -> (u16, u16) {
        (
            self.min_port.as_ref().map_or(49152, |port| port.value),
            self.max_port.as_ref().map_or(65535, |port| port.value),
        )
    }
}
