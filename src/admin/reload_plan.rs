//! What a running server does with another configuration: what changes, and what has to wait for a restart.

use taciturn_config::{Change, Config};

use super::sockets::{InTheWay, check_sockets};

/// A configuration for a server that runs with another.
#[derive(Clone, Debug)]
pub struct ReloadPlan {
    /// What is different, in the order of the example file.
    pub changes: Vec<Change>,
    /// What the server has when the plan is carried out: the new configuration, but for what needs
    /// a restart.
    pub config: Config,
}

impl ReloadPlan {
    /// From `old`, which is in use, to `new`.
    ///
    /// Listeners come, go and change as they like, except for those that would need the address of one
    /// that still has its calls: then all of them stay.
    #[must_use]
    pub fn new(old: &Config, new: Config) -> Self {
        let (config, changes) = new.in_place_of(old);
        let mut plan = Self { changes, config };
        if let Err(in_the_way) = check_sockets(&old.listen, &plan.config.listen) {
            plan.keep_listeners(old, &in_the_way);
        }
        plan
    }

    fn keep_listeners(&mut self, old: &Config, InTheWay { holder, .. }: &InTheWay) {
        // The certificates of single listeners stay with them.
        self.changes.retain(|change| change.key != "listen.cert");
        for change in self.changes.iter_mut().filter(|change| change.key == "listen") {
            let why = format!("; {holder} has the address and cannot make room for it at once");
            change.what.push_str(&why);
            change.needs_restart = true;
        }
        self.config.listen.clone_from(&old.listen);
        if self.config.tls.certificates.is_empty() != old.tls.certificates.is_empty() {
            // Those that stay need what they serve.
            let tls = self.changes.iter_mut().filter(|change| change.key == "tls");
            tls.for_each(|change| change.needs_restart = true);
            self.config.tls.clone_from(&old.tls);
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

    fn plan(before: &str, after: &str) -> ReloadPlan {
        ReloadPlan::new(&config("", ""), config(before, after))
    }

    fn words(plan: &ReloadPlan) -> Vec<String> {
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
            ("", "[protocol]\nkeep_dscp = false", "protocol.keep_dscp: true -> false"),
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
        let told = words(&ReloadPlan::new(&config("", ""), new));
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
        let again = ReloadPlan::new(&plan.config, config("realm = \"turn.domain.org\"", ""));
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
        let plan = ReloadPlan::new(&config("", &pem("a")), config("", &pem("b")));
        assert_eq!(plan.changes.len(), 1);
        assert_eq!((plan.changes[0].key, plan.changes[0].needs_restart), ("tls", false));
        let plan = ReloadPlan::new(&config("", ""), config("", &pem("a")));
        let keys: Vec<_> = plan.changes.iter().map(|c| (c.key, c.needs_restart)).collect();
        assert_eq!(keys, [("tls", false), ("listen", false)]);
        assert_eq!((plan.config.tls.certificates.len(), plan.config.listen.len()), (1, 3));
        // Where the listeners have to stay, so has what they serve.
        let moved = "[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:5349\"";
        let plan = ReloadPlan::new(&config("", &pem("a")), config("", moved));
        let keys: Vec<_> = plan.changes.iter().map(|c| (c.key, c.needs_restart)).collect();
        assert_eq!(keys, [("tls", true), ("listen", true)]);
        assert_eq!((plan.config.tls.certificates.len(), plan.config.listen.len()), (1, 3));
    }
}
