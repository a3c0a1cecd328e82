//! The loop of a running server: what it waits for, and who deals with it.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use taciturn::admin::control::{BanOrder, Messages, Order};
use taciturn::admin::{self, ServerHandle};
use taciturn::notify::Supervisor;
use taciturn_config::Stop;
use taciturn_control::{Answer, Error, ErrorKind};
use taciturn_net::Running;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::addresses::Addresses;
use super::announce::status;
use super::bans::BanKeeper;
use super::carried_over::CarriedOver;
use super::database::DatabaseReader;
use super::drain::Drainer;
use super::failure::Failure;
use super::fleet::FleetMember;
use super::hand_over::{HandedOver, Outward, STAY, hand_over};
use super::in_use::InUse;
use super::keeper::Keeper;
use super::log::Log;
use super::memory::Memory;
use super::records::RecordKeeper;
use super::reload::Reloader;
use super::signals::{Asked, Signals};
use super::withheld::Withheld;

/// How often the age of the nonce key, the health of the workers and the certificate files are looked
/// at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How often certificates are judged again: they expire while the server runs.
const DAY: Duration = Duration::from_secs(86400);

/// How often the server looks whether the last allocation has ended, of its own while it drains, or
/// of a listener that was removed.
const LOOK: Duration = Duration::from_millis(500);

/// A running server.
pub(super) struct Live<'a> {
    pub(super) running: &'a Running,
    pub(super) server: ServerHandle,
    pub(super) in_use: InUse,
    pub(super) addresses: Addresses,
    pub(super) log: Log,
    pub(super) reloader: Reloader<'a>,
    pub(super) drainer: Drainer,
    pub(super) bans: BanKeeper,
    pub(super) fleet: FleetMember,
    pub(super) records: RecordKeeper,
    pub(super) database: DatabaseReader,
    pub(super) withheld: Withheld,
    pub(super) memory: Memory,
    pub(super) keeper: Option<Keeper>,
    pub(super) carried_over: Option<CarriedOver>,
    pub(super) outward: Outward,
    /// Whether a signal has asked it to end, and calls go on.
    pub(super) stopping: bool,
    /// What is left, where another process has taken over.
    pub(super) handed_over: Option<HandedOver>,
}

