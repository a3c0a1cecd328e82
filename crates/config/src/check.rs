//! Turns merged settings into a [`Config`], and collects everything that is wrong with them. Sections of plain
//! keys are read as the table of keys says; here is what takes more than one key, or code of its own.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::address::{is_placeholder, parse_host};
use super::config::{Config, Listen};
use super::environment::Environment;
use super::error::{Findings, Note, Source};
use super::keys::{
    Admin, Auth, KernelRelay, Limits, Log, MOST_WORKERS, Peers, Process, Protocol, Tuning,
};
use super::read::Reader;
use super::settings::Settings;
use super::tenant::Server;
use super::value::Value as _;
use super::{
    credentials, database_check, external, fleet_check, ice, listeners, nat_discovery, rates,
    records_check, redirect, secret_hashes, secrets, tenants, tls, top_level, unfilled,
};

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
    let realm = top_level::realm(reader);
    let host = host(reader);
    let relay_ports = top_level::relay_ports(reader);
    let state_dir = state_dir(reader).unwrap_or_else(|| secrets::default_state_dir(env));
    let tls = tls::tls(reader, host.as_deref(), &realm);
    let fleet = fleet_check::fleet(reader);
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
        tenants: Vec::new(),
        redirect: redirect::redirect(reader),
        protocol: Protocol::read(reader),
        nat_discovery: None,
        tuning: Tuning::read(reader),
        log: Log::read(reader),
        admin: admin(reader, secrets::default_control_socket(env, &state_dir)),
        process: Process::read(reader),
        records: records_check::records(reader, &fleet),
        fleet,
        ice: ice::read(reader),
        database: database_check::database(reader, &state_dir),
        kernel_relay: KernelRelay::read(reader),
        state_dir,
        realm,
    };
    let Config { realm, auth, limits, database, .. } = &config;
    let has_database = database.url.is_some();
    let server = Server { realm, auth, limits, relay_ports, has_database };
    let config = Config { tenants: tenants::tenants(reader, &server), ..config };
    rates::warn_of_slow_ones(&config.limits, reader);
    refuse_unused_tcp_relay(&config, reader);
    listeners::refuse_unknown_realms(&config, reader);
    ice::check(&config, reader);
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
