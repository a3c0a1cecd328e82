//! taciturn: arguments, configuration, workers, signals.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taciturn::auth::Authenticator;
use taciturn::config::{Config, Environment, ExternalIp, Listen, NoteLevel, ServerArgs, Transport};
use taciturn::ctl::homeserver::{self, BlockOptions};
use taciturn::ctl::uris::Host;
use taciturn::net::external::{self, External};
use taciturn::net::{DtlsSettings, Listeners, Running, Shared, Speaks, StreamSettings};
use taciturn::notify::{self, Supervisor};
use taciturn::policy::{AnswerLimit, Connections, PeerPolicy, PortPool, Quota, SourceBudget};
use taciturn::process::{self, Account, Sandbox, Sandboxed};
use taciturn::stun::Family;
use taciturn::tls::{CertSource, CertStore, ReloadOutcome, TlsServer};
use taciturn::turn::{ConnectionIds, Rules, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How often the nonce key's age is looked at, the workers' health, and the certificate files.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How often certificates are judged again: they expire while the server runs.
const DAY: Duration = Duration::from_secs(86400);

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
    match serve(&loaded.config, &environment) {
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

fn serve(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let mut supervisor = Supervisor::of(|name| environment.get(name))?;
    let certificates = Certificates::open(config)?;
    let Wanted { udp, dtls, streams } = listeners(config, &certificates)?;
    let given = match &config.external_ip {
        ExternalIp::Auto => &[][..],
        ExternalIp::Given(given) => given,
    };
    let external = external::find(given, &config.stun_servers)?;
    for note in &external.notes {
        tracing::warn!("{note}");
    }
    check_redirect(config, &external)?;
    if config.protocol.icmp_errors && !cfg!(target_os = "linux") {
        return Err("protocol.icmp_errors works on Linux only; remove it".into());
    }
    certificates.warn(config);
    raise_descriptor_limit(config);
    let bound = Listeners::bind(&udp, &dtls, &streams, config.workers.get())?;
    let addresses = bound.first().map(Listeners::addresses).unwrap_or_default();
    confine(config)?;
    let mut rules = None;
    let running = taciturn::net::start(bound, config.limits.nonce_lifetime, |nonces| {
        let shared = share(config, &external, nonces);
        rules = Some(shared.rules.clone());
        shared
    })?;
    let rules = rules.ok_or("the workers did not ask for rules")?;
    if let Err(error) = announce(config, &external, &addresses) {
        // Nobody reads standard output: no reason not to serve.
        tracing::warn!("cannot print to standard output: {error}");
    }
    supervisor.ready(&status(&rules));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome =
        runtime.block_on(wait(config, &running, &rules, &certificates, &dtls, &mut supervisor));
    tracing::info!("stopping");
    supervisor.stopping();
    running.stop()?;
    outcome
}

/// Gives up what is not needed once the ports are bound: root, the file system, core dumps. Before
/// the workers start, so that it holds for their threads.
fn confine(config: &Config) -> Result<(), Failure> {
    let listeners = config.listen.iter().filter_map(|listen| listen.cert.as_ref());
    let certificates = config.tls.certificates.iter().chain(listeners);
    let secrets = config.auth.secrets.iter().filter_map(|secret| secret.path.clone());
    let mut files: Vec<_> = certificates.flat_map(CertSource::files).chain(secrets).collect();
    files.extend(config.file.clone());
    if let Some(user) = &config.process.user {
        let account = Account::find(user)?;
        account.take_over(&config.state_dir)?;
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
            Sandboxed::Fully | Sandboxed::Partly => {}
            Sandboxed::Not => tracing::debug!("this kernel has no landlock: no sandbox"),
        }
    }
    Ok(())
}

/// Where to listen for datagrams, for DTLS, and for connections.
#[derive(Default)]
struct Wanted {
    udp: Vec<SocketAddr>,
    dtls: Vec<Arc<DtlsSettings>>,
    streams: Vec<Arc<StreamSettings>>,
}

/// A configured listener is never dropped in silence.
fn listeners(config: &Config, certificates: &Certificates) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    for listen in &config.listen {
        let tls = || certificates.store(listen).map(TlsServer::new);
        let speaks = match listen.transport {
            Transport::Udp => {
                wanted.udp.push(listen.address);
                continue;
            }
            Transport::Tcp => Speaks::Plain,
            Transport::Tls => Speaks::Tls(tls()?),
            Transport::Auto => Speaks::Either(tls()?),
            Transport::Dtls => {
                let store = certificates.store(listen)?;
                let settings = DtlsSettings::new(&listen.name, listen.address, store)?;
                wanted.dtls.push(Arc::new(settings));
                continue;
            }
        };
        wanted.streams.push(Arc::new(StreamSettings {
            name: listen.name.clone(),
            address: listen.address,
            speaks,
            trusted_proxies: listen.proxy_protocol.then(|| listen.trusted_proxies.clone()),
        }));
    }
    Ok(wanted)
}

