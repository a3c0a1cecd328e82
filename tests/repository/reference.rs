//! The two documents that are made of what the programs know: docs/reference.md of
//! config/taciturn.toml and of what a reload does, and the table of coturn's options in
//! docs/migrate-from-coturn.md. `UPDATE_GOLDEN=1` rewrites them.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use taciturn::admin::Plan;
use taciturn_config::Config;
use taciturn_config::coturn::{CoturnOption, Fate, OPTIONS, Takes};

fn compare(path: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, written).unwrap();
    }
    let read = std::fs::read_to_string(&path).unwrap();
    assert!(
        read == written,
        "{} is not what the programs say; `UPDATE_GOLDEN=1 cargo test --test repository reference` rewrites it",
        path.display()
    );
}

// --- The reference ------------------------------------------------------------------------

/// A key as config/taciturn.toml explains it.
#[derive(Debug)]
struct Key {
    /// `relay_ports`, `limits.connections`, `listen.address`.
    path: String,
    /// TOML, as it stands there.
    value: String,
    prose: String,
}

/// A part of the file, with the prose before it.
struct Part {
    title: String,
    prose: String,
    keys: Vec<Key>,
}

/// The example file: what it says before the first key, and its parts.
fn example() -> (String, Vec<Part>) {
    let top = Part { title: "Top level".into(), prose: String::new(), keys: Vec::new() };
    let (mut parts, mut head) = (vec![top], String::new());
    // Lines of prose since the last blank line or key; whether they have been used by a key.
    let (mut prose, mut used) = (String::new(), false);
    for line in include_str!("../../config/taciturn.toml").lines() {
        let setting = match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => rest,
            _ => line,
        };
        if line.is_empty() {
            if head.is_empty() {
                head = std::mem::take(&mut prose);
            }
            (prose, used) = (String::new(), false);
        } else if setting == "#" || setting.starts_with("# ") {
            if std::mem::take(&mut used) {
                prose.clear();
            }
            prose.push_str(setting.trim_start_matches(['#', ' ']));
            prose.push('\n');
        } else if let Some(title) = setting.strip_prefix('[') {
            let title = format!("[{}", title.trim());
            if !parts.iter().any(|part| part.title == title) {
                parts.push(Part { title, prose: std::mem::take(&mut prose), keys: Vec::new() });
            }
            prose.clear();
        } else {
            let (name, value) = setting.split_once(" = ").unwrap();
            let part = parts.last_mut().unwrap();
            let section = part.title.trim_matches(['[', ']']);
            let path =
                if section == "Top level" { name.to_owned() } else { format!("{section}.{name}") };
            if !part.keys.iter().any(|key| key.path == path) {
                let key = Key { path, value: value.to_owned(), prose: prose.clone() };
                part.keys.push(key);
            }
            used = true;
        }
    }
    (head, parts)
}

/// A configuration, key by key; what is not named has its default.
fn base() -> BTreeMap<String, String> {
    let pairs = [
        ("realm", "\"turn.domain.org\""),
        ("state_dir", "\"/nowhere/state\""),
        ("auth.users", "[\"alice:correct horse battery\"]"),
        ("auth.secrets", "[\"a secret of the first rank\"]"),
        ("tls.cert", "\"/nowhere/a.pem\""),
        ("tls.key", "\"/nowhere/a.key\""),
        ("listen", "[\"udp:[::]:3478\", \"tcp:[::]:3478\"]"),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn config(pairs: &BTreeMap<String, String>) -> Config {
    let mut toml = String::new();
    for (key, value) in pairs {
        writeln!(toml, "{key} = {value}").unwrap();
    }
    match Config::from_toml(&toml) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}\n{toml}"),
    }
}

