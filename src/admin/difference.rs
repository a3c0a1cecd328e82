//! What changes when one configuration takes the place of another, key by key, in words. Secrets
//! are counted, never shown.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::SocketAddr;

use super::keys::rate;
use super::listeners::{InTheWay, movable};
use taciturn_config::{
    Admin, Auth, Config, ExternalIp, Limits, Listen, NatDiscovery, Peers, Process, Protocol,
    Redirect, RelayAddress, Secret, Tls, Tuning, show_duration,
};
use taciturn_turn::auth::{StaticKey, StaticUser};
use taciturn_turn::policy::{Counted, Each, Exceeded, Rates, Scope};

/// A key whose value is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As in the file: `limits.max_lifetime`.
    pub key: &'static str,
    /// From what to what; for secrets how many.
    pub what: String,
    /// Whether a running server cannot take it up.
    pub needs_restart: bool,
}

impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, what, needs_restart } = self;
        write!(f, "{}{key}: {what}", if *needs_restart { "needs a restart: " } else { "" })
    }
}

/// A configuration for a server that runs with another.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is different, in the order of the example file.
    pub changes: Vec<Change>,
    /// What the server has when the plan is carried out: the new configuration, but for what needs
    /// a restart.
    pub config: Config,
}

impl Plan {
    /// From `old`, which is in use, to `new`.
    #[must_use]
    pub fn new(old: &Config, new: Config) -> Self {
        let mut list = List::default();
        compare(old, &new, &mut list);
        let changes = list.0;
        let stays = |key| changes.iter().any(|change| change.needs_restart && change.key == key);
        let config = Config {
            external_ip: old.external_ip.clone(),
            stun_servers: old.stun_servers.clone(),
            relay_ports: old.relay_ports,
            workers: old.workers,
            log_format: old.log_format,
            state_dir: old.state_dir.clone(),
            admin: old.admin.clone(),
            process: old.process.clone(),
            nat_discovery: old.nat_discovery.clone(),
            // It goes with the workers.
            protocol: Protocol { mobility: old.protocol.mobility, ..new.protocol },
            listen: if stays("listen") { old.listen.clone() } else { new.listen.clone() },
            tls: if stays("tls") { old.tls.clone() } else { new.tls.clone() },
            ..new
        };
        Self { changes, config }
    }
}

/// Every field is named, so that a new key cannot be forgotten here.
fn compare(old: &Config, new: &Config, list: &mut List) {
    let Config {
        file: _,
        realm,
        host,
        external_ip,
        stun_servers,
        relay_ports,
        workers,
        listen,
        tls,
        auth,
        peers,
        limits,
        redirect,
        protocol,
        nat_discovery,
        tuning,
        log_format,
        log_level,
        admin,
        process,
        state_dir,
    } = old;
    list.value("realm", realm, &new.realm);
    list.value("host", shown(host.as_ref()), shown(new.host.as_ref()));
    list.restart("external_ip", addresses(external_ip), addresses(&new.external_ip));
    list.restart("stun_servers", stun_servers.join(", "), new.stun_servers.join(", "));
    list.restart("relay_ports", relay_ports, new.relay_ports);
    list.restart("workers", workers, new.workers);
    list.restart("state_dir", state_dir.display(), new.state_dir.display());
    compare_auth(auth, &new.auth, list);
    compare_tls(tls, &new.tls, list);
    let Peers { allow, deny } = peers;
    list.entries("peers.allow", allow, &new.peers.allow);
    list.entries("peers.deny", deny, &new.peers.deny);
    compare_limits(limits, &new.limits, list);
    compare_redirect(redirect.as_ref(), new.redirect.as_ref(), list);
    let Protocol {
        rfc5766_channels,
        tcp_relay,
        rfc8489_over_udp,
        icmp_errors,
        rfc3489,
        mobility,
        software,
    } = protocol;
    list.value("protocol.rfc5766_channels", rfc5766_channels, new.protocol.rfc5766_channels);
    list.value("protocol.tcp_relay", tcp_relay, new.protocol.tcp_relay);
    list.value("protocol.rfc8489_over_udp", rfc8489_over_udp, new.protocol.rfc8489_over_udp);
    list.value("protocol.icmp_errors", icmp_errors, new.protocol.icmp_errors);
    let (before, after) =
        (discovered(nat_discovery.as_ref()), discovered(new.nat_discovery.as_ref()));
    list.restart("protocol.nat_discovery", before, after);
    list.value("protocol.rfc3489", rfc3489, new.protocol.rfc3489);
    list.restart("protocol.mobility", mobility, new.protocol.mobility);
    list.value("protocol.software", software, new.protocol.software);
    list.restart("log.format", log_format.name(), new.log_format.name());
    list.value("log.level", log_level, &new.log_level);
    let Admin { metrics, socket } = admin;
    let path = |socket: &Option<std::path::PathBuf>| {
        socket.as_ref().map_or_else(|| "off".to_owned(), |path| path.display().to_string())
    };
    list.restart("admin.socket", path(socket), path(&new.admin.socket));
    let at =
        |metrics: Option<SocketAddr>| metrics.map_or_else(|| "off".to_owned(), |at| at.to_string());
    list.restart("admin.metrics", at(*metrics), at(new.admin.metrics));
    let Process { user, sandbox, seccomp } = process;
    list.restart("process.user", shown(user.as_ref()), shown(new.process.user.as_ref()));
    list.restart("process.sandbox", sandbox, new.process.sandbox);
    list.restart("process.seccomp", seccomp, new.process.seccomp);
    let Tuning { wake_delay } = tuning;
    let micros = |delay: std::time::Duration| delay.as_micros();
    list.value("tuning.wake_delay_us", micros(*wake_delay), micros(new.tuning.wake_delay));
    compare_listeners(listen, &new.listen, list);
    let all_stay = list.0.iter().any(|change| change.key == "listen" && change.needs_restart);
    if all_stay && tls.certificates.is_empty() != new.tls.certificates.is_empty() {
        // Those that stay need what they serve.
        list.0.iter_mut().filter(|c| c.key == "tls").for_each(|c| c.needs_restart = true);
    }
}

