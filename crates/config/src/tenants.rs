//! The `[[tenant]]` sections. What of them is a key elsewhere is read as there: users and secrets as in [auth],
//! limits as in [limits], peers as in [peers].

use std::collections::BTreeMap;

use taciturn_turn::TenantName;
use taciturn_turn::auth::{LongTermKey, PasswordAlgorithm, StaticUser};
use taciturn_turn::policy::PortRange;

use super::address::parse_host;
use super::environment::Environment;
use super::error::{Findings, Origin};
use super::hints;
use super::keys::{Auth, Limits, Peers};
use super::read::Reader;
use super::schema;
use super::secret::Secret;
use super::settings::{Node, Settings, Value};
use super::{credentials, rates, secrets, top_level};

/// How many there may be: each costs every request with a credential a computation for each of its secrets.
const MOST: usize = 64;

const EXAMPLE: &str = "write [[tenant]], with two brackets, and below it\n\
                       name = \"acme\"\nsecret_files = [\"/etc/taciturn/acme_secret\"]";

/// One `[[tenant]]` section.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// The realm that its credentials are valid in.
    pub realm: String,
    /// The names, in lower case, that its clients ask for by TLS; empty where its realm is that of the server.
    pub server_names: Vec<String>,
    /// Static long-term users.
    pub users: Vec<StaticUser>,
    /// REST shared secrets.
    pub secrets: Vec<Secret>,
    /// Limits: of those that a tenant may have its own, the others those of the server.
    pub limits: Limits,
    /// What is allowed to it, and what is denied besides what the server denies.
    pub peers: Peers,
    /// Relay ports that it has for itself.
    pub relay_ports: Option<PortRange>,
}

/// What the sections are checked against.
pub(super) struct Server<'a> {
    pub(super) realm: &'a str,
    pub(super) auth: &'a Auth,
    pub(super) limits: &'a Limits,
    pub(super) relay_ports: PortRange,
}

/// A tenant and where what it was made of stands.
struct Read {
    tenant: Tenant,
    at: Origin,
    settings: Settings,
    key: String,
}

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
    if nodes.len() > MOST {
        let message = format!("there are {} tenants, and there may be {MOST}", nodes.len());
        let help =
            "a login is tried with the secrets of all tenants of its realm: run another server";
        reader.findings.error(&node.origin, "tenant", message, help);
        return Vec::new();
    }
    let mut all: Vec<Read> = Vec::with_capacity(nodes.len());
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
        Value::Table(table) => table.contains_key("users") || table.contains_key("secrets"),
        _ => false,
    })
}