/// Another value for a key, where none follows from the one in the example file.
fn other_value(key: &Key, secret_file: &str) -> Vec<(String, String)> {
    let listen = |section: &str| ("listen".to_owned(), format!("[{section}]"));
    let plain = |value: &str| (key.path.clone(), value.to_owned());
    let with = |value: &str, other: &str, more: &str| {
        vec![plain(value), (other.to_owned(), more.to_owned())]
    };
    let udp = "{transport = \"udp\", address = \"[::]:3478\"";
    let tls = "{transport = \"tls\", address = \"[::]:5349\"";
    match key.path.as_str() {
        "realm" | "host" => vec![plain("\"turn2.domain.org\"")],
        "external_ip" => vec![plain("\"8.8.8.8\"")],
        "stun_servers" => vec![plain("[\"stun.domain.org:3478\"]")],
        "relay_ports" => vec![plain("\"50000-51000\"")],
        "state_dir" => vec![plain("\"/nowhere/else\"")],
        "auth.users" => vec![plain("[\"bob:correct horse battery\"]")],
        "auth.secrets" => vec![plain("[\"a secret of another rank\"]")],
        "auth.secret_files" => vec![plain(&format!("[{secret_file:?}]"))],
        // A pair has the name of its certificate.
        "tls.cert" => with("\"/nowhere/b.pem\"", "tls.key", "\"/nowhere/b.key\""),
        "tls.key" => with("\"/nowhere/b.key\"", "tls.cert", "\"/nowhere/b.pem\""),
        "tls.certbot" => vec![plain("\"/nowhere/live\"")],
        "tls.acme" => vec![plain("\"/nowhere/acme.json\"")],
        "tls.acme_domains" => with("[\"a.domain.org\"]", "tls.acme", "\"/nowhere/acme.json\""),
        "peers.allow" | "peers.deny" | "limits.unverified_exempt" => {
            vec![plain("[\"8.8.8.0/24\"]")]
        }
        "protocol.nat_discovery" => vec![plain("[\"8.8.4.4\", \"8.8.8.8\"]")],
        "redirect.servers" => vec![plain("[\"8.8.8.8:3478\"]")],
        "redirect.tls_servers" => vec![plain("[\"8.8.8.8:5349\"]")],
        "redirect.tls_domain" => {
            with("\"turn2.domain.org\"", "redirect.tls_servers", "[\"8.8.8.8:5349\"]")
        }
        "auth.on_removal" => vec![plain("\"keep\"")],
        "log.format" => vec![plain("\"json\"")],
        "log.level" => vec![plain("\"warn\"")],
        "admin.metrics" => vec![plain("\"off\"")],
        "admin.socket" => vec![plain("\"/nowhere/control.sock\"")],
        "process.user" => vec![plain("\"turn\"")],
        "listen.transport" | "listen.address" => {
            vec![listen("{transport = \"tcp\", address = \"[::]:3480\"}")]
        }
        "listen.name" => vec![listen(&format!("{udp}, name = \"calls\"}}"))],
        "listen.cert" | "listen.key" => {
            vec![listen(&format!("{tls}, cert = \"/nowhere/c.pem\", key = \"/nowhere/c.key\"}}"))]
        }
        "listen.proxy_protocol" | "listen.trusted_proxies" => vec![listen(&format!(
            "{}, proxy_protocol = true, trusted_proxies = [\"10.0.0.1\"]}}",
            udp.replace("udp", "tcp")
        ))],
        path => {
            let value = match key.value.as_str() {
                "true" => "false".to_owned(),
                "false" => "true".to_owned(),
                value => {
                    // A number; of a duration, what is before its unit.
                    let digits = value.trim_matches('"').trim_end_matches(['s', 'm', 'h', 'd']);
                    let Ok(number) = digits.parse::<u64>() else {
                        panic!("{path} needs another value, here, to see what a reload does")
                    };
                    value.replacen(digits, &(number + 1).to_string(), 1)
                }
            };
            vec![plain(&value)]
        }
    }
}

/// What a listener is before, so that one key of it is what changes.
fn before(path: &str) -> BTreeMap<String, String> {
    let mut base = base();
    let listen = match path {
        "listen.cert" | "listen.key" => {
            "{transport = \"tls\", address = \"[::]:5349\", cert = \"/nowhere/a.pem\", \
             key = \"/nowhere/a.key\"}"
        }
        "listen.proxy_protocol" => "{transport = \"tcp\", address = \"[::]:3478\"}",
        "listen.trusted_proxies" => {
            "{transport = \"tcp\", address = \"[::]:3478\", proxy_protocol = true, \
             trusted_proxies = [\"10.0.0.2\"]}"
        }
        path if path.starts_with("listen.") => "{transport = \"udp\", address = \"[::]:3478\"}",
        "protocol.nat_discovery" => {
            "{transport = \"udp\", address = \"[::]:3478\"}, \
             {transport = \"udp\", address = \"[::]:3479\"}"
        }
        "tls.acme_domains" => {
            base.insert("tls.acme".into(), "\"/nowhere/acme.json\"".into());
            return base;
        }
        _ => return base,
    };
    base.insert("listen".into(), format!("[{listen}]"));
    base
}

/// Whether a reload takes the key up.
fn reload(key: &Key, secret_file: &str) -> &'static str {
    let old = before(&key.path);
    let mut new = old.clone();
    new.extend(other_value(key, secret_file));
    let plan = Plan::new(&config(&old), config(&new));
    // It only decides which credentials are read.
    let unseen = key.path == "auth.allow_weak_credentials";
    assert!(unseen || !plan.changes.is_empty(), "{} was not changed", key.path);
    match plan.changes.iter().any(|change| change.needs_restart) {
        false => "A reload applies it.",
        true => "Needs a restart.",
    }
}