/// The certificates of `[tls]`, and those of single listeners.
struct Certificates {
    general: Option<Arc<CertStore>>,
    /// By the name of the listener.
    single: Vec<(String, Arc<CertStore>)>,
}

impl Certificates {
    /// Reads them all: a certificate that cannot be used is an error now, not when a call needs it.
    fn open(config: &Config) -> Result<Self, Failure> {
        let general = match config.tls.certificates.as_slice() {
            [] => None,
            sources => Some(Arc::new(CertStore::open(sources.to_vec())?)),
        };
        let mut single = Vec::new();
        for listen in &config.listen {
            if let Some(source) = &listen.cert {
                let store = CertStore::open(vec![source.clone()])
                    .map_err(|error| format!("listener \"{}\": {error}", listen.name))?;
                single.push((listen.name.clone(), Arc::new(store)));
            }
        }
        Ok(Self { general, single })
    }

    /// Those that a listener serves.
    fn store(&self, listen: &Listen) -> Result<Arc<CertStore>, Failure> {
        let own = self.single.iter().find(|(name, _)| *name == listen.name);
        let store = own.map(|(_, store)| store).or(self.general.as_ref());
        let store = store.ok_or_else(|| {
            format!("listener \"{}\": {} needs a certificate", listen.name, listen.transport.name())
        })?;
        Ok(Arc::clone(store))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<CertStore>> {
        self.general.iter().chain(self.single.iter().map(|(_, store)| store))
    }

    /// Says in words what clients will not like.
    fn warn(&self, config: &Config) {
        let host = match Host::of(config, None, None) {
            Host::Known(host) => Some(host),
            Host::Placeholder => None,
        };
        let expected: Vec<&str> = host.as_deref().into_iter().collect();
        for store in self.all() {
            for finding in store.findings(SystemTime::now(), &expected) {
                tracing::warn!("{finding}");
            }
        }
    }

    /// Picks up renewed files.
    fn poll(&self) {
        for outcome in self.all().flat_map(|store| store.poll()) {
            match outcome {
                ReloadOutcome::Kept { .. } => tracing::error!("{outcome}"),
                _ => tracing::info!("{outcome}"),
            }
        }
    }
}

fn share(config: &Config, external: &External, nonces: taciturn::auth::NonceKeys) -> Shared {
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
            rfc8489_over_udp: config.protocol.rfc8489_over_udp,
            redirect: config.redirect.clone(),
            icmp_errors: config.protocol.icmp_errors,
        },
        rules: Rules {
            authenticator: Arc::new(authenticator),
            nonces: Arc::new(nonces),
            peers: Arc::new(PeerPolicy::new(allow, deny, external.own.clone())),
            ports: Arc::new(PortPool::new(config.relay_ports)),
            quota: Arc::new(Quota::new(limits.allocations_per_user)),
            answers: Arc::new(AnswerLimit::new(
                limits.unverified_answers_per_address,
                limits.unverified_answers,
                limits.unverified_exempt.clone(),
            )),
            failures: Arc::new(SourceBudget::new(limits.failures_per_address)),
            // Each is of use with a connection of a client's.
            connection_ids: Arc::new(ConnectionIds::new(limits.connections as usize)),
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

/// Until a signal, or until a worker fails.
async fn wait(
    config: &Config,
    running: &Running,
    rules: &Rules,
    certificates: &Certificates,
    dtls: &[Arc<DtlsSettings>],
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    let mut heartbeat = tokio::time::interval(supervisor.period());
    let mut day = tokio::time::interval(DAY);
    day.reset(); // the first warnings were given at start
    let mut withheld = Withheld::default();
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = housekeeping.tick() => {
                if running.has_failed() {
                    return Err("a worker has ended by itself".into());
                }
                running.rotate_nonce_key(rules)?;
                withheld.report(&rules.answers);
                certificates.poll();
                for error in dtls.iter().filter_map(|settings| settings.renew().err()) {
                    tracing::error!("{error}");
                }
            }
            _ = heartbeat.tick() => supervisor.beat(running.beat(), &status(rules)),
            _ = day.tick() => certificates.warn(config),
        }
    }
}

/// Tells of answers that were withheld from strangers, now and then.
#[derive(Default)]
struct Withheld {
    told: u64,
    quiet_rounds: u32,
}

impl Withheld {
    /// To be called once a housekeeping.
    fn report(&mut self, answers: &AnswerLimit) {
        /// One line a minute at most.
        const ROUNDS: u32 = 12;
        self.quiet_rounds = self.quiet_rounds.saturating_sub(1);
        let more = answers.withheld() - self.told;
        if more > 0 && self.quiet_rounds == 0 {
            tracing::warn!(
                "{more} requests were not answered: more came than limits.unverified_answers_per_address or \
                 limits.unverified_answers allow to senders whose address is not proven. Calls that run are \
                 not affected. A flood, or many users behind one address: for those there is \
                 limits.unverified_exempt"
            );
            self.told += more;
            self.quiet_rounds = ROUNDS;
        }
    }
}
