//! The `[[tenant]]` sections. What of them is a key elsewhere is read as there: users and secrets as in [auth],
//! limits as in [limits], peers as in [peers].

use std::collections::BTreeMap;

use taciturn_turn::TenantName;

use super::address::parse_host;
use super::environment::Environment;
use super::error::{Findings, Origin};
use super::hints;
use super::keys::{Limits, Peers};
use super::read::Reader;
use super::schema;
use super::settings::{Node, Settings, Value};
use super::tenant::{ReadTenant, Server, Tenant};
use super::tenant_checks::{refuse_collisions, refuse_ports_of_others};
use super::{credentials, ice, rates, secrets, top_level};

/// How many there may be: each costs every request with a credential a computation for each of its secrets.
pub const MOST_TENANTS: usize = 64;

const EXAMPLE: &str = "write [[tenant]], with two brackets, and below it\n\
                       name = \"acme\"\nsecret_files = [\"/etc/taciturn/acme_secret\"]";

/// The keys of [limits] that a tenant may have, with what holds where it has none.
macro_rules! own_limits {
    ($($key:ident: $otherwise:expr;)*) => {
        /// The keys of [limits] that a tenant may have.
        pub(super) const OWN_LIMITS: &[&str] = &[$(concat!("limits.", stringify!($key))),*];

        fn each_limit(limits: &Limits) -> Vec<(&'static str, u32)> {
            vec![$((concat!("limits.", stringify!($key)), limits.$key)),*]
        }

        /// What a tenant may have; `read` has what `is_set`.
        fn limits(read: &Limits, server: &Limits, is_set: impl Fn(&str) -> bool) -> Limits {
            let mut limits = server.clone();
            $(
                let otherwise: fn(&Limits) -> u32 = $otherwise;
                limits.$key = match is_set(concat!("limits.", stringify!($key))) {
                    true => read.$key,
                    false => otherwise(server),
                };
            )*
            limits
        }
    };
}

own_limits! {
    allocations_per_user: |server| server.allocations_per_user;
    allocations_per_second_per_user: |server| server.allocations_per_second_per_user;
    allocations: |_| 0;
    bytes_per_second_per_allocation: |server| server.bytes_per_second_per_allocation;
    bytes_per_second_per_user: |server| server.bytes_per_second_per_user;
    bytes_per_second: |_| 0;
    packets_per_second_per_allocation: |server| server.packets_per_second_per_allocation;
    packets_per_second_per_user: |server| server.packets_per_second_per_user;
    packets_per_second: |_| 0;
    new_peers_per_second_per_allocation: |server| server.new_peers_per_second_per_allocation;
    new_peers_per_second_per_user: |server| server.new_peers_per_second_per_user;
}

/// The keys of [ice] that a tenant may have.
const OWN_OF_ICE: &[&str] = &["ice.tokens", "ice.token_files"];

/// Those of its limits that are set, in words.
pub(super) fn own_limits(limits: &Limits) -> Vec<String> {
    let all = each_limit(limits).into_iter().filter(|(_, value)| *value > 0);
    all.map(|(key, value)| format!("{}={value}", key.trim_start_matches("limits."))).collect()
}

/// Reads all sections.
pub(super) fn tenants(reader: &mut Reader<'_>, server: &Server<'_>) -> Vec<Tenant> {
    let Some(node) = reader.settings.get("tenant").cloned() else { return Vec::new() };
    let nodes = match node.value {
        Value::List(nodes) => nodes,
        other => {
            let message = format!("must be sections, not {}", other.type_name());
            reader.findings.error(&node.origin, "tenant", message, EXAMPLE);
            return Vec::new();
        }
    };
    if nodes.len() > MOST_TENANTS {
        let message = format!("there are {} tenants, and there may be {MOST_TENANTS}", nodes.len());
        let help =
            "a login is tried with the secrets of all tenants of its realm: run another server";
        reader.findings.error(&node.origin, "tenant", message, help);
        return Vec::new();
    }
    let mut all: Vec<ReadTenant> = Vec::with_capacity(nodes.len());
    for (n, node) in nodes.into_iter().enumerate() {
        let Some(read) = section(reader, server, n, node) else { continue };
        refuse_collisions(reader, server, &all, &read);
        all.push(read);
    }
    refuse_ports_of_others(reader, server, &all);
    all.into_iter().map(|read| read.tenant).collect()
}

