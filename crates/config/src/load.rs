//! File, environment and flags, laid over each other. Nothing is checked here beyond the names of
//! keys; that is `check`'s work.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::args::ServerArgs;
use super::environment::Environment;
use super::error::{Findings, Origin, Source};
use super::hints;
use super::key::{Key, Kind};
use super::nearest::nearest;
use super::schema;
use super::settings::{Node, Settings, Value};

/// A path that is longer is not shown: it may be a key in base64.
const LONGEST_SHOWN_PATH: usize = 200;

/// Reads the configuration file into `settings`.
pub(super) fn file(source: &mut Source, settings: &mut Settings, findings: &mut Findings) {
    let text = source.text.clone();
    let (root, errors) = DeTable::parse_recoverable(&text);
    let mut hidden = Vec::new();
    let root = root.into_inner();
    hide_table(&root, "", &mut hidden);
    if errors.is_empty() {
        section(root, "", settings, findings);
    }
    // A broken file is not looked into any further: what a parser guesses behind its first error
    // makes errors of its own.
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        hidden.extend(hide_around(&text, span.start));
        let message = format!("this is not TOML: {}", error.message());
        let help = "strings stand in double quotes, lists in [ ], one key a line";
        findings.error(&Origin::File(span), "", message, help);
    }
    source.hidden = merged(hidden);
}

fn section(table: DeTable<'_>, name: &str, settings: &mut Settings, findings: &mut Findings) {
    for (key, value) in table {
        let (span, key) = (key.span(), key.into_inner());
        let path = if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
        if let Some(known) = schema::find(&path) {
            settings.insert(known.path, node(value));
        } else if schema::is_section(&path) {
            let at = value.span();
            match value.into_inner() {
                DeValue::Table(inner) => section(inner, &path, settings, findings),
                other => {
                    let message = format!("is a section, not {}", simple(other).type_name());
                    let help = format!("write [{path}]");
                    findings.error(&Origin::File(at), path, message, help);
                }
            }
        } else {
            let help = hints::hint(name, &key);
            findings.error(&Origin::File(span), path, "there is no such key", help);
        }
    }
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    Node { origin: Origin::File(value.span()), value: simple(value.into_inner()) }
}

fn simple(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::text(text),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(
                // Too large for any key; which number it was does not matter then.
                Value::Integer(i64::MAX),
                Value::Integer,
            )
        }
        DeValue::Array(items) => Value::List(items.into_iter().map(node).collect()),
        DeValue::Table(table) => Value::Table(
            table
                .into_iter()
                .map(|(key, value)| {
                    let origin = Origin::File(key.span());
                    (key.into_inner().into_owned(), (origin, node(value)))
                })
                .collect(),
        ),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    }
}

/// Collects the spans that no error may show: all values but those of keys known to be harmless.
fn hide_table(table: &DeTable<'_>, name: &str, hidden: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        let key = key.get_ref();
        let path = if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
        let harmless = schema::find(&path).is_some_and(|key| match key.kind {
            Kind::SecretList => false,
            Kind::Path => !holds_pem(value),
            Kind::Text => !value.get_ref().as_str().is_some_and(holds_login),
            _ => true,
        });
        match value.get_ref() {
            DeValue::Table(inner) if name.is_empty() || schema::is_section(&path) => {
                hide_table(inner, &path, hidden);
            }
            DeValue::Array(items) if path == "listen" => {
                let sections = items.iter().filter_map(|item| item.get_ref().as_table());
                let keys = sections.flat_map(|section| section.iter());
                let hidden_key = |key: &str| !schema::LISTEN_KEYS.contains(&key);
                keys.filter(|(key, value)| hidden_key(key.get_ref()) || holds_pem(value))
                    .for_each(|(_, value)| hide_value(value, hidden));
            }
            DeValue::Array(items) if path == "tenant" => {
                let sections = items.iter().filter_map(|item| item.get_ref().as_table());
                sections.for_each(|section| hide_tenant(section, hidden));
            }
            _ if harmless => {}
            _ => hide_value(value, hidden),
        }
    }
}

/// Hides the credentials of a tenant, and what is no key of one.
fn hide_tenant(section: &DeTable<'_>, hidden: &mut Vec<Range<usize>>) {
    for (name, value) in section.iter() {
        let key = schema::keys_of("tenant").find(|key| key.name == name.get_ref().as_ref());
        if key.is_none_or(|key| key.kind == Kind::SecretList) || holds_pem(value) {
            hide_value(value, hidden);
        }
    }
}