fn compare_auth(old: &Auth, new: &Auth, list: &mut List) {
    let Auth { users, secrets, strict_expiry, on_removal } = old;
    let keys = |users: &[StaticUser]| -> BTreeMap<String, Vec<u8>> {
        let key = |user: &StaticUser| match &user.key {
            StaticKey::Password(password) => password.as_bytes().to_vec(),
            // No password has a zero byte.
            StaticKey::Md5(key) => [&[0], &key[..]].concat(),
        };
        users.iter().map(|user| (user.name.clone(), key(user))).collect()
    };
    list.counted("auth.users", &keys(users), &keys(&new.users));
    let keys = |secrets: &[Secret]| -> BTreeMap<Vec<u8>, ()> {
        secrets.iter().map(|secret| (secret.secret.expose().to_vec(), ())).collect()
    };
    // Those of secret_files and of the state directory are among them.
    list.counted("auth.secrets", &keys(secrets), &keys(&new.secrets));
    list.value("auth.strict_expiry", strict_expiry, new.strict_expiry);
    list.value("auth.on_removal", on_removal.name(), new.on_removal.name());
}

fn compare_tls(old: &Tls, new: &Tls, list: &mut List) {
    let Tls { certificates } = old;
    list.entries("tls", certificates, &new.certificates);
}

fn compare_limits(old: &Limits, new: &Limits, list: &mut List) {
    let Limits {
        allocations_per_user,
        permissions_per_allocation,
        channels_per_allocation,
        peer_connections_per_allocation,
        connections,
        connections_per_address,
        unverified_answers_per_address,
        unverified_answers,
        unverified_exempt,
        failures_per_address,
        handshakes_per_address,
        allocations,
        ports_reserved_percent,
        port_quarantine,
        rates: Rates { bytes, packets, new_peers, allocations: new_allocations },
        max_lifetime,
        nonce_lifetime,
    } = old;
    for (key, old, new) in [
        ("limits.allocations_per_user", allocations_per_user, new.allocations_per_user),
        (
            "limits.permissions_per_allocation",
            permissions_per_allocation,
            new.permissions_per_allocation,
        ),
        ("limits.channels_per_allocation", channels_per_allocation, new.channels_per_allocation),
        (
            "limits.peer_connections_per_allocation",
            peer_connections_per_allocation,
            new.peer_connections_per_allocation,
        ),
        ("limits.connections", connections, new.connections),
        ("limits.connections_per_address", connections_per_address, new.connections_per_address),
        (
            "limits.unverified_answers_per_address",
            unverified_answers_per_address,
            new.unverified_answers_per_address,
        ),
        ("limits.unverified_answers", unverified_answers, new.unverified_answers),
        ("limits.failures_per_address", failures_per_address, new.failures_per_address),
        ("limits.handshakes_per_address", handshakes_per_address, new.handshakes_per_address),
        ("limits.allocations", allocations, new.allocations),
        ("limits.ports_reserved_percent", ports_reserved_percent, new.ports_reserved_percent),
    ] {
        list.value(key, old, new);
    }
    list.entries("limits.unverified_exempt", unverified_exempt, &new.unverified_exempt);
    for (counted, old, new) in [
        (Counted::Bytes, bytes, new.rates.bytes),
        (Counted::Packets, packets, new.rates.packets),
        (Counted::NewPeers, new_peers, new.rates.new_peers),
        (Counted::Allocations, new_allocations, new.rates.allocations),
    ] {
        let Each { allocation, user, in_all } = old;
        for (scope, old, new) in [
            (Scope::Allocation, allocation, new.allocation),
            (Scope::User, user, new.user),
            (Scope::All, in_all, new.in_all),
        ] {
            list.value(rate(Exceeded { scope, counted }), old, new);
        }
    }
    for (key, old, new) in [
        ("limits.port_quarantine", port_quarantine, new.port_quarantine),
        ("limits.max_lifetime", max_lifetime, new.max_lifetime),
        ("limits.nonce_lifetime", nonce_lifetime, new.nonce_lifetime),
    ] {
        list.value(key, show_duration(*old), show_duration(new));
    }
}

