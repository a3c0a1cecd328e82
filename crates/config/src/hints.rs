//! What the writer of a key that is not there may have meant.

use super::key::Key;
use super::keys::SECTIONS;
use super::nearest::nearest;
use super::schema::{LISTEN_KEYS, REPEATED, keys};

/// What people coming from coturn write, and what it is called here, where that is not one key that takes
/// the same.
const COTURN: &[(&str, &str)] = &[
    ("use_auth_secret", "secrets in the section [auth]; it is on as soon as there is one"),
    ("lt_cred_mech", "nothing: long-term credentials are always required"),
    ("user", "users in the section [auth], a list"),
    ("server_name", "realm"),
    ("min_port", "relay_ports = \"59000-60100\""),
    ("max_port", "relay_ports = \"59000-60100\""),
    ("listening_port", "address = \"[::]:3478\" in a section [[listen]]"),
    ("tls_listening_port", "address = \"[::]:5349\" in a section [[listen]]"),
    ("listening_ip", "address = \"ADDRESS:3478\" in a section [[listen]]"),
    ("no_udp", "nothing: leave it out of the [[listen]] sections"),
    ("no_tcp", "nothing: leave it out of the [[listen]] sections"),
    ("no_tls", "nothing: TLS is off without a certificate or a [[listen]] section for it"),
    ("no_dtls", "nothing: DTLS is off without a [[listen]] section for it"),
    ("relay_ip", "external_ip = \"PUBLIC/PRIVATE\""),
    (
        "no_tcp_relay",
        "nothing: tcp_relay in the section [protocol] is off unless it is set to true",
    ),
    ("proc_group", "user = \"USER:GROUP\" in the section [process]"),
    ("rfc5780", "nat_discovery in the section [protocol]: two addresses of this server"),
    ("no_software_attribute", "software = false in the section [protocol]"),
    ("unauthorized_ratelimit", "nothing: limits.unverified_answers_per_address is on by default"),
];

/// Names that may stand in `section` (`""` for the top level).
fn names_in(section: &str) -> Vec<&'static str> {
    let here = if section.is_empty() { "top" } else { section };
    let mut names: Vec<_> = SECTIONS
        .iter()
        .filter(|section| section.name == here)
        .flat_map(|section| &section.keys)
        .map(|key| key.name)
        .collect();
    if section.is_empty() {
        // `[[listen]]` and the like are among the keys.
        let sections = SECTIONS.iter().map(|section| section.name);
        names.extend(sections.filter(|name| *name != "top" && !REPEATED.contains(name)));
    }
    names
}

/// What coturn's option `name`, with underscores, is called here.
fn of_coturn(name: &str) -> Option<String> {
    if let Some((_, here)) = COTURN.iter().find(|(theirs, _)| *theirs == name) {
        return Some((*here).to_owned());
    }
    let same = |option: &str| option.replace('-', "_") == name;
    let key = keys().find(|key| key.coturn.is_some_and(same))?;
    Some(match key.path.split_once('.') {
        Some((section, name)) => format!("{name} in the section [{section}]"),
        None => key.name.to_owned(),
    })
}

/// What the writer of the unknown key `name` in `section` may have meant.
pub(super) fn hint(section: &str, name: &str) -> String {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let candidates = names_in(section);
    if let Some(near) = nearest(&plain, candidates.iter().copied()) {
        return format!("did you mean \"{near}\"?");
    }
    // Some keys of a tenant are in tables of it that have the names of sections.
    let in_table = |key: &&Key| {
        let parts = key.path.split_once('.');
        parts.is_some_and(|(table, name)| ["limits", "peers"].contains(&table) && name == plain)
    };
    if section == "tenant"
        && let Some(key) = keys().find(in_table)
    {
        return format!("did you mean \"{}\"?", key.path);
    }
    let elsewhere = keys().find(|key| {
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
    if let Some(here) = of_coturn(&plain) {
        return format!("what coturn calls {name} is here: {here}");
    }
    let place = match section {
        "" => "keys at the top level".to_owned(),
        "listen" | "tenant" => format!("keys of [[{section}]]"),
        _ => format!("keys of [{section}]"),
    };
    format!("remove it; {place} are: {}", candidates.join(", "))
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
}
