//! Turns merged settings into a [`Config`], and collects everything that is wrong with them. Sections of plain
//! keys are read as the table of keys says; here is what takes more than one key, or code of its own.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use taciturn_turn::auth::prepared;
use taciturn_turn::policy::PortRange;

use super::address::{is_placeholder, parse_host};
use super::config::{Config, Listen};
use super::environment::Environment;
use super::error::{Findings, Note, Source};
use super::keys::{
    Admin, Auth, KernelRelay, Limits, Log, MOST_WORKERS, Peers, Process, Protocol, Tuning,
};
use super::read::Reader;
use super::settings::Settings;
use super::value::Value as _;
use super::{
    credentials, external, fleet_check, listeners, nat_discovery, rates, redirect, secret_hashes,
    secrets, tls, unfilled,
};

/// The realm when none is configured.
const DEFAULT_REALM: &str = "taciturn";

/// Checks everything but the generated secret. What it returns is of use only if `findings` is
/// clean afterwards.
pub(super) fn check(
    settings: &Settings,
    env: &Environment,
    source: Option<&Source>,
    findings: &mut Findings,
) -> Config {
    let mut reader = Reader { settings, findings };
    let reader = &mut reader;
    let realm = realm(reader);
    let host = host(reader);
    let relay_ports = relay_ports(reader);
    let state_dir = state_dir(reader).unwrap_or_else(|| secrets::default_state_dir(env));
    let tls = tls::tls(reader, host.as_deref(), &realm);
    let config = Config {
        file: source.map(|source| source.path.clone()),
        host,
        external_ip: external::external_ip(reader),
        stun_servers: external::stun_servers(reader),
        relay_ports,
        workers: workers(reader),
        auth: auth(reader, env, &realm),
        listen: listeners::listeners(reader, relay_ports, &tls),
        tls,
        peers: Peers::read(reader),
        limits: Limits::read(reader),
        redirect: redirect::redirect(reader),
        protocol: Protocol::read(reader),
        nat_discovery: None,
        tuning: Tuning::read(reader),
        log: Log::read(reader),
        admin: admin(reader, secrets::default_control_socket(env, &state_dir)),
        process: Process::read(reader),
        fleet: fleet_check::fleet(reader),
        kernel_relay: KernelRelay::read(reader),
        state_dir,
        realm,
    };
    rates::warn_of_slow_ones(&config.limits, reader);
    refuse_unused_tcp_relay(&config, reader);
    let config =
        Config { nat_discovery: nat_discovery::nat_discovery(reader, &config.listen), ..config };
    unfilled::report(settings, reader.findings);
    config
}

fn auth(reader: &mut Reader<'_>, env: &Environment, realm: &str) -> Auth {
    let auth = Auth::read(reader);
    let allow_weak = auth.allow_weak_credentials;
    let users = credentials::users(reader, realm, allow_weak);
    let mut secrets = credentials::secrets(reader, allow_weak);
    secrets.extend(secrets::files(reader, env, allow_weak));
    // Without users and secrets the server makes a secret.
    if !secrets.is_empty() || users.is_empty() {
        secret_hashes::warn_without_sha1(&auth.secret_hashes, reader);
    }
    Auth { users, secrets, ..auth }
}

fn admin(reader: &mut Reader<'_>, default_socket: PathBuf) -> Admin {
    let mut admin = Admin::read(reader);
    if let Some(address) = admin.metrics.filter(|address| !address.ip().is_loopback()) {
        let text = format!(
            "admin.metrics: everybody who reaches {address} can read the metrics, without a password"
        );
        reader.findings.notes.push(Note::warning(text));
    }
    if !reader.settings.contains_key("admin.socket") {
        admin.socket = Some(default_socket);
    }
    admin
}

fn state_dir(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let item = reader.text("state_dir", "\"/var/lib/taciturn\"")?;
    if item.text.is_empty() {
        reader.error(&item, "is empty", "write a directory, or remove the key");
    }
    Some(PathBuf::from(item.text.as_str()))
}

fn realm(reader: &mut Reader<'_>) -> String {
    let Some(item) = reader.text("realm", "\"turn.domain.org\"") else {
        return DEFAULT_REALM.into();
    };
    let text = item.text.as_str();
    //= 8489-9.2.4-realm-name, 8489-14.9-realm
    // RFC 8489 section 14.9: fewer than 128 characters, as they stand in a quoted-string.
    let fault = match text {
        _ if text.trim().is_empty() => Some("is empty".into()),
        _ if text.chars().count() > 127 => Some("is longer than 127 characters".into()),
        _ if text.chars().any(|c| c.is_control() || c == '"' || c == '\\') => {
            Some("holds a quote, a backslash or a control character".into())
        }
        _ if is_placeholder(text) => Some(format!("\"{text}\" is a placeholder")),
        _ if prepared(text).is_err() => Some("holds an invisible or unassigned character".into()),
        _ => None,
    };
    if let Some(fault) = fault {
        let help = "write the DNS name of this server, like \"turn.domain.org\",\n\
                    or remove the key";
        reader.error(&item, fault, help);
    }
    prepared(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

fn host(reader: &mut Reader<'_>) -> Option<String> {
    let item = reader.text("host", "\"turn.domain.org\"")?;
    let text = item.text.trim();
    match parse_host(text) {
        Some(host) => return Some(host),
        None => {
            let help = "write a DNS name or an IP address alone, without turn: and without port";
            let message = match is_placeholder(text) {
                true => format!("\"{text}\" is a placeholder"),
                false => format!("\"{text}\" is no host name"),
            };
            reader.error(&item, message, help);
        }
    }
    None
}

fn relay_ports(reader: &mut Reader<'_>) -> PortRange {
    let Some(item) = reader.text("relay_ports", "\"59000-60100\"") else {
        return PortRange::DEFAULT;
    };
    match item.text.trim().parse() {
        Ok(range) => range,
        Err(error) => {
            let message = format!("\"{}\": {error}", item.text.as_str());
            reader.error(&item, message, "write FIRST-LAST, like \"59000-60100\"");
            PortRange::DEFAULT
        }
    }
}

fn workers(reader: &mut Reader<'_>) -> NonZeroUsize {
    let wanted = u32::read(reader, "workers", &(0..=MOST_WORKERS)).unwrap_or(0);
    NonZeroUsize::new(wanted as usize)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// Clients ask for TCP allocations over connections only.
fn refuse_unused_tcp_relay(config: &Config, reader: &mut Reader<'_>) {
    let listen = &config.listen;
    let is_datagram = |listen: &Listen| listen.transport.is_datagram();
    if config.protocol.tcp_relay && !listen.is_empty() && listen.iter().all(is_datagram) {
        let help =
            "add a section [[listen]] with transport = \"tcp\" (or \"tls\"), or remove the key";
        let message = "is on, but clients ask for TCP allocations over TCP or TLS only, and no \
                       listener takes those";
        let origin = reader.origin("protocol.tcp_relay");
        reader.findings.error(&origin, "protocol.tcp_relay", message, help);
    }
}
