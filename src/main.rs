//! taciturn: arguments, configuration, workers, signals.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taciturn::admin::control::Order;
use taciturn::admin::{self, Board, Certificates, Change, Plan};
use taciturn::auth::Authenticator;
use taciturn::config::{
    Config, Environment, ExternalIp, LogFormat, Note, NoteLevel, ServerArgs, Transport,
};
use taciturn::ctl::homeserver::{self, BlockOptions};
use taciturn::ctl::uris::Host;
use taciturn::net::external::{self, External};
use taciturn::net::{DtlsSettings, Listeners, Running, Shared, Speaks, StreamSettings};
use taciturn::notify::{self, Supervisor};
use taciturn::policy::{
    AnswerLimit, Connections, PeerPolicy, PortPool, Quota, RateLimits, SourceBudget,
};
use taciturn::process::{self, Account, Sandbox, Sandboxed};
use taciturn::stun::Family;
use taciturn::tls::{CertSource, TlsServer};
use taciturn::turn::{ConnectionIds, Rules, Settings, TicketKey, Withdrawn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How often the nonce key's age is looked at, the workers' health, and the certificate files.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How often certificates are judged again: they expire while the server runs.
const DAY: Duration = Duration::from_secs(86400);

/// How often a server that drains looks whether its last call has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(500);

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
    if let Err(error) = start_log(&start.environment, loaded.config.log_format) {
        complain(&error);
        return ExitCode::from(2);
    }
    let mut told = Vec::new();
    tell(&loaded.notes, &mut told);
    match serve(&start, loaded.config, told) {
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

/// Lines on standard error. `TACITURN_LOG` takes a level, or tracing's filter syntax.
fn start_log(environment: &Environment, format: LogFormat) -> Result<(), Failure> {
    let wanted = environment.get("TACITURN_LOG").and_then(|value| value.to_str()).unwrap_or("info");
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        format!("TACITURN_LOG={wanted}: {error}. Use error, warn, info, debug or trace")
    })?;
    let journal = environment.get("JOURNAL_STREAM").and_then(|value| value.to_str());
    tracing_subscriber::registry().with(filter).with(admin::log_lines(format, journal)).init();
    Ok(())
}