fn section(reader: &mut Reader<'_>, server: &Server<'_>, n: usize, node: Node) -> Option<Read> {
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
    Some(Read { tenant: tenant?, at: node.origin, settings, key })
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
            "limits" | "peers" => {
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

/// The keys of `limits` or `peers` of a section.
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
            _ => "write peers.allow = [\"10.1.2.0/24\"], for example",
        };
        findings.error(&node.origin, format!("{within}.{section}"), message, help);
        return;
    };
    for (name, (origin, node)) in table {
        let path = format!("{section}.{name}");
        let known = schema::find(&path).map(|key| key.path);
        let is_own = |path: &&str| section == "peers" || OWN_LIMITS.contains(path);
        match known {
            Some(path) if is_own(&path) => {
                settings.insert(path, node);
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
    if !named.iter().any(|key| reader.settings.contains_key(*key)) {
        let message = "has no secret and no user: nobody could be of it";
        let help = "add secret_files, secrets or users; make a secret with: openssl rand -hex 24";
        reader.findings.error(at, "", message, help);
    }
    let own = Limits::read(reader);
    let limits = limits(&own, server.limits, |key| reader.settings.contains_key(key));
    rates::warn_of_slow_ones(&own, reader);
    let peers = Peers::read(reader);
    let relay_ports =
        reader.settings.contains_key("relay_ports").then(|| top_level::relay_ports(reader));
    let name = name?;
    Some(Tenant { name, realm, server_names, users, secrets, limits, peers, relay_ports })
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

/// Refuses what cannot be told from what another tenant has, or the server itself.
fn refuse_collisions(reader: &mut Reader<'_>, server: &Server<'_>, before: &[Read], new: &Read) {
    let Read { tenant, at, settings, key } = new;
    let place = |name: &str| settings.get(name).map_or(at, |node| &node.origin);
    let findings = &mut *reader.findings;
    if before.iter().any(|other| other.tenant.name == tenant.name) {
        let message = format!("another tenant is called \"{}\"", tenant.name);
        findings.error(
            place("tenant.name"),
            format!("{key}.name"),
            message,
            "give each a name of its own",
        );
    }
    let others = before.iter().map(|other| {
        let Tenant { name, realm, users, secrets, .. } = &other.tenant;
        (format!("tenant \"{name}\""), realm.as_str(), users, secrets)
    });
    let own = ("[auth]".to_owned(), server.realm, &server.auth.users, &server.auth.secrets);
    for (whose, realm, users, secrets) in others.chain([own]) {
        let has = |secret: &Secret| {
            secrets.iter().any(|other| other.secret.expose() == secret.secret.expose())
        };
        if tenant.secrets.iter().any(has) {
            let from = ["auth.secrets", "auth.secret_files"];
            let from = from.into_iter().find(|name| settings.contains_key(*name));
            let message = format!(
                "a secret of it is also one of {whose}: it could not be told whose a login is"
            );
            let help = "give each a secret of its own: openssl rand -hex 24";
            let name = from.unwrap_or("auth.secrets").trim_start_matches("auth.");
            findings.error(place(from.unwrap_or_default()), format!("{key}.{name}"), message, help);
        }
        let md5 = |user: &StaticUser| user.long_term_key(PasswordAlgorithm::Md5, realm);
        let same = |user: &&StaticUser| {
            let key = md5(user);
            let is_same = |other: &StaticUser| {
                let (one, other) = (key.as_ref(), md5(other));
                one.map(LongTermKey::bytes) == other.as_ref().map(LongTermKey::bytes)
            };
            users.iter().any(|other| other.name == user.name && is_same(other))
        };
        if realm == tenant.realm
            && let Some(user) = tenant.users.iter().find(same)
        {
            let message = format!(
                "user {} has the same password in {whose}, and the same realm: it could not be told whose a \
                 login is",
                user.name
            );
            let help = "give one of them another password";
            findings.error(place("auth.users"), format!("{key}.users"), message, help);
        }
    }
    for other in
        before.iter().map(|other| &other.tenant).filter(|other| other.realm != tenant.realm)
    {
        if let Some(name) =
            tenant.server_names.iter().find(|name| other.server_names.contains(name))
        {
            let message =
                format!("\"{name}\" is one of tenant \"{}\", which has another realm", other.name);
            let help = "write a name that leads to this realm alone";
            findings.error(
                place("tenant.server_names"),
                format!("{key}.server_names"),
                message,
                help,
            );
        }
    }
}

/// Refuses ports that are not to be had, are another tenant's, or leave none for others.
fn refuse_ports_of_others(reader: &mut Reader<'_>, server: &Server<'_>, all: &[Read]) {
    let whole = server.relay_ports;
    let mut taken: Vec<(PortRange, &TenantName)> = Vec::new();
    for Read { tenant, at, settings, key } in all {
        let Some(range) = tenant.relay_ports else { continue };
        let origin = settings.get("relay_ports").map_or(at, |node| &node.origin);
        // What cannot be read has been reported.
        if reader.findings.has_error_at(origin) {
            continue;
        }
        let key = format!("{key}.relay_ports");
        let overlaps = |(other, _): &&(PortRange, &TenantName)| {
            range.first() <= other.last() && other.first() <= range.last()
        };
        if !whole.contains(range.first()) || !whole.contains(range.last()) {
            let message = format!("{range} is not within the relay_ports of the server, {whole}");
            let help =
                format!("write a part of {whole}, or widen relay_ports at the top of the file");
            reader.findings.error(origin, key, message, help);
        } else if let Some((other, name)) = taken.iter().find(overlaps) {
            let message =
                format!("{range} overlaps {other}, which tenant \"{name}\" has for itself");
            reader.findings.error(origin, key, message, "write ports that no other tenant has");
        } else {
            taken.push((range, &tenant.name));
        }
    }
    let left = whole.len() - taken.iter().map(|(range, _)| range.len()).sum::<u32>();
    let has_own = !server.auth.users.is_empty() || !server.auth.secrets.is_empty();
    let without = all.iter().find(|read| read.tenant.relay_ports.is_none());
    let who = match without {
        Some(read) => Some(format!("tenant \"{}\"", read.tenant.name)),
        None => has_own.then(|| "the users of [auth]".to_owned()),
    };
    if left == 0
        && let Some(who) = who
    {
        let message = format!(
            "the tenants have all of {whole} for themselves: {who} would have no relay port"
        );
        let help = "leave some of relay_ports to them, or widen relay_ports at the top of the file";
        reader.findings.error(&reader.origin("tenant"), "tenant", message, help);
    }
}