/// Whether a text is a URL with a password in it.
fn holds_login(text: &str) -> bool {
    let login = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    login.is_some_and(|(login, _)| login.contains(':')) || text.contains("password=")
}

/// Whether a value that should be a path may be the contents of the file instead: a private key.
fn holds_pem(value: &Spanned<DeValue<'_>>) -> bool {
    let DeValue::String(text) = value.get_ref() else { return false };
    text.contains("-----") || text.contains('\n') || text.len() > LONGEST_SHOWN_PATH
}

fn hide_value(value: &Spanned<DeValue<'_>>, hidden: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        // Item by item, so that the brackets and the place in the list stay visible.
        DeValue::Array(items) => items.iter().for_each(|item| hide_value(item, hidden)),
        DeValue::Table(table) => table.iter().for_each(|(_, value)| hide_value(value, hidden)),
        DeValue::Boolean(_) => {}
        _ => hidden.push(value.span()),
    }
}

/// The same bytes as ranges that do not touch, so that each is masked once.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// What to hide of the line of a syntax error, where spans cannot be relied on: all of it, unless
/// it is plain to see which harmless key it sets.
fn hide_around(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text.get(..at).unwrap_or(text).rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(start..)?.lines().next().unwrap_or("");
    let end = start + line.len();
    let bare = line.trim();
    let section = bare.trim_matches(['[', ']']);
    if bare.starts_with('[') && (schema::is_section(section) || schema::REPEATED.contains(&section))
    {
        return None;
    }
    let first = start + line.len() - line.trim_start().len();
    let Some((key, value)) = line.split_once('=') else { return Some(first..end) };
    let name = key.trim();
    let is = |known: &&Key| known.path.rsplit('.').next() == Some(name) || known.path == name;
    let (harmless, known) = match schema::keys().find(is) {
        // A path would be fine, but where quotes are missing it may be the key itself.
        Some(known) => (!matches!(known.kind, Kind::SecretList | Kind::Path), true),
        None => (false, schema::LISTEN_KEYS.contains(&name) || schema::is_section(name)),
    };
    if harmless && !line.contains("users") && !line.contains("secret") && !holds_login(line) {
        return None;
    }
    let value_at = end - value.trim_start().len();
    Some(if known { value_at..end } else { first..end })
}

/// Reads the `TACITURN_*` variables into `settings`.
pub(super) fn environment(env: &Environment, settings: &mut Settings, findings: &mut Findings) {
    for (name, value) in &env.variables {
        if !name.starts_with("TACITURN_") || schema::OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        // Kubernetes and Docker links set these for a service called "taciturn".
        if name == "TACITURN_PORT"
            || name.starts_with("TACITURN_PORT_")
            || name.starts_with("TACITURN_SERVICE_")
        {
            continue;
        }
        let origin = Origin::Variable(name.clone());
        let Some(key) = schema::of_variable(name) else {
            let names: Vec<_> = schema::keys().map(|key| schema::variable(key.path)).collect();
            let known = names.iter().map(String::as_str).chain(["TACITURN_CONFIG"]);
            let help = nearest(name, known).map_or_else(
                || "unset it; a key's variable is TACITURN_ and its name in capitals".into(),
                |near| format!("did you mean {near}?"),
            );
            findings.error(&origin, "", "no key has such a variable", help);
            continue;
        };
        let Some(text) = value.to_str() else {
            findings.error(&origin, key.path, "is not valid UTF-8", "set it to plain text");
            continue;
        };
        if text.trim().is_empty() {
            // An empty variable is what `NAME: ${NAME:-}` leaves behind. For a credential that is
            // a mistake that must not go unseen.
            if key.path.starts_with("auth.") {
                findings.error(
                    &origin,
                    key.path,
                    "is set but empty",
                    "give it a value or unset it",
                );
            }
            continue;
        }
        if let Some(value) = from_variable(key, text, &origin, findings) {
            settings.insert(key.path, Node { value, origin });
        }
    }
}

