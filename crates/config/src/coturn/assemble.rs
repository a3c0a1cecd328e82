//! What depends on more than one line of turnserver.conf: addresses, ports, credentials, listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use zeroize::Zeroizing;

use taciturn_turn::policy::PortRange;

use super::translate::{Collected, Draft, DraftListen, Sourced};
use super::{Outcome, Setting};

impl Collected {
    /// Puts together what depends on more than one line.
    pub(super) fn finish(mut self, settings: &mut [Setting]) -> Draft {
        self.drop_own_addresses(settings);
        self.put_addresses_together();
        self.put_ports_together(settings);
        if self.draft.workers.is_none() {
            self.draft.workers = self.cpus.take();
        }
        self.put_credentials_together(settings);
        self.put_certificate_together(settings);
        self.put_listeners_together(settings);
        self.draft
    }

    /// coturn needs a rule for calls between two of its own clients; here there must be none, or
    /// every service on that address could be reached.
    fn drop_own_addresses(&mut self, settings: &mut [Setting]) {
        let mut own = self.addresses.clone();
        own.extend(self.relay.iter().map(|relay| relay.value));
        for Sourced { value: (public, private), .. } in &self.external {
            own.extend([Some(*public), *private].into_iter().flatten());
        }
        let is_own =
            |net: &IpNet| net.prefix_len() == net.max_prefix_len() && own.contains(&net.addr());
        let (dropped, kept): (Vec<_>, _) =
            std::mem::take(&mut self.draft.allow).into_iter().partition(|net| is_own(&net.value));
        self.draft.allow = kept;
        for net in dropped {
            let text = "it is the server's own address, and calls between two clients of this \
                        server need no rule";
            set(settings, &net.lines, Outcome::NotNeeded(text.into()));
            let same_line = |setting: &&mut Setting| net.lines.contains(&setting.line);
            settings.iter_mut().filter(same_line).for_each(|setting| setting.remarks.clear());
        }
    }

