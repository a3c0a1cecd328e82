//! The documents that are made of what the programs know: config/taciturn.toml and docs/reference.md of the
//! table of keys, and the table of coturn's options in docs/migrate-from-coturn.md. `UPDATE_GOLDEN=1` rewrites
//! them.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use taciturn::admin::ReloadPlan;
use taciturn_config::coturn::{CoturnOption, Fate, OPTIONS, Takes};
use taciturn_config::{Config, Key, Kind, OnReload, SECTIONS, Section, Shows, show_duration};

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

/// What config/taciturn.toml says before its first key.
const HEAD: &str = "\
Every key is also an environment variable: TACITURN_ and its section and name in capitals, such as
TACITURN_RELAY_PORTS or TACITURN_AUTH_USERS. There, items of a list are separated by commas, users
and secrets by line breaks (or write a TOML list, which begins with \"[\"). This file overrides the
defaults, the environment overrides this file, and flags override the environment; a list is
replaced as a whole.
";

/// The sections as the two documents show them: `listen` and `tenant` have one of their own.
fn shown(section: &Section) -> impl Iterator<Item = &Key> {
    section.keys.iter().filter(|key| !matches!(key.kind, Kind::Listeners | Kind::Tenants))
}

/// Sections that there may be several of.
const REPEATED: [&str; 2] = ["listen", "tenant"];

/// The lines of a comment of the table.
fn lines(help: &[&'static str]) -> impl Iterator<Item = &'static str> {
    help.iter().map(|line| line.trim())
}

fn comment(toml: &mut String, help: &[&'static str]) {
    for line in lines(help) {
        writeln!(toml, "# {line}").unwrap();
    }
}

/// config/taciturn.toml: every key with its help, switched off.
fn example() -> String {
    let mut toml = String::from(
        "# taciturn.toml: every key with its default. None is required.\n#\n\
         # A line that begins with \"#\" and no space is a setting: remove the \"#\" to use it.\n",
    );
    for line in HEAD.lines() {
        writeln!(toml, "# {line}").unwrap();
    }
    for section in SECTIONS.iter() {
        match section.name {
            "top" => {}
            "listen" => {
                toml.push('\n');
                comment(&mut toml, section.help);
                toml.push_str(&listeners(section));
                continue;
            }
            "tenant" => {
                toml.push('\n');
                comment(&mut toml, section.help);
                toml.push_str("#[[tenant]]\n");
                keys(&mut toml, section, false);
                continue;
            }
            name => {
                toml.push('\n');
                comment(&mut toml, section.help);
                writeln!(toml, "[{name}]").unwrap();
            }
        }
        keys(&mut toml, section, section.name == "top");
    }
    toml
}

/// The keys of a section; the first is apart from what is before it where `begins` says so.
fn keys(toml: &mut String, section: &Section, begins: bool) {
    for (n, key) in shown(section).enumerate() {
        if (n > 0 || begins) && !key.help.is_empty() {
            toml.push('\n');
        }
        comment(toml, key.help);
        writeln!(toml, "#{} = {}", key.name, key.value).unwrap();
    }
}

/// The default listeners. The keys that only some have are explained at the last one.
fn listeners(section: &Section) -> String {
    let mut toml = String::from("#[[listen]]\n");
    for key in &section.keys {
        if key.name == "cert" {
            toml.push_str(
                "\n#[[listen]]\n#transport = \"tcp\"\n#address = \"[::]:3478\"\n\
                 \n#[[listen]]\n#transport = \"tls\"\n#address = \"[::]:5349\"\n",
            );
        }
        comment(&mut toml, key.help);
        writeln!(toml, "#{} = {}", key.name, key.value).unwrap();
    }
    toml
}

/// The example file with its settings switched on: prose has a space after the `#`.
fn switched_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    example().lines().map(on).collect()
}

#[test]
fn the_example_file_has_every_key_and_its_default() {
    compare("config/taciturn.toml", &example());
}

#[test]
fn the_example_file_switched_on_differs_from_the_defaults_in_examples_only() {
    let secret = "\nsecrets = [\"a secret for this test\"]\n";
    let of_tenant = "\nsecrets = [\"another secret for this test\"]\n";
    let toml = switched_on().replacen("\nsecrets = []\n", secret, 1);
    let toml = toml.replacen("\nsecrets = []\n", of_tenant, 1);
    let toml = toml.replace("\nsecret_files = [\"/etc/taciturn/acme_secret\"]\n", "\n");
    let toml = toml.replace("\nice = {token_files = [\"/etc/taciturn/acme_ice_token\"]}\n", "\n");
    // Records go to one place: the file. The file with the URL of a database stands for url, and is read. The URL of the
    // fleet names no sentinels.
    let toml = [
        "\nurl = \"https://billing.internal/records\"\n",
        "\nstream = \"records\"\n",
        "\nurl_file = \"/etc/taciturn/database_url\"\n",
        "\nsentinel_user = \"taciturn\"\n",
        "\nsentinel_password_file = \"/etc/taciturn/sentinel_password\"\n",
    ]
    .iter()
    .fold(toml, |toml, other| toml.replace(other, "\n"));
    let shown = Config::from_toml(&toml).unwrap().config;
    // The third listener is there by default where there is a certificate.
    let default = format!("tls.certbot = \"/live\"\n[auth]{secret}");
    let default = Config::from_toml(&default).unwrap().config;
    assert!(shown.listen[0].explicit && !default.listen[0].explicit);
    let (_, changes) = shown.in_place_of(&default);
    let examples: Vec<_> = SECTIONS
        .iter()
        .flat_map(|section| &section.keys)
        .filter(|key| key.shows == Shows::Example)
        .map(|key| key.path)
        .collect();
    assert!(changes.len() > 3, "{changes:?}");
    for change in changes {
        let of_tls = change.key == "tls" || change.what.contains("a certificate of its own");
        let of_tenant = change.key.starts_with("tenant");
        assert!(of_tls || of_tenant || examples.contains(&change.key), "{change}");
    }
}

/// The keys of a tenant.
const TENANT: &str = "name = \"acme\", secrets = [\"a secret of the second rank\"]";

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

/// Another value for a key, where none follows from what it takes.
fn other_value(key: &Key, secret_file: &str) -> Vec<(String, String)> {
    let listen = |section: &str| ("listen".to_owned(), format!("[{section}]"));
    let plain = |value: &str| (key.path.to_owned(), value.to_owned());
    let with = |value: &str, other: &str, more: &str| {
        vec![plain(value), (other.to_owned(), more.to_owned())]
    };
    let tenant = |keys: &str| vec![("tenant".to_owned(), format!("[{{{TENANT}{keys}}}]"))];
    let udp = "{transport = \"udp\", address = \"[::]:3478\"";
    let tls = "{transport = \"tls\", address = \"[::]:5349\"";
    match key.path {
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
        "web.listen" => vec![plain("\"[::]:8443\"")],
        "redirect.servers" => vec![plain("[\"8.8.8.8:3478\"]")],
        "redirect.tls_servers" => vec![plain("[\"8.8.8.8:5349\"]")],
        "redirect.tls_domain" => {
            with("\"turn2.domain.org\"", "redirect.tls_servers", "[\"8.8.8.8:5349\"]")
        }
        "auth.on_removal" => vec![plain("\"keep\"")],
        "auth.database.on_removal" => vec![plain("\"end\"")],
        "auth.secret_hashes" => vec![plain("[\"sha256\", \"sha1\"]")],
        "log.format" => vec![plain("\"json\"")],
        "log.level" => vec![plain("\"warn\"")],
        "admin.page" => vec![plain("\"token\"")],
        "admin.metrics" => vec![plain("\"off\"")],
        "admin.socket" => vec![plain("\"/nowhere/control.sock\"")],
        "ice.tokens" => vec![plain("[\"0123456789abcdef0123456789abcdef\"]")],
        "ice.token_files" => vec![plain(&format!("[{secret_file:?}]"))],
        "ice.uris" => vec![plain("[\"turn:a.domain.org:3478?transport=udp\"]")],
        "ice.max_ttl" => vec![plain("\"3d\"")],
        "ice.ttl" => vec![plain("\"1h\"")],
        "fleet.url" => vec![plain("\"redis://127.0.0.1\"")],
        "fleet.password_file" | "fleet.ca_file" => vec![plain("\"/nowhere/at/all\"")],
        "fleet.sentinel_user" => {
            with("\"another\"", "fleet.url", "\"redis+sentinel://s1/mymaster\"")
        }
        "fleet.sentinel_password_file" => {
            with("\"/nowhere/at/all\"", "fleet.url", "\"redis+sentinel://s1/mymaster\"")
        }
        "auth.database.url" => vec![plain("\"sqlite:/nowhere/at/all\"")],
        "auth.database.url_file" => vec![plain(&format!("\"{secret_file}.url\""))],
        "auth.database.password_file" | "auth.database.ca_file" => {
            vec![plain("\"/nowhere/at/all\"")]
        }
        "auth.database.schema" => vec![plain("\"another\"")],
        "fleet.node" | "fleet.prefix" => vec![plain("\"another\"")],
        "records.file" | "records.token_file" | "records.ca_file" => {
            vec![plain("\"/nowhere/at/all\"")]
        }
        "records.url" => vec![plain("\"http://127.0.0.1:8080/records\"")],
        "records.stream" => with("\"records\"", "fleet.url", "\"redis://127.0.0.1\""),
        "records.addresses" => vec![plain("\"network\"")],
        "kernel_relay.mode" => vec![plain("\"tc\"")],
        "kernel_relay.interfaces" => vec![plain("[\"eth1\"]")],
        "kernel_relay.pins" => vec![plain("\"/nowhere/at/all\"")],
        "process.user" => vec![plain("\"turn\"")],
        "process.stop" => vec![plain("\"drain:1h\"")],
        "listen.realm" => vec![
            listen(&format!("{udp}, realm = \"turn.acme.example\"}}")),
            ("tenant".to_owned(), format!("[{{{TENANT}, realm = \"turn.acme.example\"}}]")),
        ],
        "tenant.name" => {
            vec![("tenant".to_owned(), format!("[{{{}}}]", TENANT.replace("acme", "beta")))]
        }
        "tenant.secrets" => {
            vec![("tenant".to_owned(), format!("[{{{}}}]", TENANT.replace("second", "third")))]
        }
        "tenant.secret_files" => tenant(&format!(", secret_files = [{secret_file:?}]")),
        "tenant.users" => tenant(", users = [\"bob:correct horse battery\"]"),
        "tenant.realm" => tenant(", realm = \"turn.acme.example\""),
        "tenant.server_names" => {
            tenant(", realm = \"acme\", server_names = [\"turn.acme.example\"]")
        }
        "tenant.relay_ports" => tenant(", relay_ports = \"59000-59299\""),
        "tenant.limits" => tenant(", limits = {allocations = 5}"),
        "tenant.ice" => tenant(", ice = {tokens = [\"fedcba9876543210fedcba9876543210\"]}"),
        "tenant.peers" => tenant(", peers = {deny = [\"8.8.8.0/24\"]}"),
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
            let value = match key.kind {
                Kind::Boolean => (key.value == "false").to_string(),
                Kind::Count { least, most } => {
                    let other = if key.value == most.to_string() { least } else { most };
                    other.to_string()
                }
                Kind::Duration { least, most } => {
                    let other = if key.value.contains(&show_duration(most)) { least } else { most };
                    format!("\"{}\"", show_duration(other))
                }
                _ => panic!("{path} needs another value, here, to see what a reload does"),
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
        path if path.starts_with("tenant.") => {
            base.insert("tenant".into(), format!("[{{{TENANT}}}]"));
            return base;
        }
        "listen.realm" => {
            let tenant = format!("[{{{TENANT}, realm = \"turn.acme.example\"}}]");
            base.insert("tenant".into(), tenant);
            "{transport = \"udp\", address = \"[::]:3478\"}"
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

/// What a reload does with the key, tried out.
fn needs_restart(key: &Key, secret_file: &str) -> bool {
    let old = before(key.path);
    let mut new = old.clone();
    new.extend(other_value(key, secret_file));
    let plan = ReloadPlan::new(&config(&old), config(&new));
    assert!(!plan.changes.is_empty(), "{} was not changed", key.path);
    plan.changes.iter().any(|change| change.needs_restart)
}

/// Whether the value that the documents show is what the server has without the key.
fn is_default(key: &Key) -> bool {
    let mut old = base();
    old.remove(key.path);
    let mut new = old.clone();
    new.insert(key.path.to_owned(), key.value.clone());
    ReloadPlan::new(&config(&old), config(&new)).changes.is_empty()
}

fn takes(key: &Key) -> String {
    match key.kind {
        Kind::List if !key.value.starts_with('[') => "Text, or a list of texts.".into(),
        Kind::List | Kind::SecretList | Kind::Listeners => "A list of texts.".into(),
        Kind::Boolean => "`true` or `false`.".into(),
        Kind::Count { least, most } => format!("A number from {least} to {most}."),
        Kind::Duration { least, most } => {
            format!("A duration from {} to {}.", show_duration(least), show_duration(most))
        }
        Kind::Text | Kind::Path => "Text.".into(),
        Kind::Table | Kind::Tenants => "A table of keys.".into(),
    }
}

#[test]
fn the_table_of_keys_says_what_a_reload_does_and_which_values_are_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let secret_file = dir.path().join("secret");
    std::fs::write(&secret_file, "a-secret-of-a-file-of-its-own-or-a-token\n").unwrap();
    let url_file = dir.path().join("secret.url");
    std::fs::write(&url_file, "sqlite:/nowhere/at/all\n").unwrap();
    for file in [&secret_file, &url_file] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(file, mode).unwrap();
    }
    for section in SECTIONS.iter() {
        for key in shown(section) {
            let told = key.on_reload.needs_restart();
            let tried = needs_restart(key, secret_file.to_str().unwrap());
            assert_eq!(tried, told, "{}: whether it needs a restart", key.path);
            if !REPEATED.contains(&section.name) && key.shows == Shows::Default {
                assert!(is_default(key), "{}: {} is not its default", key.path, key.value);
            }
        }
    }
}

#[test]
fn the_reference_has_every_key_as_it_is() {
    let mut text = format!(
        "# Reference\n\n\
         Every key of the configuration. This page and [config/taciturn.toml](../config/taciturn.toml) are\n\
         written by `UPDATE_GOLDEN=1 cargo test --test repository reference`, from the table in\n\
         [keys.rs](../crates/config/src/keys.rs); do not edit them.\n\n\
         {HEAD}\n"
    );
    for section in SECTIONS.iter() {
        let title = match section.name {
            "top" => "Top level".to_owned(),
            name if REPEATED.contains(&name) => format!("[[{name}]]"),
            name => format!("[{name}]"),
        };
        writeln!(text, "## {title}\n").unwrap();
        prose(&mut text, section.help);
        let mut help = section.help;
        for key in shown(section) {
            if !key.help.is_empty() {
                help = key.help;
            }
            let default = match key.shows {
                Shows::Required => "Required.".to_owned(),
                Shows::Default if !says_default(help) => format!("Default: `{}`.", key.value),
                Shows::Example if !says_default(help) => "No default.".to_owned(),
                Shows::Default | Shows::Example => String::new(),
            };
            let variable = match section.name {
                name if REPEATED.contains(&name) => String::new(),
                _ => format!("`TACITURN_{}`.", key.path.to_ascii_uppercase().replace('.', "_")),
            };
            let reload = match key.on_reload {
                OnReload::Applied => "A reload applies it.".to_owned(),
                OnReload::Restart(why) => format!("Needs a restart: {why}."),
            };
            let facts = [takes(key), default, variable, reload];
            let facts: Vec<_> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
            writeln!(text, "### `{}`\n\n{}\n", key.path, facts.join(" ")).unwrap();
            prose(&mut text, help);
        }
    }
    compare("docs/reference.md", &format!("{}\n", text.trim_end()));
}

/// A new one is a line there: parsing, defaults, bounds, variables and reloads know no key by name.
#[test]
fn a_plain_key_is_named_in_the_table_and_by_one_check_at_most() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for dir in ["crates/config/src", "src/admin"] {
        for entry in std::fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("keys.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                sources.push((path, code));
            }
        }
    }
    // Those of the top have a reader of their own.
    let sections = SECTIONS.iter().filter(|section| section.name != "top");
    let plain = sections.flat_map(|section| &section.keys).filter(|key| {
        matches!(key.kind, Kind::Boolean | Kind::Count { .. } | Kind::Duration { .. })
    });
    let mut nowhere_else = 0;
    for key in plain {
        let quoted = format!("\"{}\"", key.path);
        let named: Vec<_> = sources.iter().filter(|(_, code)| code.contains(&quoted)).collect();
        let named: Vec<_> = named.iter().map(|(path, _)| path.display()).collect();
        assert!(named.len() <= 1, "{} is named in {named:?}", key.path);
        nowhere_else += usize::from(named.is_empty());
    }
    assert!(nowhere_else >= 25, "{nowhere_else}");
}

/// Whether the help says itself what holds without the key.
fn says_default(help: &[&str]) -> bool {
    help.iter().any(|line| line.contains("Default:"))
}

fn prose(text: &mut String, help: &[&'static str]) {
    for line in lines(help) {
        writeln!(text, "{line}").unwrap();
    }
    if !help.is_empty() {
        text.push('\n');
    }
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
