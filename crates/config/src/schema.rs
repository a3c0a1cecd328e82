//! The table of keys: one line a key, from which the file reader, the environment reader and
//! the "did you mean" all follow. A new key is a line here and a check in `check`.

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A file or directory; shown in errors unless it plainly is something else.
    Path,
    Integer,
    Boolean,
    Duration,
    /// A list of strings; a single string is taken as a list of one.
    List,
    /// As `List`, but nothing of it may be shown and no comma splits it in the environment.
    SecretList,
    /// `[[listen]]`.
    Listeners,
}

pub(super) struct Key {
    /// The key with its section: `auth.users`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

pub(super) const KEYS: &[Key] = &[
    key("realm", Kind::Text),
    key("host", Kind::Text),
    key("external_ip", Kind::List),
    key("stun_servers", Kind::List),
    key("relay_ports", Kind::Text),
    key("workers", Kind::Integer),
    key("state_dir", Kind::Text),
    key("listen", Kind::Listeners),
    key("auth.users", Kind::SecretList),
    key("auth.secrets", Kind::SecretList),
    key("auth.secret_files", Kind::List),
    key("auth.allow_weak_credentials", Kind::Boolean),
    key("auth.strict_expiry", Kind::Boolean),
    key("auth.on_removal", Kind::Text),
    key("tls.cert", Kind::Path),
    key("tls.key", Kind::Path),
    key("tls.certbot", Kind::Path),
    key("tls.acme", Kind::Path),
    key("tls.acme_domains", Kind::List),
    key("peers.allow", Kind::List),
    key("peers.deny", Kind::List),
    key("limits.allocations_per_user", Kind::Integer),
    key("limits.allocations_per_second_per_user", Kind::Integer),
    key("limits.permissions_per_allocation", Kind::Integer),
    key("limits.channels_per_allocation", Kind::Integer),
    key("limits.peer_connections_per_allocation", Kind::Integer),
    key("limits.connections", Kind::Integer),
    key("limits.connections_per_address", Kind::Integer),
    key("limits.unverified_answers_per_address", Kind::Integer),
    key("limits.unverified_answers", Kind::Integer),
    key("limits.unverified_exempt", Kind::List),
    key("limits.failures_per_address", Kind::Integer),
    key("limits.handshakes_per_address", Kind::Integer),
    key("limits.allocations", Kind::Integer),
    key("limits.ports_reserved_percent", Kind::Integer),
    key("limits.port_quarantine", Kind::Duration),
    key("limits.bytes_per_second_per_allocation", Kind::Integer),
    key("limits.bytes_per_second_per_user", Kind::Integer),
    key("limits.bytes_per_second", Kind::Integer),
    key("limits.packets_per_second_per_allocation", Kind::Integer),
    key("limits.packets_per_second_per_user", Kind::Integer),
    key("limits.packets_per_second", Kind::Integer),
    key("limits.new_peers_per_second_per_allocation", Kind::Integer),
    key("limits.new_peers_per_second_per_user", Kind::Integer),
    key("limits.max_lifetime", Kind::Duration),
    key("limits.nonce_lifetime", Kind::Duration),
    key("redirect.servers", Kind::List),
    key("redirect.tls_servers", Kind::List),
    key("redirect.tls_domain", Kind::Text),
    key("protocol.rfc5766_channels", Kind::Boolean),
    key("protocol.tcp_relay", Kind::Boolean),
    key("protocol.rfc8489_over_udp", Kind::Boolean),
    key("protocol.icmp_errors", Kind::Boolean),
    key("protocol.nat_discovery", Kind::List),
    key("protocol.rfc3489", Kind::Boolean),
    key("protocol.mobility", Kind::Boolean),
    key("protocol.software", Kind::Boolean),
    key("tuning.wake_delay_us", Kind::Integer),
    key("log.format", Kind::Text),
    key("log.level", Kind::Text),
    key("admin.metrics", Kind::Text),
    key("admin.socket", Kind::Text),
    key("process.user", Kind::Text),
    key("process.sandbox", Kind::Boolean),
    key("process.seccomp", Kind::Boolean),
];

/// The keys of a `[[listen]]` section.
pub(super) const LISTEN_KEYS: &[&str] =
    &["transport", "address", "name", "cert", "key", "proxy_protocol", "trusted_proxies"];

/// Variables of this prefix that are no keys: the file itself.
pub(super) const OTHER_VARIABLES: &[&str] = &["TACITURN_CONFIG", "TACITURN_COTURN_CONFIG"];

/// Short names of variables, and their keys.
const SHORT_VARIABLES: &[(&str, &str)] = &[("TACITURN_LOG", "log.level")];

/// What people coming from coturn write, and what it is called here.
const COTURN: &[(&str, &str)] = &[
    ("static_auth_secret", "secrets in the section [auth]"),
    ("use_auth_secret", "secrets in the section [auth]; it is on as soon as there is one"),
    ("lt_cred_mech", "nothing: long-term credentials are always required"),
    ("user", "users in the section [auth], a list"),
    ("server_name", "realm"),
    ("min_port", "relay_ports = \"59000-60100\""),
    ("max_port", "relay_ports = \"59000-60100\""),
    ("listening_port", "address = \"[::]:3478\" in a section [[listen]]"),
    ("tls_listening_port", "address = \"[::]:5349\" in a section [[listen]]"),
    ("listening_ip", "address = \"ADDRESS:3478\" in a section [[listen]]"),
    ("pkey", "key in the section [tls]"),
    ("no_udp", "nothing: leave it out of the [[listen]] sections"),
    ("no_tcp", "nothing: leave it out of the [[listen]] sections"),
    ("no_tls", "nothing: TLS is off without a certificate or a [[listen]] section for it"),
    ("no_dtls", "nothing: DTLS is off without a [[listen]] section for it"),
    ("relay_ip", "external_ip = \"PUBLIC/PRIVATE\""),
    ("allowed_peer_ip", "allow in the section [peers]"),
    ("denied_peer_ip", "deny in the section [peers]"),
    ("rfc5766_channel_numbers", "rfc5766_channels in the section [protocol]"),
    (
        "no_tcp_relay",
        "nothing: tcp_relay in the section [protocol] is off unless it is set to true",
    ),
    ("proc_user", "user in the section [process]"),
    ("proc_group", "user = \"USER:GROUP\" in the section [process]"),
    ("rfc5780", "nat_discovery in the section [protocol]: two addresses of this server"),
    ("rfc3489_compatibility", "rfc3489 in the section [protocol]"),
    ("software_attribute", "software in the section [protocol]"),
    ("no_software_attribute", "software = false in the section [protocol]"),
    ("alternate_server", "servers in the section [redirect]"),
    ("tls_alternate_server", "tls_servers in the section [redirect]"),
    ("unauthorized_ratelimit", "nothing: limits.unverified_answers_per_address is on by default"),
    ("user_quota", "allocations_per_user in the section [limits]"),
    ("total_quota", "allocations in the section [limits]"),
    ("max_bps", "bytes_per_second_per_allocation in the section [limits]"),
    ("bps_capacity", "bytes_per_second in the section [limits]"),
];

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether `name` is a section such as `auth`.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.path.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The environment variable of a key: `auth.users` is `TACITURN_AUTH_USERS`.
pub(super) fn variable(path: &str) -> String {
    format!("TACITURN_{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// The key that a variable is for.
pub(super) fn of_variable(name: &str) -> Option<&'static Key> {
    let short = SHORT_VARIABLES.iter().find(|(short, _)| *short == name);
    short
        .and_then(|(_, path)| find(path))
        .or_else(|| KEYS.iter().find(|key| variable(key.path) == name))
}

/// Names that may stand in `section` (`""` for the top level).
fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS
        .iter()
        .filter_map(|key| match key.path.split_once('.') {
            Some((in_section, name)) if in_section == section => Some(name),
            Some((in_section, _)) if section.is_empty() => Some(in_section),
            None if section.is_empty() => Some(key.path),
            _ => None,
        })
        .collect();
    if section == "listen" {
        names.extend(LISTEN_KEYS);
    }
    names.dedup();
    names
}

/// What the writer of the unknown key `name` in `section` may have meant.
pub(super) fn hint(section: &str, name: &str) -> String {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let candidates = names_in(section);
    if let Some(near) = nearest(&plain, candidates.iter().copied()) {
        return format!("did you mean \"{near}\"?");
    }
    let elsewhere = KEYS.iter().find(|key| {
        let (in_section, last) = key.path.split_once('.').unwrap_or(("", key.path));
        in_section != section && last == plain
    });
    if let Some(key) = elsewhere {
        return match key.path.split_once('.') {
            Some((section, _)) => format!("\"{plain}\" belongs in the section [{section}]"),
            None => format!("\"{plain}\" belongs at the top of the file, before any [section]"),
        };
    }
    if section != "listen" && LISTEN_KEYS.contains(&plain.as_str()) {
        return format!("\"{plain}\" belongs in a section [[listen]]");
    }
    if let Some((_, here)) = COTURN.iter().find(|(theirs, _)| *theirs == plain) {
        return format!("what coturn calls {name} is here: {here}");
    }
    let place = match section {
        "" => "keys at the top level".to_owned(),
        "listen" => "keys of [[listen]]".to_owned(),
        _ => format!("keys of [{section}]"),
    };
    format!("remove it; {place} are: {}", candidates.join(", "))
}

/// The candidate that is a slip of the pen away from `name`.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (name.len() / 4).clamp(1, 3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_find_their_key() {
        assert_eq!(hint("", "relam"), "did you mean \"realm\"?");
        assert_eq!(hint("", "external-ip"), "did you mean \"external_ip\"?");
        assert_eq!(hint("auth", "secret"), "did you mean \"secrets\"?");
        assert_eq!(hint("listen", "adress"), "did you mean \"address\"?");
    }

    #[test]
    fn keys_in_the_wrong_section_are_told_their_section() {
        assert_eq!(hint("", "strict_expiry"), "\"strict_expiry\" belongs in the section [auth]");
        assert_eq!(
            hint("auth", "relay_ports"),
            "\"relay_ports\" belongs at the top of the file, before any [section]"
        );
    }

    #[test]
    fn coturn_names_are_translated() {
        assert!(hint("", "static-auth-secret").contains("secrets in the section [auth]"));
        assert!(hint("", "min-port").contains("relay_ports"));
    }

    #[test]
    fn other_unknown_keys_list_what_there_is() {
        assert_eq!(hint("peers", "zebra"), "remove it; keys of [peers] are: allow, deny");
    }

    #[test]
    fn every_key_has_its_own_variable() {
        let mut names: Vec<_> = KEYS.iter().map(|key| variable(key.path)).collect();
        assert!(names.contains(&"TACITURN_AUTH_ALLOW_WEAK_CREDENTIALS".to_owned()));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    /// The example file with its settings switched on: prose has a space after the `#`.
    fn example() -> String {
        let lines = include_str!("../../../config/taciturn.toml").lines();
        let on = |line: &'static str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        };
        lines.map(|line| format!("{}\n", on(line))).collect()
    }

    #[test]
    fn example_file_names_every_key() {
        let table: toml::Table = example().parse().unwrap();
        for key in KEYS {
            let found = match key.path.split_once('.') {
                Some((section, name)) => table[section].get(name),
                None => table.get(key.path),
            };
            assert!(found.is_some(), "{} is not in config/taciturn.toml", key.path);
        }
        for name in LISTEN_KEYS {
            let mut sections = table["listen"].as_array().unwrap().iter();
            assert!(sections.any(|s| s.get(name).is_some()), "{name} of [[listen]] is missing");
        }
    }

    #[test]
    fn example_file_holds_the_defaults() {
        use crate::{Config, Listen};
        let secret = "\nsecrets = [\"a secret for this test\"]\n";
        let with_secret = example().replace("\nsecrets = []\n", secret);
        let shown = Config::from_toml(&with_secret).unwrap().config;
        // The third listener is there by default where there is a certificate.
        let default = format!("tls.certbot = \"/live\"\n[auth]{secret}");
        let default = Config::from_toml(&default).unwrap().config;
        assert_eq!(shown.realm, default.realm);
        assert_eq!(shown.external_ip, default.external_ip);
        assert_eq!(shown.relay_ports, default.relay_ports);
        assert_eq!(shown.workers, default.workers);
        assert_eq!(shown.state_dir, default.state_dir);
        assert_eq!(shown.limits, default.limits);
        assert_eq!(shown.protocol, default.protocol);
        assert_eq!(shown.tuning, default.tuning);
        assert_eq!(shown.log_format, default.log_format);
        assert_eq!(shown.log_level, default.log_level);
        assert_eq!(shown.admin, default.admin);
        assert_eq!(shown.process.sandbox, default.process.sandbox);
        assert_eq!(shown.process.seccomp, default.process.seccomp);
        assert_eq!(shown.auth.strict_expiry, default.auth.strict_expiry);
        assert_eq!(shown.auth.on_removal, default.auth.on_removal);
        let listen = |config: &Config| -> Vec<_> {
            let keys = |l: &Listen| {
                let proxies = (l.proxy_protocol, l.trusted_proxies.clone());
                (l.name.clone(), l.transport, l.address, proxies)
            };
            config.listen.iter().map(keys).collect()
        };
        assert_eq!(listen(&shown), listen(&default));
        assert!(shown.listen[0].explicit && !default.listen[0].explicit);
    }
}
