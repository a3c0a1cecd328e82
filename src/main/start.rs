//! The start of the server, step by step.
//!
//! Each step takes what the step before has made, so the compiler holds their order: nothing is bound
//! that cannot be served, ports and sockets are bound before root is given up and the file system is
//! shut, and no thread that handles packets runs before that.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use taciturn::admin::control::Order;
use taciturn::admin::{self, Certificates, ListenerTable, ServerHandle};
use taciturn::kernel_relay::KernelRelay;
use taciturn::notify::Supervisor;
use taciturn_config::uris::Host;
use taciturn_config::{Config, ExternalIp, PageAccess};
use taciturn_handover::{Inherited, inherited};
use taciturn_net::external::{self, External};
use taciturn_net::{AddressNotices, Listeners, Running, Shared};
use taciturn_web::Access;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

use super::addresses::Addresses;
use super::announce::{announce, status};
use super::bans::BanKeeper;
use super::carried_over::{Before, CarriedOver};
use super::checks;
use super::confine::{self, confine};
use super::database::DatabaseReader;
use super::drain::Drainer;
use super::failure::Failure;
use super::fleet::FleetMember;
use super::hand_over::{Outward, OwnSockets};
use super::in_use::InUse;
use super::invocation::Invocation;
use super::keeper::Keeper;
use super::live::Live;
use super::log::Log;
use super::memory::Memory;
use super::notes::Notes;
use super::predecessor::Predecessor;
use super::records::RecordKeeper;
use super::reload::Reloader;
use super::rules::{terms, ticket_key};
use super::signals::Signals;
use super::withheld::Withheld;

/// A configuration that this machine can serve: its certificates were read, and the external address
/// is known. Nothing is bound.
pub(crate) struct Prepared<'a> {
    invocation: &'a Invocation,
    config: Config,
    log: Log,
    notes: Notes,
    supervisor: Supervisor,
    certificates: Certificates,
    listeners: ListenerTable,
    external: External,
    notices: AddressNotices,
    inherited: Inherited,
}

impl<'a> Prepared<'a> {
    /// Reads the certificates, finds the external address, and checks what only this machine can
    /// tell.
    ///
    /// # Errors
    /// When it cannot be served here.
    pub(crate) fn new(
        invocation: &'a Invocation,
        config: Config,
        log: Log,
        notes: Notes,
    ) -> Result<Self, Failure> {
        let inherited = inherited(|name| invocation.environment.get(name));
        let supervisor = Supervisor::of(|name| invocation.environment.get(name))?;
        let certificates = Certificates::open(&config)?;
        let listeners = ListenerTable::new(&config, &certificates)?;
        let given = match &config.external_ip {
            ExternalIp::Auto => &[][..],
            ExternalIp::Given(given) => given,
        };
        // Before the addresses are read: what changes from here on is not missed.
        let notices = AddressNotices::open();
        let external = external::find(given, &config.stun_servers)?;
        for note in &external.notes {
            tracing::warn!("{note}");
        }
        checks::redirect(&config, &external)?;
        checks::icmp_errors(&config)?;
        checks::nat_discovery(&config)?;
        certificates.warn(Host::of(&config, None, None).known().as_deref());
        Ok(Self {
            invocation,
            config,
            log,
            notes,
            supervisor,
            certificates,
            listeners,
            external,
            notices,
            inherited,
        })
    }

    /// Takes over the signals, and binds the ports, the control socket and that for metrics, which root
    /// may be needed for.
    ///
    /// # Errors
    /// When a port of a listener cannot be bound. Without a control socket or metrics the server starts
    /// all the same.
    pub(crate) fn bind(mut self) -> Result<Bound<'a>, Failure> {
        checks::make_room_for_descriptors(&self.config);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = runtime.block_on(async { Signals::take() })?;
        let (keeper, mut predecessor) = self.predecessor()?;
        let (wanted, workers) = (self.listeners.wanted(), self.config.workers.get());
        let sockets = Listeners::bind_or_take(&wanted, workers, predecessor.take_groups())?;
        let control = self.config.admin.socket.as_deref();
        let control =
            control.and_then(|at| predecessor.take_control(at).or_else(|| bind_control(at)));
        let metrics = self.config.admin.metrics;
        let metrics =
            metrics.and_then(|at| predecessor.take_metrics(at).or_else(|| bind_metrics(at)));
        if metrics.is_none() && !self.config.ice.tokens.is_empty() {
            let error = "[ice]: POST /ice is at the address for metrics, which cannot be had. Set metrics in [admin] to \
                         another address, or remove the tokens";
            return Err(error.into());
        }
        Ok(Bound {
            prepared: self,
            runtime,
            signals,
            sockets,
            control,
            metrics,
            keeper,
            predecessor,
        })
    }

    /// The process before this one, and what the service manager is to keep for the next one.
    fn predecessor(&mut self) -> Result<(Option<Keeper>, Predecessor), Failure> {
        let inherited = std::mem::take(&mut self.inherited);
        let names = inherited.descriptors.iter().map(|(name, _)| name.clone()).collect();
        let variable = |name: &str| self.invocation.environment.get(name);
        let line = Supervisor::connect(variable)?;
        let mut keeper = line.map(|line| Keeper::new(line, names)).transpose()?;
        let mut kept = Predecessor::kept(inherited);
        let crashes = kept.crashes();
        if keeper.as_mut().is_some_and(|keeper| !keeper.note_crashes(crashes)) {
            tracing::error!(
                "this server begins anew: it has crashed {crashes} times in a row with the same calls"
            );
            kept = Predecessor::default();
        }
        let predecessor = match self.invocation.takes_over() && kept.is_none() {
            true => Predecessor::running(&self.config)?,
            false => kept,
        };
        Ok((keeper, predecessor))
    }
}