impl Live<'_> {
    /// Until a signal or a drain ends the server, or a worker fails.
    pub(super) async fn wait(
        &mut self,
        signals: &mut Signals,
        orders: &mut Receiver<Order>,
        supervisor: &mut Supervisor,
    ) -> Result<(), Failure> {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut day = tokio::time::interval(DAY);
        day.reset(); // the first warnings were given at start
        let mut look = tokio::time::interval(LOOK);
        let mut heartbeat = tokio::time::interval(supervisor.period());
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop if self.ends_now().await => return Ok(()),
                    Asked::Stop => supervisor.prolong(),
                    Asked::Reload if self.handed_over.is_some() => {
                        self.records.reopen();
                        tracing::warn!("not reloaded: another process has taken over");
                    }
                    Asked::Reload => {
                        // The result is in the log, and nobody waits for it.
                        let _ = self.reload().await;
                    }
                },
                Some(order) = orders.recv() => {
                    let drains = matches!(order, Order::Drain(..) | Order::HandOver(..));
                    self.carry_out(order).await;
                    if self.handed_over.as_ref().is_some_and(|handed_over| handed_over.left == 0)
                        && may_end()
                    {
                        return Ok(());
                    }
                    if drains {
                        // The others must not send clients here any more.
                        self.fleet.look(&self.server, &self.bans).await;
                        // A server without calls would end before the answer is on its way.
                        look.reset();
                    }
                }
                _ = look.tick() => {
                    self.log.look();
                    self.bans.expire();
                    self.fleet.look(&self.server, &self.bans).await;
                    self.database.look(&self.server, &self.in_use);
                    if self.in_use.close_emptied(self.running, &self.server).await? {
                        // A duplicate of a closed socket would be listened on by nobody.
                        self.keep().await;
                    }
                    let may_end = self.stopping || self.handed_over.is_none() || may_end();
                    if may_end && self.drainer.is_finished().await {
                        return Ok(());
                    }
                }
                read = self.fleet.changed() => {
                    self.fleet.obey(read, &mut self.bans, self.server.workers()).await;
                }
                rows = self.database.changed() => {
                    self.database.take_up(rows, &mut self.in_use, self.running).await?;
                }
                _ = housekeeping.tick() => self.keep_house()?,
                () = due(self.keeper.as_ref()) => {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.look(self.running, &self.in_use.shared.rules).await;
                    }
                }
                () = self.records.due() => self.record_running().await,
                () = self.addresses.changed() => {
                    let Self { in_use, addresses, running, server, .. } = self;
                    in_use.follow_addresses(addresses, running, server).await?;
                }
                _ = heartbeat.tick() => {
                    supervisor.beat(self.running.beat(), &status(&self.in_use.shared.rules));
                    if self.stopping {
                        supervisor.prolong();
                    }
                }
                _ = day.tick() => self.in_use.warn_of_certificates(),
            }
        }
    }

    /// What a signal to end does: whether the server ends now. Otherwise it drains.
    async fn ends_now(&mut self) -> bool {
        let has_calls = self.handed_over.as_ref().is_none_or(|handed_over| handed_over.left > 0);
        match self.in_use.config.process.stop {
            Stop::Drain(within) if has_calls && !self.stopping => {
                self.stopping = true;
                // If the workers cannot be asked, there is nothing to wait for.
                self.drainer.stop(within).await.is_err()
            }
            Stop::Drain(_) | Stop::Now => true,
        }
    }

    async fn reload(&mut self) -> Messages {
        // Whatever becomes of the configuration: logrotate has renamed the file.
        self.records.reopen();
        let outcome =
            self.reloader.reload(&mut self.in_use, &mut self.addresses, &mut self.log).await;
        self.fleet.reconfigured(&self.in_use.config, &self.in_use.external);
        self.database.reconfigured(&self.in_use.config);
        self.keep().await;
        outcome
    }

    /// Has sessions recorded that go on.
    async fn record_running(&mut self) {
        let made = self.records.make(self.server.workers()).await;
        if !made.is_empty() {
            // Before they are written: a process that goes on after a crash would make them again, with other contents.
            self.keep().await;
            self.records.put(made);
        }
    }

    /// Has the service manager keep what there is now.
    pub(super) async fn keep(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(self.running, &self.in_use.shared.rules).await;
        }
    }

    /// Leaves what there is to the service manager, for the next process of this service.
    pub(super) async fn leave(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        match keeper.leave(self.running, &self.in_use.shared.rules).await {
            Ok(0) => {}
            Ok(allocations) => tracing::info!(
                allocations,
                "running calls are left to the service manager: after a restart they go on, after a stop they end"
            ),
            Err(error) => tracing::warn!("running calls end: {error}"),
        }
    }

    /// Hands everything over to another process.
    async fn hand_over(&mut self, mut stream: UnixStream) {
        if self.handed_over.is_some() {
            return;
        }
        let rules = &self.in_use.shared.rules;
        let handed_over = match admin::control::promise(&mut stream) {
            Ok(()) => hand_over(stream, self.running, rules, &self.outward.own).await,
            Err(error) => Err(error.into()),
        };
        match handed_over {
            Ok(handed_over) => {
                let HandedOver { allocations, left, .. } = handed_over;
                tracing::info!(allocations, left, "another process has taken over");
                self.outward.leave();
                self.fleet.leave();
                self.database.leave();
                if let Some(mut keeper) = self.keeper.take() {
                    // Another process of the service must not go on with what this one has no longer.
                    keeper.clear();
                }
                self.handed_over = Some(handed_over);
                if left > 0 {
                    // The clients on TLS; the outcome is in the log.
                    let _ = self.drainer.start(Some(STAY)).await;
                }
            }
            Err(error) => tracing::warn!("not handed over, this process goes on: {error}"),
        }
    }

    /// Carries out an order of the control socket.
    async fn carry_out(&mut self, order: Order) {
        // A client that has gone away needs no answer.
        let _ = match order {
            Order::HandOver(stream) => return self.hand_over(stream).await,
            Order::KickEverywhere(whose, done) => {
                let outcome = self.fleet.kick(whose, self.server.workers()).await;
                let _ = done.send(outcome);
                return;
            }
            Order::AskFleet { sessions, whose, done } => {
                return self.fleet.ask(sessions, whose, &self.server, done);
            }
            Order::Fleet(done) => {
                let _ = done.send(self.fleet.report());
                return;
            }
            Order::Ban(order, done) => return self.ban(order, done).await,
            Order::Reload(done) => done.send(self.reload().await),
            Order::Drain(within, done) => done.send(self.drainer.start(within).await),
            Order::CancelDrain(done) => done.send(self.drainer.cancel().await),
            Order::LogLevel(wanted, done) => done.send(self.log.show_or_change(wanted)),
        };
    }

    async fn ban(&mut self, order: BanOrder, done: oneshot::Sender<Result<Answer, Error>>) {
        let outcome = match self.handed_over {
            // The file is the other's from now on.
            Some(_) => Err(Error::new(
                ErrorKind::NotPossible,
                "another process has taken over: run the command again",
            )),
            None => {
                let outcome = self.bans.obey(order, self.server.workers()).await;
                outcome.map(|answer| self.fleet.told(answer, &self.bans))
            }
        };
        // A client that has gone away needs no answer.
        let _ = done.send(outcome);
    }

    fn keep_house(&mut self) -> Result<(), Failure> {
        if self.running.has_failed() {
            return Err("a worker has ended by itself".into());
        }
        let rules = &self.in_use.shared.rules;
        self.running.rotate_nonce_key(rules)?;
        self.withheld.report(&rules.answers);
        self.memory.look(&self.in_use.shared.connections);
        if let Some(carried_over) = &mut self.carried_over {
            carried_over.look();
        }
        self.in_use.certificates.poll();
        self.in_use.renew_dtls();
        Ok(())
    }
}

/// Whether a process that has handed over may end. As process 1 of a container it waits until it is stopped: the engine
/// would start it again, and it would take over from the one that has its place.
fn may_end() -> bool {
    std::process::id() != 1
}

/// Waits until something else may have to be kept; for ever if nothing is.
async fn due(keeper: Option<&Keeper>) {
    match keeper {
        Some(keeper) => keeper.due().await,
        None => std::future::pending().await,
    }
}