/// Whether a section in the configuration file has credentials in it.
pub(super) fn hold_credentials(settings: &Settings) -> bool {
    let node = settings.get("tenant").filter(|node| matches!(node.origin, Origin::File(_)));
    let Some(Value::List(sections)) = node.map(|node| &node.value) else { return false };
    sections.iter().any(|section| match &section.value {
        Value::Table(table) => {
            let has_tokens = |(_, node): &(Origin, Node)| match &node.value {
                Value::Table(ice) => ice.contains_key("tokens"),
                _ => false,
            };
            table.contains_key("users")
                || table.contains_key("secrets")
                || table.get("ice").is_some_and(has_tokens)
        }
        _ => false,
    })
}

fn section(
    reader: &mut Reader<'_>,
    server: &Server<'_>,
    n: usize,
    node: Node,
) -> Option<ReadTenant> {
    let key = format!("tenant[{n}]");
    let Value::Table(table) = node.value else {
        let message = format!("must be a section, not {}", node.value.type_name());
        reader.findings.error(&node.origin, key, message, EXAMPLE);
        return None;
    };
    let settings = flat(reader.findings, &key, table);
    let notes = reader.findings.notes.len();
    let before = reader.findings.within.replace(format!("{key}."));
    let tenant = {
        let mut own = Reader { settings: &settings, findings: &mut *reader.findings };
        read(&mut own, server, &node.origin)
    };
    reader.findings.within = before;
    for note in reader.findings.notes.iter_mut().skip(notes) {
        // They begin with the key that they are about.
        if let Some(rest) = note.text.strip_prefix("auth.") {
            note.text = format!("{key}.{rest}");
        } else if note.text.starts_with("limits.") {
            note.text = format!("{key}.{}", note.text);
        }
    }
    Some(ReadTenant { tenant: tenant?, at: node.origin, settings, key })
}

/// The keys of a section under the names that they have elsewhere. Reports those that there are not.
fn flat(
    findings: &mut Findings,
    within: &str,
    table: BTreeMap<String, (Origin, Node)>,
) -> Settings {
    let mut settings = Settings::new();
    for (name, (origin, node)) in table {
        let path = match name.as_str() {
            "name" => "tenant.name",
            "users" => "auth.users",
            "secrets" => "auth.secrets",
            "secret_files" => "auth.secret_files",
            "realm" => "realm",
            "server_names" => "tenant.server_names",
            "relay_ports" => "relay_ports",
            "limits" | "peers" | "ice" => {
                nested(findings, within, &name, node, &mut settings);
                continue;
            }
            _ => {
                let help = hints::hint("tenant", &name);
                findings.error(&origin, format!("{within}.{name}"), "there is no such key", help);
                continue;
            }
        };
        settings.insert(path, node);
    }
    settings
}

/// The keys of `limits`, `peers` or `ice` of a section.
fn nested(
    findings: &mut Findings,
    within: &str,
    section: &str,
    node: Node,
    settings: &mut Settings,
) {
    let Value::Table(table) = node.value else {
        let message = format!("is a table, not {}", node.value.type_name());
        let help = match section {
            "limits" => "write limits.allocations = 200, for example",
            "ice" => "write ice.token_files = [\"/etc/taciturn/acme_ice_token\"]",
            _ => "write peers.allow = [\"10.1.2.0/24\"], for example",
        };
        findings.error(&node.origin, format!("{within}.{section}"), message, help);
        return;
    };
    for (name, (origin, node)) in table {
        let path = format!("{section}.{name}");
        let known = schema::find(&path).map(|key| key.path);
        let is_own = |path: &&str| {
            section == "peers" || OWN_LIMITS.contains(path) || OWN_OF_ICE.contains(path)
        };
        match known {
            Some(path) if is_own(&path) => {
                settings.insert(path, node);
            }
            Some(_) if section == "ice" => {
                let message = "is for all applications: a tenant has none of its own";
                let help =
                    "write it in the section [ice]; a tenant has ice.tokens and ice.token_files";
                findings.error(&origin, format!("{within}.{path}"), message, help);
            }
            Some(_) => {
                let own: Vec<_> =
                    OWN_LIMITS.iter().map(|path| path.trim_start_matches("limits.")).collect();
                let message = "is a limit of the whole server: a tenant has none of its own";
                let help = format!(
                    "write it in the section [limits]; those of a tenant are: {}",
                    own.join(", ")
                );
                findings.error(&origin, format!("{within}.{path}"), message, help);
            }
            None => {
                let help = hints::hint(section, &name);
                findings.error(&origin, format!("{within}.{path}"), "there is no such key", help);
            }
        }
    }
}