fn from_variable(key: &Key, text: &str, origin: &Origin, findings: &mut Findings) -> Option<Value> {
    let list = |parts: Vec<&str>| {
        let item = |part: &str| Node { value: Value::text(part), origin: origin.clone() };
        Some(Value::List(parts.into_iter().filter(|part| !part.is_empty()).map(item).collect()))
    };
    match key.kind {
        // A list of tables, so that a listener's certificate and proxies can be written as well.
        Kind::Listeners
            if text.trim_start().trim_start_matches('[').trim_start().starts_with('{') =>
        {
            let items = DeValue::parse(text.trim()).ok().map(|items| simple(items.into_inner()));
            if !matches!(items, Some(Value::List(_))) {
                let help = "a value that begins with [{ is a TOML list of tables:\n\
                            [{transport = \"udp\", address = \"[::]:3478\"}];\n\
                            otherwise write udp:[::]:3478, with commas between listeners";
                findings.error(origin, key.path, "is not a TOML list", help);
                return None;
            }
            items.map(|items| placed(items, origin))
        }
        Kind::Tenants | Kind::Table => {
            let items = DeValue::parse(text.trim()).ok().map(|items| simple(items.into_inner()));
            if !matches!(items, Some(Value::List(_))) {
                let help = "write [{name = \"acme\", secret_files = [\"FILE\"]}]";
                findings.error(origin, key.path, "is not a TOML list of tables", help);
                return None;
            }
            items.map(|items| placed(items, origin))
        }
        Kind::List | Kind::Listeners => list(text.split(',').map(str::trim).collect()),
        Kind::SecretList if text.trim_start().starts_with('[') => {
            let items = DeValue::parse(text.trim()).ok().map(Spanned::into_inner);
            let Some(DeValue::Array(items)) = items else {
                let help = "a value that begins with [ is a TOML list: [\"one\", \"two\"];\n\
                            otherwise write one entry a line";
                findings.error(origin, key.path, "is not a TOML list of strings", help);
                return None;
            };
            Some(placed(simple(DeValue::Array(items)), origin))
        }
        Kind::SecretList => list(text.lines().map(str::trim).collect()),
        Kind::Text | Kind::Path | Kind::Count { .. } | Kind::Boolean | Kind::Duration { .. } => {
            Some(Value::text(text.trim()))
        }
    }
}

/// A value out of a variable: all parts of it stand there, and not in the file.
fn placed(value: Value, origin: &Origin) -> Value {
    let node = |node: Node| Node { value: placed(node.value, origin), origin: origin.clone() };
    match value {
        Value::List(items) => Value::List(items.into_iter().map(node).collect()),
        Value::Table(table) => Value::Table(
            table
                .into_iter()
                .map(|(key, (_, value))| (key, (origin.clone(), node(value))))
                .collect(),
        ),
        other => other,
    }
}

/// Lays the flags over `settings`.
pub(super) fn flags(args: &ServerArgs, settings: &mut Settings, findings: &mut Findings) {
    let mut list = |key, flag, values: &[String]| {
        if !values.is_empty() {
            let item =
                |text: &String| Node { value: Value::text(text), origin: Origin::Flag(flag) };
            let value = Value::List(values.iter().map(item).collect());
            settings.insert(key, Node { value, origin: Origin::Flag(flag) });
        }
    };
    list("external_ip", "--external-ip", &args.external_ip);
    list("auth.users", "--user", &args.user);
    list("listen", "--listen", &args.listen);
    list("peers.allow", "--allow-peer", &args.allow_peer);
    list("peers.deny", "--deny-peer", &args.deny_peer);
    let mut path_text = |flag, path: &Path| {
        let text = path.to_str().map(str::to_owned);
        if text.is_none() {
            findings.error(&Origin::Flag(flag), "", "the path is not valid UTF-8", "rename it");
        }
        text
    };
    let files: Vec<_> =
        args.secret_file.iter().filter_map(|path| path_text("--secret-file", path)).collect();
    list("auth.secret_files", "--secret-file", &files);
    let state_dir = args.state_dir.as_ref().and_then(|path| path_text("--state-dir", path));
    let cert = args.cert.as_ref().and_then(|path| path_text("--cert", path));
    let key = args.key.as_ref().and_then(|path| path_text("--key", path));
    let mut text = |key, flag, value: Option<&String>| {
        if let Some(value) = value {
            let origin = Origin::Flag(flag);
            settings.insert(key, Node { value: Value::text(value), origin });
        }
    };
    text("realm", "--realm", args.realm.as_ref());
    text("relay_ports", "--relay-ports", args.relay_ports.as_ref());
    text("workers", "--workers", args.workers.as_ref());
    text("state_dir", "--state-dir", state_dir.as_ref());
    text("tls.cert", "--cert", cert.as_ref());
    text("tls.key", "--key", key.as_ref());
    if args.allow_weak_credentials {
        let origin = Origin::Flag("--allow-weak-credentials");
        settings
            .insert("auth.allow_weak_credentials", Node { value: Value::Boolean(true), origin });
    }
}
