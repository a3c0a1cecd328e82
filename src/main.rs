//! taciturn: arguments, configuration, workers, signals.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taciturn::auth::Authenticator;
use taciturn::config::{Config, Environment, ExternalIp, NoteLevel, ServerArgs, Transport};
use taciturn::ctl::homeserver::{self, BlockOptions};
use taciturn::ctl::uris::Host;
use taciturn::net::external::{self, External};
use taciturn::net::{Listeners, Running};
use taciturn::policy::{PeerPolicy, PortPool, Quota};
use taciturn::turn::{Rules, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How often the nonce key's age is looked at, and the workers' health.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Descriptors besides relay sockets and listeners: epolls, signals, the terminal, the log.
const SPARE_DESCRIPTORS: u64 = 64;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args = ServerArgs::parse();
    let environment = Environment::of_process();
    if let Err(error) = start_log(&environment) {
        complain(&error);
        return ExitCode::from(2);
    }
    let loaded = match Config::load(&args, &environment) {
        Ok(loaded) => loaded,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(2);
        }
    };
    for note in &loaded.notes {
        match note.level {
            NoteLevel::Info => tracing::info!("{}", note.text),
            NoteLevel::Warning => tracing::warn!("{}", note.text),
        }
    }
    match serve(&loaded.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "taciturn: {error}");
}

/// Text on standard error. `TACITURN_LOG` takes a level, or tracing's filter syntax.
fn start_log(environment: &Environment) -> Result<(), Failure> {
    let wanted = environment.get("TACITURN_LOG").and_then(|value| value.to_str()).unwrap_or("info");
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        format!("TACITURN_LOG={wanted}: {error}. Use error, warn, info, debug or trace")
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    if environment.get("JOURNAL_STREAM").is_some() {
        log.without_time().init(); // the journal has the time
    } else {
        log.init();
    }
    Ok(())
}

fn serve(config: &Config) -> Result<(), Failure> {
    let addresses = udp_addresses(config)?;
    let given = match &config.external_ip {
        ExternalIp::Auto => &[][..],
        ExternalIp::Given(given) => given,
    };
    let external = external::find(given, &config.stun_servers)?;
    for note in &external.notes {
        tracing::warn!("{note}");
    }
    raise_descriptor_limit(config);
    let listeners = Listeners::bind(&addresses, config.workers.get())?;
    let bound = listeners.first().map(Listeners::addresses).unwrap_or_default();
    let settings = Settings {
        relay_addresses: external.addresses,
        max_lifetime: config.limits.max_lifetime,
        max_permissions: config.limits.permissions_per_allocation as usize,
        max_channels: config.limits.channels_per_allocation as usize,
        rfc5766_channels: config.protocol.rfc5766_channels,
    };
    let mut rules = None;
    let running =
        taciturn::net::start(listeners, &settings, config.limits.nonce_lifetime, |nonces| {
            rules.insert(make_rules(config, &external, nonces)).clone()
        })?;
    let rules = rules.ok_or("the workers did not ask for rules")?;
    announce(config, &external, &bound)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(wait(&running, &rules));
    tracing::info!("stopping");
    running.stop()?;
    outcome
}

/// The addresses to listen on. A configured listener is never dropped in silence.
fn udp_addresses(config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    config
        .listen
        .iter()
        .map(|listen| match listen.transport {
            Transport::Udp => Ok(listen.address),
            other => Err(format!(
                "listener \"{}\": this version serves transport = \"udp\" only, not \"{}\"",
                listen.name,
                other.name()
            )
            .into()),
        })
        .collect()
}

fn make_rules(config: &Config, external: &External, nonces: taciturn::auth::NonceKeys) -> Rules {
    let secrets = config.auth.secrets.iter().map(|secret| secret.secret.clone()).collect();
    let (realm, users) = (&config.realm, &config.auth.users);
    let authenticator = Authenticator::new(realm, users, secrets, config.auth.strict_expiry);
    let (allow, deny) = (config.peers.allow.clone(), config.peers.deny.clone());
    Rules {
        authenticator: Arc::new(authenticator),
        nonces: Arc::new(nonces),
        peers: Arc::new(PeerPolicy::new(allow, deny, external.own.clone())),
        ports: Arc::new(PortPool::new(config.relay_ports)),
        quota: Arc::new(Quota::new(config.limits.allocations_per_user)),
    }
}

/// Each relayed address takes a descriptor, and the usual soft limit of 1024 is below the default
/// range of ports.
fn raise_descriptor_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let needed = 2 * u64::from(config.relay_ports.len()) + SPARE_DESCRIPTORS;
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < needed => tracing::warn!(
            "this process may open {current} files, but {needed} are needed to use all relay ports. \
             Set LimitNOFILE={needed} in the systemd unit, or --ulimit nofile={needed} for a container"
        ),
        _ => {}
    }
}

/// Says what is served where and, without a configuration file, what Synapse needs to know.
fn announce(config: &Config, external: &External, bound: &[SocketAddr]) -> io::Result<()> {
    let list = |items: Vec<String>| items.join(", ");
    let relays = external.addresses.iter().flatten();
    let relays = relays.map(|address| {
        let nat = address.local != address.public;
        let behind = if nat { format!(" (bound to {})", address.local) } else { String::new() };
        format!("{}{behind}", address.public)
    });
    let (users, secrets) = (config.auth.users.len(), config.auth.secrets.len());
    let mut out = io::stdout().lock();
    writeln!(out, "taciturn {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(
        out,
        "  listening    {}",
        list(bound.iter().map(|address| format!("{address}/udp")).collect())
    )?;
    writeln!(
        out,
        "  relaying on  {}, ports {} ({})",
        list(relays.collect()),
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

/// Until a signal, or until a worker fails.
async fn wait(running: &Running, rules: &Rules) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = housekeeping.tick() => {
                if running.has_failed() {
                    return Err("a worker has ended by itself".into());
                }
                running.rotate_nonce_key(rules)?;
            }
        }
    }
}