/// Reads one tenant, whose settings these are.
fn read(reader: &mut Reader<'_>, server: &Server<'_>, at: &Origin) -> Option<Tenant> {
    let name = name(reader, at);
    let realm = match reader.settings.contains_key("realm") {
        true => top_level::realm(reader),
        false => server.realm.to_owned(),
    };
    let server_names = server_names(reader, server, &realm);
    let allow_weak = server.auth.allow_weak_credentials;
    let users = credentials::users(reader, &realm, allow_weak);
    let mut secrets = credentials::secrets(reader, allow_weak);
    // What systemd hands over is the server's own.
    secrets.extend(secrets::files(reader, &Environment::default(), allow_weak));
    let named = ["auth.users", "auth.secrets", "auth.secret_files"];
    // A database has users and secrets by realms.
    let may_have_rows = server.has_database && realm != server.realm;
    if !may_have_rows && !named.iter().any(|key| reader.settings.contains_key(*key)) {
        let message = "has no secret and no user: nobody could be of it";
        let help = match server.has_database {
            true => {
                "add secret_files, secrets or users, or a realm of its own, whose rows in the database are its users"
            }
            false => "add secret_files, secrets or users; make a secret with: openssl rand -hex 24",
        };
        reader.findings.error(at, "", message, help);
    }
    let ice_tokens = ice::tokens(reader);
    let own = Limits::read(reader);
    let limits = limits(&own, server.limits, |key| reader.settings.contains_key(key));
    rates::warn_of_slow_ones(&own, reader);
    let peers = Peers::read(reader);
    let relay_ports =
        reader.settings.contains_key("relay_ports").then(|| top_level::relay_ports(reader));
    let name = name?;
    Some(Tenant {
        name,
        realm,
        server_names,
        users,
        secrets,
        ice_tokens,
        limits,
        peers,
        relay_ports,
    })
}

fn name(reader: &mut Reader<'_>, at: &Origin) -> Option<TenantName> {
    let Some(node) = reader.settings.get("tenant.name").cloned() else {
        reader.findings.error(at, "", "has no name", "add name = \"acme\"");
        return None;
    };
    let item = reader.text_of("name", node, "\"acme\"")?;
    match item.text.parse::<TenantName>() {
        Ok(name) if !name.is_default() => return Some(name),
        Ok(_) => {
            let message = "\"default\" is what users of no tenant are called";
            reader.error(&item, message, "write another name");
        }
        Err(error) => {
            let message = format!("\"{}\" is no name of a tenant", item.text.as_str());
            reader.error(&item, message, &error.to_string());
        }
    }
    None
}

/// The names that clients ask for by TLS: those that are given, else the realm if it is a DNS name.
fn server_names(reader: &mut Reader<'_>, server: &Server<'_>, realm: &str) -> Vec<String> {
    let is_dns = |text: &str| {
        let host = parse_host(text)?;
        host.parse::<std::net::IpAddr>().is_err().then(|| host.to_ascii_lowercase())
    };
    let has_own_realm = realm != server.realm;
    let Some(node) = reader.settings.get("tenant.server_names").cloned() else {
        let by_realm = is_dns(realm).filter(|_| has_own_realm);
        return by_realm.into_iter().collect();
    };
    if !has_own_realm {
        let message = "is for a tenant with a realm of its own: this one has that of the server";
        let help = "remove it (the secret or the password says whose a login is), or add realm";
        reader.findings.error(&node.origin, "server_names", message, help);
        return Vec::new();
    }
    let items = reader.list_of("server_names", node, "a list: [\"turn.acme.example\"]");
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        match is_dns(item.text.trim()) {
            Some(name) => names.push(name),
            None => {
                let message = format!("\"{}\" is no DNS name", item.text.as_str());
                reader.error(
                    &item,
                    message,
                    "write the name that clients connect to, without a port",
                );
            }
        }
    }
    names
}