/// The value of the example file, where that is the default.
fn default(key: &Key) -> String {
    let needed = ["listen.transport", "listen.address"].contains(&key.path.as_str());
    if needed {
        return "Required.".into();
    }
    if key.prose.contains("Default:") {
        return String::new();
    }
    let without = || "No default.".to_owned();
    if let Some(name) = key.path.strip_prefix("listen.") {
        return if ["cert", "key"].contains(&name) {
            without()
        } else {
            format!("Default: `{}`.", key.value)
        };
    }
    // They are nothing by themselves.
    if ["tls.cert", "tls.key", "redirect.tls_domain"].contains(&key.path.as_str()) {
        return without();
    }
    let mut old = base();
    old.remove(&key.path);
    let mut new = old.clone();
    new.insert(key.path.clone(), key.value.clone());
    if Plan::new(&config(&old), config(&new)).changes.is_empty() {
        format!("Default: `{}`.", key.value)
    } else {
        without()
    }
}

fn takes(value: &str) -> &'static str {
    let duration = value.trim_matches('"').strip_suffix(['s', 'm', 'h', 'd']);
    match value.as_bytes().first() {
        Some(b'[') => "A list of texts.",
        Some(b't' | b'f') => "`true` or `false`.",
        Some(b'0'..=b'9') => "A number.",
        _ if duration.is_some_and(|number| number.parse::<u32>().is_ok()) => "A duration.",
        _ => "Text.",
    }
}

#[test]
fn the_reference_has_every_key_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let secret_file = dir.path().join("secret");
    std::fs::write(&secret_file, "a secret of a file of its own\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret_file, mode).unwrap();

    let (head, parts) = example();
    let mut text = format!(
        "# Reference\n\n\
         Every key of the configuration. This page is written by\n\
         `UPDATE_GOLDEN=1 cargo test --test repository reference`, from\n\
         [config/taciturn.toml](../config/taciturn.toml) and from what a reload does; do not edit it.\n\n\
         {}\n",
        head.replace("A line that begins with \"#\" and no space is a setting: remove the \"#\" to use it.\n", "")
    );
    for part in &parts {
        writeln!(text, "## {}\n", part.title).unwrap();
        if !part.prose.is_empty() {
            writeln!(text, "{}", part.prose).unwrap();
        }
        for key in &part.keys {
            let facts = [
                takes(&key.value).to_owned(),
                default(key),
                if part.title == "[[listen]]" {
                    String::new()
                } else {
                    let variable = key.path.to_ascii_uppercase().replace('.', "_");
                    format!("`TACITURN_{variable}`.")
                },
                reload(key, secret_file.to_str().unwrap()).to_owned(),
            ];
            let facts: Vec<_> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
            writeln!(text, "### `{}`\n\n{}\n", key.path, facts.join(" ")).unwrap();
            if !key.prose.is_empty() {
                writeln!(text, "{}", key.prose).unwrap();
            }
        }
    }
    compare("docs/reference.md", &format!("{}\n", text.trim_end()));
}

// --- coturn's options ---------------------------------------------------------------------

/// The first option of each group, in the order of the table.
const GROUPS: &[(&str, &str)] = &[
    ("listening-port", "Where it listens"),
    ("relay-ip", "The relay"),
    ("lt-cred-mech", "Who may use it"),
    ("userdb", "Databases"),
    ("user-quota", "Limits"),
    ("allowed-peer-ip", "Peers"),
    ("cert", "TLS"),
    ("web-admin", "Administration"),
    ("log-file", "The log"),
    ("fingerprint", "The protocol"),
    ("daemon", "The process"),
    ("ne", "Removed by coturn, and still in configurations"),
];

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Taken(key, _) => format!("taken over: `{key}`"),
        Fate::Judged(_) => "its value decides".into(),
        Fate::Same(why) => format!("not needed: {why}"),
        Fate::Lost(instead) => format!("not supported: {instead}"),
        Fate::Refused(why) => format!("stops the import: {why}"),
    }
}

fn row(option: &CoturnOption) -> String {
    let names: Vec<_> = option.names.iter().map(|name| format!("`{name}`")).collect();
    let mut what = fate(&option.fate);
    if let Some(off) = &option.off {
        what = format!("on: {what}; off: {}", fate(off));
    } else if option.takes == Takes::Switch && !matches!(option.fate, Fate::Same(_)) {
        what = format!("on: {what}");
    }
    format!("| {} | {} |\n", names.join(", "), what.replace('|', "\\|"))
}

#[test]
fn the_table_of_coturns_options_is_that_of_the_importer() {
    let mut table = String::new();
    for option in OPTIONS {
        if let Some((_, title)) = GROUPS.iter().find(|(first, _)| *first == option.names[0]) {
            write!(table, "\n### {title}\n\n| coturn | here |\n| --- | --- |\n").unwrap();
        }
        table.push_str(&row(option));
    }
    let titles = GROUPS.iter().filter(|(_, title)| table.contains(&format!("\n### {title}\n")));
    assert_eq!(titles.count(), GROUPS.len(), "a group begins with an option that is there");

    let path = "docs/migrate-from-coturn.md";
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (before, rest) = text.split_once("<!-- options: written by").unwrap();
    let (mark, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once("<!-- options: end -->").unwrap();
    let written =
        format!("{before}<!-- options: written by{mark}\n{table}\n<!-- options: end -->{after}");
    compare(path, &written);
}
