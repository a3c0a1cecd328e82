//! Listeners: on each port of coturn's what coturn serves there.
//!
//! coturn tells what comes by its first byte, on each port: over UDP plain packets and DTLS, over TCP plain
//! streams and TLS. `tls-listening-port` is open over TCP where there is TLS, and over UDP where there is DTLS:
//! up to 4.16 unless `no-dtls` is set, from 4.17 on only if `dtls` is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::collected::{Collected, DraftListen};
use super::super::{Outcome, Setting};
use super::lost_ports::LostPorts;
use super::outcomes::{remark, set_option};

/// What coturn serves, and where.
struct Served {
    udp: Vec<u16>,
    udp_of_dtls: Vec<u16>,
    tcp: Vec<u16>,
    tcp_of_tls: Vec<u16>,
}

impl Collected {
    pub(super) fn put_listeners_together(&mut self, settings: &mut [Setting]) -> LostPorts {
        let cert = self.draft.cert.is_some();
        let (tls, dtls) = (cert && !self.no_tls, cert && self.dtls != Some(false));
        let alt = self.has_alt_ports();
        let mut lost = LostPorts {
            next: alt && self.alt_port.is_none() && self.alt_tls_port.is_none(),
            ..LostPorts::default()
        };
        if !alt {
            let text = "coturn opens it only where it has two addresses and RFC 5780 is on";
            for name in ["alt-listening-port", "alt-tls-listening-port"] {
                set_option(settings, name, Outcome::NotNeeded(text.into()));
            }
        }
        if !tls && !dtls {
            let text = match cert {
                true => "TLS and DTLS are off",
                false => "there is no certificate, so TLS is off",
            };
            for name in ["tls-listening-port", "alt-tls-listening-port", "dtls"] {
                set_option(settings, name, Outcome::NotNeeded(text.into()));
            }
        }
        if cert && !tls && !dtls {
            // Nothing would use it.
            (self.draft.cert, self.draft.key) = (None, None);
            for name in ["cert", "pkey"] {
                let text = "TLS and DTLS are off (no-tls, no-dtls)";
                set_option(settings, name, Outcome::NotNeeded(text.into()));
            }
        }
        let addresses = self.listening_addresses();
        if addresses == [IpAddr::V6(Ipv6Addr::UNSPECIFIED)] && self.is_as_here(tls, dtls, alt) {
            for name in ["listening-port", "listening-ip", "no-udp", "no-tcp", "no-tls"] {
                set_option(settings, name, Outcome::NotNeeded("it is the default here".into()));
            }
            return lost;
        }
        let served = self.served(tls, dtls, alt);
        let relay_ports = self.relay_ports();
        let is_relay_port = |port: u16| (relay_ports.0..=relay_ports.1).contains(&port);
        let datagrams = if dtls { "udp+dtls" } else { "udp" };
        let mut listen: Vec<DraftListen> = Vec::new();
        let mut add = |transport, address, behind_proxy| {
            let new = DraftListen { transport, address, behind_proxy };
            if !listen.contains(&new) {
                listen.push(new);
            }
        };
        for ip in &addresses {
            let at = |port| SocketAddr::new(*ip, port);
            for port in &served.udp {
                add(datagrams, at(*port), false);
            }
            for port in &served.udp_of_dtls {
                // Plain packets are not expected there, so one that lies among the relay ports can be left out.
                if self.min_port.is_some() && is_relay_port(*port) && !served.udp.contains(port) {
                    note(&mut lost.taken, *port);
                } else {
                    add(datagrams, at(*port), false);
                }
            }
            for port in &served.tcp {
                add(if tls { "auto" } else { "tcp" }, at(*port), false);
            }
            for port in &served.tcp_of_tls {
                add(if self.no_tcp { "tls" } else { "auto" }, at(*port), false);
            }
            if let Some(port) = self.proxy_port
                && !self.no_tcp
            {
                add("tcp", at(port), true);
            }
        }
        for address in &self.aux {
            if !self.no_udp || dtls {
                add(datagrams, *address, false);
            }
            if self.proxy_port.is_none() && (!self.no_tcp || tls) {
                let transport = match (self.no_tcp, tls) {
                    (true, _) => "tls",
                    (false, true) => "auto",
                    (false, false) => "tcp",
                };
                add(transport, *address, false);
            }
        }
        if listen.is_empty() {
            let text = "nothing is left to listen on";
            for name in ["no-udp", "no-tcp"] {
                set_option(settings, name, Outcome::Error(text.into()));
            }
        }
        if self.proxy_port.is_some() {
            let place = settings.iter().rfind(|setting| setting.option == "tcp-proxy-port");
            if let Some(place) = place.map(|setting| setting.place) {
                remark(
                    settings,
                    place,
                    "with it coturn serves TCP on that port alone, and TLS nowhere; so does the new configuration",
                );
            }
        }
        self.draft.listen = listen;
        lost
    }

    /// Whether coturn also listens on the alternative ports: for RFC 5780, which is on until 4.16 unless told
    /// otherwise, and which needs two addresses.
    fn has_alt_ports(&self) -> bool {
        let wildcard = self.addresses.iter().any(|ip| ip.is_unspecified());
        let several = self.addresses.is_empty() || self.addresses.len() > 1;
        several && !wildcard && !self.is_on("no-rfc5780")
    }

    fn listening_addresses(&self) -> Vec<IpAddr> {
        let mut addresses = self.addresses.clone();
        let every = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        if addresses.is_empty() || addresses.contains(&every[1]) {
            addresses = vec![every[1]];
        } else if addresses.contains(&every[0]) {
            addresses.retain(|ip| ip.is_ipv6() || *ip == every[0]);
        }
        addresses
    }

    /// Whether the default listeners serve the same: plain UDP and TCP on 3478 of all addresses.
    fn is_as_here(&self, tls: bool, dtls: bool, alt: bool) -> bool {
        let alone =
            self.proxy_port.is_none() && self.aux.is_empty() && !(alt && self.alt_port.is_some());
        let all = !self.no_udp && !self.no_tcp;
        self.port.unwrap_or(3478) == 3478 && alone && all && !tls && !dtls
    }

    fn served(&self, tls: bool, dtls: bool, alt: bool) -> Served {
        let (plain, secure) = (self.port.unwrap_or(3478), self.tls_port.unwrap_or(5349));
        let with = |main: u16, other: Option<u16>| -> Vec<u16> {
            [Some(main), other.filter(|_| alt)].into_iter().flatten().collect()
        };
        let (plain_ports, secure_ports) =
            (with(plain, self.alt_port), with(secure, self.alt_tls_port));
        let when = |is: bool, ports: &Vec<u16>| if is { ports.clone() } else { Vec::new() };
        let no_proxy = self.proxy_port.is_none();
        Served {
            udp: when(!self.no_udp, &plain_ports),
            udp_of_dtls: when(dtls && (self.no_udp || plain != secure), &secure_ports),
            tcp: when(!self.no_tcp && no_proxy, &plain_ports),
            tcp_of_tls: when(tls && no_proxy && (self.no_tcp || plain != secure), &secure_ports),
        }
    }
}

fn note(ports: &mut Vec<u16>, port: u16) {
    if !ports.contains(&port) {
        ports.push(port);
    }
}