fn bind_control(path: &Path) -> Option<UnixListener> {
    let bound = admin::control::bind(path);
    bound
        .inspect_err(|error| {
            tracing::warn!(
                "turnctl cannot control this server: cannot open the socket {}: {error}",
                path.display()
            );
        })
        .ok()
}

fn bind_metrics(address: SocketAddr) -> Option<TcpListener> {
    let bound = admin::http::bind(address);
    bound
        .inspect_err(|error| {
            tracing::warn!(
                "no metrics: cannot listen on {address}: {error}. Set metrics in [admin] to another address, \
                 or to \"off\""
            );
        })
        .ok()
}

/// A server whose ports are bound. It has the rights it was started with.
pub(crate) struct Bound<'a> {
    prepared: Prepared<'a>,
    runtime: Runtime,
    signals: Signals,
    /// Those of each worker.
    sockets: Vec<Listeners>,
    control: Option<UnixListener>,
    metrics: Option<TcpListener>,
    keeper: Option<Keeper>,
    predecessor: Predecessor,
}

impl<'a> Bound<'a> {
    /// Gives up root, capabilities, the file system, system calls and core dumps, as far as the
    /// configuration wants.
    ///
    /// # Errors
    /// If a privilege that the configuration drops cannot be dropped.
    pub(crate) fn confine(self) -> Result<Confined<'a>, Failure> {
        let kernel = KernelRelay::open(&self.prepared.config, &self.prepared.external);
        let given_up = confine(&self.prepared.config, kernel.is_there())?;
        // A thread of its own, which must not have more rights than the rest.
        self.prepared.log.sink().start_queue()?;
        Ok(Confined { bound: self, given_up, kernel: kernel.keep() })
    }
}

/// A server that has only the rights that it needs to run. It has no thread but this one.
pub(crate) struct Confined<'a> {
    bound: Bound<'a>,
    given_up: confine::Confined,
    kernel: KernelRelay,
}

impl<'a> Confined<'a> {
    /// Starts the workers, notifies the service manager, and serves the control socket and the metrics.
    ///
    /// # Errors
    /// When the system refuses what every server needs: threads, epoll, randomness.
    pub(crate) fn start(self) -> Result<Started<'a>, Failure> {
        let Self { bound, given_up, kernel } = self;
        let Bound {
            prepared,
            runtime,
            signals,
            sockets,
            control,
            metrics,
            mut keeper,
            mut predecessor,
        } = bound;
        let Prepared {
            invocation,
            config,
            log,
            notes,
            mut supervisor,
            certificates,
            listeners,
            external,
            notices,
            inherited: _,
        } = prepared;
        let listening = sockets.first().map(Listeners::addresses).unwrap_or_default();
        let tickets = ticket_key()?;
        if let Some(keeper) = &mut keeper {
            // If this process cannot use it, the next one must not try as well.
            keeper.clear();
        }
        let carried = predecessor.take_carried();
        let before = carried.as_ref().map(Before::of);
        let lifetime = config.limits.nonce_lifetime;
        let records = RecordKeeper::open(&config)?;
        let (database, extra) = runtime.block_on(DatabaseReader::open(&config))?;
        let workers = taciturn_net::start(sockets, lifetime, carried, |nonces| {
            let terms = terms(&config, &external, &extra);
            let shared = terms.begin(config.relay_ports, nonces, tickets);
            let entrances = Arc::new(listeners.entrances(&config));
            records.ask(Shared { entrances, kernel: kernel.flows(), ..shared })
        })?;
        let (shared, restored) = (workers.shared().clone(), *workers.restored());
        // Before the first request, and what the process before this one has written is there by now.
        let bans = BanKeeper::open(&config, Arc::clone(&shared.rules.bans));
        let lives = predecessor.ready()?;
        let running = workers.go();
        records.go();
        let carried_over = before.map(|before| before.tell(&restored, &running, &shared, lives));
        supervisor.ready(&status(&shared.rules));
        let in_use = InUse { config, external, certificates, listeners, extra, shared };
        let server = ServerHandle::new(
            running.workers(),
            &in_use.shared,
            in_use.certificate_report(),
            log.sink().clone(),
        );
        let server = server.with_kernel(kernel);
        let server = match &carried_over {
            Some(carried_over) => server.carrying(carried_over.report.clone()),
            None => server,
        };
        let server = match records.recorder() {
            Some(recorder) => server.recording(recorder),
            None => server,
        };
        server.issue_by(&in_use.config, &in_use.external);
        let (orderer, orders) = channel(1);
        let own = OwnSockets::of(control.as_ref(), metrics.as_ref())?;
        let (mut tasks, addresses) = (Vec::new(), {
            let _inside = runtime.enter();
            Addresses::new(notices, &in_use.external)
        });
        let _inside = runtime.enter();
        let fleet = FleetMember::join(
            &in_use.config,
            &in_use.external,
            &server,
            &in_use.shared.rules,
            running.clock(),
        )?;
        let page = in_use.config.admin.page;
        tasks.extend(metrics.and_then(|socket| start_metrics(socket, &server, page)));
        tasks.push(admin::visitors::start(&server, &in_use.shared.reception));
        if let Some(socket) = control {
            tasks.push(admin::control::start(socket, server.clone(), orderer.clone())?);
        }
        drop(_inside);
        // Behind the lines of the log so far, so that the next steps stay in sight.
        log.sink().flush();
        if let Err(error) =
            announce(&in_use.config, &invocation.environment, &in_use.external, &listening)
        {
            // Nobody reads standard output: no reason not to serve.
            tracing::warn!("cannot print to standard output: {error}");
        }
        Ok(Started {
            invocation,
            log,
            notes,
            supervisor,
            runtime,
            signals,
            running,
            in_use,
            addresses,
            server,
            orders,
            _orderer: orderer,
            given_up,
            keeper,
            carried_over,
            outward: Outward { own, tasks },
            bans,
            fleet,
            records,
            database,
        })
    }
}

