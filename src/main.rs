//! taciturn: arguments, configuration, workers, signals.

#[path = "main/live.rs"]
mod live;
#[path = "main/log.rs"]
mod log;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taciturn::admin::{self, Board, Certificates, ListenerTable, Served};
use taciturn::notify::{self, Supervisor};
use taciturn::process::{self, Account, Sandbox, Sandboxed};
use taciturn_config::{Config, Environment, ExternalIp, Note, NoteLevel, OnRemoval, ServerArgs};
use taciturn_net::external::{self, External};
use taciturn_net::{Listeners, Shared};
use taciturn_stun::Family;
use taciturn_tls::CertSource;
use taciturn_turn::auth::Authenticator;
use taciturn_turn::policy::{
    AnswerLimit, Connections, FailureLimit, PeerPolicy, PortPool, Quota, RateLimits,
};
use taciturn_turn::{ConnectionIds, Rules, Settings, TicketKey};
use turnctl::homeserver::{self, BlockOptions};
use turnctl::uris::Host;

use self::live::{Live, Signals};
use self::log::Log;

/// Descriptors besides relay sockets and listeners: epolls, signals, the terminal, the log.
const SPARE_DESCRIPTORS: u64 = 64;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let start = Start { args: ServerArgs::parse(), environment: Environment::of_process() };
    let loaded = match Config::load(&start.args, &start.environment) {
        Ok(loaded) => loaded,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(2);
        }
    };
    let log =
        match Log::start(loaded.config.log_format, &loaded.config.log_level, &start.environment) {
            Ok(log) => log,
            Err(error) => {
                complain(&error);
                return ExitCode::FAILURE;
            }
        };
    let mut told = Vec::new();
    tell(&loaded.notes, &mut told);
    match serve(&start, loaded.config, log, told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// What the configuration is read with, at start and at each reload.
struct Start {
    args: ServerArgs,
    environment: Environment,
}

fn complain(error: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "taciturn: {error}");
}

fn serve(start: &Start, config: Config, log: Log, told: Vec<String>) -> Result<(), Failure> {
    let config_in_use = config;
    let config = &config_in_use;
    let mut supervisor = Supervisor::of(|name| start.environment.get(name))?;
    let certificates = Certificates::open(config)?;
    let listeners = ListenerTable::new(config, &certificates)?;
    let given = match &config.external_ip {
        ExternalIp::Auto => &[][..],
        ExternalIp::Given(given) => given,
    };
    let external = external::find(given, &config.stun_servers)?;
    for note in &external.notes {
        tracing::warn!("{note}");
    }
    check_redirect(config, &external)?;
    check_icmp_errors(config)?;
    check_nat_discovery(config)?;
    certificates.warn(host(config).as_deref());
    raise_descriptor_limit(config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::take() })?;
    let bound = Listeners::bind(&listeners.wanted(), config.workers.get())?;
    let addresses = bound.first().map(Listeners::addresses).unwrap_or_default();
    // Before the file system is shut, and before root is given up.
    let socket = config.admin.socket.as_ref().and_then(|path| match admin::control::bind(path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!(
                "turnctl cannot ask this server: no socket at {}: {error}",
                path.display()
            );
            None
        }
    });
    let tickets = ticket_key()?;
    let sandboxed = confine(config)?;
    let mut kept = None;
    let running = taciturn_net::start(bound, config.limits.nonce_lifetime, |nonces| {
        let shared = share(config, &external, nonces, tickets);
        kept = Some(shared.clone());
        shared
    })?;
    let shared = kept.ok_or("the workers did not ask for rules")?;
    if let Err(error) = announce(config, &external, &addresses) {
        // Nobody reads standard output: no reason not to serve.
        tracing::warn!("cannot print to standard output: {error}");
    }
    supervisor.ready(&status(&shared.rules));
    let served = Served::new(config, &certificates, host(config));
    let board = Board::new(running.workers(), &shared, served);
    if let Some(address) = config.admin.metrics {
        let _inside = runtime.enter();
        match admin::http::start(address, board.clone()) {
            Ok(bound) => tracing::info!("metrics on http://{bound}/metrics"),
            Err(error) => tracing::warn!(
                "no metrics: cannot listen on {address}: {error}. Set metrics in [admin] to another address, or \
                 to \"off\""
            ),
        }
    }
    let (orderer, orders) = tokio::sync::mpsc::channel(1);
    if let Some(socket) = socket {
        let _inside = runtime.enter();
        admin::control::start(socket, board.clone(), orderer.clone())?;
    }
    let mut live = Live {
        _orderer: orderer,
        orders,
        drain: None,
        log,
        board,
        start,
        config: config_in_use,
        external,
        certificates,
        listeners,
        shared,
        running: &running,
        sandboxed,
        told,
    };
    let outcome = runtime.block_on(live.wait(&mut signals, &mut supervisor));
    if let Some(path) = &live.config.admin.socket {
        let _ = std::fs::remove_file(path); // what stays is taken away by the next start
    }
    tracing::info!("stopping");
    supervisor.stopping();
    running.stop()?;
    outcome
}

