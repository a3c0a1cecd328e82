//! The table of keys by name: paths, sections and environment variables.

use std::sync::LazyLock;

use super::key::{Key, OnReload};
use super::keys::SECTIONS;

// The importer of coturn's configuration takes it from here.
pub(super) use super::nearest::nearest;

/// Variables of the prefix `TACITURN_` that are no keys: the file itself.
pub(super) const OTHER_VARIABLES: &[&str] = &["TACITURN_CONFIG", "TACITURN_COTURN_CONFIG"];

/// Short names of variables, and their keys.
const SHORT_VARIABLES: &[(&str, &str)] = &[("TACITURN_LOG", "log.level")];

/// Sections that there may be several of, in double brackets.
pub(super) const REPEATED: [&str; 2] = ["listen", "tenant"];

/// The keys of a section that there may be several of.
pub(super) fn keys_of(repeated: &str) -> impl Iterator<Item = &'static Key> {
    SECTIONS
        .iter()
        .filter(move |section| section.name == repeated)
        .flat_map(|section| &section.keys)
}

/// The keys of a `[[listen]]` section.
pub(super) static LISTEN_KEYS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| keys_of("listen").map(|key| key.name).collect());

/// All keys, but for those of sections that there may be several of.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    let sections = SECTIONS.iter().filter(|section| !REPEATED.contains(&section.name));
    sections.flat_map(|section| &section.keys)
}

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path == path)
}

/// What a reload does with the key of this path.
pub(super) fn on_reload(path: &str) -> OnReload {
    find(path).map_or(OnReload::Applied, |key| key.on_reload)
}

/// Whether `name` is a section such as `auth`.
pub(super) fn is_section(name: &str) -> bool {
    keys().any(|key| key.path.rsplit_once('.').is_some_and(|(section, _)| section == name))
}

/// The environment variable of a key: `auth.users` is `TACITURN_AUTH_USERS`.
pub(super) fn variable(path: &str) -> String {
    format!("TACITURN_{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// The key that a variable is for.
pub(super) fn of_variable(name: &str) -> Option<&'static Key> {
    let short = SHORT_VARIABLES.iter().find(|(short, _)| *short == name);
    short.and_then(|(_, path)| find(path)).or_else(|| keys().find(|key| variable(key.path) == name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::coturn::{Fate, OPTIONS};
    use crate::key::Kind;

    #[test]
    fn every_key_has_its_own_variable() {
        let names: BTreeSet<_> = keys().map(|key| variable(key.path)).collect();
        assert!(names.contains("TACITURN_AUTH_ALLOW_WEAK_CREDENTIALS"));
        assert_eq!(names.len(), keys().count());
    }

    #[test]
    fn the_keys_that_programs_outside_name_are_there_under_their_names() {
        for path in [
            "realm",
            "external_ip",
            "relay_ports",
            "workers",
            "auth.users",
            "auth.secrets",
            "auth.secret_files",
            "auth.allow_weak_credentials",
            "peers.allow",
            "peers.deny",
            "tls.cert",
            "tls.key",
            "protocol.rfc5766_channels",
            "protocol.tcp_relay",
            "protocol.mobility",
            "admin.metrics",
            "admin.socket",
        ] {
            assert!(find(path).is_some(), "{path} is gone");
        }
        for name in ["transport", "address", "cert", "key", "proxy_protocol"] {
            assert!(LISTEN_KEYS.contains(&name), "{name} of [[listen]] is gone");
        }
    }

    #[test]
    fn the_importer_takes_an_option_over_into_the_key_that_names_it() {
        let keys = keys().filter_map(|key| Some((key, key.coturn?)));
        let mut named = 0;
        for (key, name) in keys {
            named += 1;
            let option = OPTIONS.iter().find(|option| option.names.contains(&name)).unwrap();
            let section = key.path.split('.').next().unwrap();
            // Some lead to a section as a whole, or need the operator.
            let leads = match option.fate {
                Fate::Taken(to, _) => to == key.path,
                // Its value decides where it leads.
                Fate::Judged(_) => true,
                Fate::Lost(text) | Fate::Refused(text) | Fate::Same(text) => {
                    text.contains(key.name) || text.contains(section)
                }
            };
            assert!(leads, "{}: {name}: {:?}", key.path, option.fate);
        }
        assert!(named > 10);
    }

    #[test]
    fn the_help_of_a_number_says_its_bounds() {
        let mut help = String::new();
        for key in keys() {
            if !key.help.is_empty() {
                help = key.help.concat();
            }
            let bounds = match key.kind {
                Kind::Count { least, most } => format!("{least} to {most}"),
                Kind::Duration { least, most } => {
                    format!("{} to {}", crate::show_duration(least), crate::show_duration(most))
                }
                _ => continue,
            };
            assert!(help.contains(&bounds), "{}: {bounds} is not in: {help}", key.path);
        }
    }
}