/// Serves metrics, health and the status page. Within a runtime.
fn start_metrics(
    socket: TcpListener,
    server: &ServerHandle,
    page: PageAccess,
) -> Option<AbortHandle> {
    let access = match page {
        PageAccess::Local => Some(Access::Local),
        PageAccess::Token => Some(Access::Token),
        PageAccess::Off => None,
    };
    match admin::http::start(socket, server.clone(), access) {
        Ok((bound, task)) => {
            tracing::info!("metrics on http://{bound}/metrics");
            if access.is_some() {
                tracing::info!("status page on http://{bound}/");
            }
            if server.issues() {
                tracing::info!("credentials for applications: POST http://{bound}/ice");
            }
            Some(task)
        }
        Err(error) => {
            tracing::warn!("no metrics: {error}");
            None
        }
    }
}

/// A server whose workers run.
pub(crate) struct Started<'a> {
    invocation: &'a Invocation,
    log: Log,
    notes: Notes,
    supervisor: Supervisor,
    runtime: Runtime,
    signals: Signals,
    running: Running,
    in_use: InUse,
    addresses: Addresses,
    server: ServerHandle,
    orders: Receiver<Order>,
    /// Kept so that the channel stays open if there is no control socket.
    _orderer: Sender<Order>,
    given_up: confine::Confined,
    keeper: Option<Keeper>,
    carried_over: Option<CarriedOver>,
    outward: Outward,
    bans: BanKeeper,
    fleet: FleetMember,
    records: RecordKeeper,
    database: DatabaseReader,
}

impl Started<'_> {
    /// Serves until a signal, an order or an error ends the server, and stops the workers.
    ///
    /// # Errors
    /// With the error that ended it.
    pub(crate) fn serve(mut self) -> Result<(), Failure> {
        let reloader = Reloader {
            invocation: self.invocation,
            running: &self.running,
            server: self.server.clone(),
            notes: self.notes,
            given_up: self.given_up,
        };
        let mut live = Live {
            running: &self.running,
            drainer: Drainer::new(self.server.clone()),
            server: self.server,
            in_use: self.in_use,
            addresses: self.addresses,
            log: self.log,
            reloader,
            withheld: Withheld::default(),
            memory: Memory::default(),
            keeper: self.keeper,
            carried_over: self.carried_over,
            outward: self.outward,
            bans: self.bans,
            fleet: self.fleet,
            records: self.records,
            database: self.database,
            stopping: false,
            handed_over: None,
        };
        let outcome = self.runtime.block_on(async {
            // Of what was carried over, too.
            live.bans.enforce(live.server.workers()).await?;
            live.keep().await;
            live.wait(&mut self.signals, &mut self.orders, &mut self.supervisor).await
        });
        if live.handed_over.is_some() {
            tracing::info!("stopping: another process has taken over");
        } else {
            if let Some(path) = &live.in_use.config.admin.socket {
                // What stays is taken away by the next start.
                let _ = std::fs::remove_file(path);
            }
            tracing::info!("stopping");
            self.supervisor.stopping();
            if outcome.is_ok() {
                self.runtime.block_on(live.leave());
            }
        }
        let records = live.records;
        let stopped = self.running.stop();
        records.end();
        stopped?;
        outcome
    }
}