/// Gives up what is not needed once the ports are bound: root, the file system, core dumps. Before
/// the workers start, so that it holds for their threads.
/// Answers whether the file system is shut.
fn confine(config: &Config) -> Result<bool, Failure> {
    let listeners = config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    let certificates = config.tls.certificates.iter().chain(listeners);
    let secrets = config.auth.secrets.iter().filter_map(|secret| secret.path.clone());
    let mut files: Vec<_> = certificates.flat_map(CertSource::files).chain(secrets).collect();
    files.extend(config.file.clone());
    if let Some(user) = &config.process.user {
        let account = Account::find(user)?;
        account.take_over(&config.state_dir)?;
        config.admin.socket.as_deref().map_or(Ok(()), |path| account.take_over(path))?;
        for secret in config.auth.secrets.iter().filter(|secret| secret.generated) {
            secret.path.as_deref().map_or(Ok(()), |path| account.take_over(path))?;
        }
        account.assume()?;
        for (path, error) in process::unreadable(files.iter().map(PathBuf::as_path)) {
            tracing::warn!(
                "{} cannot be read as {}: {error}. What is in it was read as root at the start; a change of \
                 it will not be seen. Give {} the right to read it, for example by its group",
                path.display(),
                account.name(),
                account.name()
            );
        }
    }
    if let Err(error) = process::forbid_core_dumps() {
        tracing::warn!("{error}");
    }
    if config.process.sandbox {
        let sandbox = Sandbox { read: files, write: vec![config.state_dir.clone()] };
        match sandbox.enter()? {
            Sandboxed::Fully | Sandboxed::Partly => return Ok(true),
            Sandboxed::Not => tracing::debug!("this kernel has no landlock: no sandbox"),
        }
    }
    Ok(false)
}

/// A key for the tickets of mobility, as long as the process lives.
fn ticket_key() -> Result<TicketKey, Failure> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(|error| format!("no randomness: {error}"))?;
    Ok(TicketKey::new(key))
}

fn share(
    config: &Config,
    external: &External,
    nonces: taciturn_turn::auth::NonceKeys,
    tickets: TicketKey,
) -> Shared {
    let limits = &config.limits;
    let secrets = config.auth.secrets.iter().map(|secret| secret.secret.clone()).collect();
    let (realm, users) = (&config.realm, &config.auth.users);
    let authenticator = Authenticator::new(realm, users, secrets, config.auth.strict_expiry);
    let (allow, deny) = (config.peers.allow.clone(), config.peers.deny.clone());
    Shared {
        settings: Settings {
            relay_addresses: external.addresses,
            max_lifetime: limits.max_lifetime,
            max_permissions: limits.permissions_per_allocation as usize,
            max_channels: limits.channels_per_allocation as usize,
            rfc5766_channels: config.protocol.rfc5766_channels,
            tcp_relay: config.protocol.tcp_relay,
            max_peer_connections: limits.peer_connections_per_allocation as usize,
            ports_reserved_percent: limits.ports_reserved_percent,
            rfc8489_over_udp: config.protocol.rfc8489_over_udp,
            redirect: config.redirect.clone(),
            icmp_errors: config.protocol.icmp_errors,
            nat_discovery: config.nat_discovery.clone(),
            rfc3489: config.protocol.rfc3489,
            mobility: config.protocol.mobility,
            software: config.protocol.software,
            keep_removed: config.auth.on_removal == OnRemoval::Keep,
        },
        rules: Rules {
            authenticator: Arc::new(authenticator),
            nonces: Arc::new(nonces),
            peers: Arc::new(PeerPolicy::new(allow, deny, external.own.clone())),
            ports: Arc::new(PortPool::new(config.relay_ports, limits.port_quarantine)),
            quota: Arc::new(Quota::new(limits.allocations_per_user, limits.allocations)),
            rates: Arc::new(RateLimits::new(limits.rates)),
            answers: Arc::new(AnswerLimit::new(
                limits.unverified_answers_per_address,
                limits.unverified_answers,
                limits.unverified_exempt.clone(),
            )),
            failures: Arc::new(FailureLimit::new(limits.failures_per_address)),
            // Each is of use with a connection of a client's.
            connection_ids: Arc::new(ConnectionIds::new(limits.connections as usize)),
            tickets: Arc::new(tickets),
            mobile: Arc::default(),
        },
        connections: Arc::new(Connections::new(limits.connections, limits.connections_per_address)),
        wake_delay: config.tuning.wake_delay,
    }
}

