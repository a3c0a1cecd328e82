//! A server that runs: what it waits for, and how it takes up another configuration.

use std::time::{Duration, Instant};

use taciturn::admin::control::Order;
use taciturn::admin::{Board, Certificates, Change, ListenerTable, Moved, Plan, Served};
use taciturn::notify::Supervisor;
use taciturn_config::{Config, LogFilter};
use taciturn_net::external::External;
use taciturn_net::{BindError, ListenerChange, Listeners, Running, Shared};
use taciturn_turn::Withdrawn;
use taciturn_turn::policy::AnswerLimit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender};

use super::log::Log;
use super::{
    Failure, Start, check_icmp_errors, check_redirect, host, raise_descriptor_limit, share, status,
    tell, ticket_key,
};

/// How often the nonce key's age is looked at, the workers' health, and the certificate files.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How often certificates are judged again: they expire while the server runs.
const DAY: Duration = Duration::from_secs(86400);

/// How often it is looked whether the last call has ended: of a server that drains, or of a
/// listener that was removed.
const LOOK: Duration = Duration::from_millis(500);

/// What stops the server, and what makes it read its configuration again.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves. Within a runtime.
    pub(super) fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// A server that runs, and all that a change of it needs to know.
pub(super) struct Live<'a> {
    /// Kept here too, so that the channel stays open where there is no socket.
    pub(super) _orderer: Sender<Order>,
    pub(super) orders: Receiver<Order>,
    /// Until when calls may run at most, once no new ones are taken.
    pub(super) drain: Option<Option<Instant>>,
    pub(super) log: Log,
    pub(super) board: Board,
    pub(super) start: &'a Start,
    /// What is in use: the configuration read last, but for what needs a restart.
    pub(super) config: Config,
    pub(super) external: External,
    pub(super) certificates: Certificates,
    pub(super) listeners: ListenerTable,
    pub(super) shared: Shared,
    pub(super) running: &'a Running,
    pub(super) sandboxed: bool,
    /// Notes that were given, so that each is given once.
    pub(super) told: Vec<String>,
}