fn compare_redirect(old: Option<&Redirect>, new: Option<&Redirect>, list: &mut List) {
    let servers = |redirect: Option<&Redirect>, of: fn(&Redirect) -> [Option<SocketAddr>; 2]| {
        let servers = redirect.map(of).unwrap_or_default();
        servers.iter().flatten().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
    };
    list.value("redirect.servers", servers(old, |r| r.plain), servers(new, |r| r.plain));
    list.value("redirect.tls_servers", servers(old, |r| r.secure), servers(new, |r| r.secure));
    let domain = |redirect: Option<&Redirect>| {
        redirect.and_then(|redirect| redirect.domain.as_deref().map(str::to_owned))
    };
    let (old, new) = (domain(old), domain(new));
    list.value("redirect.tls_domain", shown(old.as_ref()), shown(new.as_ref()));
}

/// Listeners come, go and change as they like, but for those that would need the address of one
/// that still has its calls: then all of them stay.
fn compare_listeners(old: &[Listen], new: &[Listen], list: &mut List) {
    let bound = |listen: &Listen| {
        let Listen { name, transport, address, explicit: _, cert, proxy_protocol, trusted_proxies } =
            listen;
        let mut text = format!("{} {address} ({name}", transport.name());
        if cert.is_some() {
            text.push_str(", a certificate of its own");
        }
        if *proxy_protocol {
            let proxies: Vec<_> = trusted_proxies.iter().map(ToString::to_string).collect();
            text.push_str(", PROXY protocol from ");
            text.push_str(&proxies.join(" "));
        }
        text + ")"
    };
    let (was, is): (Vec<_>, Vec<_>) =
        (old.iter().map(bound).collect(), new.iter().map(bound).collect());
    let before = list.0.len();
    list.entries("listen", &was, &is);
    let stuck = movable(old, new).err();
    if let (Some(change), Some(InTheWay { holder, .. })) = (list.0.get_mut(before), stuck) {
        change.needs_restart = true;
        change
            .what
            .push_str(&format!("; {holder} has the address and cannot make room for it at once"));
        return;
    }
    let certificates = |listen: &[Listen]| -> Vec<String> {
        let own = |listen: &Listen| Some(format!("{} for {}", listen.cert.as_ref()?, listen.name));
        listen.iter().filter_map(own).collect()
    };
    list.entries("listen.cert", &certificates(old), &certificates(new));
}

fn addresses(external_ip: &ExternalIp) -> String {
    let show = |address: &RelayAddress| match address {
        RelayAddress { public, local } if public == local => public.to_string(),
        RelayAddress { public, local } => format!("{public}/{local}"),
    };
    match external_ip {
        ExternalIp::Auto => "auto".to_owned(),
        ExternalIp::Given(given) => given.iter().map(show).collect::<Vec<_>>().join(", "),
    }
}

fn discovered(discovery: Option<&NatDiscovery>) -> String {
    let Some(NatDiscovery { addresses: given, ports: [low, high] }) = discovery else {
        return "off".to_owned();
    };
    let given = given.iter().flatten().flatten().copied().collect();
    format!("{} at {low} and {high}", addresses(&ExternalIp::Given(given)))
}