/// Clients that are sent back to where they are would go round in a circle.
fn check_redirect(config: &Config, external: &External) -> Result<(), Failure> {
    let Some(redirect) = &config.redirect else { return Ok(()) };
    for server in redirect.plain.iter().chain(&redirect.secure).flatten() {
        let listens = config.listen.iter().any(|listen| listen.address.port() == server.port());
        if listens && external.own.contains(&server.ip()) {
            let what = "is this server itself. Name another server, or remove the section";
            return Err(format!("[redirect]: {server} {what}").into());
        }
    }
    Ok(())
}

/// Each relayed address takes a descriptor, and the usual soft limit of 1024 is below the default
/// range of ports.
fn raise_descriptor_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let has_streams = config.listen.iter().any(|listen| !listen.transport.is_datagram());
    let connections = if has_streams { u64::from(config.limits.connections) } else { 0 };
    let connections = if config.protocol.tcp_relay { 2 * connections } else { connections };
    let needed = 2 * u64::from(config.relay_ports.len()) + connections + SPARE_DESCRIPTORS;
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < needed => tracing::warn!(
            "this process may open {current} files, but {needed} are needed for all relay ports and connections. \
             Set LimitNOFILE={needed} in the systemd unit, or --ulimit nofile={needed} for a container"
        ),
        _ => {}
    }
}

/// Says what is served where and, without a configuration file, what Synapse needs to know.
fn announce(config: &Config, external: &External, bound: &[String]) -> io::Result<()> {
    let relays = external.addresses.iter().flatten();
    let relays = relays.map(|address| {
        let nat = address.local != address.public;
        let behind = if nat { format!(" (bound to {})", address.local) } else { String::new() };
        format!("{}{behind}", address.public)
    });
    let (users, secrets) = (config.auth.users.len(), config.auth.secrets.len());
    let mut out = io::stdout().lock();
    writeln!(out, "taciturn {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  listening    {}", bound.join(", "))?;
    writeln!(
        out,
        "  relaying on  {}, ports {} ({})",
        relays.collect::<Vec<_>>().join(", "),
        config.relay_ports,
        config.relay_ports.len()
    )?;
    writeln!(out, "  realm        {}", config.realm)?;
    writeln!(out, "  credentials  {users} static users, {secrets} shared secrets")?;
    writeln!(out, "  workers      {}, one core each", config.workers)?;
    if config.file.is_none()
        && let Some(block) = homeserver_block(config, external)
    {
        writeln!(out, "\nFor Synapse, at the end of homeserver.yaml:\n\n{block}")?;
    }
    out.flush()
}

/// The block for homeserver.yaml. The secret itself is shown on a terminal only: what goes
/// elsewhere ends in logs, so there the secret's file is named.
fn homeserver_block(config: &Config, external: &External) -> Option<String> {
    let found = external.addresses.iter().flatten().map(|address| address.public).next();
    let host = Host::of(config, None, found.filter(|ip: &IpAddr| !ip.is_loopback()));
    let mut options = BlockOptions::default();
    if !io::stdout().is_terminal() {
        let path = config.auth.secrets.first().and_then(|secret| secret.path.as_ref())?;
        options.secret_path = Some(path.display().to_string());
    }
    // Without a shared secret there is nothing to print: `turnctl homeserver-snippet` knows more.
    homeserver::block(config, &host, &options).ok()
}

/// What `systemctl status` shows.
fn status(rules: &Rules) -> String {
    let used: u32 = [Family::V4, Family::V6].map(|family| rules.ports.used(family)).iter().sum();
    notify::status(used, rules.quota.users())
}

/// Gives the notes that were not given before.
fn tell(notes: &[Note], told: &mut Vec<String>) {
    for note in notes.iter().filter(|note| !told.contains(&note.text)) {
        match note.level {
            NoteLevel::Info => tracing::info!("{}", note.text),
            NoteLevel::Warning => tracing::warn!("{}", note.text),
        }
    }
    *told = notes.iter().map(|note| note.text.clone()).collect();
}

/// The name that clients ask for, where it is known.
fn host(config: &Config) -> Option<String> {
    match Host::of(config, None, None) {
        Host::Known(host) => Some(host),
        Host::Placeholder => None,
    }
}

fn check_nat_discovery(config: &Config) -> Result<(), Failure> {
    let addresses = config.nat_discovery.iter().flat_map(|discovery| discovery.addresses);
    for address in addresses.flatten().flatten() {
        std::net::UdpSocket::bind((address.local, 0)).map_err(|error| {
            let (local, help) = (address.local, "name addresses that `ip address` shows");
            format!("protocol.nat_discovery: no answer can be sent from {local} ({error}); {help}")
        })?;
    }
    Ok(())
}

fn check_icmp_errors(config: &Config) -> Result<(), Failure> {
    match config.protocol.icmp_errors && !cfg!(target_os = "linux") {
        true => Err("protocol.icmp_errors works on Linux only; remove it".into()),
        false => Ok(()),
    }
}