impl Live<'_> {
    /// Until a signal, or until a worker fails.
    pub(super) async fn wait(
        &mut self,
        signals: &mut Signals,
        supervisor: &mut Supervisor,
    ) -> Result<(), Failure> {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut day = tokio::time::interval(DAY);
        day.reset(); // the first warnings were given at start
        let mut look = tokio::time::interval(LOOK);
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
                        // A server without calls would end before the answer is on its way.
                        look.reset();
                    }
                    Order::CancelDrain(done) => {
                        let _ = done.send(self.cancel_drain().await);
                    }
                    Order::LogLevel(wanted, done) => {
                        let _ = done.send(self.log_level(wanted));
                    }
                },
                _ = look.tick() => {
                    self.log.look();
                    self.close_emptied().await?;
                    if self.is_drained().await {
                        return Ok(());
                    }
                }
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
            Ok(Reloaded { changes, unchanged, removed }) => {
                let nothing = no_change(&unchanged);
                say(&changes, &nothing);
                let mut told: Vec<_> = changes.iter().map(ToString::to_string).collect();
                if told.is_empty() {
                    told.push(nothing);
                }
                for line in removed {
                    tracing::warn!("{line}");
                    told.push(line);
                }
                Ok(told)
            }
            Err(error) => {
                tracing::error!("reload refused, nothing is changed: {error}");
                Err(format!("reload refused, nothing is changed: {error}"))
            }
        }
    }

    /// Takes nobody new from now on. Where that is so already, the time limit is set anew.
    async fn drain(&mut self, within: Option<Duration>) -> Result<Vec<String>, String> {
        self.board.workers().drain(true).await.map_err(|error| error.to_string())?;
        self.board.health().set_ready(false);
        self.drain = Some(within.and_then(|within| Instant::now().checked_add(within)));
        let running = self.board.workers().count().await.map_err(|error| error.to_string())?;
        let told = format!("draining: {} allocations are left", running.allocations);
        tracing::info!("{told}");
        Ok(vec![told])
    }

    /// Takes clients again.
    async fn cancel_drain(&mut self) -> Result<Vec<String>, String> {
        if self.drain.take().is_none() {
            return Ok(vec!["the server was not draining".to_owned()]);
        }
        self.board.workers().drain(false).await.map_err(|error| error.to_string())?;
        self.board.health().set_ready(true);
        let told = "draining is cancelled: new allocations are made again";
        tracing::info!("{told}");
        Ok(vec![told.to_owned()])
    }

    /// Logs something else, where that is wanted, and says what is logged.
    fn log_level(
        &mut self,
        wanted: Option<(LogFilter, Option<Duration>)>,
    ) -> Result<Vec<String>, String> {
        if let Some((filter, within)) = wanted {
            self.log.set(&filter, within)?;
            tracing::info!("log level: {}", self.log.told());
        }
        Ok(vec![self.log.told()])
    }

    /// Closes the listeners that were removed, once the last of their clients has gone. The sockets
    /// of all workers at once: with fewer of them, the kernel would give the packets of a client to
    /// another worker.
    async fn close_emptied(&mut self) -> Result<(), Failure> {
        let retired = self.listeners.retired();
        if retired.is_empty() {
            return Ok(());
        }
        let clients = self.board.workers().clients_of(&retired).await?;
        let emptied = retired.into_iter().zip(clients).filter(|(_, clients)| *clients == 0);
        let emptied: Vec<_> = emptied.map(|(id, _)| id).collect();
        let changes: Vec<_> = emptied.iter().map(|id| ListenerChange::Close(*id)).collect();
        if !changes.is_empty() {
            self.running.change_listeners(&changes).await?;
        }
        for name in emptied.into_iter().filter_map(|id| self.listeners.forget(id)) {
            tracing::info!(
                "listener \"{name}\" is closed: it was removed, and has no clients left"
            );
        }
        self.board.close(self.listeners.closing());
        Ok(())
    }

    /// Whether no new calls are taken, and the last one has ended or has had its time.
    async fn is_drained(&self) -> bool {
        let Some(until) = self.drain else { return false };
        until.is_some_and(|until| until <= Instant::now())
            || self.board.workers().count().await.is_ok_and(|now| now.allocations == 0)
    }

    /// Reads the configuration again and goes on with it: all of it, but for what needs a restart,
    /// or nothing.
    async fn reload(&mut self) -> Result<Reloaded, Failure> {
        let loaded = Config::load(&self.start.args, &self.start.environment);
        let loaded = loaded.map_err(|errors| self.explain(&errors))?;
        let Plan { mut changes, config } = Plan::new(&self.config, loaded.config);
        let changed = |keys: &[&str]| changes.iter().any(|change| keys.contains(&change.key));
        check_redirect(&config, &self.external)?;
        check_icmp_errors(&config)?;
        let successors = self.certificates.successors(&config, self.listeners.dtls());
        let successors = successors.map_err(|error| self.explain(&error))?;
        let moved = self.listeners.successor(&config, successors.certificates())?;
        let nonces = self.running.nonce_keys(config.limits.nonce_lifetime)?;
        // Not used while there is one already: tickets stay good.
        let tickets = ticket_key()?;
        if changed(&["limits.connections", "protocol.tcp_relay", "listen"]) {
            raise_descriptor_limit(&config);
        }
        let bound = self.listen(&moved).await?;
        // Nothing can be refused from here on.
        let shared = share(&config, &self.external, nonces, tickets).in_place_of(&self.shared);
        let withdrawn = self.running.set_rules(&shared).await?;
        let (certificates, renewed) = successors.take_over();
        self.running.change_listeners(&moved.changes).await?;
        let told = changed(&["tls", "listen", "listen.cert", "host", "realm"]);
        let told = told || !renewed.changes.is_empty();
        changes.extend(renewed.changes);
        (self.config, self.shared, self.certificates) = (config, shared, certificates);
        self.listeners = moved.table;
        self.board.close(self.listeners.closing());
        self.renew_dtls();
        self.board.serve(Served::new(&self.config, &self.certificates, host(&self.config)));
        tell(&loaded.notes, &mut self.told);
        if let Err(error) = self.log.configure(&self.config.log_level) {
            tracing::error!("log level: {error}");
        }
        if !bound.is_empty() {
            tracing::info!("now listening on {}", bound.join(", "));
        }
        if told {
            self.certificates.warn(host(&self.config).as_deref());
        }
        let Withdrawn { permissions, channels, connections, .. } = withdrawn;
        if [permissions, channels, connections] != [0; 3] {
            tracing::info!(
                permissions,
                channels,
                connections,
                "the new peer rules have ended what they refuse"
            );
        }
        Ok(Reloaded { changes, unchanged: renewed.unchanged, removed: of_removed(withdrawn) })
    }

    /// Listens where nobody has listened so far; answers where. All of it, or nothing.
    async fn listen(&self, moved: &Moved) -> Result<Vec<String>, Failure> {
        if moved.added.is_empty() {
            return Ok(Vec::new());
        }
        let bound = Listeners::bind(&moved.added, self.config.workers.get());
        let bound = bound.map_err(|error| self.explain_bind(&error))?;
        let addresses = bound.first().map(Listeners::addresses).unwrap_or_default();
        if let Err(error) = self.running.listen(bound).await {
            let undone = moved.added.iter().map(|(id, _)| ListenerChange::Close(*id));
            self.running.change_listeners(&undone.collect::<Vec<_>>()).await?;
            return Err(format!("cannot listen on {}: {error}", addresses.join(", ")).into());
        }
        Ok(addresses)
    }

    fn renew_dtls(&self) {
        for refused in self.listeners.dtls().flat_map(|settings| settings.renew()) {
            tracing::warn!("{refused}");
        }
    }

    /// Why a listener cannot be bound, and what the rights that were given up have to do with it.
    fn explain_bind(&self, error: &BindError) -> String {
        let denied = error.error.kind() == std::io::ErrorKind::PermissionDenied;
        match &self.config.process.user {
            Some(user) if denied => format!(
                "cannot listen on {}/{}: it needs a restart. Ports below 1024 can be had only before the server \
                 becomes {user} (user in [process])",
                error.address, error.protocol
            ),
            _ => error.to_string(),
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

/// What a reload has come to.
struct Reloaded {
    /// What has changed.
    changes: Vec<Change>,
    /// Certificates that were read and have not.
    unchanged: Vec<String>,
    /// What has become of sessions whose user or secret was removed, in words.
    removed: Vec<String>,
}

/// What has become of sessions whose user or secret was removed.
fn of_removed(withdrawn: Withdrawn) -> Vec<String> {
    let Withdrawn { allocations, kept, .. } = withdrawn;
    let ended = format!(
        "{allocations} allocations ended: the user or secret that they were made with was removed or changed \
         (on_removal in [auth])"
    );
    let kept_on = format!(
        "{kept} allocations go on although the user or secret that they were made with was removed or changed \
         (on_removal in [auth]); turnctl kick --user NAME ends them"
    );
    let lines = [(allocations, ended), (kept, kept_on)];
    lines.into_iter().filter(|(count, _)| *count > 0).map(|(_, line)| line).collect()
}

/// What is said of a reload that changes nothing. The files of certificates are read each time.
fn no_change(certificates: &[String]) -> String {
    match certificates {
        [] => "no change".to_owned(),
        of => {
            format!("no change; read again, and the same: certificate and key of {}", of.join(", "))
        }
    }
}

/// Says in the log what a reload has changed.
fn say(changes: &[Change], nothing: &str) {
    for change in changes {
        match change.needs_restart {
            true => tracing::warn!("{change}"),
            false => tracing::info!("reload: {change}"),
        }
    }
    let taken_up = changes.iter().filter(|change| !change.needs_restart).count();
    match (changes.len(), taken_up) {
        (0, _) => tracing::info!("configuration read again: {nothing}"),
        (_, n) => tracing::info!("configuration read again: {n} changes taken up"),
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