fn shown(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

#[derive(Default)]
struct List(Vec<Change>);

impl List {
    fn push(&mut self, key: &'static str, what: String) {
        self.0.push(Change { key, what, needs_restart: false });
    }

    /// A single value.
    fn value(&mut self, key: &'static str, old: impl Display, new: impl Display) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            let named = |text: String| if text.is_empty() { "nothing".to_owned() } else { text };
            self.push(key, format!("{} -> {}", named(old), named(new)));
        }
    }

    /// One that a running server cannot take up.
    fn restart(&mut self, key: &'static str, old: impl Display, new: impl Display) {
        let before = self.0.len();
        self.value(key, old, new);
        if let Some(change) = self.0.get_mut(before) {
            change.needs_restart = true;
        }
    }

    /// A list: what is new in it, and what is gone.
    fn entries<T: Display>(&mut self, key: &'static str, old: &[T], new: &[T]) {
        let texts = |all: &[T]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (old, new) = (texts(old), texts(new));
        if old == new {
            return;
        }
        let without = |all: &[String], others: &[String]| {
            let rest = all.iter().filter(|text| !others.contains(text)).cloned();
            rest.collect::<Vec<_>>().join(", ")
        };
        let parts = [("added", without(&new, &old)), ("removed", without(&old, &new))];
        let parts = parts.iter().filter(|(_, entries)| !entries.is_empty());
        let parts: Vec<_> = parts.map(|(what, entries)| format!("{what} {entries}")).collect();
        match parts.as_slice() {
            [] => self.push(key, "in another order".to_owned()),
            parts => self.push(key, parts.join("; ")),
        }
    }

    /// A list that must not be shown: how many are new, gone, and otherwise than before.
    fn counted<K: Ord, V: PartialEq>(
        &mut self,
        key: &'static str,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
    ) {
        let added = new.keys().filter(|name| !old.contains_key(name)).count();
        let removed = old.keys().filter(|name| !new.contains_key(name)).count();
        let differs = |(name, value): &(&K, &V)| new.get(name).is_some_and(|other| other != *value);
        let changed = old.iter().filter(differs).count();
        let counts = [(added, "added"), (removed, "removed"), (changed, "changed")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        if !counts.is_empty() {
            self.push(key, counts.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[auth]\nsecrets = [\"a secret of the first rank\"]\n\
                        users = [\"alice:correct horse battery\"]\n";

    fn config(before: &str, after: &str) -> Config {
        Config::from_toml(&format!("{before}\n{BASE}\n{after}")).unwrap().config
    }

    fn plan(before: &str, after: &str) -> Plan {
        Plan::new(&config("", ""), config(before, after))
    }

    fn words(plan: &Plan) -> Vec<String> {
        plan.changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_configuration_is_no_change() {
        assert_eq!(words(&plan("", "")), [""; 0]);
    }

    #[test]
    fn each_key_is_told_from_what_to_what() {
        for (before, after, told) in [
            ("realm = \"turn.domain.org\"", "", "realm: taciturn -> turn.domain.org"),
            ("host = \"turn.domain.org\"", "", "host: nothing -> turn.domain.org"),
            (
                "external_ip = \"203.0.113.7/10.0.0.5\"",
                "",
                "needs a restart: external_ip: auto -> 203.0.113.7/10.0.0.5",
            ),
            (
                "relay_ports = \"59000-59999\"",
                "",
                "needs a restart: relay_ports: 59000-60100 -> 59000-59999",
            ),
            ("", "strict_expiry = true", "auth.strict_expiry: false -> true"),
            ("", "on_removal = \"keep\"", "auth.on_removal: end -> keep"),
            ("", "[peers]\ndeny = [\"8.8.8.0/24\"]", "peers.deny: added 8.8.8.0/24"),
            ("", "[limits]\nmax_lifetime = \"2h\"", "limits.max_lifetime: 1h -> 2h"),
            ("", "[limits]\nconnections = 9", "limits.connections: 4096 -> 9"),
            ("", "[limits]\nallocations = 9", "limits.allocations: 0 -> 9"),
            (
                "",
                "[limits]\nports_reserved_percent = 20",
                "limits.ports_reserved_percent: 10 -> 20",
            ),
            ("", "[limits]\nport_quarantine = \"30s\"", "limits.port_quarantine: 2m -> 30s"),
            (
                "",
                "[limits]\nbytes_per_second_per_allocation = 1000000",
                "limits.bytes_per_second_per_allocation: 0 -> 1000000",
            ),
            ("", "[limits]\npackets_per_second = 9", "limits.packets_per_second: 0 -> 9"),
            (
                "",
                "[limits]\nnew_peers_per_second_per_user = 9",
                "limits.new_peers_per_second_per_user: 200 -> 9",
            ),
            (
                "",
                "[redirect]\nservers = [\"8.8.8.8:3478\"]",
                "redirect.servers: nothing -> 8.8.8.8:3478",
            ),
            ("", "[protocol]\nicmp_errors = true", "protocol.icmp_errors: false -> true"),
            ("", "[log]\nlevel = \"warn\"", "log.level: info -> warn"),
            ("", "[protocol]\nrfc3489 = true", "protocol.rfc3489: false -> true"),
            ("", "[protocol]\nsoftware = false", "protocol.software: true -> false"),
            ("", "[tuning]\nwake_delay_us = 0", "tuning.wake_delay_us: 400 -> 0"),
            ("", "[log]\nformat = \"json\"", "needs a restart: log.format: text -> json"),
            ("", "[process]\nuser = \"turn\"", "needs a restart: process.user: nothing -> turn"),
        ] {
            assert_eq!(words(&plan(before, after)), [told]);
        }
    }

    #[test]
    fn credentials_are_counted_and_never_shown() {
        let rotated = BASE.replace("first", "second").replace("correct horse", "wrong donkey");
        let rotated = rotated.replace("users = [", "users = [\"bob:of another make\", ");
        let new = Config::from_toml(&rotated).unwrap().config;
        let told = words(&Plan::new(&config("", ""), new));
        assert_eq!(told, ["auth.users: 1 added, 1 changed", "auth.secrets: 1 added, 1 removed"]);
    }

    #[test]
    fn what_needs_a_restart_stays_as_it_was_and_the_rest_is_taken_up() {
        // The address of a listener that is there cannot be had while it has its calls.
        let listen = "[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:3478\"";
        let plan = plan("relay_ports = \"59000-59999\"\nrealm = \"turn.domain.org\"", listen);
        let told = words(&plan);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[2].starts_with("needs a restart: listen: added udp 127.0.0.1:3478 (udp:3478)"),
            "{told:?}"
        );
        let old = config("", "");
        assert_eq!(plan.config.relay_ports, old.relay_ports);
        assert_eq!(plan.config.listen.len(), old.listen.len());
        assert_eq!(plan.config.realm, "turn.domain.org");
        let again = Plan::new(&plan.config, config("realm = \"turn.domain.org\"", ""));
        assert_eq!(words(&again), [""; 0], "put back, and nothing is left to restart for");
    }

    #[test]
    fn listeners_come_and_go() {
        let listen = "[[listen]]\ntransport = \"udp\"\naddress = \"[::]:3479\"";
        let plan = plan("", listen);
        let told = "listen: added udp [::]:3479 (udp:3479); removed udp [::]:3478 (udp:3478), tcp [::]:3478 (tcp:3478)";
        assert_eq!(words(&plan), [told]);
        assert_eq!(plan.config.listen.len(), 1);
    }

    #[test]
    fn certificates_change_in_place_and_tls_is_turned_on() {
        let pem = |name: &str| format!("[tls]\ncert = \"/c/{name}.pem\"\nkey = \"/c/{name}.key\"");
        let plan = Plan::new(&config("", &pem("a")), config("", &pem("b")));
        assert_eq!(plan.changes.len(), 1);
        assert_eq!((plan.changes[0].key, plan.changes[0].needs_restart), ("tls", false));
        let plan = Plan::new(&config("", ""), config("", &pem("a")));
        let keys: Vec<_> = plan.changes.iter().map(|c| (c.key, c.needs_restart)).collect();
        assert_eq!(keys, [("tls", false), ("listen", false)]);
        assert_eq!((plan.config.tls.certificates.len(), plan.config.listen.len()), (1, 3));
        // Where the listeners have to stay, so has what they serve.
        let moved = "[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:5349\"";
        let plan = Plan::new(&config("", &pem("a")), config("", moved));
        let keys: Vec<_> = plan.changes.iter().map(|c| (c.key, c.needs_restart)).collect();
        assert_eq!(keys, [("tls", true), ("listen", true)]);
        assert_eq!((plan.config.tls.certificates.len(), plan.config.listen.len()), (1, 3));
    }
}