fn serve(start: &Start, config: Config, told: Vec<String>) -> Result<(), Failure> {
    let config_in_use = config;
    let config = &config_in_use;
    let mut supervisor = Supervisor::of(|name| start.environment.get(name))?;
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
    check_icmp_errors(config)?;
    check_nat_discovery(config)?;
    certificates.warn(host(config).as_deref());
    raise_descriptor_limit(config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::take() })?;
    let bound = Listeners::bind(&udp, &dtls, &streams, config.workers.get())?;
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
    let running = taciturn::net::start(bound, config.limits.nonce_lifetime, |nonces| {
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
    let board = Board::new(running.workers(), &shared, &certificates);
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
        // Kept here too, so that the channel stays open where there is no socket.
        _orderer: orderer,
        orders,
        drain: None,
        board,
        start,
        config: config_in_use,
        external,
        certificates,
        dtls,
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

/// A key for the tickets of mobility, as long as the process lives.
fn ticket_key() -> Result<TicketKey, Failure> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(|error| format!("no randomness: {error}"))?;
    Ok(TicketKey::new(key))
}

fn share(
    config: &Config,
    external: &External,
    nonces: taciturn::auth::NonceKeys,
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
            failures: Arc::new(SourceBudget::new(limits.failures_per_address)),
            // Each is of use with a connection of a client's.
            connection_ids: Arc::new(ConnectionIds::new(limits.connections as usize)),
            tickets: Arc::new(tickets),
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

/// What stops the server, and what makes it read its configuration again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves. Within a runtime.
    fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// A server that runs, and all that a change of it needs to know.
struct Live<'a> {
    _orderer: Sender<Order>,
    orders: Receiver<Order>,
    /// Until when calls may run at most, once no new ones are taken.
    drain: Option<Option<Instant>>,
    board: Board,
    start: &'a Start,
    /// What is in use: the configuration read last, but for what needs a restart.
    config: Config,
    external: External,
    certificates: Certificates,
    dtls: Vec<Arc<DtlsSettings>>,
    shared: Shared,
    running: &'a Running,
    sandboxed: bool,
    /// Notes that were given, so that each is given once.
    told: Vec<String>,
}

impl Live<'_> {
    /// Until a signal, or until a worker fails.
    async fn wait(
        &mut self,
        signals: &mut Signals,
        supervisor: &mut Supervisor,
    ) -> Result<(), Failure> {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut day = tokio::time::interval(DAY);
        day.reset(); // the first warnings were given at start
        let mut look = tokio::time::interval(DRAIN_LOOK);
        let mut heartbeat = tokio::time::interval(supervisor.period());
        let mut withheld = Withheld::default();
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hang_up.recv() => {
                    let _ = self.reload_and_say().await;
                }
                Some(order) = self.orders.recv() => match order {
                    // Who has gone away needs no answer.
                    Order::Reload(done) => {
                        let _ = done.send(self.reload_and_say().await);
                    }
                    Order::Drain(within, done) => {
                        let _ = done.send(self.drain(within).await);
                    }
                },
                _ = look.tick(), if self.drain.is_some() => if self.is_drained().await {
                    return Ok(());
                },
                _ = housekeeping.tick() => {
                    if self.running.has_failed() {
                        return Err("a worker has ended by itself".into());
                    }
                    self.running.rotate_nonce_key(&self.shared.rules)?;
                    withheld.report(&self.shared.rules.answers);
                    self.certificates.poll();
                    self.renew_dtls();
                }
                _ = heartbeat.tick() => {
                    supervisor.beat(self.running.beat(), &status(&self.shared.rules));
                }
                _ = day.tick() => self.certificates.warn(host(&self.config).as_deref()),
            }
        }
    }

    /// Reloads, and says in the log and to the caller how it went.
    async fn reload_and_say(&mut self) -> Result<Vec<String>, String> {
        let outcome = self.reload().await;
        self.board.health().reloaded(outcome.is_ok());
        match outcome {
            Ok(changes) => {
                say(&changes);
                Ok(changes.iter().map(ToString::to_string).collect())
            }
            Err(error) => {
                tracing::error!("reload refused, nothing is changed: {error}");
                Err(format!("reload refused, nothing is changed: {error}"))
            }
        }
    }

    /// Takes nobody new from now on. Where that is so already, the time limit is set anew.
    async fn drain(&mut self, within: Option<Duration>) -> Result<Vec<String>, String> {
        self.board.workers().drain().await.map_err(|error| error.to_string())?;
        self.board.health().drained();
        self.drain = Some(within.and_then(|within| Instant::now().checked_add(within)));
        let running = self.board.workers().count().await.map_err(|error| error.to_string())?;
        let told = format!("draining: {} allocations are left", running.allocations);
        tracing::info!("{told}");
        Ok(vec![told])
    }

    /// Whether the last call has ended, or has had its time.
    async fn is_drained(&self) -> bool {
        let over = self.drain.flatten().is_some_and(|until| until <= Instant::now());
        over || self.board.workers().count().await.is_ok_and(|now| now.allocations == 0)
    }

    /// Reads the configuration again and goes on with it: all of it, but for what needs a restart,
    /// or nothing.
    async fn reload(&mut self) -> Result<Vec<Change>, Failure> {
        let loaded = Config::load(&self.start.args, &self.start.environment);
        let loaded = loaded.map_err(|errors| self.explain(&errors))?;
        let Plan { changes, config } = Plan::new(&self.config, loaded.config);
        check_redirect(&config, &self.external)?;
        check_icmp_errors(&config)?;
        let successors = self.certificates.successors(&config, &self.dtls);
        let successors = successors.map_err(|error| self.explain(&error))?;
        let nonces = self.running.nonce_keys(config.limits.nonce_lifetime)?;
        // Nothing can be refused from here on.
        let tickets = ticket_key()?;
        let shared = share(&config, &self.external, nonces, tickets).in_place_of(&self.shared);
        let withdrawn = self.running.set_rules(&shared).await?;
        successors.take_over();
        self.renew_dtls();
        tell(&loaded.notes, &mut self.told);
        if changes.iter().any(|c| ["limits.connections", "protocol.tcp_relay"].contains(&c.key)) {
            raise_descriptor_limit(&config);
        }
        if changes.iter().any(|c| ["tls", "listen.cert", "host", "realm"].contains(&c.key)) {
            self.certificates.warn(host(&config).as_deref());
        }
        (self.config, self.shared) = (config, shared);
        if withdrawn != Withdrawn::default() {
            let Withdrawn { permissions, channels, connections } = withdrawn;
            tracing::info!(
                permissions,
                channels,
                connections,
                "the new peer rules have ended what they refuse"
            );
        }
        Ok(changes)
    }

    fn renew_dtls(&self) {
        for error in self.dtls.iter().filter_map(|settings| settings.renew().err()) {
            tracing::error!("{error}");
        }
    }

    /// An error, and what the sandbox may have to do with it.
    fn explain(&self, error: &dyn std::fmt::Display) -> String {
        let text = error.to_string();
        if !self.sandboxed || !text.contains("Permission denied") {
            return text;
        }
        format!(
            "{text}\n  note: since its start this server can read only in the directories of the files that \
             were configured then (sandbox in [process]). A file in another directory needs a restart"
        )
    }
}

/// Says in the log what a reload has changed.
fn say(changes: &[Change]) {
    for change in changes {
        match change.needs_restart {
            true => tracing::warn!("{change}"),
            false => tracing::info!("reload: {change}"),
        }
    }
    let taken_up = changes.iter().filter(|change| !change.needs_restart).count();
    match (changes.len(), taken_up) {
        (0, _) => tracing::info!("configuration read again: no change"),
        (_, n) => tracing::info!("configuration read again: {n} changes taken up"),
    }
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
        // A reload begins to count anew.
        self.told = self.told.min(answers.withheld());
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