    fn put_addresses_together(&mut self) {
        for v4 in [true, false] {
            let external = self.external.iter().find(|external| external.value.0.is_ipv4() == v4);
            let relay = self.relay.iter().find(|relay| relay.value.is_ipv4() == v4);
            // coturn relays from the addresses it listens on, unless told otherwise.
            let listening = self
                .addresses
                .iter()
                .find(|ip| ip.is_ipv4() == v4 && !ip.is_unspecified() && !ip.is_loopback());
            let local = relay.map(|relay| relay.value).or_else(|| listening.copied());
            let mut lines: Vec<usize> = relay.map(|relay| relay.lines.clone()).unwrap_or_default();
            let text = match external {
                Some(Sourced { value: (public, private), lines: of_external }) => {
                    lines.extend(of_external);
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
            lines.sort_unstable();
            self.draft.external_ip.push(Sourced { value: text, lines });
        }
    }

    fn put_ports_together(&mut self, settings: &mut [Setting]) {
        // coturn's default, where one end is given only.
        let (first, last) = (
            self.min_port.as_ref().map_or(49152, |port| port.value),
            self.max_port.as_ref().map_or(65535, |port| port.value),
        );
        let mut lines: Vec<usize> = [&self.min_port, &self.max_port]
            .into_iter()
            .flatten()
            .flat_map(|p| &p.lines)
            .copied()
            .collect();
        lines.sort_unstable();
        if !lines.is_empty() {
            if let Err(error) = PortRange::new(first, last) {
                set(settings, &lines, Outcome::Error(error.to_string()));
            }
            self.draft.relay_ports = Some(Sourced { value: format!("{first}-{last}"), lines });
        }
    }

    fn put_credentials_together(&mut self, settings: &mut [Setting]) {
        let mut rest = std::mem::take(&mut self.rest);
        let of_database = settings.iter_mut().find(|setting| setting.option == "use-auth-secret");
        if let Some(setting) = of_database {
            rest.push(setting.line);
            if self.draft.secrets.is_empty() {
                setting.remarks.push(
                    "there is no static-auth-secret, so coturn has its secrets in a database: \
                     `turnadmin -S` prints them; write them to secrets in [auth]"
                        .into(),
                );
            }
        }
        if !rest.is_empty() && !self.draft.users.is_empty() {
            for user in std::mem::take(&mut self.draft.users) {
                let text = "coturn ignores static users beside a shared secret. Here both are good: \
                            write it to users in [auth] if it is wanted";
                set(settings, &user.lines, Outcome::NotNeeded(text.into()));
            }
        }
        // The last of a name wins; our users are unique.
        let name = |user: &Sourced<Zeroizing<String>>| {
            user.value.split_once(':').map_or("", |(name, _)| name).to_owned()
        };
        let users = std::mem::take(&mut self.draft.users);
        for (at, user) in users.iter().enumerate() {
            if users.iter().skip(at + 1).any(|later| name(later) == name(user)) {
                let text = "a later line has the same user, and wins";
                set(settings, &user.lines, Outcome::NotNeeded(text.into()));
            } else {
                self.draft.users.push(user.clone());
            }
        }
        let keyed = |user: &&Sourced<Zeroizing<String>>| user.value.contains(":0x");
        if self.draft.realm.is_none()
            && let Some(line) = self.draft.users.iter().find(keyed).and_then(|u| u.lines.first())
        {
            let setting = settings.iter_mut().find(|setting| setting.line == *line);
            if let Some(setting) = setting {
                setting.remarks.push(
                    "a key (0x...) is good for one realm only, and there is no realm here: coturn \
                     takes the domain of the machine. Set realm to it"
                        .into(),
                );
            }
        }
    }

    fn put_certificate_together(&mut self, settings: &mut [Setting]) {
        let (cert, key) = (self.draft.cert.take(), self.draft.key.take());
        match (cert, key) {
            _ if self.no_tls => {
                for name in ["cert", "pkey"] {
                    set_option(settings, name, Outcome::NotNeeded("TLS is off (no-tls)".into()));
                }
            }
            (Some(cert), Some(key)) => {
                self.draft.cert = Some(cert);
                self.draft.key = Some(key);
            }
            (Some(alone), None) => {
                let text = "a certificate without its key (pkey)";
                set(settings, &alone.lines, Outcome::Error(text.into()));
            }
            (None, Some(alone)) => {
                let text = "a key without its certificate (cert)";
                set(settings, &alone.lines, Outcome::Error(text.into()));
            }
            (None, None) => {}
        }
    }

    fn put_listeners_together(&mut self, settings: &mut [Setting]) {
        let (plain, secure) = (self.port.unwrap_or(3478), self.tls_port.unwrap_or(5349));
        let tls = self.draft.cert.is_some();
        let mut addresses = std::mem::take(&mut self.addresses);
        let every = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let everywhere = addresses.is_empty() || addresses.contains(&every[1]);
        if everywhere {
            addresses = vec![every[1]];
        } else if addresses.contains(&every[0]) {
            addresses.retain(|ip| ip.is_ipv6() || *ip == every[0]);
        }
        let usual = everywhere && plain == 3478 && (secure == 5349 || !tls);
        let extra = self.proxy_port.is_some() || !self.aux.is_empty() || self.dtls;
        if usual && !extra && !self.no_udp && !self.no_tcp {
            for name in [
                "listening-port",
                "tls-listening-port",
                "listening-ip",
                "no-udp",
                "no-tcp",
                "no-tls",
            ] {
                set_option(settings, name, Outcome::NotNeeded("it is the default here".into()));
            }
            return;
        }
        if !tls && self.tls_port.is_some() {
            let text = "there is no certificate, so TLS is off";
            set_option(settings, "tls-listening-port", Outcome::NotNeeded(text.into()));
        }
        let mut listen: Vec<DraftListen> = Vec::new();
        let mut add = |transport, address, behind_proxy| {
            let new = DraftListen { transport, address, behind_proxy };
            if !listen.contains(&new) {
                listen.push(new);
            }
        };
        let plain_tcp = |shared: bool| if tls && shared { "auto" } else { "tcp" };
        for ip in &addresses {
            let at = |port| SocketAddr::new(*ip, port);
            if !self.no_udp {
                add("udp", at(plain), false);
            }
            if !self.no_tcp {
                add(plain_tcp(plain == secure), at(plain), false);
            }
            if tls && (plain != secure || self.no_tcp) {
                add("tls", at(secure), false);
            }
            if self.dtls && tls && plain != secure {
                add("dtls", at(secure), false);
            }
            if let Some(port) = self.proxy_port {
                add("tcp", at(port), true);
            }
        }
        for address in &self.aux {
            if !self.no_udp {
                add("udp", *address, false);
            }
            if !self.no_tcp {
                add(plain_tcp(true), *address, false);
            }
        }
        if listen.is_empty() {
            let text = "nothing is left to listen on";
            for name in ["no-udp", "no-tcp"] {
                set_option(settings, name, Outcome::Error(text.into()));
            }
        }
        self.draft.listen = listen;
    }
}

/// Changes what was said of these lines.
fn set(settings: &mut [Setting], lines: &[usize], outcome: Outcome) {
    for setting in settings.iter_mut().filter(|setting| lines.contains(&setting.line)) {
        setting.outcome = outcome.clone();
    }
}

/// Changes what was said of the lines of this option, but for errors.
fn set_option(settings: &mut [Setting], name: &str, outcome: Outcome) {
    for setting in settings.iter_mut().filter(|setting| setting.option == name) {
        if !matches!(setting.outcome, Outcome::Error(_)) {
            setting.outcome = outcome.clone();
        }
    }
}
